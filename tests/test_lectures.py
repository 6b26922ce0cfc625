"""Lectures: what a deck's file may say, and each deck and handout as a lecturer uses it, from a disk."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

from attnlib.widgets import widget_classes
from sphinx_extensions import lectures

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (ROOT / "lectures").glob("*.md"))
SCREENS = {"16:9": (1280, 720), "4:3": (1024, 768)}
LEAST = 24  # pixels of a letter, at 1280
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What is seen of the present slide and leaves it, or is too small to be read from the back. An exponent may be smaller.
LOOK = """least => {
    const slide = Reveal.getCurrentSlide();
    const scale = Reveal.getScale();
    const edge = slide.getBoundingClientRect();
    const wrong = [];
    if (slide.scrollHeight > slide.clientHeight || slide.scrollWidth > slide.clientWidth) wrong.push("overflows");
    for (const part of slide.querySelectorAll(".exercise"))
        if (part.scrollHeight > part.clientHeight + 1 || part.scrollWidth > part.clientWidth + 1) wrong.push("scrolls");
    for (const part of slide.querySelectorAll(".widget"))
        if (![...part.querySelectorAll("figure")].some((figure) => figure.checkVisibility())) wrong.push("no picture");
    const texts = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        const box = text.parentElement;
        const range = document.createRange();
        range.selectNode(text);
        const place = range.getBoundingClientRect();
        const hidden = box.closest(".notes, script, .status") || !box.checkVisibility({ visibilityProperty: true });
        if (!text.data.trim() || hidden || !place.width) continue;
        const matrix = box.closest("svg") && box.getScreenCTM();
        const size = parseFloat(getComputedStyle(box).fontSize) * (matrix ? Math.hypot(matrix.a, matrix.b) / scale : 1);
        if (size < least - 0.1 && !box.closest("math, tspan")) wrong.push(`${text.data.trim()}: ${size} px`);
        if (place.right > edge.right + 1 || place.bottom > edge.bottom + 1 || place.left < edge.left - 1)
            wrong.push(`${text.data.trim()} is out`);
    }
    return wrong;
}"""
SHOWN = "() => [Reveal.getIndices().h, Reveal.getCurrentSlide().querySelectorAll('.fragment.visible').length]"
STATE = """() => {
    const { model } = Reveal.getCurrentSlide().querySelector(".attention-widget-host");
    return Object.fromEntries(Object.keys(model.get("_quantities")).map((name) => [name, model.get(name)]));
}"""
# What each step says of its widget, and the state that this has.
PRINTED = """() => [...document.querySelectorAll("[data-state]")].map((fragment) => {
    const { model } = fragment.closest("section").querySelector(".attention-widget-host");
    const changes = JSON.parse(fragment.dataset.state);
    return [changes, Object.fromEntries(Object.keys(changes).map((name) => [name, model.get(name)]))];
})"""
HANDLE = "section.present .handle >> visible=true"
CONTROL = "section.present .controls input >> visible=true"


@pytest.fixture(params=NAMES)
def deck(request):
    return lectures.read(ROOT / f"lectures/{request.param}.md")


@pytest.fixture
def opened(site, browser):
    """Open decks from the disk; what they log, and whom they ask, is judged at the end."""
    contexts, wrong = [], []

    def go(deck, screen="16:9", query="", **options):
        width, height = SCREENS[screen]
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
        tab.goto((site / f"lectures/{deck.name}.html").as_uri() + query)
        tab.wait_for_function("window.Reveal?.isReady()")
        tab.evaluate("document.fonts.ready")
        return tab

    yield go
    for context in contexts:
        context.close()
    assert not wrong


def turn(tab, slide):
    """Go to a slide, and show all of it."""
    tab.evaluate("number => Reveal.slide(number, 0, 99)", slide)
    tab.evaluate("() => new Promise(requestAnimationFrame)")


def live(tab):
    """The numbers of the slides with a picture that moves."""
    return tab.evaluate("Reveal.getSlides().flatMap((slide, at) => (slide.querySelector('.widget') ? [at] : []))")


# ---- What a file says --------------------------------------------------------------------------------------------


def words_of(slide):
    return len(re.findall(r"\S*\w\S*", " ".join(text for kind, _, text in slide.parts if kind in ("text", "then"))))


def test_deck_is_a_lecture(deck):
    assert abs(deck.minutes - 45) <= 3
    assert deck.question.endswith("?") and len(deck.slides) >= 14
    assert all(slide.minutes and len(slide.notes.split()) >= 20 for slide in deck.slides)
    assert all(words_of(slide) <= 25 for slide in deck.slides[:-1])  # the last one has words alone
    exercises = [
        place for slide in deck.slides for kind, place, _ in slide.parts if kind == "show" and "#turn-" in place
    ]
    assert len(exercises) == 2
    assert deck.slides[-1].title == "To take home" and deck.slides[-1].parts[0][2].count("\n- ") == 4
    for slide in deck.slides:  # what is revealed was asked
        for (_, _, before), (kind, _, _) in itertools.pairwise([("text", "", ""), *slide.parts]):
            asked = " ".join(text for part, _, text in slide.parts if part == "text")
            assert kind != "then" or "?" in asked, (slide.title, before)


def test_decks_cover_the_chapters():
    taught = {chapter for name in NAMES for chapter in lectures.read(ROOT / f"lectures/{name}.md").chapters}
    assert taught == {path.stem for path in (ROOT / "chapters").glob("[01][0-9]-*.md")}


SLIDE = "---\ntitle: T\nquestion: Q?\n---\n\n## One\n\n{}\n\n:::{{notes}} 2\nsay\n:::\n"


@pytest.mark.parametrize(
    "body, words",
    [
        (":::{shwo} 02-likelihood#ma-9\n:::", "':::{shwo} 02-likelihood#ma-9' is no part of a slide"),
        (":::{show} 02-likelihood#ma-9", "or no ::: closes it"),
        (":::{notes} 3\nagain\n:::", "has one :::{notes} MINUTES"),
        (":::{notes} long\nwhat\n:::", "':::{notes} long' is no part of a slide"),
        (":::{show} ma-9\n:::", "or names no place such as 02-likelihood#ma-9"),
        (":::{notes} ²\nwhat\n:::", "':::{notes} ²' is no part of a slide"),
        (":::{show} 02-likelihood#ma-9\nlost words\n:::", "':::{show} 02-likelihood#ma-9' is no part of a slide"),
    ],
)
def test_bad_file_is_refused_in_words(tmp_path, body, words):
    path = tmp_path / "bad.md"
    path.write_text(SLIDE.format(body), encoding="utf-8")
    with pytest.raises(lectures.LectureError, match=r"bad\.md, 'One': .*") as error:
        lectures.read(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text, words",
    [
        (b"---\ntitle: T\n---\n\n## One\n", "must give title and question; got 'title: T'"),
        (b"---\ntitle: T\nquestion: true\n---\n", "must give title and question"),
        (b"---\ntitle: Softmax: why?\nquestion: Q?\n---\n", "its first lines are no YAML"),
        (b"---\ntitle: \xe9\nquestion: Q?\n---\n", "its first lines are no YAML in UTF-8"),
        (b"## One\n", "must give title and question"),
        (b"---\ntitle: T\nquestion: Q?\n---\n\n# One\n", "a lecture has slides"),
        (b"---\ntitle: T\nquestion: Q?\n---\n\n## One\n\n:::{notes} 2\nsay\n:::\n", "and words on its last one"),
    ],
)
def test_file_that_is_no_lecture_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "bad.md"
    path.write_bytes(text)
    with pytest.raises(lectures.LectureError, match=r"^bad\.md: ") as error:
        lectures.read(path)
    assert words in str(error.value)


PICTURE = ("show", "02-likelihood#variance-against-score", "")


@pytest.mark.parametrize(
    "parts, words",
    [
        ([("then", "?kappa=1", "what")], "'?kappa=1' names no state of a widget before it"),
        ([PICTURE, ("then", "", "what")], "'' names no state of a widget before it"),
        ([PICTURE, ("then", "?kappa=99", "what")], "kappa must be a number within"),
        ([PICTURE, PICTURE], "is a second widget on one slide"),
        ([("text", "", "$\\frac{1}{$")], "Missing"),
    ],
)
def test_bad_slide_is_refused_in_words(book, parts, words):
    with pytest.raises((lectures.LectureError, lectures.TraitError, ValueError)) as error:
        lectures.section(lectures.Slide("One", parts, "notes", 2), 0, book)
    assert words in str(error.value)


def test_what_is_no_tag_of_ours_is_text(book):
    made, _ = lectures.section(lectures.Slide("a < b", [("text", "", "<script>x</script>")], "n", 2), 0, book)
    assert "<h2>a &lt; b</h2>" in made and "&lt;script&gt;" in made and "<script" not in made


@pytest.mark.parametrize("place", ["02-likelihood#ex-two-readings", "01-layer#ex-shift", "05-evidence#turn-worth"])
def test_every_exercise_can_be_shown(book, place):
    part = book.part(place)
    assert part.kind == "exercise" and "admonition-title" in part.html and 'data-widget="answer"' not in part.html


def test_a_copied_link_is_a_place(book):
    link = "https://book.example/chapters/02-likelihood.html#variance-against-score?kappa=2&amp;value=1%2C0%2C-1%2C-2"
    assert book.part(link).widget.state()["value"] == (1, 0, -1, -2)
    assert lectures.Deck("d", "T", "Q?", [lectures.Slide("S", [("show", link, "")], "n", 1)]).chapters == [
        "02-likelihood"
    ]


@pytest.fixture(scope="module")
def book(site):
    titles = {
        f"chapters/{path.stem}": SimpleNamespace(astext=lambda: "T") for path in (site / "chapters").glob("*.html")
    }
    return lectures.Book(SimpleNamespace(outdir=site, env=SimpleNamespace(titles=titles)))


@pytest.mark.parametrize(
    "place, words",
    [
        ("ma-9", "is no place of a chapter"),
        ("99-nothing#ma-9", "is in no chapter of the book"),
        ("../README#x", "is in no chapter of the book"),
        ("02-likelihood#ma-99", "02-likelihood has no 'ma-99'"),
        ("02-likelihood#what-is-assumed derivation 7", "there are 1"),
        ("02-likelihood#ma-9 rows 5-9", "no row is left of 4"),
        ("02-likelihood#variance-against-score?speed=1", "'speed' is none of alpha, kappa, scores, value"),
        ("02-likelihood#variance-against-score?kappa=fast", "'fast' is no number"),
        ("02-likelihood#variance-against-score?kappa=1,2", "more numbers than kappa has"),
        ("01-layer#exercises", "holds more than a slide shows"),
        ("01-layer#hidden-after", "holds more than a slide shows"),
        ("02-likelihood#variance-against-score panels 0-1", "is no place of a chapter"),
        ("02-likelihood#variance-against-score?kappa=99", "kappa must be a number within"),
        ("02-likelihood#variance-against-score moves speed", "'speed' is none of"),
    ],
)
def test_bad_place_is_refused_in_words(book, place, words):
    with pytest.raises(Exception) as error:
        book.part(place)
    assert isinstance(error.value, lectures.LectureError | lectures.TraitError) and words in str(error.value)


def test_widget_of_a_slide_is_the_libraries_in_that_state(book):
    part = book.part("08-temperature#temperature-sharpening?scores=2,2,0&tau=0.5")
    state = json.loads(lectures.STATE.search(part.html)[0])
    made = widget_classes()["temperature"](scores=[2, 2, 0], tau=0.5)
    assert state["_initial"] == json.loads(json.dumps(made.state())) and part.widget.describe() == made.describe()
    assert np.allclose(part.widget.weights, np.exp([4, 4, 0]) / np.exp([4, 4, 0]).sum())


def test_derivation_is_the_chapters_and_its_reasons_are_notes(site, book):
    page = BeautifulSoup((site / "chapters/02-likelihood.html").read_text("utf-8"), "html.parser")
    rows = page.find(id="ma-9").find_parent("table").find_all("tr")
    part = book.part("02-likelihood#ma-9")
    cut = BeautifulSoup(part.html, "html.parser").find_all("tr")
    assert [row.find(class_="formula").text for row in rows] == [row.find(class_="formula").text for row in cut]
    assert [row.get("class") for row in cut] == [None, *[["fragment"]] * (len(rows) - 1)]
    assert [row.find(class_="reason").text for row in rows] == [
        item.text for item in BeautifulSoup(part.notes, "html.parser").find_all("li")
    ]


# ---- On the site -------------------------------------------------------------------------------------------------


def test_decks_and_chapters_link_each_other(site, deck):
    for file in (deck.name, f"{deck.name}-handout"):
        page = BeautifulSoup((site / f"lectures/{file}.html").read_text("utf-8"), "html.parser")
        for link in page.select("a[href]"):
            path, _, place = link["href"].partition("#")
            target = site / "lectures" / path
            assert target.exists(), link
            assert not place or f'id="{place.split("?")[0]}"' in target.read_text("utf-8"), link
    made_of = {link["href"].split("#")[0] for link in page.select(".source a")}
    for chapter in deck.chapters:
        assert f"../chapters/{chapter}.html" in made_of
        assert f'href="../lectures/{deck.name}.html"' in (site / f"chapters/{chapter}.html").read_text("utf-8")
    assert f'href="../lectures/{deck.name}.html"' in (site / "chapters/lectures.html").read_text("utf-8")


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_overflows_and_all_can_be_read(deck, opened, screen):
    tab = opened(deck, screen)
    wrong = {}
    for number in range(len(deck.slides) + 1):
        turn(tab, number)
        wrong[number] = tab.evaluate(LOOK, LEAST)
    assert not {number: found for number, found in wrong.items() if found}


@pytest.mark.parametrize("scheme, rules, every", [("light", TAGS, 1), ("dark", ["color-contrast"], 4)])
def test_slides_are_accessible(deck, opened, scheme, rules, every):
    tab = opened(deck, color_scheme=scheme)
    for number in range(0, len(deck.slides) + 1, every):
        turn(tab, number)
        result = Axe().run(
            tab, context="section.present", options={"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        )
        assert not result.response["violations"], (number, result.generate_report())


def test_a_lecture_given_by_keys(deck, opened):
    tab = opened(deck)
    steps = [tab.evaluate(SHOWN)]
    while not tab.evaluate("Reveal.isLastSlide() && !Reveal.availableFragments().next"):
        tab.keyboard.press("ArrowRight")
        steps.append(tab.evaluate(SHOWN))
    assert steps == sorted(steps) and len({tuple(step) for step in steps}) == len(steps)
    assert {slide for slide, _ in steps} == set(range(len(deck.slides) + 1))
    back = [steps[-1]]
    for _ in steps[1:]:
        tab.keyboard.press("ArrowLeft")
        back.append(tab.evaluate(SHOWN))
    assert back == steps[::-1]


def test_a_step_moves_the_widget_and_back(deck, opened):
    tab = opened(deck)
    for number, slide in enumerate(deck.slides, 1):
        for argument in (argument for kind, argument, _ in slide.parts if kind == "then"):
            tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
            before = tab.evaluate(STATE)
            tab.keyboard.press("ArrowRight")
            after = tab.evaluate(STATE)
            for pair in argument.removeprefix("?").split("&"):
                name, _, value = pair.partition("=")
                assert np.allclose(after[name], [float(part) for part in value.split(",")]), (slide.title, name)
            assert before != after
            tab.keyboard.press("ArrowLeft")
            assert tab.evaluate(STATE) == before
            # Who comes from the next slide finds the answer, and the picture that belongs to it.
            tab.evaluate("number => Reveal.slide(number + 1, 0, -1)", number)
            tab.keyboard.press("PageUp")
            assert tab.evaluate(STATE) == after
            # A button that is pressed keeps no key: the next one turns the slide.
            tab.get_by_role("button", name="Reset").click()
            tab.keyboard.press("ArrowRight")
            assert tab.evaluate("Reveal.getIndices().h") == number + 1


@pytest.mark.parametrize("screen", SCREENS)
def test_every_widget_is_moved_on_its_slide(deck, opened, screen):
    tab = opened(deck, screen)
    for number in live(tab):
        tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
        handles, before = tab.locator(HANDLE), tab.evaluate(STATE)
        mark = handles.last if handles.count() else tab.locator(CONTROL).first  # the last lies on top
        if handles.count():
            x, y = drag(tab, mark, -25 if mark.bounding_box()["x"] > SCREENS[screen][0] / 2 else 25, -20)
            on_map = tab.locator("section.present .heads").count()  # which moves from cell to cell
            assert min(x, y) < 3 or on_map, (number, x, y)  # under reveal's scale too it is where the pointer is
            key = "ArrowLeft"
        else:
            mark.click(position={"x": 0.8 * mark.bounding_box()["width"], "y": 9})
            key = "ArrowLeft" if mark.get_attribute("type") == "range" else "Tab"
        assert tab.evaluate(STATE) != before, number
        # Arrows move the mark and not the slide; a clicker's keys turn the slide; what was done stays.
        tab.keyboard.press(key)
        assert tab.evaluate("Reveal.getIndices().h") == number
        after = tab.evaluate(STATE)
        tab.keyboard.press("PageUp")
        assert tab.evaluate("Reveal.getIndices().h") == number - 1
        tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
        assert tab.evaluate(STATE) == after
        # Escape gives the arrows back to the slides.
        mark.focus()
        tab.keyboard.press("Escape")
        tab.keyboard.press("ArrowLeft")
        assert tab.evaluate("Reveal.getIndices().h") == number - 1


def drag(tab, mark, across, down):
    """Drag a mark by the pointer; return how far it then is from it, across and down."""
    middle = "mark => { const r = mark.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }"
    x, y = mark.evaluate(middle)
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + across, y + down, steps=4)
    there = mark.evaluate(middle)
    tab.mouse.up()
    return abs(there[0] - x - across), abs(there[1] - y - down)


def test_the_address_is_the_slides(deck, opened):
    tab = opened(deck)
    number = live(tab)[0]
    tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
    there = "number => location.hash.startsWith(`#/${number}`)"
    tab.wait_for_function(there, arg=number)  # reveal writes it once a second
    before = tab.evaluate(STATE)
    tab.locator("section.present :is(.handle, .controls input) >> visible=true").last.press("ArrowLeft")
    assert tab.evaluate(STATE) != before
    tab.wait_for_timeout(400)  # a chapter's picture would have written its state by now
    assert tab.evaluate(there, number)
    tab.reload()
    tab.wait_for_function("window.Reveal?.isReady()")
    assert tab.evaluate("Reveal.getIndices().h") == number


def test_a_finger_drags_and_no_slide_turns(deck, opened):
    tab = opened(deck, "4:3", has_touch=True)
    fingers = tab.context.new_cdp_session(tab)
    marked = 0
    for number in live(tab):
        tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
        mark = tab.locator("section.present :is(.handle, .controls input[type=range]) >> visible=true").first
        if not mark.count():
            continue
        marked += 1
        box, before = mark.bounding_box(), tab.evaluate(STATE)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind, way in [("touchStart", 0), ("touchMove", 20), ("touchMove", 60), ("touchEnd", None)]:
            points = [] if way is None else [{"x": x - way, "y": y + way / 4}]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert tab.evaluate(STATE) != before and tab.evaluate(SHOWN) == [number, 0]
    assert marked > 1
    # Beside the pictures a finger turns the slide.
    for kind, x in [("touchStart", 900), ("touchMove", 700), ("touchMove", 500), ("touchEnd", None)]:
        points = [] if x is None else [{"x": x, "y": 40}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert tab.evaluate(SHOWN) != [number, 0]


def test_colours_change_by_a_key_and_follow_the_book(deck, opened):
    tab = opened(deck, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(paper)
    tab.keyboard.press("d")
    light = tab.evaluate(paper)
    assert dark != light and all(int(part) > 240 for part in re.findall(r"\d+", light))


def test_speaker_view_has_the_notes_and_the_clock(deck, opened):
    tab = opened(deck)
    with tab.context.expect_page() as opening:
        tab.keyboard.press("s")
    view = opening.value
    view.wait_for_function("document.querySelector('.speaker-controls-notes .value')?.innerText.includes('45')||true")
    tab.keyboard.press("ArrowRight")
    notes = view.locator(".speaker-controls-notes .value")
    notes.get_by_text(f"Minute 0 to {deck.slides[0].minutes}.").wait_for()
    first = re.sub(r"[*\s]+", " ", deck.slides[0].notes).split(". ")[0].strip()
    assert first in re.sub(r"\s+", " ", notes.inner_text())
    assert view.locator(".clock-value").inner_text() and view.locator(".pacing .minutes-value").is_visible()


def test_deck_prints_one_page_a_slide_and_the_handout_one(deck, opened, site):
    tab = opened(deck, query="?print-pdf")
    tab.wait_for_function("document.querySelectorAll('.pdf-page').length > 0")
    printed = tab.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == len(deck.slides) + 1
    steps = tab.evaluate(PRINTED)
    assert all(state[name] == value for changes, state in steps for name, value in changes.items())
    tab.emulate_media(media="print")
    assert not tab.locator(".controls, .actions, .presets >> visible=true").count()
    tab.goto((site / f"lectures/{deck.name}-handout.html").as_uri())
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf(prefer_css_page_size=True))) == 1
    assert tab.locator(".exercise .admonition-title").count() == 2 and tab.locator("li").count() == 4
