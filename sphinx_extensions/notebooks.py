"""Each chapter as a notebook that runs anywhere, in the site's folder `notebooks/`, with the wheel of `attnlib`.

The text is written as plain Markdown from the page as Sphinx has resolved it: its numbers, titles and authors are the
page's, and its links lead to the site.  Code and what it gave come from Jupyter Book's cache.  Of an output is kept
what every viewer shows, Markdown, a PNG or text; what needs the page's scripts or a kernel is left out.
"""

import html
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.util import logging

from attnlib import __version__
from attnlib.printing import markdown, plain
from sphinx_extensions.pages import fold
from sphinx_extensions.records import executed

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "notebooks"
WHEEL = f"attnlib-{__version__}-py3-none-any.whl"
INSTALL = """\
try:
    import attnlib

    print(f"attnlib {{attnlib.__version__}} is here; this notebook was made with {version}.")
except ModuleNotFoundError as error:
    if error.name != "attnlib":
        raise
    import importlib, subprocess, sys
    from pathlib import Path

    wheel, site = Path("{wheel}"), "{site}"
    if not wheel.exists() and not site:
        raise FileNotFoundError(f"put {{wheel}}, which lies where this notebook came from, beside it") from None
    place = wheel.resolve().as_uri() if wheel.exists() else site + wheel.name
    command = [sys.executable, "-m", "pip", "install", "--quiet", f"attnlib[measure,widgets] @ {{place}}"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        raise RuntimeError(installed.stderr) from None
    importlib.invalidate_caches()
    print(f"attnlib {version} is installed now, from {{place}}.")"""
ABOUT = (
    "This is [a page of the book]({page}) as a notebook. Pictures are still until the cells are run, from the first on."
)
COLAB = "https://colab.research.google.com/github/{owner}/blob/notebooks/{name}.ipynb"
# How JupyterLab folds a cell.
FOLDS = {"hide-input": {"source_hidden": True}, "hide-cell": {"source_hidden": True, "outputs_hidden": True}}


def install(site: str) -> str:
    """Return the code of the first cell; `site` is where the site is published, if that is known."""
    return INSTALL.format(version=__version__, wheel=WHEEL, site=site and f"{site}{FOLDER}/")


def quote(text: str) -> str:
    """Return paragraphs as a quotation.

    >>> quote("One.")
    '> One.'
    """
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


