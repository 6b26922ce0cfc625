"""The widgets on the built site, in a real browser: numbers, pointer, keyboard, links, bad input, size."""

import gzip
import json
import re
import socket
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import traitlets
from conftest import UNCOVER

from attnlib.widgets import QueryPlane, VarianceAgainstScore, static_files, widget_classes
from attnlib.widgets.__main__ import page as page_of
from attnlib.widgets.base import Choice, Quantity, Switch, Widget

CLASSES = widget_classes()


def quantities(cls, dimensions=None):
    """The inputs of a widget's class, by name; with `dimensions`, only those of so many."""
    traits = cls.class_traits(quantity=lambda quantity: quantity is not None)
    inputs = {name: trait.metadata["quantity"] for name, trait in traits.items()}
    return {name: quantity for name, quantity in inputs.items() if dimensions in (None, quantity["dimensions"])}


def first_slider(kind):
    """The name of the widget's first slider, and its ends."""
    sliders = quantities(CLASSES[kind], 0).items()
    return next((name, quantity["low"], quantity["high"]) for name, quantity in sliders if "choices" not in quantity)


def test_every_widget_stands_on_a_page(places):
    assert places.keys() == CLASSES.keys()


@pytest.fixture(scope="module")
def context(browser):
    """A browser's window for all tests, so that what pages share is loaded once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def open_widget(context, server, places):
    """Return a function that opens a widget's page, with a fragment, and fails the test if anything is amiss there."""
    tabs, said, foreign = [], [], []

    def refuse(route):
        foreign.append(route.request.url)
        route.abort()

    def open_widget(kind, fragment=""):
        page, name = places[kind]
        tab = context.new_page()
        tabs.append(tab)
        tab.route(lambda url: not url.startswith((server, "data:", "blob:")), refuse)
        tab.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(f"{server}{page}{fragment}")
        tab.wait_for_selector(f"#{name} .attention-widget.live")
        widget = tab.locator(f"#{name}")
        if CLASSES[kind].data_file and not fragment:  # it loads its numbers once something is asked for
            initial = state(widget)
            widget.get_by_role("button", name="Next dot").click()
            tab.wait_for_function("el => !el.querySelector('.live').results.waiting", arg=widget.element_handle())
            widget.get_by_role("button", name="Reset").click()
            assert state(widget) == initial
        return tab, widget

    yield open_widget
    for tab in tabs:
        tab.close()
    assert not said and not foreign


def state(widget):
    """The widget's inputs, as its model has them."""
    return widget.evaluate(
        "el => Object.fromEntries(Object.keys(el.model.get('_quantities')).map(n => [n, el.model.get(n)]))"
    )


def half_a_step(widget):
    """How far a mark may be from the pointer: pixels, where it goes from cell to cell."""
    return widget.evaluate("el => (el.querySelector('.cell')?.getBoundingClientRect().width ?? 0) / 2")


def results(widget):
    """What the widget shows, at full precision."""
    return widget.evaluate("el => el.querySelector('.live').results")


def random_states(cls, count):
    """States within the widget's ranges, on the grid of two decimals and off it."""
    rng = np.random.default_rng(11)
    for number in range(count):
        inputs = {}
        for key, quantity in quantities(cls).items():
            low, high = quantity["low"], quantity["high"]
            value = rng.uniform(low, high, size=np.shape(getattr(cls, key).default()))
            if "logarithmic" in quantity:
                value = low * (high / low) ** rng.uniform()
            elif "choices" in quantity:
                value = rng.choice(len(quantity["choices"]))
            elif number % 2:
                value = np.round(value, 2)
            inputs[key] = np.asarray(value).tolist()
        yield inputs


