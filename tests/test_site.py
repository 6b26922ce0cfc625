"""Every page of the built site, as a reader's browser meets it: light, quiet, accessible, complete without scripts."""

import re
from collections import Counter
from functools import cache
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

from attnlib.formulas import catalogue
from attnlib.sources import sources
from attnlib.widgets import widget_classes

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LIMIT = 180_000  # bytes that a page may load, compressed
LONGEST = 15_500  # pixels of a chapter on a laptop, its folds closed: 15,000, and something for other fonts
# Without that in which the reader writes, proofs and numbers: who reads on passes them by.
LENGTH = """() => [...document.querySelectorAll(".exercise:has([data-widget=proof]), .attention-answer")].reduce(
    (length, exercise) => length - exercise.offsetHeight, document.documentElement.scrollHeight)"""
RAW_TEX = re.compile(r"\\\(|\\\[|\$\$|\\frac|\\sum|\\begin\{")
# axe looks at every element, and a chapter has ten thousand, most in code and formulas. Before it looks, each kind
# of code token but the first becomes text, and formulas become empty boxes of their width: their colour is that of the
# text around them, and their MathML is what another test looks at.
THIN = """() => {
  const formulas = [...document.querySelectorAll("math")].map(formula => [formula, formula.getBoundingClientRect()]);
  for (const [formula, { width }] of formulas) {
    formula.style.cssText = `display: inline-block; width: ${width}px; height: 1em`;
    formula.replaceChildren();
  }
  const seen = new Set();
  for (const token of document.querySelectorAll(".highlight span")) {
    const kind = token.className + Boolean(token.closest(".cell_output"));
    if (seen.has(kind)) token.replaceWith(...token.childNodes);
    seen.add(kind);
  }
}"""


REACHED = """() => [...document.querySelectorAll("main *")].every((box) =>
    box.tabIndex === 0 || box.scrollWidth <= box.clientWidth || getComputedStyle(box).overflowX !== "auto" ||
    !box.checkVisibility() || box.querySelector("a, button, input, [tabindex='0']"))"""


@pytest.fixture(scope="module")
def visit(browser, server):
    """Return a function that opens a page once, and tells what it asked for and what it said."""

    @cache
    def visit(page: str) -> dict:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        seen = {"foreign": [], "failed": [], "said": [], "bytes": Counter()}

        def refuse(route):
            seen["foreign"].append(route.request.url)
            route.abort()

        context.route(lambda url: not url.startswith((server, "data:", "blob:")), refuse)
        tab = context.new_page()
        finished = []
        tab.on("console", lambda m: seen["said"].append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: seen["said"].append(str(error)))
        tab.on("response", lambda r: seen["failed"].append(f"{r.status} {r.url}") if r.status >= 400 else None)
        tab.on("requestfinished", lambda request: finished.append(request))
        tab.goto(server + page, wait_until="networkidle")
        tab.evaluate("scrollTo(0, document.body.scrollHeight)")
        tab.wait_for_load_state("networkidle")
        seen["length"] = tab.evaluate(LENGTH)
        for request in finished:
            seen["bytes"][request.resource_type] += request.sizes()["responseBodySize"]
        context.close()
        return seen

    return visit


