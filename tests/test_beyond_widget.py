"""The alternatives' widget: choices by pointer, finger and keyboard, what they hide, and optima that are not missed."""

from itertools import product

import numpy as np
import pytest

from attnlib import beyond
from attnlib.layer import softmax
from attnlib.widgets import Alternatives, static_files
from attnlib.widgets.beyond import WAYS

# What is shown by each way, from the top: the names of its controls, and the formulas by what stands on their left.
CHOICES = {
    "evenness": ({"ingredient": 0}, ["order"], ["w_{i}", "μ̂"]),
    "gaussian": ({"ingredient": 1, "noise": 0}, ["kappa"], ["L", "μ̂"]),
    "laplace": ({"ingredient": 1, "noise": 1}, ["kappa"], ["L"]),
    "student": ({"ingredient": 1, "noise": 2}, ["freedom", "kappa"], ["L", "w_{i}", "μ̂"]),
    "absent": ({"ingredient": 2}, ["absent"], ["w_{i}", "μ̂"]),
}


@pytest.fixture(scope="module")
def tab(browser):
    """A page with the widget alone, where a finger may touch, and `run`, which computes a state."""
    tab = browser.new_page(has_touch=True, viewport={"width": 390, "height": 844})
    files = static_files()
    tab.set_content(f"<style>{files['widget.css']}</style>{Alternatives()._repr_mimebundle_()[0]['text/html']}")
    script = files["beyond.js"].replace('"use strict";', '"use strict"; window.run = (all) => all.map(compute);', 1)
    tab.add_script_tag(content=script)
    tab.wait_for_selector(".live")
    yield tab
    tab.close()


def state(tab):
    """The widget's inputs, as its model has them."""
    return tab.eval_on_selector(
        "#beyond", "el => Object.fromEntries(Object.keys(el.model.get('_quantities')).map(n => [n, el.model.get(n)]))"
    )


def choose(tab, changes):
    """Set some of the widget's inputs."""
    tab.eval_on_selector("#beyond", "(el, all) => Object.entries(all).forEach((one) => el.model.set(...one))", changes)


def radio(tab, name):
    """The radio button of a choice."""
    return tab.get_by_role("radio", name=name, exact=True)


@pytest.mark.parametrize("press", ["click", "tap"])
def test_a_choice_is_made_by_pointer_and_finger(tab, press):
    choose(tab, {"ingredient": 0, "noise": 0})
    for name, (quantity, value) in {
        "noise": ("ingredient", 1),
        "Student’s t": ("noise", 2),
        "Laplace": ("noise", 1),
        "an absent key": ("ingredient", 2),
        "evenness": ("ingredient", 0),
    }.items():
        words = tab.locator("fieldset span", has_text=name).filter(visible=True).last
        getattr(words, press)()  # on the words beside the button
        assert state(tab)[quantity] == value and radio(tab, name).is_checked()
        box = words.locator("xpath=..").bounding_box()
        assert min(box["width"], box["height"]) >= 24


def test_a_choice_is_made_by_keyboard_and_speaks(tab):
    choose(tab, {"ingredient": 0, "noise": 0})
    radio(tab, "evenness").focus()
    tab.keyboard.press("ArrowRight")
    assert state(tab)["ingredient"] == 1
    tab.keyboard.press("Tab")  # a group is one stop
    tab.keyboard.press("ArrowLeft")  # from the first to the last
    assert state(tab)["noise"] == 2 and radio(tab, "Student’s t").is_checked()
    assert [group.get_attribute("data-symbol") for group in tab.locator("input:checked").all()] == [
        "ingredient",
        "noise",
    ]
    for group in ("What is changed", "Noise"):
        assert tab.get_by_role("group", name=group, exact=True).get_by_role("radio").count() == 3


@pytest.mark.parametrize("way", WAYS)
def test_what_a_choice_does_not_use_is_hidden_and_has_no_effect(tab, way):
    changes, controls, lefts = CHOICES[way]
    choose(tab, changes)
    assert tab.eval_on_selector(".live", "root => root.results.way") == way == Alternatives(**changes).way
    seen = tab.locator("input[type=range]").filter(visible=True).all()
    assert [slider.get_attribute("data-symbol") for slider in seen] == controls
    assert radio(tab, "Laplace").is_visible() == (way not in ("evenness", "absent"))
    formulas = [formula.get_attribute("data-tex") for formula in tab.locator("math").filter(visible=True).all()]
    assert [tex.split(" = ")[0] for tex in formulas] == lefts
    letters = tab.locator(".legend > *").filter(visible=True).all()
    names = {letter.locator("i").inner_text() for letter in letters}
    assert ("γ" in names, "δ" in names, "s₀" in names) == (way == "evenness", way == "student", way == "absent")
    # The keyboard passes the hidden ones by.
    tab.get_by_role("radio", checked=True).first.focus()
    stops = []
    while not tab.evaluate("document.activeElement.matches('.actions button')"):
        stops.append(tab.evaluate("document.activeElement.dataset.symbol"))
        tab.keyboard.press("Tab")
    assert stops == ["ingredient", *["noise"] * (changes["ingredient"] == 1), *controls]
    first = state(tab)
    others = {"noise": 1, "order": 1.9, "freedom": 9.0, "kappa": 3.0, "absent": 2.0, **changes}
    others |= {name: first[name] for name in controls}
    assert tab.evaluate("run", [first]) == tab.evaluate("run", [{**first, **others}])
    assert tab.evaluate("run", [first])[0]["answer"] == pytest.approx(Alternatives(**first).answer, abs=1e-12)