@pytest.mark.parametrize("kind", CLASSES)
def test_numbers_agree_with_attnlib_in_200_random_states(kind, open_widget):
    cls = CLASSES[kind]
    _, widget = open_widget(kind)
    shown = state(widget)
    states = list(random_states(cls, 200))
    for inputs in states:  # the page's widget may have another number of keys
        for key, value in inputs.items():
            if isinstance(value, list) and len(value) != len(shown[key]):
                inputs[key] = (value * 2)[: len(shown[key])]
    computed = widget.evaluate(
        """(el, states) => states.map((state) => {
            for (const [name, value] of Object.entries(state)) el.model.set(name, value);
            return el.querySelector(".live").results;
        })""",
        states,
    )
    for inputs, there in zip(states, computed, strict=True):
        here = cls(**inputs)
        for key, numbers in here.results().items():
            size = np.abs(numbers) if key in cls.precise else np.maximum(np.abs(numbers), 1)
            size = np.where(np.abs(numbers) < 1e-300, 1.0, size)  # below, floats have fewer digits
            assert np.max(np.abs(np.array(there[key]) - numbers) / size) <= 1e-12, (key, inputs)
        here.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_every_handle_follows_pointer_and_keyboard(kind, open_widget):
    tab, widget = open_widget(kind)
    handles = widget.locator("g.handle")
    anything_moves = False  # not by every mark: a key without weight may stay without
    for number in range(handles.count()):
        widget.get_by_role("button", name="Reset").click()  # a handle that another has sent to its end cannot go on
        handle = handles.nth(number)
        handle.scroll_into_view_if_needed()
        before, shown = state(widget), results(widget)
        box = handle.locator(".mark").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        horizontal = 20 if middle[0] < 640 else -20
        tab.mouse.move(*middle)
        tab.mouse.down()
        tab.mouse.move(middle[0] + horizontal, middle[1] + 12, steps=4)
        tab.mouse.up()
        dragged = state(widget)
        assert dragged != before, handle.get_attribute("aria-label")
        anything_moves |= results(widget) != shown
        moved = handle.locator(".mark").bounding_box()
        off = abs(moved["x"] + moved["width"] / 2 - middle[0] - horizontal)
        assert off < 3 + half_a_step(widget), "the mark stays under the pointer"
        handle.focus()
        tab.keyboard.press("ArrowLeft")
        assert state(widget) != dragged
        text = handle.get_attribute("aria-valuetext")
        tab.keyboard.press("Shift+ArrowRight")
        assert handle.get_attribute("aria-valuetext") != text
        for _ in range(90):
            tab.keyboard.press("ArrowRight")
        assert float(handle.get_attribute("aria-valuenow")) == float(handle.get_attribute("aria-valuemax"))
        tab.keyboard.press("Home")
        assert float(handle.get_attribute("aria-valuenow")) == float(handle.get_attribute("aria-valuemin"))
    assert anything_moves


@pytest.mark.parametrize("kind", CLASSES)
def test_a_handle_leaves_other_buttons_and_keys_to_the_browser(kind, open_widget):
    tab, widget = open_widget(kind)
    handle = widget.locator("g.handle").first
    handle.scroll_into_view_if_needed()
    before = state(widget)
    box = handle.locator(".mark").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down(button="right")
    tab.mouse.move(x + 30, y)
    tab.mouse.up(button="right")
    handle.focus()
    tab.keyboard.press("Control+Home")
    assert state(widget) == before
    handle.scroll_into_view_if_needed()
    box = handle.locator(".mark").bounding_box()
    rim = (box["x"] + box["width"] / 2 + 8, box["y"] + box["height"] / 2)
    tab.mouse.move(*rim)
    tab.mouse.down()
    tab.mouse.move(rim[0] + 1, rim[1])
    tab.mouse.up()
    moved = handle.locator(".mark").bounding_box()
    assert abs(moved["x"] - box["x"]) < 3, "grabbed by its rim, the mark does not jump"


