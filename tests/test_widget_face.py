"""What every widget on the built site owes its reader: a first screen, a finger, links, and keys kept to itself."""

import json

import pytest
from conftest import HOST

from attnlib.widgets import static_files


@pytest.fixture(scope="module")
def widgets(site):
    """Every widget of the site: page, and name there."""
    places = []
    for path in sorted(site.rglob("*.html")):
        for _kind, name in HOST.findall(path.read_text(encoding="utf-8")):
            places.append((path.relative_to(site).as_posix(), name))
    assert places
    return places


@pytest.fixture(scope="module")
def phone(browser):
    """A phone's browser."""
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, has_touch=True, is_mobile=True, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture(scope="module")
def laptop(browser):
    """A laptop's browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield context
    context.close()


def opened(context, server, page, name, fragment=""):
    """A tab with a widget, and the widget."""
    tab = context.new_page()
    tab.goto(f"{server}{page}{fragment}")
    tab.wait_for_selector(f"#{name} .attention-widget.live")
    return tab, tab.locator(f"#{name}")


def state(widget):
    """The widget's inputs, as its model has them."""
    return widget.evaluate(
        "el => Object.fromEntries(Object.keys(el.model.get('_quantities')).map(n => [n, el.model.get(n)]))"
    )


# ---- the first screen ----


@pytest.mark.parametrize("screen", ["laptop", "phone"])
def test_picture_and_control_are_on_the_first_screen(screen, request, server, widgets):
    """Of a widget that a link has opened: below the page's header, which stays."""
    for page, name in widgets:
        tab, widget = opened(request.getfixturevalue(screen), server, page, name)
        widget.evaluate("el => el.scrollIntoView({ block: 'start' })")
        picture, control, below = widget.evaluate(
            """el => [".panels svg", ".controls :is(input, button)", ".formula"].map(
                part => el.querySelector(part).getBoundingClientRect().bottom)"""
        )
        height = tab.viewport_size["height"]
        assert picture <= height and control <= height, f"{page} {name}: {picture} {control}"
        assert picture < control < below, "the picture, its controls, then the formula"
        tab.close()


# ---- a finger ----


def finger(tab):
    """A function that puts a finger down at a point, moves it over others, and lifts it."""
    session = tab.context.new_cdp_session(tab)

    def drag(*points):
        for kind, (x, y) in zip(["touchStart"] + ["touchMove"] * (len(points) - 1), points, strict=True):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    return drag


def middle(handle):
    """Where the middle of a handle's mark is."""
    box = handle.locator(".mark").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_every_mark_follows_a_finger_while_the_page_stays_still(phone, server, widgets):
    followed = 0
    for page, name in widgets:
        tab, widget = opened(phone, server, page, name)
        drag = finger(tab)
        for handle in widget.locator("g.handle").all():
            widget.get_by_role("button", name="Reset").click()
            handle.evaluate("mark => mark.scrollIntoView({ block: 'center' })")
            scrolled, before, (x, y) = tab.evaluate("scrollY"), state(widget), middle(handle)
            across = 28 if x < 195 else -28
            drag((x, y), *((x + across * part / 6, y - 40 * part / 6) for part in range(1, 7)))
            what = f"{name}: {handle.get_attribute('aria-label')}"
            assert state(widget) != before, f"{what} stays"
            step = widget.evaluate("el => el.querySelector('.cell')?.getBoundingClientRect().width ?? 0")
            assert abs(middle(handle)[0] - x - across) < 4 + step / 2, f"{what} is not under the finger"
            assert tab.evaluate("scrollY") == scrolled, f"{what} moves the page"
            followed += 1
        tab.close()
    assert followed >= 50


def test_the_ground_of_a_picture_scrolls_the_page(phone, server, widgets):
    page, name = widgets[0]
    tab, widget = opened(phone, server, page, name)
    widget.evaluate("el => el.scrollIntoView({ block: 'start' })")
    ground = widget.evaluate(
        """el => {
            const box = el.querySelector(".panels svg").getBoundingClientRect();
            for (let y = box.bottom - 30; y > box.top; y -= 10)
                for (let x = box.left + 20; x < box.right; x += 10)
                    if (!document.elementFromPoint(x, y).closest(".handle")) return [x, y];
        }"""
    )
    before, scrolled = state(widget), tab.evaluate("scrollY")
    finger(tab)(ground, *((ground[0], ground[1] - 25 * step) for step in range(1, 9)))
    tab.wait_for_function("before => scrollY > before + 50", arg=scrolled)
    assert state(widget) == before
    tab.close()


