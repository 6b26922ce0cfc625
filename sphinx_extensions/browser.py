"""Chromium, as the book's printer and the tests start it."""

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def launch(driver):
    """Start the machine's own Chromium, else the one that `playwright install chromium` put there."""
    return driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