@pytest.mark.parametrize("kind", CLASSES)
def test_sliders_presets_and_reset(kind, open_widget):
    cls = CLASSES[kind]
    tab, widget = open_widget(kind)
    initial = state(widget)
    for slider in widget.locator("input[type=range]").all():
        name = slider.get_attribute("data-symbol")
        slider.evaluate(UNCOVER)
        slider.focus()
        tab.keyboard.press("End")
        high = cls.class_traits()[name].metadata["quantity"]["high"]
        assert state(widget)[name] == high and slider.get_attribute("aria-valuetext").startswith(
            str(high)[:2].strip(".")
        )
    presets = widget.locator(".presets button")
    assert presets.count() >= 3
    for number in range(presets.count()):
        presets.nth(number).click()
        label, _sentence, changes = widget.evaluate("el => el.model.get('_presets')")[number]
        assert presets.nth(number).inner_text() == label
        assert state(widget) == {**initial, **changes}
    widget.get_by_role("button", name="Reset").click()
    assert state(widget) == initial


@pytest.mark.parametrize("kind", CLASSES)
def test_numbers_on_the_page_are_the_results_to_four_digits(kind, open_widget):
    tab, widget = open_widget(kind)
    known = np.array([number for number in flat([results(widget), state(widget)]) if np.isfinite(number)])
    cells = widget.locator("tbody tr td").all_inner_texts()
    for text in cells:
        number = float(text.replace("−", "-").replace("∞", "inf"))
        close = np.isclose(known, number, rtol=1e-3, atol=5e-5)
        assert close.any() or not np.isfinite(number) or kind == "length", text  # its machines' bytes are neither
    tab.wait_for_function("el => el.querySelector('.status').textContent", arg=widget.element_handle())
    assert cells and re.search(r"\d", widget.locator(".status").inner_text())


def flat(value):
    """Every number in nested lists and objects."""
    if isinstance(value, dict):
        value = list(value.values())
    return (
        [number for part in value for number in flat(part)] if isinstance(value, list) else [value] * is_number(value)
    )


