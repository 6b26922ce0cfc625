"""Paper: a page as Chromium prints it, and the whole book as one file."""

import io
import re

import pypdf
import pytest
import zxingcpp
from matplotlib.image import imread

from sphinx_extensions import pages as frame
from sphinx_extensions.paper import PAPER, book

CHAPTER = "chapters/05-evidence.html"
CHAPTERS = r"chapters/\d\d-"
WIDTHS = [(210 - 2 * 22) / 25.4 * 96, (215.9 - 2 * 22) / 25.4 * 96]  # of the text on A4 and on Letter
POINTS = 72 / 25.4  # a millimetre
# What is pressed, and what is said to who might; in chapters no sentence says so.
INTERFACE = re.compile(
    r"Link to this state|Guess first|then press a preset|Hide the code|Start again|Show the step|may be typed|"
    r"The prover is|This copy of the site|A browser runs the prover|Press a token|Show the law"
)


@pytest.fixture
def paper(browser, server):
    """Return a function that opens a page as it is printed."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")

    def open_page(page):
        tab = context.new_page()
        tab.goto(server + page, wait_until="load")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        tab.emulate_media(media="print")
        return tab

    yield open_page
    context.close()


@pytest.fixture(scope="module")
def whole(browser, site):
    """The whole book, as `make pdf` prints it: the file, and what reads it."""
    path = book(browser, site)
    return path, pypdf.PdfReader(path)


def headings(outline, level=1):
    """Every bookmark, with its level."""
    for entry in outline:
        if isinstance(entry, list):
            yield from headings(entry, level + 1)
        else:
            yield level, entry


def structure(reader) -> list[dict]:
    """Every element of a file's structure."""
    elements, left = [], [reader.root_object["/StructTreeRoot"]["/K"]]
    while left:
        part = left.pop().get_object()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict) and "/S" in part:
            elements.append(part)
            left.append(part.raw_get("/K") if "/K" in part else [])
    return elements


# ---- a page ----


def test_a_page_is_white_fits_and_offers_nothing_to_press(paper, page):
    """But for tokens, which are the words of a sentence and are read on paper too.

    If one thing were wider than the paper, Chromium would make all letters of all pages smaller.
    """
    tab = paper(page)
    found = tab.evaluate(
        """() => {
            const shown = (selector) => [...document.querySelectorAll(selector)]
                .filter((element) => element.checkVisibility()).map((element) => element.outerHTML.slice(0, 90));
            const pressed = "article :is(button:not(.tokens button), input, select), .tag_hide-input summary";
            return [getComputedStyle(document.body).backgroundColor, shown(`${pressed}, .menu, [popover]`)];
        }"""
    )
    assert found == ["rgb(255, 255, 255)", []]

    assert not re.match(CHAPTERS, page) or not INTERFACE.search(tab.inner_text("article"))
    for width in WIDTHS:
        tab.set_viewport_size({"width": int(width), "height": 1000})
        wide = tab.evaluate(
            """() => {
                const { clientWidth } = document.documentElement;
                const out = [...document.querySelectorAll("article *:not(svg *)")].filter((element) => {
                    const { left, width, right } = element.getBoundingClientRect();
                    return width && Math.max(right, left + element.scrollWidth) > clientWidth + 1;
                });
                const more = document.documentElement.scrollWidth - clientWidth;
                return [more, out.map((part) => part.outerHTML.slice(0, 200))];
            }"""
        )
        assert wide == [0, []], width
    sizes = tab.evaluate(
        """() => [...document.querySelectorAll("math")].filter((formula) => formula.checkVisibility())
            .map((formula) => parseFloat(getComputedStyle(formula).fontSize))"""
    )
    assert min(sizes, default=9) >= 7, "no formula had to become too small to read"


