"""Jupyter's servers for a test: one is started, its address is found, and it is ended."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest


def settled(read, good):
    """Read again and again until what is read is good, or has not been for a minute; return it."""
    deadline = time.monotonic() + 60
    while not good(value := read()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


def running_server(home: Path) -> dict | None:
    """What a server's file says of it; nothing where there is none, or none that is written to its end."""
    for path in (home / "data/runtime").glob("jpserver-*.json"):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(path.read_text())


def settings(home: Path) -> dict[str, str]:
    """The variables by which Jupyter keeps its settings in a folder."""
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    return {name: str(home / folder) for name, folder in folders.items()}


@contextlib.contextmanager
def serving(home: Path, root: Path, command: list, environment: dict):
    """Start a server on a folder, with its settings in `home`; the value is what its file says of it."""
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={root}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        running = settled(lambda: running_server(home), lambda running: running or server.poll() is not None)
        if not running:
            pytest.fail(f"{command[-1]} does not start:\n{(home / 'log').read_text()}", pytrace=False)
        yield running
    finally:
        server.terminate()
        server.wait(20)
