"""Guess first: the reader sets a bar for each key, the law answers, and the miss is said in nats."""

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from test_site import TAGS
from test_widget_face import calls, finger, opened, state

from attnlib.maxent import kl_divergence
from attnlib.widgets import widget_classes
from attnlib.widgets.base import MISSED

KINDS = [kind for kind, cls in widget_classes().items() if MISSED in cls.laws]


@pytest.fixture(scope="module", params=[1280, 390])
def context(request, browser):
    """A laptop's and a phone's browser, the phone's in the dark."""
    phone = request.param == 390
    size = {"width": request.param, "height": 844}
    scheme = "dark" if phone else "light"
    context = browser.new_context(
        viewport=size, has_touch=phone, is_mobile=phone, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context
    context.close()


@pytest.fixture
def opened_widget(context, server, places):
    """Return a function that opens a widget of a kind with the guessing on; what the page says fails the test."""
    tabs, said = [], []

    def open_widget(kind):
        tab, widget = opened(context, server, *places[kind])
        tabs.append(tab)
        for event in ("console", "pageerror"):
            tab.on(event, lambda message: said.append(str(message)))
        widget.get_by_role("button", name="Guess first").click()
        return tab, widget

    yield open_widget
    for tab in tabs:
        tab.close()
    assert not said


def bars(widget):
    """The reader's guess and, once they are shown, the weights: as they are read on the page."""
    texts = widget.locator(".guess .reading").all_text_contents()
    return np.array([[float(number.replace("−", "-")) for number in text.split("\n")] for text in texts]).T


def preset(widget, number):
    """A preset's button."""
    return widget.locator(".presets > li > button").nth(number)


def answer(widget):
    """Ask for the law's answer; the miss in nats, and the sentence."""
    widget.get_by_role("button", name="Show the law’s answer").click()
    said = widget.locator(".guess [role=status]").inner_text()
    return float(re.match(r"Your guess is (\S+) nats off", said)[1].replace("−", "-")), said


def test_six_widgets_and_more_let_the_reader_guess():
    assert len(KINDS) >= 6


@pytest.mark.parametrize("kind", widget_classes())
def test_it_is_off_at_first_and_offered_where_there_is_a_law_for_it(kind, browser, server, places):
    tab, widget = opened(browser, server, *places[kind])
    button = widget.get_by_role("button", name="Guess first")
    assert button.count() == (kind in KINDS)
    if kind in KINDS:
        assert button.get_attribute("aria-pressed") == "false"
        preset(widget, 1).click()
        assert widget.locator(".guess").count() == 0 and preset(widget, 1).locator("xpath=../span").is_visible()
        assert state(widget) != widget.evaluate("el => el.model.get('_initial')")
    tab.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_preset_waits_for_the_guess_and_says_how_far_it_was_off(kind, opened_widget):
    tab, widget = opened_widget(kind)
    presets = widget.evaluate("el => el.model.get('_presets')")
    for number, (_label, sentence, changes) in enumerate(presets):
        before = state(widget)
        told = widget.get_by_text(sentence, exact=True)
        assert told.is_hidden()
        preset(widget, number).click()
        assert widget.locator(".guess").count() == 1 and told.is_hidden()
        (guess,) = bars(widget)
        np.testing.assert_allclose(guess, 1 / guess.size, atol=5e-5)
        assert widget.locator(".guess input").first.evaluate("bar => bar === document.activeElement")
        for _ in range(3 * number):
            tab.keyboard.press("ArrowRight")
        assert state(widget) == before, "nothing moves yet"
        nats, _ = answer(widget)
        assert state(widget) == {**widget.evaluate("el => el.model.get('_initial')"), **changes}
        assert told.is_visible()
        guess, weights = bars(widget)
        assert guess.sum() == pytest.approx(1, abs=4e-4) and weights.sum() == pytest.approx(1, abs=4e-4)
        assert nats == pytest.approx(kl_divergence(weights / weights.sum(), guess / guess.sum()), abs=2e-3)
    widget.get_by_role("button", name="Guess first").click()
    assert widget.locator(".guess").count() == 0
    preset(widget, 0).click()
    assert widget.locator(".guess").count() == 0 and state(widget) != before


@pytest.mark.parametrize("kind", ["temperature", "beyond"])
def test_a_pointer_a_finger_and_keys_move_a_bar_and_the_others_make_room(kind, opened_widget):
    tab, widget = opened_widget(kind)
    preset(widget, 0).click()
    bar = widget.locator(".guess input").nth(1)
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    places = [(box["x"] + box["width"] * part, box["y"] + box["height"] / 2) for part in (0.3, 0.5, 0.7)]
    scrolled = tab.evaluate("scrollY")
    if tab.viewport_size["width"] == 390:
        finger(tab)(*places)
    else:
        tab.mouse.move(*places[0])
        tab.mouse.down()
        tab.mouse.move(*places[1])
        tab.mouse.move(*places[2])
        tab.mouse.up()
    (guess,) = bars(widget)
    assert guess[1] == pytest.approx(0.7, abs=0.06) and tab.evaluate("scrollY") == scrolled
    others = np.delete(guess, 1)
    np.testing.assert_allclose(others, (1 - guess[1]) / others.size, atol=2e-4)
    bar.focus()
    tab.keyboard.press("ArrowLeft")
    assert bars(widget)[0][1] == pytest.approx(guess[1] - 0.01, abs=1e-3)
    for key, end in (("End", 1 - 0.001 * others.size), ("Home", 0.001)):
        tab.keyboard.press(key)
        (guess,) = bars(widget)
        assert guess[1] == pytest.approx(end, abs=1e-9) and guess.sum() == pytest.approx(1, abs=4e-4)
    assert np.isfinite(answer(widget)[0])


def test_a_bar_that_is_moved_takes_back_what_was_said(opened_widget):
    tab, widget = opened_widget("maxent")
    preset(widget, 1).click()
    first, _ = answer(widget)
    widget.locator(".guess input").first.focus()
    tab.keyboard.press("ArrowLeft")
    assert widget.locator(".guess [role=status]").inner_text() == ""
    second, _ = answer(widget)
    assert second < first, "α is negative there: less for the best key is nearer"


def test_nothing_is_stored_or_sent(opened_widget):
    tab, widget = opened_widget("transport")
    asked = []
    tab.on("request", lambda request: asked.append(request.url) if "favicon" not in request.url else None)
    preset(widget, 0).click()
    tab.keyboard.press("ArrowRight")
    assert "#" not in tab.url
    answer(widget)
    tab.wait_for_function("() => location.hash")
    assert "guess" not in tab.url
    assert tab.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""] and not asked