# ---- links ----


@pytest.fixture
def plane(laptop, server, widgets):
    """A widget with a number that its links can name: tab, widget, its name, the number's name and two values."""
    page, name = widgets[0]
    tab, widget = opened(laptop, server, page, name)
    number, low, high = widget.evaluate(
        """el => {
            const [name, { low, high }] = Object.entries(el.model.get("_quantities"))
                .find(([, { dimensions, logarithmic }]) => dimensions === 0 && !logarithmic);
            return [name, low, high];
        }"""
    )
    yield tab, widget, name, number, (low + high) / 2, high
    tab.close()


def reaches(tab, widget, number, value):
    """Wait until the widget's number has a value."""
    tab.wait_for_function(
        "([el, name, value]) => el.model.get(name) === value", arg=[widget.element_handle(), number, value]
    )


def link_to(tab, href):
    """Put a link on the page, above all else."""
    tab.evaluate(
        """href => {
            document.querySelector("#test-link")?.remove();
            const link = document.createElement("a");
            Object.assign(link, { id: "test-link", href, textContent: "state" });
            document.querySelector("article").prepend(link);
        }""",
        href,
    )
    return tab.locator("#test-link")


def test_a_link_sets_its_state_each_time_it_is_followed(plane):
    tab, widget, name, number, value, _ = plane
    link = link_to(tab, f"#{name}?{number}={value}")
    for _ in range(3):
        link.click()
        reaches(tab, widget, number, value)
        widget.get_by_role("button", name="Reset").click()
        assert state(widget) == widget.evaluate("el => el.model.get('_initial')")


def test_a_link_that_is_followed_twice_sets_what_changed_without_the_address(plane):
    tab, widget, name, number, value, other = plane
    link = link_to(tab, f"#{name}?{number}={value}")
    link.click()
    reaches(tab, widget, number, value)
    widget.evaluate("(el, [number, value]) => el.model.set(number, value)", [number, other])
    link.click()
    reaches(tab, widget, number, value)


def test_back_to_the_address_without_a_state_brings_the_first_one_back(plane):
    tab, widget, name, number, value, _ = plane
    initial = state(widget)
    link_to(tab, f"#{name}?{number}={value}").click()
    reaches(tab, widget, number, value)
    tab.go_back()
    reaches(tab, widget, number, initial[number])
    assert state(widget) == initial


@pytest.mark.parametrize(
    "written",
    [
        "{name}%3F{number}%3D{value}",
        "{name}?{number}%3D{value}",
        "{name}?{number}={value}%20",
        "{name}?x=1&amp;{number}={value}",
    ],
)
def test_a_link_that_mail_or_chat_has_rewritten_works(plane, written):
    tab, widget, name, number, value, _ = plane
    tab.evaluate("hash => { location.hash = hash }", written.format(name=name, number=number, value=value))
    reaches(tab, widget, number, value)


def test_leaving_at_once_keeps_the_last_change(plane, server):
    tab, widget, _, number, _, _ = plane
    tab.evaluate("sessionStorage.clear()")
    slider = widget.locator(f"input[data-symbol={number}]")
    slider.focus()
    tab.keyboard.press("ArrowRight")
    wanted = state(widget)
    tab.evaluate("address => { location.href = address }", f"{server}search.html")
    tab.wait_for_url("**/search.html")
    tab.go_back()
    tab.wait_for_selector(".attention-widget.live")
    reaches(tab, widget, number, wanted[number])


# ---- keys and letters ----


def test_keys_that_a_control_uses_do_not_reach_its_host(plane):
    tab, widget, *_ = plane
    tab.evaluate("document.heard = []; document.addEventListener('keydown', event => document.heard.push(event.key))")
    for part, keys in {
        "g.handle": ["ArrowRight", "PageUp", "Home"],
        "input[type=range]": ["ArrowRight", "End"],
        ".presets button": [" "],
    }.items():
        widget.locator(part).first.focus()
        for key in keys:
            tab.keyboard.press(key)
    assert tab.evaluate("document.heard") == []
    widget.locator("g.handle").first.focus()
    tab.keyboard.press("f")
    assert tab.evaluate("document.heard") == ["f"], "all others do"


