"""Exercises that take a number: every field of the book, by keyboard and finger, and whatever else may be typed."""

import html
import json
import re
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from docutils import nodes
from docutils.utils import new_document
from sphinx_exercise.nodes import exercise_node
from test_site import TAGS
from test_widget_face import calls

from attnlib.widgets import Answer, static_files
from sphinx_extensions import answers

HOST = re.compile(
    r'<div class="attention-widget-host" data-widget="answer" data-exercise="([^"]*)">'
    r'<script type="application/json">(.*?)</script></div>'
)


@pytest.fixture(scope="module")
def fields(site):
    """The fields of every page, as they stand there: exercise and what the page knows."""
    found = {}
    for path in sorted((site / "chapters").glob("*.html")):
        for exercise, state in HOST.findall(path.read_text("utf-8")):
            found.setdefault(f"chapters/{path.name}", []).append((html.unescape(exercise), json.loads(state)))
    return found


@pytest.fixture
def open_page(browser, server):
    """Return a function that opens a page; what it says on the console fails the test."""
    contexts, said = [], []

    def open_page(page, **options):
        contexts.append(browser.new_context(reduced_motion="reduce", **options))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(server + page)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not said


def typed(tab, form, text):
    """Type an answer and press Enter; what is said of it."""
    field = form.locator("input")
    field.fill("")
    field.press_sequentially(text)
    tab.keyboard.press("Enter")
    assert field.evaluate("field => field === document.activeElement"), "the focus stays"
    return form.get_by_role("status").inner_text()


def test_two_exercises_in_every_chapter_that_has_numbers_take_one(fields):
    exercises = {page: {exercise for exercise, _ in on_page} for page, on_page in fields.items()}
    few = [page for page, known in exercises.items() if len(known) < 2]
    assert len(exercises) == 11 and few == ["chapters/11-real-heads.html"]


def test_every_field_stands_in_its_exercise_takes_its_value_and_names_its_slips(fields, open_page):
    for page, on_page in fields.items():
        tab = open_page(page)
        for number, (exercise, state) in enumerate(on_page):
            box = tab.locator(f"#{exercise}.exercise")
            form = tab.locator("form.attention-answer").nth(number)
            assert form.evaluate("(form, id) => form.closest('.exercise').id === id", exercise), exercise
            assert box.get_by_label(state["ask"], exact=True).count() == 1
            assert form.get_by_role("status").inner_text() == ""
            assert typed(tab, form, repr(state["value"])) == "Right."
            nearly = state["value"] + 0.9 * state["tolerance"]
            assert typed(tab, form, f"{nearly:.12g}") == "Right."
            for words, slip in state["slips"]:
                assert typed(tab, form, repr(slip)) == words
            far = max(map(abs, [state["value"], *(slip for _, slip in state["slips"])])) * 3 + 1
            assert typed(tab, form, f"{far:.6g}") == f"Not yet: it is not {far:.6g}."
            form.locator("input").press("Backspace")
            assert form.get_by_role("status").inner_text() == "", "what was said is of what was typed"
        assert tab.evaluate("[localStorage.length, sessionStorage.length, location.hash]") == [0, 0, ""]