class Writer:
    """Writes a page as paragraphs of Markdown and code cells.

    Parameters
    ----------
    app : Sphinx
        Its environment has the numbers of all boxes and figures.
    docname : str
        The page.
    site : str
        Where the site is: an address, or the way from the notebook.
    """

    def __init__(self, app, docname: str, site: str):
        self.app, self.docname, self.site = app, docname, site
        self.cells = executed(app, docname)

    def address(self, target: str) -> str:
        """Return a link of the page as one to the site."""
        page, sign, anchor = target.partition("#")
        if ":" in page:
            return target
        page = posixpath.join(posixpath.dirname(self.docname), page) if page else f"{self.docname}.html"
        return self.site + posixpath.normpath(page) + sign + anchor

    def numbered(self, kind: str, node: nodes.Element) -> str:
        """Return the name of a box or figure with the number that it has on the page."""
        number = self.app.env.toc_fignumbers[self.docname][kind][node["ids"][0]]
        name = self.app.config.numfig_format[kind] % ".".join(map(str, number))
        return name[0].upper() + name[1:]

    def line(self, node: nodes.Element) -> str:
        """Return what stands in a paragraph, or in a part of one."""
        return "".join(map(self.part, node.children))

    def part(self, node: nodes.Node) -> str:
        """Return one part of a paragraph."""
        match node:
            case nodes.Text():
                return plain(node)
            case nodes.math():
                return markdown(node.astext())
            case nodes.literal():
                return f"`{node.astext()}`"
            case nodes.emphasis():
                return f"*{self.line(node)}*"
            case nodes.strong():
                return f"**{self.line(node)}**"
            case nodes.reference():
                return f"[{self.line(node)}]({self.address(node.get('refuri') or '#' + node['refid'])})"
            case nodes.raw():
                parts = re.split(r'(?<=href=")([^"]*)', node.astext())  # every second one is a link
                parts[1::2] = [html.escape(self.address(html.unescape(link))) for link in parts[1::2]]
                return "".join(parts)
            case nodes.inline():
                return self.line(node)
        return self.unknown(node)

    def unknown(self, node: nodes.Node) -> str:
        """Warn of what has no Markdown here, which fails the build."""
        logger.warning("notebooks: no Markdown is known for %s", type(node).__name__, location=self.docname)
        return ""

    def blocks(self, node: nodes.Node) -> Iterator[str | nbformat.NotebookNode]:
        """Give the paragraphs and code cells of which something is made, in the order of reading."""
        match node:
            case nodes.title():
                depth = sum(isinstance(above, nodes.section) for above in above_of(node))
                yield f"{'#' * depth} {self.line(node)}"
            case nodes.rubric():
                yield f"**{self.line(node)}**"
            case nodes.paragraph():
                # No line begins as a list, a heading or a quotation does.
                yield re.sub(r"^(\d+(?=[.)] )|(?=[-+#>] ))", r"\1\\", self.line(node), flags=re.MULTILINE)
            case nodes.math_block():
                yield markdown(node.astext(), display=True)
            case nodes.bullet_list() | nodes.enumerated_list():
                yield self.list(node)
            case nodes.table():
                yield self.table(node)
            case nodes.raw():
                if "attention-widget-host" not in node.astext():  # a field for an answer, which stands in its cell too
                    yield self.part(node)
            case nodes.container(attributes={"nb_element": "cell_code"}):
                yield from self.cell(node)
            case fold():
                yield from self.folded(node)
            case nodes.Admonition() if isinstance(node[0], nodes.title):
                kind = node.get("countertype", "exercise")
                head = f"**{self.numbered(kind, node)}**{self.line(node.pop(0))}"
                if kind == "exercise":
                    yield head
                    yield from self.inside(node)
                else:
                    yield quote(f"{head}\n\n{self.text(node)}")
            case nodes.Admonition() if "proof" in node["classes"]:
                yield quote(self.text(node))
            case nodes.Admonition() | nodes.document() | nodes.section() | nodes.container():
                yield from self.inside(node)
            case nodes.target() | nodes.comment() | nodes.compound():  # the last holds a table of contents
                pass
            case _:
                self.unknown(node)

    def inside(self, node: nodes.Element) -> Iterator[str | nbformat.NotebookNode]:
        """Give the paragraphs and code cells of what a node holds."""
        for child in node.children:
            yield from self.blocks(child)

    def text(self, node: nodes.Element) -> str:
        """Return the paragraphs of what a node holds, which is text alone."""
        return "\n\n".join(self.inside(node))

    def list(self, node: nodes.Element) -> str:
        """Return a list of items."""
        items = []
        for number, item in enumerate(node.children, node.get("start", 1)):
            mark = f"{number}. " if isinstance(node, nodes.enumerated_list) else "- "
            items.append(mark + self.text(item).replace("\n", "\n" + " " * len(mark)))
        return "\n".join(items)

    def table(self, node: nodes.Element) -> str:
        """Return a table, its columns to the sides to which they stand on the page."""
        rows = [[self.text(entry).replace("\n", " ") for entry in row.children] for row in node.findall(nodes.row)]
        last = list(node.findall(nodes.row))[-1]
        rule = ["--:" if "text-right" in entry["classes"] else ":--" for entry in last.children]
        return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])

    def folded(self, box: nodes.Element) -> Iterator[str | nbformat.NotebookNode]:
        """Give what a fold holds: its text in HTML's own fold, its cells as JupyterLab and Colab fold cells."""
        title = box.pop(0)
        summary, text = self.line(title), []
        for part in [*self.inside(box), None]:
            if isinstance(part, str):
                text.append(part)
                continue
            if text:
                inside = "\n\n".join(text)
                yield f"<details><summary><b>{summary}</b></summary>\n\n{inside}\n\n</details>"
                summary, text = f"{self.line(title)}, continued", []
            if part:
                part.metadata |= {"cellView": "form", "collapsed": True, "jupyter": FOLDS["hide-cell"]}
                part.source = f"# @title {title.astext()}\n{part.source}"
                yield part

    def cell(self, node: nodes.Element) -> Iterator[str | nbformat.NotebookNode]:
        """Give a code cell with its outputs, and the caption of its figure."""
        ran = self.cells[node["exec_count"] - 1]
        shown = [part for box in node.findall(is_output) for part in box.children]
        texts = iter([part for part in shown if not isinstance(part, nodes.raw | nodes.literal_block | nodes.figure)])
        metadata = {}
        for tag in FOLDS.keys() & ran.metadata.get("tags", ()):
            metadata["jupyter"] = FOLDS[tag]
        outputs = []
        for output in ran.outputs:
            if outputs and output.get("name") and output.get("name") == outputs[-1].get("name"):
                outputs[-1].text += output.text  # a kernel sends what is printed in pieces of any length
            else:
                outputs.append(self.output(output, texts))
        yield new_code_cell(ran.source, metadata=metadata, outputs=outputs)
        for figure in node.findall(nodes.figure):
            caption = figure[-1]
            yield f"**{self.numbered('figure', figure)}.** {self.line(caption)}"

    def output(self, output: nbformat.NotebookNode, texts: Iterator[nodes.Node]) -> nbformat.NotebookNode:
        """Return what every viewer shows of an output; `texts` are those parts of the page that were Markdown."""
        if "data" not in output:
            return output
        data = output.data
        kept = {kind: data[kind] for kind in ("image/png", "text/markdown", "text/plain") if kind in data}
        if "text/markdown" in data and "text/html" not in data:
            kept["text/markdown"] = "\n\n".join(self.blocks(next(texts)))
        return new_output(output.output_type, kept)