def test_a_letter_of_the_formula_is_pressed_to_mark_the_picture(laptop, server, widgets):
    for page, name in widgets:
        tab, widget = opened(laptop, server, page, name)
        letter = widget.locator("math [data-symbol]:visible").last
        symbol = letter.get_attribute("data-symbol")
        button = widget.locator(f".legend [data-symbol='{symbol}']")
        letter.click()
        assert button.get_attribute("aria-pressed") == "true", name
        assert widget.locator(".panels .lit, .controls .lit, .numbers .lit").count(), f"{name}: {symbol}"
        letter.click()
        assert button.get_attribute("aria-pressed") == "false", name
        tab.close()


# ---- names ----


def test_sliders_are_named_by_what_they_move(laptop, server, widgets):
    """By more than a letter; what is seen is in the name, for who speaks to the page."""
    for page, name in widgets:
        tab, widget = opened(laptop, server, page, name)
        for slider in widget.locator(".controls input").all():
            seen = slider.evaluate(
                "slider => slider.closest('label').querySelector('[data-symbol]:not(input)').textContent"
            )
            said = slider.get_attribute("aria-label") or seen
            assert len(said) > 2 and seen in said, f"{page} {name}: {said}"
        tab.close()


# How a handle that moves along a scale says its value: the quantity in its name, not the scale's.
SPOKEN = {"expected score": "expectation", "temperature": "tau", "head size": "head_dim", "length T": "length"}


def test_a_handle_speaks_the_quantity_in_its_name(laptop, server, widgets):
    met = set()
    for page, name in widgets:
        tab, widget = opened(laptop, server, page, name)
        for handle in widget.locator("g.handle").all():
            label, _, _ = handle.get_attribute("aria-label").partition(",")
            if label not in SPOKEN:
                continue
            met.add(label)
            handle.focus()
            tab.keyboard.press("PageUp")
            value = widget.evaluate(
                "(el, key) => el.model.get(key) ?? el.querySelector('.attention-widget').results[key]", SPOKEN[label]
            )
            assert float(handle.get_attribute("aria-valuetext").replace("−", "-")) == pytest.approx(value, rel=1e-3)
        tab.close()
    assert met == SPOKEN.keys()


def test_no_list_of_presets_is_empty(laptop, server, widgets):
    for page, name in widgets:
        tab, widget = opened(laptop, server, page, name)
        assert widget.locator(".presets").count() == widget.locator(".presets:has(li)").count(), f"{page} {name}"
        tab.close()


# ---- numbers ----


def calls(browser, kind, code):
    """Run code beside what widgets share."""
    script = static_files()[f"{kind}.js"].replace('"use strict";', f'"use strict"; globalThis.run = () => {code};', 1)
    tab = browser.new_page()
    tab.set_content(f"<script>{script}</script>")
    result = tab.evaluate("run()")
    tab.close()
    return result


NUMBERS = {
    "1": "1.0000",
    "0": "0.0000",
    "-2.5": "−2.5000",
    "0.5086": "0.5086",
    "0.99995": "0.99995",
    "0.99999999": "0.99999999",
    "1.00001": "1.00001",
    "-0.999999": "−0.999999",
    "99.999": "99.999",
    "1 - 2 ** -53": "1.0000",
    "0.00004": "4.000e−5",
    "1e-300": "1.000e−300",
    "12345.6": "1.235e+4",
    "Infinity": "∞",
}


def test_no_number_passes_for_a_whole_one_by_rounding(browser):
    shown = calls(browser, "layer", f"[{', '.join(NUMBERS)}].map(show)")
    assert dict(zip(NUMBERS, shown, strict=True)) == NUMBERS


def test_marks_that_would_hide_each_other_roll_up(browser):
    places = calls(browser, "beyond", "separate([[50, 90], [50, 90], [59, 90], [120, 90], [50, 90]])")
    assert places[0] == [50, 90] and places[3] == [120, 90]
    assert all(now[0] == before for now, before in zip(places, [50, 50, 59, 120, 50], strict=True)), json.dumps(places)
    for index, (x, y) in enumerate(places):
        for left, top in places[:index]:
            assert (x - left) ** 2 + (y - top) ** 2 >= 17.9**2


def test_the_area_of_a_halo_goes_with_the_weight(browser):
    radii = calls(browser, "layer", "[0, 0.25, 0.5, 1].map(share => halo(share))")
    ring = [radius**2 - radii[0] ** 2 for radius in radii]
    assert ring[1:] == pytest.approx([ring[3] * share for share in (0.25, 0.5, 1)])
