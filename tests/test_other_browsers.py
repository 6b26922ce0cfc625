"""Every widget on the built site in Firefox and in WebKit: marks, sliders, keys and links; and nothing is logged."""

import contextlib
import json
import re
import shutil

import pytest
from browsers import Firefox, WebKit
from conftest import UNCOVER

from attnlib.widgets import widget_classes

KINDS = list(widget_classes())
STATE = """(name) => {
    const { model } = document.getElementById(name);
    return Object.fromEntries(Object.keys(model.get("_quantities")).map((key) => [key, model.get(key)]));
}"""
# Alive, and nothing is still to come that would move it.
LIVE = """(name) => document.querySelector(`#${name} .attention-widget.live .status`)?.textContent &&
    document.readyState === "complete" && document.fonts.status === "loaded" """
MARKS = "(name) => document.querySelectorAll(`#${name} g.handle`).length"
RESET = """(name) => {
    [...document.querySelectorAll(`#${name} .actions button`)].find((button) => button.textContent === "Reset").click();
}"""
# Where the middle of a mark is, after the page has scrolled to it if asked.
MIDDLE = """(name, number, scroll) => {
    const mark = document.querySelectorAll(`#${name} g.handle`)[number].querySelector(".mark");
    if (scroll) mark.scrollIntoView({ block: "center", behavior: "instant" });
    const { left, right, top, bottom } = mark.getBoundingClientRect();
    return [(left + right) / 2, (top + bottom) / 2];
}"""
# Up to half a step, where a mark goes from cell to cell.
FOLLOWS = f"""(name, number, x) => {{
    const step = document.querySelector(`#${{name}} .cell`)?.getBoundingClientRect().width ?? 0;
    return Math.abs(({MIDDLE})(name, number, false)[0] - x) < 3 + step / 2;
}}"""
VALUE = """(name, number) => {
    const mark = document.querySelectorAll(`#${name} g.handle`)[number];
    return ["label", "valuenow", "valuemin"].map((part) => mark.getAttribute(`aria-${part}`));
}"""
AT_ITS_LOWEST = f"(name, number) => {{ const [, now, low] = ({VALUE})(name, number); return now === low; }}"
ABOVE_ITS_LOWEST = f"(name, number) => !({AT_ITS_LOWEST})(name, number)"
SLIDERS = """(name) => [...document.querySelectorAll(`#${name} .controls input[type=range]`)].map(
    (slider) => slider.dataset.symbol)"""
TRACK = """(name, key) => {
    const slider = document.querySelector(`#${name} .controls input[data-symbol=${key}]`);
    (UNCOVER)(slider);
    slider.scrollIntoView({ block: "center", behavior: "instant" });
    const { left, width, top, height } = slider.getBoundingClientRect();
    return [left, width, top + height / 2];
}""".replace("UNCOVER", UNCOVER)
CHANGES = f"(name, key, value) => ({STATE})(name)[key] !== value"
LOWEST = "(name, key) => document.getElementById(name).model.get('_quantities')[key].low"
# Where the named thing is, below the top of the window, when the address has been followed.
TOP = "(name) => Math.round(document.getElementById(name).getBoundingClientRect().top)"
RESTS = "() => document.readyState === 'complete' && document.fonts.status === 'loaded' && scrollY"
INITIAL = "(name) => document.getElementById(name).model.get('_initial')"


@pytest.fixture(scope="module", params=[Firefox, WebKit], ids=lambda kind: kind.__name__)
def other(request):
    """One of the browsers."""
    kind = request.param
    if not all(map(shutil.which, kind.programs)):
        pytest.skip(f"{kind.__name__} is missing: install {kind.packages}")
    with contextlib.ExitStack() as stack:
        yield kind(stack)


@pytest.fixture
def open_widget(other, server, places):
    """Return a function that opens a widget's page, with a state, and returns its name; nothing may be logged there."""

    def open_widget(kind, state=""):
        page, name = places[kind]
        other.open(f"{server}{page}?listen#{name}{state}")
        other.wait(LIVE, name)
        return name

    yield open_widget
    assert other.said() == []