def random_student(count):
    """States with Student's noise, up to the narrowest peaks, and many keys."""
    rng = np.random.default_rng(4)
    for number in range(count):
        keys = rng.integers(1, 17)
        scores, values = rng.uniform(-3, 3, size=(2, keys))
        if number % 3 == 0:
            values = np.round(values)  # some coincide
        kappa, freedom = 2 ** rng.uniform(-6, 6), rng.choice([1.0, rng.uniform(1, 30)])
        yield {
            **{"ingredient": 1, "noise": 2, "order": 1.5, "absent": 0.0, "freedom": freedom, "kappa": kappa},
            **{"scores": scores.tolist(), "values": values.tolist()},
        }


def test_no_optimum_by_students_noise_is_missed(tab):
    states = list(random_student(300))
    several = 0
    for inputs, there in zip(states, tab.evaluate("run", states), strict=True):
        widget = Alternatives(**inputs)
        found = np.array([there["answer"], *there["optima"]])
        heights = widget.log_likelihood(found)
        best = beyond.student_t_value(
            np.array(widget.values)[:, None], np.array(widget.scores), dof=widget.freedom, kappa=widget.kappa
        )
        assert heights[0] >= widget.log_likelihood(best.mean[0]) - 1e-9 and heights[0] == heights.max()
        for start in widget.values:
            climbed = beyond.student_t_value(
                np.array(widget.values)[:, None],
                np.array(widget.scores),
                dof=widget.freedom,
                kappa=widget.kappa,
                start=np.array([start]),
            )
            assert np.abs(found - climbed.mean[0]).min() < 1e-6, (inputs, start)
        for place, height in zip(found, heights, strict=True):  # and each is one
            assert (widget.log_likelihood(place + np.array([-1e-4, 1e-4])) <= height + 1e-12).all()
        several += len(found) > 1
    assert several > 50


def test_where_a_whole_interval_is_the_median_its_middle_is_the_answer(tab):
    scores, values = [0.7] * 6, [3.0, -1.0, 0.5, 2.0, -2.5, 1.0]
    even = {**Alternatives().state(), "ingredient": 1, "noise": 1, "scores": scores, "values": values}
    # Key 1 weighs as much as the two others.
    odd = {**even, "scores": [float(np.log(2)), 0.0, 0.0], "values": [2.0, -1.0, -2.0]}
    three = {**even, "scores": [0.0] * 3, "values": [2.0, -1.0, -2.0]}
    answers = [there["answer"] for there in tab.evaluate("run", [even, odd, three])]
    assert answers == [0.75, 0.5, -1.0] == [Alternatives(**inputs).answer for inputs in (even, odd, three)]


def test_towards_order_one_entmax_comes_to_softmax(tab):
    scores = [2.0, 1.0, 0.5, -0.5, -1.5]
    orders = [1 + step for step in (0, 1e-15, 1e-12, 1e-9, 1e-8, 1e-6, 1e-4)]
    states = [{**Alternatives().state(), "scores": scores, "order": order} for order in orders]
    for order, there in zip(orders, tab.evaluate("run", states), strict=True):
        np.testing.assert_allclose(there["weights"], softmax(np.array(scores)), rtol=1e-7 + 10 * (order - 1))
        np.testing.assert_allclose(there["weights"], beyond.entmax(np.array(scores), alpha=order), rtol=1e-6)


@pytest.mark.parametrize("noise", [0, 1, 2])
def test_the_curve_is_the_log_likelihood_up_to_a_constant(noise):
    widget = Alternatives(ingredient=1, noise=noise, kappa=2.5, freedom=4)
    (law,) = (law.numpy() for law in Alternatives.laws if law.name == "likely")
    places = np.linspace(-3, 3, 41)
    arguments = (widget.freedom, widget.kappa, len(widget.scores), widget.scores, widget.values)
    curve = np.array([law(*arguments, place)[WAYS[1 + noise]] for place in places])
    np.testing.assert_allclose(np.ptp(curve - widget.log_likelihood(places)), 0, atol=1e-10)
    answer = widget.log_likelihood(widget.answer)
    assert (widget.log_likelihood(places) <= answer).all()


def test_the_still_picture_says_every_way():
    for ingredient, noise in product(range(3), range(3)):
        widget = Alternatives(ingredient=ingredient, noise=noise)
        picture = widget._repr_mimebundle_()[0]["image/svg+xml"]
        assert f"{widget.answer:.4f}" in picture and ("Log-likelihood" in picture) == (ingredient == 1)
