"""What the tests of the site share: the book, built once; a web server for it; a browser.

    pytest tests/test_site.py                            # builds the book into _build, then tests it
    pytest tests/test_site.py --book-output=../out        # builds it elsewhere
    pytest tests/test_site.py --book-source=../other-book # tests another book with the same theme

| fixture   | what it is                                                             |
| --------- | ---------------------------------------------------------------------- |
| `site`    | the folder with the built HTML                                         |
| `places`  | where each kind of widget stands on it                                 |
| `proofs`  | the proofs of its pages, as a reader would type them                    |
| `server`  | the address of the book on a local server, as on the web: below a path |
| `browser` | Chromium, through Playwright                                           |
| `pages`   | the names of all pages, such as `chapters/01-layer.html`               |
| `page`    | one of them; a test that asks for it runs once for each                |
"""

import contextlib
import gzip
import itertools
import json
import mimetypes
import os
import re
import subprocess
import sys
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from backends import backend, rng  # noqa: F401 (fixtures: every test file may ask for them)
from filelock import FileLock
from jupyter_cache import get_cache
from playwright.sync_api import sync_playwright

from attnlib.derive import LINES_TYPE

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # as Jupyter Book does for the extensions in _config.yml

from sphinx_extensions.browser import launch  # noqa: E402

PATH = "/book/"  # the book need not be at the root of its host
# A picture on a page: its kind and its name; a field has no name, and a proof is no picture.
HOST = re.compile(r'<div class="attention-widget-host" id="[^"]*" data-widget="(?!proof)([^"]*)" data-name="([^"]*)">')
COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".txt", ".md"}
# Makes the choices of a widget by which a control of it is shown.
UNCOVER = """(control) => {
    const radios = [...control.closest(".controls").querySelectorAll("input[type=radio]")];
    for (const first of radios)
        for (const second of radios)
            if (!control.offsetParent) {
                first.click();
                second.click();
            }
}"""
# For a browser without a log: keeps what a page logs, its errors, and which files did not load.
LISTEN = """<script>
window.heard = [];
for (const level of ["error", "warn"]) {
    const log = console[level];
    console[level] = (...words) => { window.heard.push(words.join(" ")); log.apply(console, words); };
}
addEventListener("unhandledrejection", (event) => window.heard.push(`${event.reason}`));
addEventListener("error", (event) => window.heard.push(event.message ?? `not loaded: ${event.target.outerHTML}`), true);
</script>"""


def pytest_addoption(parser):
    """Let the caller choose which book is tested and where it is built."""
    parser.addoption("--book-source", type=Path, default=ROOT, help="the book's folder (default: the repository)")
    parser.addoption("--book-output", type=Path, default=None, help="where _build goes (default: the book's folder)")


def page_names(source: Path) -> list[str]:
    """Return the name of every page: what `_toc.yml` lists, and the search."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [f"{name}.html" for name in [toc["root"], *chapters, "search"]]


def pytest_generate_tests(metafunc):
    """Run a test that asks for `page` once for each page."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", page_names(metafunc.config.getoption("--book-source")))


@pytest.fixture(scope="session")
def pages(pytestconfig) -> list[str]:
    """The names of all pages."""
    return page_names(pytestconfig.getoption("--book-source"))


@pytest.fixture(scope="session")
def site(pytestconfig, tmp_path_factory) -> Path:
    """Build the book as a reader of the repository would, and return the folder with its HTML."""
    source = pytestconfig.getoption("--book-source")
    output = pytestconfig.getoption("--book-output") or source
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    if shared is None:
        build_book(source, output)
    else:  # one worker builds, the others wait for it
        with FileLock(shared / "book.lock"):
            if not (shared / "book.built").exists():
                build_book(source, output)
                (shared / "book.built").touch()
    return output / "_build/html"


def build_book(source: Path, output: Path) -> None:
    """Build the book, or fail with what it says.

    `--all` reads and writes every page, or a warning of an earlier build would be forgotten; it runs no chapter again.
    """
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    build = subprocess.run(
        [jupyter_book, "build", source, "--all", "-n", "-W", "--keep-going", "--path-output", output],
        cwd=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if build.returncode:
        pytest.fail("The book does not build:\n" + "\n".join(build.stdout.splitlines()[-60:]), pytrace=False)


@pytest.fixture(scope="session")
def places(site):
    """Where each kind of widget stands for the first time: the page, and the widget's name there."""
    first_places = {}
    for page in sorted((site / "chapters").glob("[0-9]*.html")):
        for kind, name in HOST.findall(page.read_text("utf-8")):
            first_places.setdefault(kind, (f"chapters/{page.name}", name))
    return first_places


@pytest.fixture(scope="session")
def proofs(site) -> dict[str, str]:
    """Every proof of the book's pages as a reader would type it, in JSON, and the chapter that it is from."""
    return typed_proofs(site.parent)


def typed_proofs(build: Path) -> dict[str, str]:
    """Return what `proofs` does, of a folder in which the book was built."""
    (folder,) = (build / ".jupyter_cache").iterdir()
    cache, found = get_cache(folder), {}
    for record in cache.list_cache_records():
        for cell in cache.get_cache_bundle(record.pk).nb.cells:
            for output in cell.get("outputs", ()):
                for packed in output.get("data", {}).get(LINES_TYPE, ()):
                    found[json.dumps(packed)] = Path(record.uri).stem
    return found


def requests(proofs) -> list[dict]:
    """Return a request to check each step of some proofs after the one before it."""
    asked = []
    for packed in map(json.loads, sorted(proofs)):
        for start, step in itertools.pairwise(packed["steps"]):
            exercise = packed | {"steps": [start, step]}
            asked.append({"id": len(asked), "do": "check", "exercise": exercise, "lines": [], "text": step})
    return asked


@cache
def content(path: Path, listen: bool) -> bytes:
    """Return a file, compressed if a web server would; `listen` puts a script before a page's own ones."""
    data = path.read_bytes()
    if listen:
        data = data.replace(b"<head>", b"<head>" + LISTEN.encode(), 1)
    return gzip.compress(data, mtime=0) if path.suffix in COMPRESSED else data


@contextlib.contextmanager
def serving(site: Path):
    """Serve a site, compressed, on a free local port; the value is the book's address, ending in a slash."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            address = urlsplit(self.path)
            path = unquote(address.path)
            file = (site / path.removeprefix(PATH)).resolve()
            if path.startswith(PATH) and path.endswith("/"):
                file = file / "index.html"
            if not (path.startswith(PATH) and file.is_relative_to(site.resolve()) and file.is_file()):
                self.send_error(404)
                return
            body = content(file, address.query == "listen")
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if file.suffix in COMPRESSED else kind)
            if file.suffix in COMPRESSED:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Say nothing: the browser's own record is what the tests read."""

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{host.server_port}{PATH}"
    host.shutdown()


@pytest.fixture(scope="session")
def server(site: Path):
    """The address of the book on a local server."""
    with serving(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """Start Chromium: the machine's own, else the one that `playwright install chromium` put there."""
    with sync_playwright() as driver:
        chromium = launch(driver)
        yield chromium
        chromium.close()
