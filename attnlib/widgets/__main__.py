"""One widget alone in a browser, drawn anew whenever a file is saved: python -m attnlib.widgets layer."""

import argparse
import html
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
# Asks whether anything was saved since the page was made; the answer comes as soon as something is.
RELOAD = '<script>fetch("/saved?{saved}").then(() => location.reload());</script>'


def page(kind: str) -> str:
    """The widget of a kind, at its first state, as a page of its own."""
    from attnlib.widgets import static_files, widget_classes

    if kind not in widget_classes():
        raise ValueError(f"kind must be one of {', '.join(widget_classes())}; got {kind!r}")
    data, _ = widget_classes()[kind]()._repr_mimebundle_()
    files = static_files()
    head = f'<!DOCTYPE html><meta charset="utf-8"><title>{kind}</title><style>{files["widget.css"]}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    scripts = "".join(f"<script>{files[name]}</script>" for name in (f"{kind}-data.js", f"{kind}.js") if name in files)
    return f"{head}{view}{data['text/html']}{scripts}"


def saved() -> float:
    """When a file of the library was last saved."""
    return max(path.stat().st_mtime for path in LIBRARY.rglob("*") if path.suffix in (".py", ".js", ".css", ".json"))


class _Preview(BaseHTTPRequestHandler):
    kind: str

    def do_GET(self):
        before = saved()
        if self.path.startswith("/saved?"):
            while saved() == float(self.path.partition("?")[2]):
                time.sleep(0.3)
            self._answer("")
            return
        # A process of its own imports the files as they are now; what it has to say of a mistake is the page.
        printed = subprocess.run([sys.executable, __file__, "--print", self.kind], capture_output=True, text=True)
        body = printed.stdout if printed.returncode == 0 else f"<pre>{html.escape(printed.stderr)}</pre>"
        self._answer(body + RELOAD.format(saved=before))

    def _answer(self, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        """Say nothing of each request."""


def main() -> None:
    """Print the page, or serve it."""
    parser = argparse.ArgumentParser(prog="python -m attnlib.widgets", description=__doc__)
    parser.add_argument("kind", help="the widget: the name of its module, such as layer")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--print", action="store_true", help="print the page once")
    options = parser.parse_args()
    if options.print:
        print(page(options.kind))
        return
    _Preview.kind = options.kind
    server = ThreadingHTTPServer(("localhost", options.port), _Preview)
    print(f"The widget is at http://localhost:{server.server_port}; Ctrl-C ends.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
