"""What the prover costs a reader, in headless Chromium: bytes, seconds from Start to ready, memory, seconds of a check.

    python benchmarks/prover.py

The first start is that of a new browser; the second is after the browser was closed and opened again.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from conftest import ROOT, requests, serving, typed_proofs

from sphinx_extensions.browser import CHROMIUM, CHROMIUM_FLAGS

RUNS = 3
START = """async (address) => {
    const start = performance.now();
    window.worker = new Worker(address, { type: "module" });
    const { failed } = await new Promise((resolve) => {
        worker.onmessage = ({ data }) => { if (data.ready || data.failed) resolve(data); };
        worker.onerror = ({ message }) => resolve({ failed: message });
    });
    if (failed) throw new Error(failed);
    return (performance.now() - start) / 1000;
}"""
CHECK = """async (request) => {
    const start = performance.now();
    worker.postMessage(request);
    const { failed, memory } = await new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
    if (failed) throw new Error(failed);
    return [(performance.now() - start) / 1000, memory];
}"""


def main():
    """Print the numbers of each run, and of all checks."""
    site = ROOT / "_build/html"
    size = sum(path.stat().st_size for path in (site / "prover").iterdir())
    print(f"{size / 1e6:.2f} MB in {len(list((site / 'prover').iterdir()))} files")
    print(f"{'run':>4}{'first start s':>15}{'second start s':>16}{'memory MB':>11}")
    asked = [json.dumps(request) for request in requests(typed_proofs(ROOT / "_build"))]
    seconds = []
    with serving(site) as address, sync_playwright() as driver:
        for run in range(RUNS):
            starts = []
            with tempfile.TemporaryDirectory() as profile:
                for _ in range(2):
                    browser = driver.chromium.launch_persistent_context(
                        profile, executable_path=CHROMIUM, args=CHROMIUM_FLAGS
                    )
                    page = browser.new_page()
                    page.goto(f"{address}search.html")
                    starts.append(page.evaluate(START, f"{address}prover/worker.js"))
                    checks = [page.evaluate(CHECK, request) for request in asked]
                    seconds += [taken for taken, _ in checks]
                    browser.close()
            memory = max(memory for _, memory in checks) / 1e6
            print(f"{run + 1:4}{starts[0]:15.2f}{starts[1]:16.2f}{memory:11.0f}", flush=True)
    print(
        f"{len(asked)} steps of the book, each typed after the one before it: median "
        f"{statistics.median(seconds):.3f} s, 95 % {statistics.quantiles(seconds, n=20)[-1]:.3f} s"
    )


if __name__ == "__main__":
    main()
