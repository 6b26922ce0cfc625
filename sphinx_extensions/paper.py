"""Print the whole book as one file: cover, contents, and every page of the built site as a chapter. `make pdf` runs it.

Chromium prints it, by the rules and the script with which it prints a page (`theme/static/site.css`, `paper.js`), so
that nothing is laid out twice. It is printed once to learn on which page each place is, and again with these numbers.
The file is tagged: a picture keeps its alternative text, and a formula is spoken, in words by the speech rules that
come with MathJax.
"""

import html
import json
import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pypdf
import yaml
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from pypdf.xmp import XmpInformation

import attnlib
from sphinx_extensions.browser import launch
from sphinx_extensions.mathematics import MATHJAX

ROOT = Path(__file__).resolve().parent.parent

ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
RUNNING = re.compile(r"<style>@page (\{.*?\} \})</style>")
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]*)"')
DROPPED = re.compile(r'<script\b.*?</script>|<a class="headerlink".*?</a>', re.DOTALL)
HEADING = re.compile(r'<h([12])>(.*?)<a class="headerlink" href="#([^"]*)"', re.DOTALL)
SECTION = re.compile(r'<section id="([^"]*)">\s*((?:<span id="[^"]*"></span>)*)<h([1-3])>')
NAMED = re.compile(r'(?<= )(id|for|aria-labelledby|aria-describedby)="([^"]*)"|url\(#([^)]*)\)')
LINK = re.compile(r' (?:xlink:)?href="([^"]*)"')
# Says each formula as speech rules do, and gives all that was said; a picture of a formula has that as its text.
SPEAK = """async () => {
    const rules = MathJax._.a11y.sre.Sre;
    await rules.setupEngine({ locale: "en", modality: "speech", domain: "clearspeak" });
    const said = new Map();
    for (const formula of document.querySelectorAll("math")) {
        const { outerHTML } = formula;
        if (!said.has(outerHTML)) said.set(outerHTML, rules.toSpeech(outerHTML));
        formula.role = "img";
        formula.ariaLabel = said.get(outerHTML);
    }
    return [...said.values()];
}"""
# What begins to draw, and what ends it.
PAINTS = (b"f", b"f*", b"S", b"s", b"B", b"B*", b"b", b"b*", b"n")
DRAWS = {b"BT": (b"ET",), b"m": PAINTS, b"re": PAINTS}
PAPER = {"format": "A4", "print_background": True, "tagged": True, "outline": True}