def test_a_finger_presses_check_and_the_focus_stays_in_the_field(fields, open_page):
    page, [(_, state), *_] = next(iter(fields.items()))
    tab = open_page(page, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    form = tab.locator("form.attention-answer").first
    form.locator("input").tap()
    tab.keyboard.type(f"{state['value']:.4f}".replace(".", ","))
    form.get_by_role("button", name="Check").tap()
    assert form.get_by_role("status").inner_text() == "Right."
    assert form.locator("input").evaluate("field => field === document.activeElement")
    for part in ("input", "button"):
        assert form.locator(part).bounding_box()["height"] >= 24
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_scripts_and_on_paper_there_is_no_field(fields, open_page):
    page, [(exercise, _), *_] = next(iter(fields.items()))
    tab = open_page(page, java_script_enabled=False)
    box = tab.locator(f"#{exercise}")
    assert box.is_visible() and box.locator("input, button").count() == 0
    assert box.locator(".attention-widget-host").bounding_box()["height"] == 0
    tab = open_page(page)
    assert tab.locator("form.attention-answer").first.is_visible()
    tab.emulate_media(media="print")
    assert tab.locator("form.attention-answer").first.is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_field_that_has_answered_is_accessible(scheme, fields, open_page):
    page, [(exercise, state), *_] = next(iter(fields.items()))
    tab = open_page(page, color_scheme=scheme)
    form = tab.locator("form.attention-answer").first
    for text in (repr(state["value"]), "log"):
        typed(tab, form, text)
        result = Axe().run(tab, context=f"#{exercise}", options={"runOnly": TAGS})
        assert not result.response["violations"]


READ = {
    "0.25": 0.25,
    "1/4": 0.25,
    "-.5": -0.5,
    "−0,5": -0.5,
    "+2,5": 2.5,
    "1e-3": 0.001,
    "1E3": 1000,
    "5.": 5,
    "3 / -4": -0.75,
    "1e-3/2e-3": 0.5,
    "": "Type a number",
    "log 9": "“log 9” is not a number here",
    "1/2/3": "is not a number here",
    "1,234.5": "is not a number here",
    "0x10": "is not a number here",
    "1 000": "is not a number here",
    "½": 0.5,
    "١": "is not a number here",
    "Infinity": "is not a number here",
    "NaN": "is not a number here",
    "--1": "is not a number here",
    ".": "is not a number here",
    "1e": "is not a number here",
    "1/": "is not a number here",
    "alert(1)": "is not a number here",
    "<img src=x onerror=alert(1)>": "is not a number here",
    "__proto__": "is not a number here",
    "1/0": "divided by 0",
    "0/0": "divided by 0",
    "1e999": "too large",
    "1/1e-400": "divided by 0",
    "9" * 10_000: "too large",
    "9" * 50_000 + "x": "is not a number here",
    "1/" * 50_000: "is not a number here",
}


def test_a_number_is_read_by_a_small_grammar_and_all_else_is_told_so(browser):
    read = calls(browser, "answer", f"{json.dumps(list(READ))}.map(read)")
    for (text, wanted), got in zip(READ.items(), read, strict=True):
        assert wanted in got if isinstance(wanted, str) else got == pytest.approx(wanted, rel=1e-15), text[:40]


def test_what_is_typed_is_never_markup_or_code(fields, open_page):
    tab = open_page(next(iter(fields)))
    form = tab.locator("form.attention-answer").first
    said = typed(tab, form, "<img src=x onerror=alert(1)>")
    assert said.startswith("“<img src=x onerror=alert(1)>” is not a number here.") and form.locator("img").count() == 0
    assert not re.search(r"\beval\b|new Function|innerHTML", static_files()["answer.js"])


@pytest.mark.parametrize(
    ("value", "slips", "words"),
    [
        (float("nan"), {}, "'value' must be finite; got nan"),
        (1.0, {"the sign": float("inf")}, "'the sign' must be finite; got inf"),
        (0.004, {"the sign": -0.004}, "'value' and 'the sign' must be more than two tolerances apart"),
        (1.0, {"the sign": -1.0, "a factor of 2": -1.01}, "'the sign' and 'a factor of 2' must be more than two"),
    ],
)
def test_what_could_not_be_told_apart_is_refused(value, slips, words):
    with pytest.raises(ValueError, match=f"answer to 'ex': {re.escape(words)}"):
        Answer("ex", value, ask="it", tolerance=0.01, slips=slips)


@pytest.mark.parametrize("tolerance", [0, -1, float("inf"), float("nan")])
def test_a_tolerance_is_above_zero(tolerance):
    with pytest.raises(ValueError, match="tolerance must be above 0 and finite; got"):
        Answer("ex", 1, ask="it", tolerance=tolerance)


def test_a_field_for_no_exercise_of_the_page_is_a_warning_and_others_are_moved(monkeypatch):
    warned = []
    monkeypatch.setattr(answers.logger, "warning", lambda text, *values, **_: warned.append(text % values))
    document = new_document("page")
    document.settings.env = SimpleNamespace(docname="page")
    box = exercise_node("", nodes.title("", "Exercise"), label="ex-here")
    for label in ("ex-here", "ex-gone"):
        bundle, _ = Answer(label, 1, ask="it <b>", tolerance=0.1)._repr_mimebundle_()
        document += nodes.container("", nodes.container("", nodes.raw("", bundle["text/html"], format="html")))
    document += box
    answers.MoveAnswers(document).run()
    assert warned == ["answers: 'ex-gone' is no exercise of this page"]
    assert [type(child) for child in box] == [nodes.title, nodes.raw] and len(document) == 2
    assert HOST.fullmatch(box[1].astext())[1] == "ex-here"