def above_of(node: nodes.Node) -> Iterator[nodes.Node]:
    """Give what a node is in, from the inside out."""
    while node := node.parent:
        yield node


def is_output(node: nodes.Node) -> bool:
    """Return whether a node holds what a cell gave."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code_output"


def notebook(app, doctree: nodes.document, docname: str) -> nbformat.NotebookNode:
    """Return a page as a notebook."""
    site = app.config.html_baseurl
    writer = Writer(app, docname, site or "../")
    cells, text = [], []
    for part in [*writer.blocks(doctree), None]:
        if text and (not isinstance(part, str) or part.startswith("#")):
            cells.append(new_markdown_cell("\n\n".join(text)))
            text = []
        if isinstance(part, str):
            text.append(part)
        elif part:
            cells.append(part)
    title, _, start = cells[0].source.partition("\n\n")
    cells[0].source = f"{title}\n\n{ABOUT.format(page=writer.address(''))}"
    cells[1:1] = [new_code_cell(install(site)), new_markdown_cell(start)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def write(app, doctree, docname):
    """Write a page that has cells as a notebook."""
    if app.builder.format == "html" and is_notebook(app, docname):
        folder = Path(app.outdir) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        made = notebook(app, doctree.deepcopy(), docname)
        nbformat.write(made, folder / f"{posixpath.basename(docname)}.ipynb", version=4)


def is_notebook(app, docname: str) -> bool:
    """Return whether a page has cells."""
    return "kernelspec" in app.env.metadata.get(docname, {})


def add_buttons(app, pagename, templatename, context, doctree):
    """Offer a page's notebook among what is downloaded, in place of MyST-NB's; and Colab beside Binder, on GitHub."""
    if not is_notebook(app, pagename):
        return
    name = posixpath.basename(pagename)
    groups = {group.get("label"): group.get("buttons") for group in context["header_buttons"]}
    downloads = groups["download-buttons"]
    downloads[:] = [button for button in downloads if button.get("label") != "download-notebook-button"]
    url = context["pathto"](f"{FOLDER}/{name}.ipynb", 1)
    downloads.insert(0, {"type": "link", "url": url, "icon": "fas fa-code", "label": "download-notebook-button"})
    host, _, owner = app.config.html_theme_options.get("repository_url", "").partition("github.com/")
    if host == "https://":
        link = {"type": "link", "url": COLAB.format(owner=owner, name=name), "text": "Colab"}
        groups["launch-buttons"].append(link | {"icon": "_static/images/logo_colab.png"})


def place(app, exception):
    """Put the wheel of the library beside the notebooks; drop those that the theme has put among the sources."""
    if exception or app.builder.format != "html":
        return
    for path in (Path(app.outdir) / "_sources").rglob("*.ipynb"):
        path.unlink()
    folder = Path(app.outdir) / FOLDER
    command = [sys.executable, "-m", "flit_core.wheel", "--outdir", folder, ROOT]
    # With one date for all that is in it, the same files make the same wheel.
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1577836800"})
    (folder / WHEEL).chmod(0o644)  # it is made as a temporary file, which no web server reads


def setup(app):
    """Register for the moments when a page is resolved, when it is framed, and when all are written."""
    app.connect("doctree-resolved", write, priority=900)  # after what fills in the ledger
    app.connect("html-page-context", add_buttons, priority=800)  # after the theme's, before they become menus
    app.connect("build-finished", place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