def contents() -> list[tuple[str, list[str]]]:
    """Return the book's parts, each with its pages; the first page has no part."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def place(page: str, identifier: str = "") -> str:
    """Return what a place of a page is called in the whole book.

    >>> place("chapters/02-likelihood"), place("chapters/02-likelihood", "exercises")
    ('02-likelihood', '02-likelihood--exercises')
    """
    return "--".join(filter(None, [page.rpartition("/")[2], identifier]))


def chapter(text: str, page: str, pages: list[str], site: str) -> str:
    """Return a page's article with names and links as they are in the whole book.

    A link to a page of the book stays inside; one to a picture in a given state, or to another file of the site, leads
    to the site, and is none where it is not known where that is.
    """

    def named(match: re.Match) -> str:
        attribute, names, drawn = match.groups()
        if drawn:
            return f"url(#{place(page, drawn)})"
        return f'{attribute}="{" ".join(place(page, name) for name in names.split())}"'

    def linked(match: re.Match) -> str:
        address = html.unescape(match[1])
        if urlsplit(address).scheme:
            return match[0]
        path, _, fragment = urljoin(f"{page}.html", address).partition("#")
        identifier, _, state = unquote(fragment).partition("?")
        inside = path.removesuffix(".html")
        if inside in pages and not (state and site):
            return f' href="#{html.escape(place(inside, identifier))}"'
        return f' href="{html.escape(site + path + (f"#{fragment}" if fragment else ""))}"' if site else ""

    # A place is where its heading stands, which may have gone to the next page.
    text = SECTION.sub(r'<section>\n<h\3 id="\1">\2', DROPPED.sub("", text))
    return LINK.sub(linked, NAMED.sub(named, text))


def assemble(folder: Path) -> str:
    """Return the whole book as one page of HTML, which stands beside the folder of its site."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    parts = contents()
    pages = [page for _, chapters in parts for page in chapters]
    texts = {page: (folder / f"{page}.html").read_text("utf-8") for page in pages}
    site = CANONICAL.search(texts[pages[0]])
    site = site[1].removesuffix(f"{pages[0]}.html") if site else ""
    listed, articles, styles = [], [], []
    for part, chapters in parts:
        listed.append(f"<p class='part'>{part}</p>" if part else "")
        for page in chapters:
            (article,) = ARTICLE.findall(texts[page])
            sections = [(level, place(page, name), words) for level, words, name in HEADING.findall(article)]
            if 'class="exercise' in article:
                sections.append(("2", place(page, "solutions"), "Solutions"))
            listed += [
                f'<p class="level-{level}"><a class="paged" href="#{name}">{words}</a></p>'
                for level, name, words in sections
            ]
            name = place(page)
            styles.append(f"@page page-{name} {RUNNING.search(texts[page])[1]} [id='{name}'] {{ page: page-{name} }}")
            articles.append(f'<article class="bd-article" id="{name}">{chapter(article, page, pages, site)}</article>')
    address = f'<p><a href="{site}">{site}</a></p>' if site else ""
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light">
<meta charset="utf-8">
<title>{config["title"]}</title>
<link rel="stylesheet" href="{folder.name}/_static/styles/book.css">
<link rel="stylesheet" href="{folder.name}/widgets/widget.css">
<style>{(ROOT / "theme/paper.css").read_text("utf-8")}{"".join(styles)}</style>
<script src="{folder.name}/_static/paper.js"></script>
<body>
<header class="cover"><p class="title">{config["title"]}</p><p>{config["author"]}</p>
<p>Version {attnlib.__version__}</p>{address}</header>
<nav class="table-of-contents"><h1>Contents</h1>{"".join(listed)}</nav>
<main class="bd-main"><div class="bd-content"><div class="bd-article-container">{"".join(articles)}</div></div></main>
"""


def speak(tab: Page) -> set[str]:
    """Give every formula what is said for it; return all that is said."""
    maps = {name: json.loads((MATHJAX / f"sre/mathmaps/{name}.json").read_text("utf-8")) for name in ("base", "en")}
    tab.evaluate(
        """(maps) => {
            window.MathJax = { loader: { load: [] }, startup: { typeset: false } };
            window.SREfeature = { custom: async (name) => JSON.stringify(maps[name]) };
        }""",
        maps,
    )
    for name in ("loader.js", "core.js", "a11y/sre.js"):
        tab.add_script_tag(path=MATHJAX / name)
    return set(tab.evaluate(SPEAK))


def numbers(book: pypdf.PdfReader) -> dict[str, int]:
    """Return the page of every place that a link leads to."""
    places = book.named_destinations.items()
    return {name.removeprefix("/"): book.get_destination_page_number(there) + 1 for name, there in places}


def without_furniture(drawing: bytes) -> bytes:
    r"""Return a page's drawing with what is outside of its tags, running titles and rules, marked as such.

    Chromium writes an operator a line.

    >>> print(without_furniture(b"/P <</MCID 0>> BDC\nBT\nET\nEMC\nq\n0 0 9 9 re\nf\nQ").decode())
    /P <</MCID 0>> BDC
    BT
    ET
    EMC
    q
    /Artifact BMC
    0 0 9 9 re
    f
    EMC
    Q
    """
    lines, depth, ends = [], 0, ()
    for line in drawing.split(b"\n"):
        operator = re.split(rb"[ >]", line)[-1]
        depth += (operator in (b"BDC", b"BMC")) - (operator == b"EMC")
        if not (depth or ends) and operator in DRAWS:
            ends = DRAWS[operator]
            lines.append(b"/Artifact BMC")
        lines.append(line)
        if operator in ends:
            ends = ()
            lines.append(b"EMC")
    return b"\n".join(lines)


def finish(path: Path, title: str, said: set[str]) -> None:
    """Complete what Chromium's tags leave open to who listens: formulas are formulas, a link says where it leads."""
    book = pypdf.PdfWriter(clone_from=path)
    root = book.root_object
    root["/StructTreeRoot"][NameObject("/RoleMap")] = DictionaryObject(
        {NameObject(inline): NameObject("/Span") for inline in ("/Strong", "/Em")}
    )
    left = [root["/StructTreeRoot"]["/K"]]
    while left:
        part = left.pop().get_object()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict) and "/K" in part:
            left.append(part.raw_get("/K"))
            if part.get("/S") == "/Figure" and part.get("/Alt") in said:
                part[NameObject("/S")] = NameObject("/Formula")
            elif part.get("/S") == "/Figure" and "/Alt" not in part:
                part[NameObject("/S")] = NameObject(
                    "/Div"
                )  # it holds a picture, which has its own words, and a caption
    pages = numbers(book)
    for page in book.pages:
        for link in page.get("/Annots", ()):
            link = link.get_object()
            words = link["/A"]["/URI"] if "/A" in link else f"Page {pages[link['/Dest'].removeprefix('/')]}"
            link[NameObject("/Contents")] = TextStringObject(words)
        contents = page.get_contents()
        contents.set_data(without_furniture(contents.get_data()))
        page.replace_contents(contents)
        page.compress_content_streams()
    book.metadata = {"/Title": title}  # and no date: the same pages give the same file
    book.xmp_metadata = XmpInformation.create()
    book.xmp_metadata.dc_title = {"x-default": title}
    book.write(path)


def book(browser: Browser, folder: Path) -> Path:
    """Print the book whose site is in a folder; return the file, which lies beside that folder."""
    page, target = folder.with_name("book.html"), folder.with_name("attention-derived.pdf")
    page.write_text(assemble(folder), "utf-8")
    tab = browser.new_page()
    tab.goto(page.as_uri())
    said, title = speak(tab), tab.title()
    tab.pdf(path=target, **PAPER | {"tagged": False, "outline": False})
    found = numbers(pypdf.PdfReader(target)).items()
    tab.add_style_tag(content="".join(f'.paged[href="#{name}"] {{ --page: "{number}" }}' for name, number in found))
    tab.pdf(path=target, **PAPER)
    tab.close()
    page.unlink()
    finish(target, title, said)
    return target


if __name__ == "__main__":
    with sync_playwright() as driver, launch(driver) as browser:
        print(f"The book is in {book(browser, ROOT / '_build/html').relative_to(ROOT)}.")
