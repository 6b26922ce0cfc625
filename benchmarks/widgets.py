"""How long a widget with 16 keys takes from an input event to a finished picture, in headless Chromium: a table."""

import json
import statistics
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from attnlib.widgets import static_files, widget_classes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sphinx_extensions.browser import launch

RECORD = Path(__file__).resolve().parent.parent / "attnlib/records/length.json"

DRAG = """async (host) => {
    const times = [];
    const svg = host.querySelector("svg");
    const target = host.querySelector("g.handle");
    const box = svg.getBoundingClientRect();
    target.setPointerCapture = () => {};
    const event = (type, step) => new PointerEvent(type, {
        pointerId: 1, isPrimary: true, bubbles: true,
        clientX: box.left + box.width * (0.3 + 0.4 * Math.abs(Math.sin(step / 20))),
        clientY: box.top + box.height / 2,
    });
    target.dispatchEvent(event("pointerdown", 0));
    for (let step = 0; step < 400; step++) {
        const start = performance.now();
        target.dispatchEvent(event("pointermove", step));
        host.getBoundingClientRect();  // layout is part of the picture
        times.push(performance.now() - start);
        await new Promise(requestAnimationFrame);
    }
    return times;
}"""


def filled(cls, grid, line):
    """Sixteen keys wherever a widget takes as many as one likes, and recorded points where it shows some."""
    traits = cls.class_traits()
    state = {"points": json.loads(RECORD.read_text("utf-8"))["points"]} if "points" in traits else {}
    for name, trait in traits.items():
        if getattr(trait, "per_key", False):
            state[name] = line if len(trait.shape) == 1 else grid
    return state


def main():
    """Drag the first handle of each widget and print median and 95th percentile."""
    grid = [[(number % 4) * 1.2 - 1.8, (number // 4) * 1.2 - 1.8] for number in range(16)]
    line = [number / 3 - 2.5 for number in range(16)]
    widgets = [cls(**filled(cls, grid, line)) for cls in widget_classes().values()]
    print(f"{'widget, 16 keys where it has keys':36}{'median ms':>10}{'95 % ms':>10}")
    with sync_playwright() as driver:
        page = launch(driver).new_page()
        for widget in widgets:
            page.set_content(widget._repr_mimebundle_()[0]["text/html"])
            page.add_style_tag(content=static_files()["widget.css"])
            page.add_script_tag(content=static_files()[f"{widget.kind}.js"])
            page.wait_for_selector(".live")
            times = page.eval_on_selector("[data-widget]", DRAG)
            print(f"{widget.title:36}{statistics.median(times):10.2f}{statistics.quantiles(times, n=20)[-1]:10.2f}")


if __name__ == "__main__":
    main()