@pytest.mark.parametrize("kind", ["layer", "beyond"])
def test_the_open_guess_is_accessible_and_never_on_paper(kind, opened_widget):
    tab, widget = opened_widget(kind)
    preset(widget, 3).click()
    for _ in range(2):
        result = Axe().run(tab, context=f"#{widget.get_attribute('id')}", options={"runOnly": TAGS})
        problems = result.response["violations"]
        assert not problems, [(problem["id"], problem["nodes"][0]["html"]) for problem in problems]
        assert widget.evaluate("el => el.scrollWidth <= el.clientWidth")
        answer(widget)
    tab.emulate_media(media="print")
    assert widget.locator(".guess-first").is_hidden() and widget.locator(".guess").is_hidden()


# ---- the numbers and the words ----


def test_parts_sum_to_the_divergence_and_none_is_below_zero(browser):
    rng = np.random.default_rng(5)
    pairs = [(rng.dirichlet(np.full(5, 0.3)), rng.dirichlet(np.ones(5))) for _ in range(100)]
    pairs.append((np.array([0, 0.5, 0.5, 0, 0]), np.full(5, 0.2)))
    code = f"{[[list(map(float, part)) for part in pair] for pair in pairs]}.map(([w, g]) => missed(5, w, g))"
    for (weights, guess), there in zip(pairs, calls(browser, "maxent", code), strict=True):
        assert there["nats"] == pytest.approx(kl_divergence(weights, guess), rel=1e-12)
        assert sum(there["parts"]) == pytest.approx(there["nats"], rel=1e-12, abs=1e-15)
        assert min(there["parts"]) >= -1e-15


VERDICTS = [  # weights, guess, and what is said
    (
        [0.7, 0.2, 0.1],
        [0.4, 0.3, 0.3],
        "it is too flat, and the largest part .*, is for key 1, which got too little, 0.4",
    ),
    (
        [0.4, 0.3, 0.3],
        [0.8, 0.1, 0.1],
        "it is too sharp, and the largest part .*, is for key 2, which got too little, 0.1",
    ),
    (
        [0.6, 0.3, 0.1],
        [0.3, 0.6, 0.1],
        "off, KL.*: the largest part .*, is for key 1, which got too little, 0.3000",
    ),
    (
        [0.5, 0.5, 0.0],
        [0.25, 0.25, 0.5],
        "the largest part .*, is for key 3, which got too much, 0.5000 in place of 0",
    ),
    ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], "is 0.0000 nats off, .*: as good as right"),
]


@pytest.mark.parametrize(("weights", "guess", "words"), VERDICTS)
def test_one_sentence_says_where_the_miss_came_from(weights, guess, words, browser):
    code = f"verdict(missed, {weights}, {guess}, ['key 1', 'key 2', 'key 3'])"
    said = calls(browser, "maxent", code)
    assert re.search(words, said), said
    assert len(re.findall(r"\.(?!\d)", said)) == 1 and said.endswith(".")