def settled(other, script, *arguments):
    """What a script answers, once it answers the same twice: a place on a page that has come to rest."""
    answer, previous = other.evaluate(script, *arguments), None
    while answer != previous:
        answer, previous = other.evaluate(script, *arguments), answer
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_marks_follow_the_pointer_and_obey_keys(kind, other, open_widget):
    name = open_widget(kind)
    marks = other.evaluate(MARKS, name)
    assert marks
    for number in range(marks):
        other.evaluate(RESET, name)  # a mark that another has sent to its end cannot go on
        before = other.evaluate(STATE, name)
        x, y = settled(other, MIDDLE, name, number, True)
        across = 25 if x < 640 else -25
        other.drag((x, y), (x + across / 2, y + 6), (x + across, y + 12))
        other.wait(FOLLOWS, name, number, x + across)
        assert other.evaluate(STATE, name) != before, other.evaluate(VALUE, name, number)
        other.press("Home")  # the mark has the focus since it was grabbed
        other.wait(AT_ITS_LOWEST, name, number)
        other.press("ArrowRight")
        other.wait(ABOVE_ITS_LOWEST, name, number)


@pytest.mark.parametrize("kind", KINDS)
def test_sliders_slide(kind, other, open_widget):
    name = open_widget(kind)
    for key in other.evaluate(SLIDERS, name):
        before = other.evaluate(STATE, name)[key]
        left, width, y = settled(other, TRACK, name, key)
        other.drag((left + 0.3 * width, y), (left + 0.6 * width, y), (left + 0.9 * width, y))
        other.wait(CHANGES, name, key, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_opens_the_state_it_names(kind, other, open_widget):
    name = open_widget(kind)
    key = other.evaluate(SLIDERS, name)[0]
    wanted = other.evaluate(INITIAL, name) | {key: other.evaluate(LOWEST, name, key)}
    assert other.evaluate(STATE, open_widget(kind, f"?{key}={wanted[key]}")) == wanted


def test_a_link_leads_to_its_widget_below_others(other, server, places):
    """All that stands above has grown before it is gone to."""
    page = places["blocks"][0]
    other.open(f"{server}{page}?listen#block-pooling?reach=4")
    other.wait(LIVE, "block-pooling")
    other.wait(RESTS)
    assert 0 <= settled(other, TOP, "block-pooling") <= 80
    assert other.evaluate(STATE, "block-pooling")["reach"] == 4


@pytest.mark.parametrize("chapter", ["02-likelihood", "06-backward", "09-length"])
def test_a_link_leads_far_below_widgets(chapter, other, server, site):
    """Also where the browser keeps no place when what is above it grows."""
    places = re.findall(r'<section id="([\w-]+)"', (site / f"chapters/{chapter}.html").read_text("utf-8"))
    other.open(f"{server}chapters/{chapter}.html?listen#{places[-4]}")
    other.wait(RESTS)
    assert 0 <= settled(other, TOP, places[-4]) <= 80


def test_a_lecture_is_given(other, server, site):
    """Every step by the keyboard, nothing out of a slide; a mark is dragged under reveal's scale, then keys move it."""
    at = "() => [Reveal.getIndices().h, Reveal.getCurrentSlide().querySelectorAll('.fragment.visible').length]"
    overflows = "() => { const s = Reveal.getCurrentSlide(); return s.scrollHeight > s.clientHeight + 1 }"
    mark = "section.present .handle"
    state = "() => JSON.stringify(Reveal.getCurrentSlide().querySelector('.attention-widget-host').model.get('query'))"
    middle = f"""() => {{
        const {{ left, right, top, bottom }} = document.querySelector("{mark}:last-of-type").getBoundingClientRect();
        return [(left + right) / 2, (top + bottom) / 2];
    }}"""
    other.open(f"{server}lectures/why-softmax.html?listen")
    other.wait("() => window.Reveal?.isReady()")
    seen = [other.evaluate(at)]
    while not other.evaluate("() => Reveal.isLastSlide() && !Reveal.availableFragments().next"):
        other.press("ArrowRight")
        before = json.dumps(seen[-1], separators=(",", ":"))
        other.wait(f"(before) => JSON.stringify(({at})()) !== before", before)
        seen.append(other.evaluate(at))
        assert not other.evaluate(overflows), seen[-1]
    assert seen == sorted(seen)
    other.evaluate("() => Reveal.slide(3, 0, -1)")
    before = other.evaluate(state)
    x, y = settled(other, middle)
    other.drag((x, y), (x - 30, y + 6), (x - 60, y + 12))
    after = other.wait(f"(before) => {{ const now = ({state})(); return now !== before && now }}", before)
    other.press("ArrowRight")
    other.wait(f"(after) => ({state})() !== after", after)
    assert other.evaluate(at) == [3, 0] and not other.said()
