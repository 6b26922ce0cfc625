"""Firefox and WebKit as Debian ships them, for Playwright drives builds of its own: open, evaluate, drag, press, said.

Firefox speaks WebDriver BiDi itself. WebKitGTK has a driver, which shows a window, so it gets a display.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import websocket
from selenium import webdriver
from selenium.webdriver.webkitgtk.service import Service

KEYS = {"Home": "\ue011", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}
SIZE = (1280, 900)
PATIENCE = 30  # seconds until what is waited for counts as missing


class Browser:
    """What is the same in both: a pointer's and a keyboard's actions, which either protocol writes alike."""

    def wait(self, function, *arguments):
        """Return what a function of the page returns, once that is neither false nor empty."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.evaluate(function, *arguments)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: ({function})({', '.join(map(repr, arguments))})")
        return value

    def drag(self, *points):
        """Press the pointer's button at the first point, move over the others, release it at the last."""
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0} for x, y in points]
        down, up = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        self.perform({"type": "pointer", "id": "mouse", "actions": [moves[0], down, *moves[1:], up]})

    def press(self, key):
        """Press a key and let it go."""
        actions = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self.perform({"type": "key", "id": "keyboard", "actions": actions})


class Firefox(Browser):
    """Firefox, by WebDriver BiDi."""

    programs, packages = ("firefox-esr",), "firefox-esr"

    def __init__(self, stack: contextlib.ExitStack):
        home = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        log = stack.enter_context(open(f"{home}/log", "w"))
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", home, "--remote-debugging-port=0"]
        process = subprocess.Popen(command, env=os.environ | {"HOME": home}, stdout=log, stderr=log)
        stack.enter_context(process)
        stack.callback(process.kill)
        deadline = time.monotonic() + PATIENCE
        while not (address := re.search(r"BiDi listening on (ws:\S+)\n", said := Path(log.name).read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Firefox does not start: {said}")
            time.sleep(0.05)
        self.socket = websocket.create_connection(f"{address[1]}/session", timeout=PATIENCE, suppress_origin=True)
        self.sent, self.entries = 0, []
        self.ask("session.new", capabilities={})
        stack.callback(self.ask, "browser.close")
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.tab = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        viewport = dict(zip(("width", "height"), SIZE, strict=True))
        self.ask("browsingContext.setViewport", context=self.tab, viewport=viewport)

    def ask(self, method, **parameters):
        """Send a command and return its result; what the page logs meanwhile is kept."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.sent:
            self.entries.append(answer["params"])
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    def open(self, url):
        """Load a page, also where only the fragment differs from the one that is open."""
        for address in ("about:blank", url):
            self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, function, *arguments):
        """Call a function of the page, and return what it returns."""
        code = f"JSON.stringify(({function})(...{json.dumps(arguments)})) ?? 'null'"
        answer = self.ask("script.evaluate", expression=code, target={"context": self.tab}, awaitPromise=False)
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def perform(self, source):
        """Send a device's input."""
        self.ask("input.performActions", context=self.tab, actions=[source])

    def said(self):
        """Return the errors and warnings logged since the last call, the browser's own included."""
        self.ask("session.status")  # what was logged before comes before its answer
        entries, self.entries = self.entries, []
        return [entry["text"] for entry in entries if entry["level"] in ("error", "warn")]


class WebKit(Browser):
    """WebKitGTK, by its driver. That gives no log: pages that are asked for with `?listen` keep their own."""

    programs, packages = ("WebKitWebDriver", "Xvfb"), "webkit2gtk-driver and xvfb"

    def __init__(self, stack: contextlib.ExitStack):
        reading, writing = os.pipe()
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x1200x24", "-nolisten", "tcp"]
        display = stack.enter_context(subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL))
        stack.callback(display.terminate)
        os.close(writing)
        with open(reading) as number:
            environment = os.environ | {"DISPLAY": f":{number.readline().strip()}", "GDK_BACKEND": "x11"}
        self.driver = webdriver.WebKitGTK(service=Service(shutil.which("WebKitWebDriver"), env=environment))
        stack.callback(self.driver.quit)
        self.driver.set_window_size(*SIZE)
        self.heard = []

    def open(self, url):
        """Load a page, also where only the fragment differs from the one that is open."""
        self.heard = self.said()
        for address in ("about:blank", url):
            self.driver.get(address)

    def evaluate(self, function, *arguments):
        """Call a function of the page, and return what it returns."""
        return self.driver.execute_script(f"return ({function})(...arguments)", *arguments)

    def perform(self, source):
        """Send a device's input."""
        self.driver.execute("actions", {"actions": [source]})

    def said(self):
        """Return the errors and warnings of the page since the last call: its own, and files that did not load."""
        heard, self.heard = self.heard + self.evaluate("() => (window.heard ?? []).splice(0)"), []
        return heard
