"""Make the theme's pages light, and complete for readers without scripts.

What happens to a page, in this order:

1. its folded boxes become HTML's own `<details>` (`FoldBoxes`), so that no script is needed to open one;
2. its frame comes from `theme/templates/layout.html`, given a description, its menus and the scripts that it needs;
3. its HTML is finished (`Templates`): formulas are typeset, icons are hidden from screen readers, widgets get scripts.

And once to the site, when all pages are written (`finish`): the style sheets become one, with the rules that some page
uses; the icon font keeps the glyphs that the style sheet names, the mathematics font those of the formulas; files that
no page uses are deleted.
"""

import html
import json
import logging
import re
import shutil
from pathlib import Path

import segno
import tinycss2
from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.locale import admonitionlabels
from sphinx.transforms.post_transforms import SphinxPostTransform

from attnlib.widgets import fonts, static_files
from attnlib.widgets.base import compact
from sphinx_extensions import mathematics

# In the order in which a page would load them; below `_static`.
STYLES = (
    "basic.css",
    "pygments.css",
    "styles/pydata-sphinx-theme.css",
    "styles/sphinx-book-theme.css",
    "sphinx-design.min.css",
    "mystnb.*.css",
    "copybutton.css",
    "site.css",
)
# What the theme and the extensions bring along and no page uses; below `_static`.
UNUSED = ("**/*.map", "**/*.LICENSE.txt", "**/*.ttf", "*webpack-macros.html", "locales", "scripts")
FONT = "stix-two-math.woff2"  # beside the style sheet
CODE = 'role="img" aria-label="This address as a QR code"'
# How what is downloaded is run.
RUN = {
    "download-notebook-button": "It runs anywhere: its first cell installs what it needs.",
    "download-source-button": "To run it: in a copy of the book, make lab opens every chapter as a notebook.",
}
INDEX = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="_static/favicon.svg">
<meta http-equiv="refresh" content="0; url={0}.html">
<title>{1}</title>
<h1><a href="{0}.html">{1}</a></h1>
</html>
"""
ICON = re.compile(r'<(i|span) (class="[^"]*\bfa-[^"]*")(?![^>]*aria-hidden)')
# What HTML does not allow: sphinx_proof and sphinx_exercise give every box on a page the same ids; docutils gives
# references a role that ARIA has dropped, in a list with other things than its items.
INVALID = re.compile(
    r' id="(?:proof|(?:proof|exercise|solution)-content)"'
    r'| role="doc-biblioentry"| role="list"(?= class="citation-list")'
)
# Two in three tokens of code are names and brackets, in the colour of the text around them.
PLAIN_CODE = re.compile(r'<span class="(?:n|nn|p|w)">([^<]*)</span>|(?<=<pre>)<span></span>')
DARK = re.compile(r"""html\[data-theme=["']?dark["']?\]""")
TITLE_FORMULA = re.compile(r'<span class=\\"math notranslate nohighlight\\">\\\\\((.*?)\\\\\)</span>')
ADDRESS = re.compile(r'(<div class="address" data-address=")(#[^"]*)("></div>)')
WIDGET = re.compile(r'<div class="attention-widget-host"[^>]*? data-widget="([\w-]+)".*?</script></div>', re.DOTALL)


class fold(nodes.General, nodes.Element):
    """A box that opens and closes."""


class fold_title(nodes.Part, nodes.TextElement):
    """The part of a fold that is always seen."""


class FoldBoxes(SphinxPostTransform):
    """Turn every box with the class `dropdown` into a fold."""

    default_priority = 900  # after references are resolved: a solution's title is one
    formats = ("html",)

    def run(self):
        """Replace the boxes of one page."""
        for box in list(self.document.findall(nodes.Admonition)):
            if "dropdown" in box["classes"]:
                title = next((child for child in box if isinstance(child, nodes.title)), None)
                if title is None:  # a note or a warning, whose title is its name
                    title = nodes.title("", admonitionlabels[box.tagname])
                else:
                    box.remove(title)
                for link in list(title.findall(nodes.reference)):  # a button must not hold another
                    link.replace_self(nodes.inline("", "", *link.children))
                kind = [box.tagname] if box.tagname in admonitionlabels else []
                folded = fold("", fold_title("", "", *title.children, classes=["admonition-title"]), *box.children)
                folded["ids"], folded["classes"] = box["ids"], ["admonition", *kind, *box["classes"]]
                box.replace_self(folded)


def description(doctree, title: str) -> str:
    """Return the start of a page's first paragraph, at most 160 characters, for search engines; else its title."""
    paragraph = next(iter(doctree.findall(nodes.paragraph)), None) if doctree else None
    text = " ".join(paragraph.astext().split()) if paragraph else title
    return text if len(text) <= 160 else text[:159].rsplit(" ", 1)[0] + "…"


def add_context(app, pagename, templatename, context, doctree):
    """Give the page's template its widgets, description and plain title; link no script that it can do without."""
    body = context.get("body", "")
    context["widgets"] = "attention-widget" in body
    context["plain_title"] = mathematics.plain(context.get("title", ""))
    context["running_title"] = css_string(html.unescape(context["plain_title"]))
    if 'name="description"' in context.get("metatags", ""):
        context["description"] = ""  # the chapter has its own
    else:
        context["description"] = description(doctree, html.unescape(context["plain_title"]) or app.config.html_title)
    context["formulas"] = context["widgets"] or "math notranslate" in body
    context["frame"] = app.config.attention_frame
    context["header_buttons"] = [menu(button, context) for button in context.get("header_buttons", ())]
    scripts = [script for script in context["script_files"] if script.filename]  # the others set options that we leave
    idle = ["sphinx-book-theme"] + ["design-tabs"] * ("sd-tab" not in body)
    if "highlight" not in body:
        idle += ["clipboard", "copybutton"]
    if pagename != "search":
        idle += ["doctools", "sphinx_highlight"] + ["documentation_options"] * ("copybutton" in idle)
    context["script_files"] = [script for script in scripts if not re.search("|".join(idle), str(script.filename))]


def menu(button: dict, context: dict) -> dict:
    """Return a button above the page as a menu; what it downloads is a file, which says how it is run."""
    if button["type"] != "group":  # a menu of one
        button = button | {"buttons": [button | {"text": button["tooltip"]}]}
    entries = [dict(entry) for entry in button["buttons"]]
    notebook = "kernelspec" in (context.get("meta") or {})
    words = {
        "download-notebook-button": "Notebook with its results (.ipynb)",
        "download-source-button": f"{'Notebook' if notebook else 'Text'} of this page (.md)",
        "download-pdf-button": "Print, or save as PDF",
    }
    for entry in entries:
        label = entry.get("label")
        entry["words"] = words.get(label)
        if label in ("download-notebook-button", "download-source-button"):
            entry["file"] = entry["url"].rpartition("/")[2]
        entry["note"] = RUN.get(label, "") if notebook else ""
    return button | {"buttons": entries}


class Templates(BuiltinTemplateLoader):
    """Sphinx's templates, with the last word on a page's HTML."""

    def render(self, template: str, context: dict) -> str:
        """Typeset the formulas wherever they are on the page: text, titles, table of contents."""
        page = super().render(template, context)
        if not template.endswith(".html"):
            return page
        page = INVALID.sub("", page)
        page = ICON.sub(r'<\1 aria-hidden="true" \2', page)
        page = PLAIN_CODE.sub(r"\1", page)
        page = page.replace("<script src=", "<script defer src=")
        # A widget's script is run where it stands, before what comes after is shown: nothing moves under the reader.
        script = f'<script src="{context["pathto"]("widgets", 1)}/%s.js"></script>'
        page = WIDGET.sub(lambda host: with_size(host[0], context["prover"]) + script % host[1], page)
        if address := context.get("pageurl"):
            page = ADDRESS.sub(lambda place: with_code(place, address), page)
        return mathematics.typeset(page, context["pagename"])


def with_size(host: str, prover: str) -> str:
    """Return a widget that asks the prover with the size of the prover's files, if the site has them.

    >>> with_size('<div data-widget="proof" data-name="one">', "9.3 MB")
    '<div data-prover="9.3 MB" data-widget="proof" data-name="one">'
    """
    return host.replace(' data-widget="proof"', f' data-prover="{prover}" data-widget="proof"', 1) if prover else host


def with_code(place: re.Match, page: str) -> str:
    """Return where a widget's address is printed with the whole address and its QR code.

    >>> place = ADDRESS.fullmatch('<div class="address" data-address="#one?a=1&amp;b=2"></div>')
    >>> with_code(place, "https://book.example/").partition("<svg")[0]
    '<div class="address" data-address="https://book.example/#one?a=1&amp;b=2">'
    """
    before, link, after = place.groups()
    code = segno.make(html.unescape(page + link), error="l", micro=False)
    drawn = code.svg_inline(omitsize=True, border=4, svgclass="code").replace("<svg", f"<svg {CODE}", 1)
    return before + html.escape(page) + link + after.replace("></div>", f">{drawn}</div>")


def css_string(text: str) -> str:
    r"""Return a text as it is written in a style sheet, within a page.

    >>> print(css_string('The "plan" <'))
    "The \22 plan\22  \3c "
    """
    escaped = re.sub(r'["\\<]', lambda match: f"\\{ord(match[0]):x} ", text)
    return f'"{escaped}"'


def needs(selector: list) -> set[str]:
    """Return the classes and ids without which a selector matches nothing.

    What stands in `[...]`, `:not(...)` or `:is(...)` is a token of its own kind, and so is left out.
    """
    return {
        token.value
        for before, token in zip([None, *selector], selector, strict=False)
        if token.type == "hash" or (token.type == "ident" and before == ".")
    }


def prune(css: str, words: set[str]) -> str:
    """Return a style sheet without comments and without the rules that need a name that is not in `words`.

    A rule for the dark mode is repeated for readers without scripts, whose pages have no `data-theme`.
    """
    kept = []
    for rule in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            body = prune(tinycss2.serialize(rule.content), words)
            if body:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{body}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword != "charset":
            kept.append(" ".join(rule.serialize().split()))
        elif rule.type == "qualified-rule":
            selectors = [[]]
            for token in rule.prelude:
                if token == ",":
                    selectors.append([])
                else:
                    selectors[-1].append(token)
            selector = ",".join(tinycss2.serialize(s).strip() for s in selectors if needs(s) <= words)
            body = " ".join(tinycss2.serialize(rule.content).split())
            if selector:
                kept.append(f"{selector}{{{body}}}")
            if (dark := DARK.sub("html:not([data-theme])", selector)) != selector:
                kept.append(f"@media screen and (prefers-color-scheme:dark){{{dark}{{{body}}}}}")
    return "\n".join(kept)


def names(site: Path) -> set[str]:
    """Return every class and id in the site's pages, and every word in its scripts."""
    words = set()
    for page in site.rglob("*.html"):
        for names in re.findall(r"""\b(?:class|id)=["']([^"']*)""", page.read_text(encoding="utf-8")):
            words.update(names.split())
    for script in site.rglob("*.js"):
        if script.name != "searchindex.js" and not script.name.endswith("-data.js"):
            words.update(re.findall(r"[\w-]+", script.read_text(encoding="utf-8")))
    return words


def write_icons(path: Path, characters: str):
    """Cut an icon font down to the glyphs of `characters`."""
    font = TTFont(path)
    subsetter = subset.Subsetter(subset.Options(layout_features=[], hinting=False, drop_tables=["FFTM"]))
    subsetter.populate(text=characters)
    subsetter.subset(font)
    font.flavor = "woff2"
    font.save(path)


def write_mathematics(site: Path, path: Path):
    """Write the font of formulas with what the site's formulas use, and what widgets may use besides."""
    characters = {fonts.CHARACTERS}
    for page in site.rglob("*.html"):
        for formula in re.findall(r"<math\b.*?</math>", page.read_text(encoding="utf-8"), re.DOTALL):
            characters.update(html.unescape(re.sub(r"<[^>]*>", "", formula)))
    path.write_bytes(fonts.mathematics_font("".join(sorted(characters))))


def finish(app, exception):
    """Write the site's style sheet, fonts and widgets, and delete what no page uses."""
    if exception or app.builder.format != "html":
        return
    site, static = Path(app.outdir), Path(app.outdir) / "_static"
    if not (static / "styles/pydata-sphinx-theme.css").exists():
        return  # Sphinx found nothing to do, so it brought no files, and the site is as it was
    (site / "index.html").write_text(INDEX.format(app.config.root_doc, app.config.html_title), encoding="utf-8")
    (site / "widgets").mkdir(exist_ok=True)
    for name, text in static_files().items():
        (site / "widgets" / name).write_text(text, encoding="utf-8")

    # The search shows titles as text, and knows them as JSON.
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    index = TITLE_FORMULA.sub(lambda m: html.unescape(mathematics.characters(json.loads(f'"{m[1]}"'))), index)
    (site / "searchindex.js").write_text(index, encoding="utf-8")

    for path in [path for pattern in UNUSED for path in static.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for script in static.glob("*.js"):
        script.write_text(compact(script.read_text(encoding="utf-8")), encoding="utf-8")
    sheets = [path for name in STYLES for path in static.glob(name)]
    rule = fonts.RULE % f'"{FONT}"'
    css = "\n".join([rule, *(path.read_text(encoding="utf-8") for path in sheets)])
    css = prune(css, names(site))
    (static / "styles/book.css").write_text('@charset "utf-8";\n' + css, encoding="utf-8")
    for path in static.rglob("*.css"):
        if path.name != "book.css":
            path.unlink()

    write_mathematics(site, static / "styles" / FONT)
    # What the style sheet draws as text: icons. (The serializer writes characters, not escapes.)
    characters = "".join(re.findall(r'content: "([^"]*)"', css)) + "".join(c for c in css if ord(c) > 127)
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells of every table
    for font in (static / "vendor").rglob("*.woff2"):
        write_icons(font, characters)


def tag(name: str):
    """Return the two functions that write a node as one HTML element."""
    return (
        lambda self, node: self.body.append(self.starttag(node, name)),
        lambda self, node: self.body.append(f"</{name}>\n"),
    )


def setup(app):
    """Register the nodes and hooks of this file."""
    app.add_node(fold, html=tag("details"))
    app.add_node(fold_title, html=tag("summary"))
    app.add_post_transform(FoldBoxes)
    app.add_js_file("site.js")
    app.add_js_file("paper.js")
    app.connect("html-page-context", add_context, priority=900)  # after the theme's own
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
