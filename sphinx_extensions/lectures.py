"""Lectures: decks for reveal.js, and a handout for each, made of what the chapters' pages hold.

A deck is a file of `lectures/`: a slide is a heading of the second level, with

    :::{show} 02-likelihood#variance-against-score?kappa=10
    what stands at this place of the book; a widget in the state that its link names

    :::{then} ?kappa=1
    what the slide says one step later, and the state that its widget then has

    :::{notes} 3
    what the lecturer says and asks, and in how many minutes

each closed by `:::`.  After the place may stand which one of a section is meant and which of its rows are,
`02-likelihood#how-far-off-is-the-estimate derivation 2 rows 1-3`, or which panels of a widget and which of its inputs,
`06-backward#key-advantage panels 2-2 moves tau`.  A derivation's rows come one by one, and their reasons go to the
notes.  The site's pages are read when they are written, so nothing of them is written twice.
"""

import functools
import html
import json
import re
import shutil
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote

import yaml
from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from traitlets import TraitError

from attnlib.widgets import widget_classes
from attnlib.widgets.base import Widget
from sphinx_extensions import mathematics

REVEAL = Path(distribution("sphinx-revealjs").locate_file("sphinx_revealjs/_static/revealjs"))
PARTS = ("LICENSE", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
BLOCK = re.compile(r"^:::\{(\w+)\} *(.*)\n((?:.*\n)*?)::: *$", re.MULTILINE)
PLACE = re.compile(
    r"(?:\S*/)?(?P<page>[\w-]+)(?:\.html)?#(?P<id>[\w-]+)(?:\?(?P<state>\S*))?"
    r"(?: (?P<kind>derivation|table) (?P<number>[1-9]))?(?: rows (?P<first>\d+)-(?P<last>\d+))?"
    r"(?: panels (?P<panels>[1-9]-[1-9]))?(?: moves (?P<moves>[\w,]+))?"
)
HOST = '<div class="attention-widget-host"'
KINDS = {"derivation": '<table class="derivation"', "table": '<table class="table"'}
STATE = re.compile(r'(?<=<script type="application/json">).*?(?=</script>)', re.DOTALL)
ROW = re.compile(
    r'<tr[^>]*><td class="left"[^>]*>(.*?)</td><td class="formula"[^>]*>(.*?)</td><td class="reason"[^>]*>(.*?)</td>',
    re.DOTALL,
)


class LectureError(ExtensionError):
    """A deck's file says what cannot be made a slide."""


@dataclass
class Slide:
    """One slide: its parts in reading order, each a kind with its argument and its text."""

    title: str
    parts: list[tuple[str, str, str]]
    notes: str
    minutes: int

    @property
    def heading(self) -> str:
        """Its title as HTML."""
        return reader().renderInline(self.title)


@dataclass
class Deck:
    """A lecture: what its file says."""

    name: str
    title: str
    question: str
    slides: list[Slide] = field(default_factory=list)

    @property
    def minutes(self) -> int:
        """How long it takes."""
        return sum(slide.minutes for slide in self.slides)

    @property
    def starts(self) -> list[int]:
        """The minute at which each slide begins."""
        return [sum(slide.minutes for slide in self.slides[:number]) for number in range(len(self.slides))]

    @property
    def chapters(self) -> list[str]:
        """The chapters of which it shows something, in the book's order."""
        places = (place for slide in self.slides for kind, place, _ in slide.parts if kind == "show")
        return sorted({located(place)["page"] for place in places})


def located(argument: str) -> re.Match:
    """Return a place of the book in its parts; raise `LectureError` where it is written as none.

    >>> located("https://book.example/chapters/02-likelihood.html#ma-9 rows 2-3").group("page", "id", "first")
    ('02-likelihood', 'ma-9', '2')
    """
    place = PLACE.fullmatch(argument)
    if not place:
        raise LectureError(f"{argument!r} is no place of a chapter, such as 02-likelihood#ma-9")
    return place


def read(path: Path) -> Deck:
    """Read a deck's file; raise `LectureError` that names the file and the slide."""
    try:
        head, _, body = path.read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
        named = yaml.safe_load(head)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise LectureError(f"{path.name}: its first lines are no YAML in UTF-8: {error}") from None
    texts = named.values() if isinstance(named, dict) and named.keys() == {"title", "question"} else [None]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise LectureError(f"{path.name}: between two lines of --- it must give title and question; got {head[:80]!r}")
    deck = Deck(path.stem, **named)
    for text in re.split(r"^## ", body, flags=re.MULTILINE)[1:]:
        title, _, text = text.partition("\n")
        parts, notes, at = [], [], 0
        for block in BLOCK.finditer(text):
            kind, argument, inside = block[1], block[2].strip(), block[3]
            parts.append(("text", "", text[at : block.start()]))
            at = block.end()
            if kind == "notes" and re.fullmatch("[1-9][0-9]?", argument):
                notes.append((inside, int(argument)))
            elif kind == "then" or (kind == "show" and PLACE.fullmatch(argument) and not inside.strip()):
                parts.append((kind, argument, inside))
            else:
                raise LectureError(
                    f"{path.name}, {title!r}: {block[0].splitlines()[0]!r} is no part of a slide, or names no place "
                    "such as 02-likelihood#ma-9, or holds words that nothing shows, or no ::: closes it"
                )
        parts.append(("text", "", text[at:]))
        if len(notes) != 1 or ":::" in "".join(text for _, _, text in parts):
            raise LectureError(f"{path.name}, {title!r}: a slide has one :::{{notes}} MINUTES, and closes its parts")
        parts = [(kind, argument, inside) for kind, argument, inside in parts if kind != "text" or inside.strip()]
        deck.slides.append(Slide(title.strip(), parts, *notes[0]))
    if not deck.slides or not any(kind == "text" for kind, _, _ in deck.slides[-1].parts):
        raise LectureError(
            f"{path.name}: a lecture has slides, headings of the second level, and words on its last one"
        )
    return deck


def decks(app) -> list[Deck]:
    """Return the lectures of the book, in the order of their first chapters."""
    found = [read(path) for path in Path(app.srcdir, "lectures").glob("*.md")]
    return sorted(found, key=lambda deck: deck.chapters)


@functools.cache
def reader() -> MarkdownIt:
    """Return what reads the Markdown of slides and notes, and typesets its formulas.

    >>> reader().render("A *mean* <b>")
    '<p>A <em>mean</em> &lt;b&gt;</p>\\n'
    """
    typeset = {"renderer": lambda tex, options: mathematics.convert(tex, options["display_mode"])}
    return MarkdownIt("commonmark", {"html": False}).enable("table").use(dollarmath_plugin, **typeset)


def element(page: str, start: int) -> str:
    """Return the element of an HTML page that begins at a place.

    >>> element("<p><b>a</b><b>c</b></p>", 3)
    '<b>a</b>'
    """
    name, depth = re.match(r"<(\w+)", page[start:])[1], 0
    for tag in re.compile(rf"<(/?){name}\b").finditer(page, start):
        depth += -1 if tag[1] else 1
        if not depth:
            return page[start : page.index(">", tag.end()) + 1]
    raise LectureError(f"<{name}> is not closed")


def found(page: str, place: re.Match) -> str:
    """Return the element that a place names: a derivation by a row of it, a section's table by its number."""
    at = re.search(rf'<\w+[^>]* id="{place["id"]}"', page)
    if not at:
        raise LectureError(f"{place['page']} has no {place['id']!r}")
    if place["kind"]:
        section = element(page, at.start())
        starts = [match.start() for match in re.finditer(KINDS[place["kind"]], section)]
        if int(place["number"]) > len(starts):
            raise LectureError(f"{place[0]!r}: there are {len(starts)}")
        return element(section, starts[int(place["number"]) - 1])
    table = page.rfind(KINDS["derivation"], 0, at.start())
    if table >= 0 and at.start() < table + len(whole := element(page, table)):
        return whole
    return element(page, at.start())


def moved(fragment: str, page: str) -> str:
    """Return a piece of a page for a slide: links lead where they led; no ids, and no `<section>`, which is a slide.

    >>> moved('<section id="a"><a href="#b">c</a></section>', "01-layer")
    '<div><a href="../chapters/01-layer.html#b">c</a></div>'
    """
    fragment = re.sub(r'<a class="headerlink".*?</a>', "", fragment)
    fragment = re.sub(r'(<(?:div|section|span|figure|table|tr|p|a)\b[^>]*?) id="[^"]*"', r"\1", fragment)
    fragment = re.sub(r"(</?)section\b", r"\1div", fragment)
    return re.sub(
        r'(<a\b[^>]*? href=")(?!https?:)([^"#]*)', lambda a: f"{a[1]}../chapters/{a[2] or page + '.html'}", fragment
    )


def address(page: str) -> str:
    """Return where a chapter is for a page of the lectures."""
    return f"../chapters/{page}.html"


def values(quantities: dict, query: str) -> dict:
    """Return the inputs that a widget's link names; raise `LectureError` where it has no such one.

    >>> values({"alpha": {"dimensions": 0}, "query": {"dimensions": 1}}, "alpha=2&query=1,0.5")
    {'alpha': 2.0, 'query': [1.0, 0.5]}
    """
    changes = {}
    for name, _, text in (pair.partition("=") for pair in filter(None, query.split("&"))):
        if name not in quantities:
            raise LectureError(f"{name!r} is none of {', '.join(quantities)}")
        try:
            rows = [[float(number) for number in row.split(",")] for row in text.split(";")]
        except ValueError:
            raise LectureError(f"{name}={text}: {text!r} is no number and no list of numbers") from None
        dimensions = quantities[name]["dimensions"]
        if (len(rows) > 1 and dimensions < 2) or (len(rows[0]) > 1 and not dimensions):
            raise LectureError(f"{name}={text}: more numbers than {name} has")
        changes[name] = rows if dimensions == 2 else rows[0] if dimensions else rows[0][0]
    return changes


@dataclass
class Part:
    """What a slide shows of a chapter: HTML, what it adds to the notes, a link to it, and the widget if it is one."""

    html: str
    kind: str
    link: str
    notes: str = ""
    widget: Widget | None = None
    limits: dict[str, str] = field(default_factory=dict)  # which panels of a widget are seen, and what moves


class Book:
    """The chapters' pages, from which the slides are cut."""

    def __init__(self, app):
        self.folder = Path(app.outdir, "chapters")
        self.titles = {name.removeprefix("chapters/"): title.astext() for name, title in app.env.titles.items()}
        self.page = functools.cache(lambda name: (self.folder / f"{name}.html").read_text(encoding="utf-8"))

    def part(self, argument: str) -> Part:
        """Return what stands at a place of the book."""
        place = located(argument)
        if place["page"] not in self.titles:
            raise LectureError(f"{argument!r} is in no chapter of the book")
        fragment = found(self.page(place["page"]), place)
        state = unquote(place["state"] or "").replace("&amp;", "&")
        where = html.escape(address(place["page"]) + f"#{place['id']}" + (f"?{state}" if state else ""))
        part = Part(fragment, "part", f'<a href="{where}">{self.titles[place["page"]]}</a>')
        if fragment.startswith(KINDS["derivation"]):
            rows = ROW.findall(fragment)[int(place["first"] or 1) - 1 : int(place["last"] or 99)]
            if not rows:
                raise LectureError(f"{argument!r}: no row is left of {len(ROW.findall(fragment))}")
            cells = [f'<td class="left">{left}</td><td class="formula">{right}</td>' for left, right, _ in rows]
            lines = f"<tr>{'</tr><tr class=fragment>'.join(cells)}</tr>"
            reasons = "".join(f"<li>{reason}</li>" for _, _, reason in rows)
            part.html, part.kind = f'<table class="derivation" role="presentation">{lines}</table>', "derivation"
            part.notes = f"<p>The rows, one by one:</p><ol>{moved(reasons, place['page'])}</ol>"
        elif fragment.startswith('<div class="exercise'):
            part.html, part.kind = exercise(fragment), "exercise"
        elif fragment.startswith("<section") or HOST in fragment[1:] or 'data-widget="proof"' in fragment:
            raise LectureError(f"{argument!r} holds more than a slide shows: name a part of it, or its exercise")
        elif fragment.startswith(HOST):
            part.widget = awake(fragment, state)
            if state:  # its still picture, too
                part.html = part.widget._repr_mimebundle_()[0]["text/html"]
            part.html = re.sub(r' data-name="[^"]*"', "", part.html, count=1)  # no part of the page's address
            part.kind = f"widget {part.widget.kind}"
            if unknown := set((place["moves"] or "none").split(",")) - {"none", *part.widget._quantities}:
                raise LectureError(f"{min(unknown)!r} is none of {', '.join(part.widget._quantities)}")
            part.limits = {name: place[name] for name in ("panels", "moves") if place[name]}
        part.html = moved(part.html, place["page"])
        return part


def awake(host: str, query: str) -> Widget:
    """Return a page's widget in the state that a link names."""
    state = json.loads(STATE.search(host)[0])
    cls = widget_classes()[re.search(r'data-widget="([\w-]+)"', host)[1]]
    given = {name: state[name] for name in (*state["_quantities"], *cls.page_data) if not name.startswith("_")}
    return cls(**given | values(state["_quantities"], query))


def exercise(box: str) -> str:
    """Return an exercise with its box, without the cell that made it; no picture on the slide shows its numbers."""
    while (at := box.find(f'{HOST} data-widget="answer"')) >= 0:
        box = box.replace(element(box, at), "")
    if HOST not in box:
        return box
    text = re.match(r".*?<section[^>]*>.*?</p>(?=\s*<div)", box, re.DOTALL)[0]
    host = element(box, box.index(HOST))
    alone = json.loads(STATE.search(host)[0]) | {"_picture": []}
    return f"{text}</section>{STATE.sub(lambda _: json.dumps(alone).replace('<', chr(92) + 'u003c'), host)}</div>"


def section(slide: Slide, start: int, book: Book) -> tuple[str, list[Part]]:
    """Return one slide as HTML, and what it shows."""
    body, notes, parts = [], reader().render(slide.notes), []
    for kind, argument, text in slide.parts:
        if kind == "show":
            part = book.part(argument)
            if part.widget and any(other.widget for other in parts):
                raise LectureError(f"{argument!r} is a second widget on one slide")
            parts.append(part)
            notes += part.notes
            limits = "".join(f' data-{name}="{value}"' for name, value in part.limits.items())
            body.append(f'<div class="shown {part.kind}"{limits} data-prevent-swipe>{part.html}</div>')
        elif kind == "then":
            widget = next((part.widget for part in parts if part.widget), None)
            changes = values(widget._quantities, argument.removeprefix("?")) if widget else {}
            if not changes:
                raise LectureError(f"{argument!r} names no state of a widget before it")
            for name, value in changes.items():
                setattr(widget, name, value)  # refuses what is out of range
            body.append(
                f"<div class=\"text fragment\" data-state='{json.dumps(changes)}'>{reader().render(text)}</div>"
            )
        else:
            body.append(f'<div class="text">{reader().render(text)}</div>')
    links = ", ".join(dict.fromkeys(part.link for part in parts))
    source = f'<p class="source">{links}</p>' if parts else ""
    minutes = f"<p><b>Minute {start} to {start + slide.minutes}.</b></p>"
    made = (
        f'<section data-timing="{60 * slide.minutes}"><h2>{slide.heading}</h2>{"".join(body)}{source}'
        f'<aside class="notes">{minutes}{notes}</aside></section>'
    )
    return made, parts


def write(app, exception):
    """Write the decks and their handouts, once the chapters' pages are there."""
    site = Path(app.outdir)
    if exception or app.builder.format != "html" or not (site / "_static/styles/pydata-sphinx-theme.css").exists():
        return  # no site, or one in which nothing has changed
    folder, book = site / "lectures", Book(app)
    template = app.builder.templates.environment.get_template
    for old in folder.glob("*.html"):
        old.unlink()
    for name in PARTS:
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REVEAL / name, folder / "reveal" / name)
    # reveal.js calls its arrows as widgets call their sliders; its own are an <aside>.
    style = folder / "reveal/dist/reveal.css"
    style.write_text(re.sub(r"\.controls(?![\w-])", "aside.controls", style.read_text("utf-8")), encoding="utf-8")
    for name in ("lectures.css", "lectures.js"):
        shutil.copy(Path(__file__).with_name(name), folder / name)
    for deck in decks(app):
        made = []
        for slide, start in zip(deck.slides, deck.starts, strict=True):
            try:
                made.append(section(slide, start, book))
            except (LectureError, TraitError, ValueError) as error:  # the last for formulas, too
                raise LectureError(f"lectures/{deck.name}.md, {slide.title!r}: {error}") from None
        parts = [part for _, shown in made for part in shown]
        context = {
            "deck": deck,
            "slides": [slide for slide, _ in made],
            "made_of": ", ".join(f'<a href="{address(name)}">{book.titles[name]}</a>' for name in deck.chapters),
            "scripts": sorted(set(re.findall(r'data-widget="([\w-]+)"', "".join(part.html for part in parts)))),
            "exercises": [part.html for part in parts if part.kind == "exercise"],
            "takeaways": reader().render(next(text for kind, _, text in deck.slides[-1].parts if kind == "text")),
            "frame": app.config.attention_frame,
        }
        for file, page in ((deck.name, "lecture.html"), (f"{deck.name}-handout", "handout.html")):
            (folder / f"{file}.html").write_text(template(page).render(context), encoding="utf-8")


