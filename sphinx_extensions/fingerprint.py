"""Never show stale output: key Jupyter Book's cache by everything that a chapter's output depends on.

Jupyter Book knows a notebook by its own cells alone, so a change in the library would leave old numbers on the page.
Here the cache lives in a folder named after a hash of the library, the chapters' data and the pinned requirements.
Sphinx knows the folder as a setting that pages are read with, so a new hash makes it read every page again.
"""

import hashlib
import shutil
from pathlib import Path

# What a chapter's output depends on, apart from its own cells.
SOURCES = (
    "attnlib/**/*.py",
    "attnlib/**/*.toml",
    "attnlib/**/*.js",
    "attnlib/**/*.css",
    "attnlib/**/*.json",
    "chapters/**/*.json",
    "chapters/**/*.bib",
    "requirements.txt",
    "binder/*.txt",
)
# What a page's frame depends on: a change writes every page again, but runs none.
FRAME = ("theme/**/*.*", "sphinx_extensions/*.*", "lectures/*.md")


def fingerprint(root: Path, patterns: tuple[str, ...]) -> str:
    """Return a short hash of the names and contents of the files below `root` that match; no clock, no order in it."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def key_cache(app, config):
    """Choose the cache's folder and drop the folders of other hashes, which no build will use again."""
    root, caches = Path(app.srcdir), Path(app.outdir).parent / ".jupyter_cache"
    current = caches / fingerprint(root, SOURCES)
    config.nb_execution_cache_path = str(current)
    config.attention_frame = fingerprint(root, FRAME)
    for old in caches.glob("*"):
        if old != current:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def setup(app):
    """Register the frame's hash as a setting, so that Sphinx itself notices when it changes."""
    app.add_config_value("attention_frame", "", "html", str)
    app.connect("config-inited", key_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