@pytest.fixture(scope="module", params=["light", "dark"])
def tab(request, browser):
    """A browser tab in one of the two colour modes."""
    context = browser.new_context(color_scheme=request.param, reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def read(site):
    """Return a function that parses a page's HTML, once."""
    return cache(lambda page: BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser"))


def test_every_page_is_in_the_table_of_contents(site, pages):
    """And the site's own address leads to the first one."""
    there = {path.relative_to(site).as_posix() for path in site.rglob("*.html") if path.parent.name != "lectures"}
    assert there == {"index.html", *pages}


def test_page_asks_no_other_host(visit, page):
    assert visit(page)["foreign"] == []


def test_page_finds_all_that_it_asks_for(visit, page):
    assert visit(page)["failed"] == []


def test_the_sites_own_address_finds_all_that_it_asks_for(visit, site):
    """It leads to the first page at once; before, browsers ask for its icon."""
    assert visit("index.html")["failed"] == []
    icon = re.search(r'<link rel="icon" href="([^"]*)"', (site / "index.html").read_text("utf-8"))
    assert (site / icon[1]).is_file()


def test_console_is_silent(visit, page):
    assert visit(page)["said"] == []


def test_a_chapter_is_not_too_long(visit, page):
    if re.match(r"chapters/\d\d-", page):
        assert visit(page)["length"] <= LONGEST


def test_weight(visit, page, capsys):
    sizes = visit(page)["bytes"]
    with capsys.disabled():
        kinds = "  ".join(f"{kind} {size / 1000:.1f}" for kind, size in sorted(sizes.items()))
        print(f"\n{page:28} {sizes.total() / 1000:6.1f} kB  {kinds}", end="")
    assert sizes.total() <= LIMIT


def test_accessibility(tab, server, page):
    """No violation of WCAG 2.2 A or AA, on a laptop and on a phone."""
    problems = []
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(server + page)
        tab.wait_for_function(REACHED)
        tab.evaluate(THIN)
        result = Axe().run(tab, options={"runOnly": TAGS, "resultTypes": ["violations"]})
        problems += [
            f"{width}: {violation['id']}: {node['target']} {node['html'][:200]} {node['failureSummary']}"
            for violation in result.response["violations"]
            for node in violation["nodes"]
        ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("width, text", [(360, 16), (320, 16), (640, 32), (1280, 32)], ids=str)
def test_nothing_sticks_out(browser, server, page, width, text):
    """Neither on a phone, nor enlarged fourfold, nor with letters of twice their size."""
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto(server + page)
    left = tab.evaluate(
        """async (text) => {
            document.documentElement.style.fontSize = `${text}px`;
            for (const fold of document.querySelectorAll("article details")) fold.open = true;
            const end = () => document.documentElement.clientWidth + 1;
            const scrolls = (box) => /auto|scroll|hidden/.test(getComputedStyle(box).overflowX);
            const sticksOut = (element) => {
                const { width, right } = element.getBoundingClientRect();
                if (!width || right <= end()) return false;
                for (let box = element.parentElement; box.tagName !== "MAIN"; box = box.parentElement)
                    if (scrolls(box) && box.getBoundingClientRect().right <= end()) return false;
                return true;
            };
            dispatchEvent(new Event("resize")); // what the reader's own setting of the size does
            const out = new Set([...document.querySelectorAll("article *, .prev-next-area *")].filter(sticksOut));
            const left = [];
            for (const element of [...out].filter((part) => !out.has(part.parentElement))) {
                element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
                for (let frame = 0; frame < 30 && sticksOut(element); frame++) // it is looked at when it comes near
                    await new Promise(requestAnimationFrame);
                if (sticksOut(element)) left.push(`${element.tagName} ${element.textContent.slice(0, 60)}`);
            }
            return [...left, ...(document.documentElement.scrollWidth > end() ? ["the page"] : [])];
        }""",
        text,
    )
    tab.close()
    assert left == []


def test_links_to_the_next_page_are_read_whole(browser, server, page):
    """Also with letters of twice their size, and on the narrowest screen."""
    for width, text in ((320, 16), (390, 32), (1280, 32)):
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(server + page)
        cut = tab.evaluate(
            """(text) => {
                document.documentElement.style.fontSize = `${text}px`;
                return [...document.querySelectorAll(".prev-next-area *")].filter((part) => {
                    const { left, right } = part.getBoundingClientRect();
                    const hides = getComputedStyle(part).overflowX !== "visible";
                    const cut = hides && part.scrollWidth > part.clientWidth + 1;
                    return left < 0 || right > document.documentElement.clientWidth || cut;
                }).map((part) => part.outerHTML);
            }""",
            text,
        )
        tab.close()
        assert cut == [], (width, text)


def test_page_reads_without_scripts(browser, server, read, page):
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    tab = context.new_page()
    tab.goto(server + page)
    text = " ".join(tab.inner_text("body").split())
    darkness = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    sentences = [p for p in read(page).select("article p") if not p.find("math") and not p.find_parent("details")]
    missing = [words for p in sentences if (words := " ".join(p.get_text().split()).rstrip("#")) not in text]
    assert not missing
    assert max(map(int, re.findall(r"\d+", darkness)[:3])) < 80, "the reader asked for the dark mode"


def test_formulas_are_typeset(read, page):
    """No TeX is left to see, and every formula is MathML that browsers know."""
    soup = read(page)
    for formula in soup.select(".math"):
        assert formula.find("math"), formula
    unknown = {"maction", "menclose", "mfenced", "mglyph", "mlabeledtr", "semantics"}
    assert not [element for element in soup.select("math *") if element.name in unknown]
    attributes = {name for element in soup.select("math *") for name in element.attrs}
    assert not attributes & {"columnalign", "columnspacing", "rowspacing", "fence", "separator"}
    assert {element.get("mathvariant") for element in soup.select("math *")} <= {None, "normal"}
    text = [s for s in soup.find_all(string=True) if not s.find_parent(["code", "pre", "script", "style"])]
    assert not [s for s in text if RAW_TEX.search(s)]


def test_formulas_are_set_in_the_books_own_font(tab, server, read, page):
    """Also on a machine with no mathematics font; and every character of every formula is in it."""
    if not read(page).find("math"):
        pytest.skip("no formula")
    tab.goto(server + page)
    missing = tab.evaluate(
        """async () => {
            const letters = [...document.querySelectorAll("math :is(mi, mn, mo)")].map(e => e.textContent).join("");
            const faces = await document.fonts.load('16px "STIX Two Math"', letters);
            if (faces.length !== 1 || faces[0].status !== "loaded") return "no font";
            const pen = document.createElement("canvas").getContext("2d");
            const width = (letter, font) => { pen.font = font; return pen.measureText(letter).width; };
            // A letter that is missing is set in the next font: then its width differs between two of them.
            return [...new Set(letters)].filter(letter =>
                width(letter, '99px "STIX Two Math", monospace') !== width(letter, '99px "STIX Two Math", serif'));
        }"""
    )
    assert missing == []


def test_what_needs_the_font_asks_for_it_at_once(read, page):
    """The first screen waits for no style sheet to name it."""
    links = read(page).select("link[rel=preload][as=font]")
    assert len(links) == bool(read(page).select("math, .attention-widget"))


def test_a_formula_is_copied_as_text(tab, server):
    tab.goto(server + "chapters/01-layer.html")
    text = tab.evaluate(
        """() => {
            getSelection().selectAllChildren(document.querySelector("span.math math"));
            return getSelection().toString();
        }"""
    )
    assert text.strip()


@pytest.mark.parametrize("width", [390, 1280])
def test_wide_formulas_scroll_in_a_box_that_the_keyboard_reaches(tab, server, page, width):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(server + page, wait_until="load")
    unreached = tab.evaluate(
        """async () => {
            for (const fold of document.querySelectorAll("details")) fold.open = true;
            await document.fonts.ready;
            const out = [...document.querySelectorAll("main math")].filter(formula => {
                const { right, width } = formula.getBoundingClientRect();
                return width && right > document.documentElement.clientWidth;
            });
            const reached = formula => {
                for (let box = formula.parentElement; box; box = box.parentElement)
                    if (box.tabIndex === 0 && getComputedStyle(box).overflowX === "auto") return true;
                return false;
            };
            const left = [];
            for (const formula of out) { // they are looked at when they come near
                formula.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
                for (let frame = 0; frame < 30 && !reached(formula); frame++)
                    await new Promise(requestAnimationFrame);
                if (!reached(formula)) left.push(formula.textContent);
            }
            return left;
        }"""
    )
    assert unreached == []


def test_document(read, page):
    """A page names its language, itself and its pictures."""
    soup = read(page)
    assert soup.html["lang"] == "en"
    assert soup.title.get_text(strip=True)
    assert soup.find("meta", {"name": "description"})["content"]
    assert len(soup.find_all("h1")) == 1
    assert not [image for image in soup.find_all("img") if not image.get("alt")]


def test_titles_are_unique(read, pages):
    titles = Counter(read(page).title.get_text(strip=True) for page in pages)
    assert max(titles.values()) == 1, titles


def test_links_lead_somewhere(site, read, page):
    """Every link within the site finds its file, and its place in it."""
    broken = []
    for element in read(page).select("[href], [src]"):
        link = element.get("href") or element.get("src")
        if link is None or urlsplit(link).scheme:
            continue
        target = urlsplit(urljoin(f"http://site/{page}", link))
        name = unquote(target.path.removeprefix("/")) or "index.html"
        fragment = unquote(target.fragment).partition("?")[0]  # a widget's link carries its state after its name
        place = (site / name).is_file()
        if place and fragment and name.endswith(".html"):
            place = read(name).find(id=fragment) or read(name).find("a", {"name": fragment})
        if not place:
            broken.append(link)
    assert not broken


def test_the_ledger_has_every_row_with_its_evidence(read):
    """Every claim of the sources has one entry with a link to its evidence; the totals are those of the rows."""
    ledger = read("chapters/ledger.html")
    entries = ledger.select(".ledger-entry")
    assert len(entries) == len(sources())
    for entry, row in zip(entries, sources().values(), strict=True):
        head = entry.find("p").get_text()
        assert head.startswith(f"{row['source']}, {row['label']}: {row['verdict']}")
        page, anchor = entry.find("a")["href"].split("#")
        assert (read(f"chapters/{page}") if page else ledger).find(id=anchor), row
    counts = Counter(row["verdict"] for row in sources().values())
    (total,) = (p for p in read("chapters/ledger.html").select("article p") if p.get_text().startswith("All sources:"))
    printed = dict((verdict, int(number)) for number, verdict in re.findall(r"(\d+) (\w+)[,.]", total.get_text()))
    assert printed == counts and f"{len(sources())} equations and claims" in total.get_text()


def test_the_formulas_have_their_letters_proofs_widgets_and_code(read):
    """Every formula has one entry: its equation, a link to its proof and, where a widget runs it, the code."""
    page = read("chapters/formulas.html")
    assert len(page.select(".ledger-entry")) == len(catalogue())
    run = {formula for cls in widget_classes().values() for law in cls.laws for formula in law.formulas.values()}
    for identifier, formula in catalogue().items():
        entry = page.find(id=identifier)
        assert entry.find("math") and formula.says in entry.get_text()
        links = [link["href"] for link in entry.select("a")]
        assert any(link.endswith(f"#proof-of-{identifier}") for link in links), identifier
        assert bool(entry.select("details pre")) == (formula in run) == (len(links) > 1), identifier