def is_number(value):
    """Whether JSON has a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_blocks_merge_one_by_one_and_in_any_order_give_one_answer(open_widget):
    tab, widget = open_widget("blocks")
    before = results(widget)
    widget.get_by_role("button", name="Shuffle the blocks").click()
    shuffled = results(widget)
    assert shuffled["heights"] != before["heights"] and shuffled["answer"] == pytest.approx(before["answer"], rel=1e-13)
    widget.evaluate("el => el.model.set('reach', 0)")
    for left in (3, 2, 1):
        widget.get_by_role("button", name="Merge next").click()
        assert len(results(widget)["standing"]) == left
    widget.get_by_role("button", name="Play").click()
    tab.wait_for_function("el => el.model.get('reach') === 8", arg=widget.element_handle())
    assert results(widget)["standing"] == [6] and results(widget)["answer"] == shuffled["answer"]
    tab.wait_for_selector("#block-pooling button[aria-pressed=false] >> text=Play")


def test_a_page_without_a_kernel_offers_no_measurement_and_says_what_is_not_recorded(open_widget):
    _, widget = open_widget("length")
    assert widget.get_by_role("button", name="Measure on this machine").count() == 0
    said = widget.locator(".points-key").inner_text()
    assert "numpy naive: " in said and "recorded on" in said
    recorded = {point["method"] for point in widget.evaluate("el => el.model.get('points')") if point["seconds"]}
    methods = widget.evaluate("el => el.model.get('_methods')")
    absent = re.search("No recorded points: (.*)[.]", said)[1].split(", ")
    assert absent == [method for method in methods if method not in recorded]


def test_kappa_moves_every_width_and_no_weight(open_widget):
    tab, widget = open_widget("likelihood")
    before = results(widget)
    widget.locator("input[data-symbol=kappa]").focus()
    tab.keyboard.press("End")
    after = results(widget)
    assert after["weights"] == before["weights"] and after["estimate"] == before["estimate"]
    assert all(new < old for new, old in zip(after["deviations"], before["deviations"], strict=True))
    assert after["deviation"] < before["deviation"]


def test_the_output_stays_in_the_hull(open_widget):
    _, widget = open_widget("layer")
    for number in range(8):
        widget.evaluate("(el, turn) => el.model.set('query', [2 * Math.cos(turn), 2 * Math.sin(turn)])", number)
        values, output = np.array(state(widget)["value"]), np.array(results(widget)["output"])
        for turn in np.linspace(0, 2 * np.pi, 36):
            direction = np.array([np.cos(turn), np.sin(turn)])
            assert output @ direction <= (values @ direction).max() + 1e-12


@pytest.mark.parametrize("kind", CLASSES)
def test_symbols_and_marks_light_each_other(kind, open_widget):
    tab, widget = open_widget(kind)
    lit = widget.locator(".panels .lit")
    assert lit.count() == 0
    buttons = widget.locator(".legend button:visible").all()
    assert len(buttons) >= 3
    for button in buttons:
        symbol = button.get_attribute("data-symbol")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert widget.locator(f"math [data-symbol={symbol}].lit").count() > 0, symbol
        assert widget.locator(f":is(.panels, .controls, .numbers) [data-symbol={symbol}].lit").count() > 0, symbol
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
    tab.mouse.move(5, 5)
    symbol = widget.locator("g.handle").first.get_attribute("data-symbol")
    widget.locator(f"math [data-symbol={symbol}]").first.hover()
    assert lit.count() > 0
    tab.mouse.move(5, 5)
    tab.locator("h1").click()
    assert lit.count() == 0
    if widget.locator("g.handle[data-key='0']").count():  # else its rows are no keys
        widget.locator("g.handle[data-key='0']").first.hover()
        assert widget.locator("tr.lit").count() == 1


@pytest.mark.parametrize("kind", CLASSES)
def test_a_link_opens_the_state_it_names(kind, open_widget):
    tab, widget = open_widget(kind)
    name = widget.get_attribute("data-name")
    widget.locator("g.handle").first.focus()
    tab.keyboard.press("ArrowRight")
    wanted = state(widget)
    link = widget.locator(".state-link").get_attribute("href")
    tab.wait_for_function("link => location.hash === link", arg=link)
    _, again = open_widget(kind, link)
    assert state(again) == wanted
    assert again.evaluate("el => el.getBoundingClientRect().top < innerHeight")
    # A link in the text sets the widget on the same page.
    quantity, low, _ = first_slider(kind)
    tab.evaluate("hash => { location.hash = hash }", f"#{name}?{quantity}={low}")
    tab.wait_for_function(f"el => el.model.get('{quantity}') === {low}", arg=widget.element_handle())


HOSTILE = [
    "alpha=<img src=x onerror=alert(1)>",
    "alpha=%3Cscript%3Ealert(1)%3C/script%3E",
    "alpha=1e999",
    "alpha=NaN",
    "alpha=",
    "alpha=0x10",
    "alpha=%",
    "query=1",
    "value=1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17",
    "__proto__=1&constructor=2&_formula=<b>x</b>&_presets=1",
    "alpha=1,2&query=a,b&key=;;;&scores=,,,",
]


@pytest.mark.parametrize("kind", CLASSES)
def test_nonsense_in_a_link_changes_nothing_and_is_never_markup(kind, open_widget, places):
    name, quantity = places[kind][1], first_slider(kind)[0]
    hostile = [text.replace("alpha=", f"{quantity}=") for text in HOSTILE]
    tab, widget = open_widget(kind, f"#{name}?{hostile[0]}")
    plain = widget.evaluate("el => el.model.get('_initial')")
    for text in hostile:
        tab.evaluate(
            """hash => new Promise((done) => {
            addEventListener("hashchange", () => setTimeout(done), { once: true });
            location.hash = hash;
        })""",
            f"#{name}?{text}&{quantity}=nonsense",
        )
        assert state(widget) == plain, text
        assert widget.locator("img, script:not([type]), b").count() == 0, text


@pytest.mark.parametrize("kind", CLASSES)
def test_numbers_out_of_range_in_a_link_are_clamped(kind, open_widget, places):
    quantity, low, high = first_slider(kind)
    _, widget = open_widget(kind, f"#{places[kind][1]}?{quantity}=1000000")
    assert state(widget)[quantity] == high
    _, widget = open_widget(kind, f"#{places[kind][1]}?{quantity}=-1000000")
    assert state(widget)[quantity] == low


@pytest.mark.parametrize("kind", CLASSES)
def test_without_scripts_the_page_shows_the_picture_and_its_words(kind, browser, server, places):
    cls, (page, name) = CLASSES[kind], places[kind]
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(server + page)
    picture = tab.locator(f"#{name} svg[role=img]")
    assert picture.is_visible() and picture.bounding_box()["width"] > 300
    label = picture.get_attribute("aria-label")
    assert label.startswith(cls.title) and tab.locator(f"#{name} .still p").inner_text() in label
    assert re.search(r"\d\.\d{4}", label)
    context.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_copy_of_the_site_on_a_disk_moves_too(kind, browser, site, places):
    page, name = places[kind]
    tab = browser.new_page()
    tab.goto((site / page).as_uri())
    tab.wait_for_selector(f"#{name} .attention-widget.live")
    tab.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_widget_weighs_at_most_twelve_kilobytes(kind):
    assert len(gzip.compress(static_files()[f"{kind}.js"].encode())) <= 12_000


@pytest.mark.parametrize("kind", CLASSES)
def test_no_law_is_written_by_hand(kind):
    """What a front end computes by itself is where marks go; exponentials and roots of data come from sympy."""
    folder = resources.files("attnlib.widgets")
    for name in ("shared.js", f"{kind}.js"):
        source = folder.joinpath(name).read_text("utf-8")
        assert not re.search(r"Math\.(exp|pow|sqrt|log|PI|cos|sin)\b", source), name


@pytest.mark.parametrize("kind", CLASSES)
def test_the_bundle_serves_every_medium(kind):
    cls, (quantity, _, high) = CLASSES[kind], first_slider(kind)
    widget = cls(name="a-b", presets=[("One", "See </script><b>this</b>.", {quantity: high})])
    data, _ = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert data["image/svg+xml"].startswith("<svg") and 'role="img"' in data["image/svg+xml"]
    assert data["text/plain"] == f"{cls.title}. {widget.describe()}"
    page = data["text/html"]
    assert 'id="a-b"' in page and "</script><b>" not in page and page.count("</script>") == 1
    stored = json.loads(re.search(r'<script type="application/json">(.*)</script>', page)[1])
    assert stored["_presets"][0][1] == "See </script><b>this</b>."
    assert stored["_initial"] == json.loads(json.dumps(widget.state()))


def test_traits_take_arrays_and_refuse_nonsense_by_name():
    plane = QueryPlane(query=np.array([1.0, 2.0]))
    assert plane.query == (1.0, 2.0)
    for name, value in (
        ("alpha", -1),
        ("alpha", float("nan")),
        ("alpha", "three"),
        ("alpha", "0.5"),
        ("alpha", [1.0]),
        ("query", [1.0]),
        ("query", [1.0, 9.0]),
        ("key", [[1.0, 1.0]]),
        ("key", None),
    ):
        before = plane.state()
        with pytest.raises(traitlets.TraitError, match=rf"{name} must be .* got"):
            setattr(plane, name, value)
        assert plane.state() == before
    with pytest.raises(ValueError, match=r"takes alpha, .*; got also beta"):
        QueryPlane(beta=1)
    with pytest.raises(ValueError, match="key and value must hold the same number"):
        QueryPlane(key=[[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="got also beta"):
        QueryPlane(presets=[("Unknown", "Never.", {"beta": 1})])
    for name in ("", "my plane", 'a"<b', "é", "1st"):
        with pytest.raises(ValueError, match="name must be letters"):
            QueryPlane(name=name)
    with_arrays = QueryPlane(presets=[("Array", "Arrays are welcome.", {"query": np.zeros(2), "alpha": np.int64(2)})])
    assert with_arrays._presets[0][2] == {"query": (0.0, 0.0), "alpha": 2.0} and with_arrays._repr_mimebundle_()
    with pytest.raises(traitlets.TraitError, match="alpha must be"):
        QueryPlane(presets=[("Too hot", "Never.", {"alpha": 99})])


def test_python_sees_its_own_state():
    fusion = VarianceAgainstScore(scores=[0, 0], value=[1, 3], kappa=4)
    seen = []
    fusion.observe(lambda change: seen.append(change["new"]), "alpha")
    fusion.alpha = 2.5
    assert seen == [2.5]
    np.testing.assert_allclose(fusion.weights, [0.5, 0.5])
    assert fusion.estimate.mean[0] == pytest.approx(2) and fusion.standard_deviation == pytest.approx(8**-0.5)


def test_a_value_cannot_be_changed_in_place():
    plane = QueryPlane(query=[1.0, 2.0], key=np.zeros((2, 2)), value=[[0, 0], [1, 1]])
    for change in (lambda: plane.query.__setitem__(0, 99), lambda: plane.key[0].__setitem__(0, 99)):
        with pytest.raises(AttributeError):
            change()
    assert plane.query == (1.0, 2.0) and plane.key == ((0.0, 0.0), (0.0, 0.0))


def test_a_switch_is_on_or_off_and_a_choice_is_the_number_of_one_thing():
    class Lamp(traitlets.HasTraits):
        lit = Switch(1, label="lit")
        hue = Choice("red", "green", "blue", default=2, label="hue")
        brightness = Quantity(0.0, low=0, high=1, step=1, label="how bright")  # its one step does not make it a switch

    lamp = Lamp(lit=0, brightness=0.5)
    assert quantities(Lamp)["lit"]["switch"] and "switch" not in quantities(Lamp)["brightness"]
    with pytest.raises(traitlets.TraitError, match=r"lit must be a number within \{0, 1\}; got 0.5"):
        lamp.lit = 0.5
    assert lamp.hue == 2 and "switch" not in quantities(Lamp)["hue"]
    for wrong in (0.5, 3, -1, "red"):
        with pytest.raises(traitlets.TraitError, match=rf"hue must be a number within \{{0, 1, 2\}}; got '?{wrong}"):
            lamp.hue = wrong


def test_a_widget_shows_only_what_it_runs():
    from attnlib.formulas import layer, transport

    with pytest.raises(ValueError, match="Wrong shows what none of its laws runs: cheapest plan"):

        class Wrong(Widget):
            kind, title, laws, shown = "layer", "Wrong", QueryPlane.laws, (layer.weight, transport.plan)


def test_equations_and_legend_are_read_from_the_formulas():
    plane = QueryPlane()
    assert [name for name, _letter, _meaning in plane._legend] == ["s", "q", "k", "w", "alpha", "o", "v"]
    assert ["alpha", "α", "inverse temperature"] in plane._legend
    assert plane._formula.count("<math") == 3 == plane._formula.count("alttext=")
    assert all(f'data-symbol="{name}"' in plane._formula for name, _letter, _meaning in plane._legend)


def test_one_widget_alone_is_drawn_anew_when_a_file_is_saved(browser):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "attnlib.widgets", "layer", "--port", str(port)]
    preview = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    tab = browser.new_page()
    try:
        assert "http://localhost:" in preview.stdout.readline()  # it listens
        tab.goto(f"http://localhost:{port}", wait_until="commit")
        tab.wait_for_selector("#layer .attention-widget.live")
        tab.evaluate("() => { window.before = true }")
        (resources.files("attnlib.widgets") / "layer.js").touch()
        tab.wait_for_function("() => !window.before && document.querySelector('.live')")
    finally:
        tab.close()
        preview.terminate()
        preview.wait(10)
    with pytest.raises(ValueError, match=r"kind must be one of .*layer.*; got 'nothing'"):
        page_of("nothing")