class Lectures(SphinxDirective):
    """The list of lectures: for each its question, its chapters, its plan, and links to it and to its handout."""

    def run(self):
        listed = decks(self.env.app)
        self.env.attention_lectures = self.env.docname, [deck.name for deck in listed]
        for deck in listed:
            self.env.note_dependency(f"lectures/{deck.name}.md")
        template = self.env.app.builder.templates.environment.get_template("lectures.html")
        return [nodes.raw("", template.render(decks=listed), format="html")]


def outdated(app, env, added, changed, removed):
    """Have the list read again where a lecture has come or gone."""
    page, listed = getattr(env, "attention_lectures", (None, None))
    return [page] if page and listed != [deck.name for deck in decks(app)] else []


def add_context(app, pagename, templatename, context, doctree):
    """Give a chapter's page the lectures that are made of it."""
    name = pagename.removeprefix("chapters/")
    context["lectures"] = [
        (f"../lectures/{deck.name}.html", deck.title) for deck in decks(app) if name in deck.chapters
    ]


def setup(app):
    """Register the directive, and the moments when pages are written."""
    app.add_directive("lectures", Lectures)
    app.connect("env-get-outdated", outdated)
    app.connect("html-page-context", add_context)
    app.connect("build-finished", write, priority=800)  # before `pages` looks which styles and characters are used
    return {"parallel_read_safe": True, "parallel_write_safe": True}