def test_solutions_stand_at_the_end_and_all_is_put_back(browser, server, page):
    def written():
        text = tab.evaluate("document.querySelector('article, main').innerHTML")
        return re.sub(r' tabindex="0"| wide-formula', "", text)  # what scrolls is found in slices

    tab = browser.new_page()
    tab.goto(server + page, wait_until="load")
    before = written()
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    lost = tab.evaluate(
        """() => {
            const exercises = [...document.querySelectorAll(".exercise")];
            return exercises.filter((exercise) => {
                const solution = document.getElementById(exercise.querySelector(".solved a")?.hash.slice(1));
                return !solution?.closest(".solutions") || !solution.querySelector("p + *") ||
                    solution.querySelector("a").hash !== `#${exercise.id}`;
            }).map((exercise) => exercise.id);
        }"""
    )
    last = tab.evaluate("document.querySelector('article > section')?.lastElementChild.className")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    after = written()
    tab.close()
    assert lost == []
    assert (last == "solutions") == (re.match(CHAPTERS, page) is not None)
    assert after == before


def test_a_proof_to_write_has_lines_to_write_on(paper):
    tab = paper(CHAPTER)
    for box in tab.locator(".exercise [data-widget=proof]").all():
        table = box.locator("table.derivation")
        assert table.count() == 1 and table.locator("tr.blank").count() >= 1
        assert table.locator("tr").last.locator(".reason").inner_text() in ("goal", "as the task says")
    assert tab.locator(".solutions table.derivation").count() >= 3


def test_pages_break_between_lines_and_rows_not_within_widgets(paper):
    tab = paper("chapters/09-length.html")
    whole = tab.evaluate(
        """() => {
            const breaks = (selector) => {
                const kinds = [...document.querySelectorAll(selector)].map((element) => {
                    const { breakInside, overflowX, display } = getComputedStyle(element);
                    return `${breakInside} ${overflowX} ${display}`;
                });
                return [...new Set(kinds)];
            };
            return { widget: breaks(".attention-widget:not(.turn)"), row: breaks(".derivation tr"),
                table: breaks(".derivation"), code: breaks("article .cell_input :is(pre, div)") };
        }"""
    )
    assert whole == {
        "widget": ["avoid visible block"],
        "row": ["avoid visible table-row"],
        "table": ["auto visible table"],
        "code": ["auto visible block"],
    }


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_a_printed_page_has_its_number_and_title(browser, server, size):
    tab = browser.new_page(color_scheme="dark")
    tab.goto(server + CHAPTER, wait_until="load")
    reader = pypdf.PdfReader(io.BytesIO(tab.pdf(**PAPER | {"format": size})))
    title = tab.title().partition(" · ")[0]
    tab.close()
    for number, sheet in enumerate(reader.pages, 1):
        head, *lines = sheet.extract_text().splitlines()
        assert str(number) in lines and head == f"Attention, Derived {title}"


def test_a_widget_on_paper_says_where_it_moves(paper, server):
    page = "chapters/09-length.html"
    tab = paper(page)
    for widget in tab.locator(".attention-widget-host[data-name]:not([data-widget=proof])").all():
        link = widget.locator(".address a")
        assert link.is_visible()
        assert link.inner_text() == link.get_attribute("href")
        assert link.inner_text() == server + page + widget.locator(".state-link").get_attribute("href")


def test_a_still_widget_says_where_it_moves(site, browser, server):
    """Its address opens the state that it shows."""
    page = "chapters/09-length.html"
    for link, name in re.findall(
        r'class="address" data-address="[^"]*(#([\w-]+)\?[^"]*)"', (site / page).read_text("utf-8")
    ):
        tab = browser.new_page()
        tab.goto(server + page + link.replace("&amp;", "&"))
        tab.wait_for_selector(f"#{name} .attention-widget.live")
        assert tab.evaluate(
            """name => {
                const { model } = document.getElementById(name);
                return Object.entries(model.get("_initial")).every(([key, value]) =>
                    JSON.stringify(value) === JSON.stringify(model.get(key)));
            }""",
            name,
        )
        tab.close()


def test_where_the_site_is_known_a_code_opens_the_state_that_is_printed(site, browser, server, pages):
    """And once the reader has moved the widget, there is none, for it would open another."""
    context = browser.new_context(device_scale_factor=5)
    address = "https://book.example/"

    def published(route):
        """Give a page as it is built where the site is known."""
        page = route.request.url.removeprefix(server)
        text = frame.ADDRESS.sub(lambda place: frame.with_code(place, address + page), (site / page).read_text("utf-8"))
        route.fulfill(body=text.replace("<head>", f'<head><link rel="canonical" href="{address}{page}">', 1))

    context.route(re.compile(r".*/chapters/[^/]*\.html"), published)
    for page in pages:
        if "data-address=" not in (site / page).read_text("utf-8"):
            continue
        tab = context.new_page()
        tab.goto(server + page, wait_until="load")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        tab.emulate_media(media="print")
        widgets = tab.locator(".attention-widget-host[data-name]:not([data-widget=proof])").all()
        for widget in widgets:
            said = address + page + widget.locator(".state-link").get_attribute("href")
            assert widget.locator(".address a").inner_text() == said
            picture = imread(io.BytesIO(widget.locator(".address svg").screenshot()))
            (code,) = zxingcpp.read_barcodes((255 * picture[..., 0]).astype("uint8"))
            assert code.text == said
            widget.evaluate(
                """(host) => {
                    const slider = host.querySelector(".controls input[type=range]");
                    slider.value = slider.value === slider.max ? slider.min : slider.max;
                    slider.dispatchEvent(new Event("input"));
                }"""
            )
        tab.evaluate("for (const kind of ['afterprint', 'beforeprint']) dispatchEvent(new Event(kind))")
        for widget in widgets:
            assert widget.locator(".address svg").is_hidden()
            state = widget.locator(".state-link").get_attribute("href")
            assert widget.locator(".address a").inner_text() == address + page + state
        tab.close()
    context.close()


# ---- the book ----


def test_the_book_is_tagged_named_and_light(whole):
    path, reader = whole
    root = reader.root_object
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "en" and root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata["/Title"] == reader.xmp_metadata.dc_title["x-default"] == "Attention, Derived"
    assert path.stat().st_size <= 20e6


def test_bookmarks_and_contents_lead_to_the_pages_that_they_say(whole, site, pages):
    _, reader = whole
    bookmarks = list(headings(reader.outline))
    titles = [
        re.sub(r"<.*?>|#", "", (site / page).read_text("utf-8").split("<h1>")[1].split("<a")[0]) for page in pages[:-1]
    ]
    assert [entry.title for level, entry in bookmarks if level == 1] == ["Contents", *titles]
    number = {entry.title: reader.get_destination_page_number(entry) + 1 for level, entry in bookmarks if level == 1}
    listed = "\n".join(page.extract_text() for page in reader.pages[1 : number[titles[0]] - 1])
    # Of every heading: Chromium's bookmarks know its page, the contents the one that its link leads to.
    pages_of = [reader.get_destination_page_number(entry) + 1 for level, entry in bookmarks if level <= 2]
    assert list(map(int, re.findall(r"\S (\d+)$", listed, re.MULTILINE))) == pages_of[1:]  # without the contents' own
    for title in titles:
        assert title in reader.pages[number[title] - 1].extract_text()


def test_no_heading_is_alone_at_the_foot_of_a_page(whole):
    _, reader = whole
    low = [entry.title for _, entry in headings(reader.outline) if entry.top < (20 + 14) * POINTS]
    assert low == []


def test_pages_of_the_book_have_their_numbers(whole):
    _, reader = whole
    for number in range(2, len(reader.pages), 20):
        assert str(number) in reader.pages[number - 1].extract_text().splitlines()


def test_links_inside_the_book_find_their_place_and_say_it(whole):
    _, reader = whole
    places = reader.named_destinations
    links = [link.get_object() for page in reader.pages for link in page.get("/Annots", ())]
    inside = [link for link in links if "/Dest" in link]
    assert len(inside) > 1000
    assert not [link["/Dest"] for link in inside if link["/Dest"] not in places]
    for link in inside:
        assert link["/Contents"] == f"Page {reader.get_destination_page_number(places[link['/Dest']]) + 1}"
    assert not [link for link in links if "/A" in link and not link["/A"]["/URI"].startswith("https://")]


def test_pictures_and_formulas_are_spoken(whole):
    _, reader = whole
    elements = structure(reader)
    pictures = [element for element in elements if element["/S"] == "/Figure"]
    formulas = [element for element in elements if element["/S"] == "/Formula"]
    assert len(pictures) > 25 and len(formulas) > 3000
    assert all(element["/Alt"].strip() for element in [*pictures, *formulas])
    assert not [element["/Alt"] for element in formulas if re.search(r"\\|[{}_^$]", element["/Alt"])]
    assert "the square root of d" in {element["/Alt"] for element in formulas}
