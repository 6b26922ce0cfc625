"""The page of all formulas: what each says, where it is proved, which widgets run it, and the code that runs.

A formula that no page has proved, defined or assumed is a warning, which fails the build; so is one whose stable form
is not proved to be what is shown.
"""

from collections import defaultdict
from importlib import import_module

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from attnlib.formulas import Formula, catalogue
from attnlib.printing import latex
from attnlib.proof import NotProved
from attnlib.widgets import widget_classes
from sphinx_extensions.pages import fold, fold_title
from sphinx_extensions.records import records

logger = logging.getLogger(__name__)


class _Formulas(nodes.General, nodes.Element):
    """Stands where the formulas go until all chapters are read."""


class FormulasDirective(SphinxDirective):
    """``{formulas}``: every formula, chapter by chapter."""

    def run(self):
        self.env.formulas_page = self.env.docname
        return [_Formulas()]


def check(app, env):
    """Warn of formulas without evidence and of stable forms that are others; write the page again if it has changed."""
    proofs, places = {}, defaultdict(list)
    for page, record in records(env):
        if record["kind"] == "formula":
            proofs.setdefault(record["id"], (page, record["by"]))
        elif record["kind"] == "widget":
            places[record["id"]].append((page, record["name"]))
    for identifier, formula in catalogue().items():
        if identifier not in proofs:
            logger.warning("formulas: %r is neither proved nor defined nor assumed on any page", formula.name)
        try:
            formula.check()
        except NotProved as error:
            logger.warning("formulas: what runs for %r is not proved to be what is shown: %s", formula.name, error)
    for kind, cls in widget_classes().items():
        for formula in (formula for law in cls.laws for formula in law.formulas.values()):
            if catalogue().get(formula.identifier) != formula:
                logger.warning("formulas: widget %r runs %r, which is not in attnlib.formulas", kind, formula.name)
    before, env.formulas_shown = getattr(env, "formulas_shown", None), (proofs, dict(places))
    changed = env.formulas_shown != before and hasattr(env, "formulas_page")
    return [env.formulas_page] if changed else []


def _display(text: str) -> nodes.math_block:
    return nodes.math_block("", text, nowrap=False, number=None)


def _entry(app, docname: str, formula: Formula) -> nodes.container:
    proofs, places = app.env.formulas_shown

    def link(page: str, anchor: str, words: str) -> nodes.reference:
        address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        return nodes.reference("", words, internal=True, refuri=address)

    head = nodes.paragraph("", "", nodes.strong("", formula.name[0].upper() + formula.name[1:]), nodes.Text(". "))
    head += nodes.Text(formula.says)
    box = nodes.container("", head, _display(f"{latex(formula.letter)} = {latex(formula.expression)}"))
    box["classes"].append("ledger-entry")
    box["ids"].append(formula.identifier)
    facts = nodes.paragraph()
    if formula.identifier in proofs:
        page, by = proofs[formula.identifier]
        verb = {"proved": "Proved", "definition": "Defined", "assumption": "Assumed"}[by]
        facts += [
            nodes.Text(f"{verb} in "),
            link(page, f"proof-of-{formula.identifier}", app.env.titles[page].astext()),
        ]
        facts += nodes.Text(". ")
    running = {
        kind: law for kind, cls in widget_classes().items() for law in cls.laws if formula in law.formulas.values()
    }
    standing = [(kind, *places[kind][0]) for kind in running if kind in places]
    for number, (kind, page, name) in enumerate(standing):
        facts += nodes.Text(", " if number else "Runs in ")
        facts += link(page, name, widget_classes()[kind].title)
    if standing:
        facts += nodes.Text(".")
    box += facts
    if running:
        code = nodes.literal_block("", next(iter(running.values())).javascript(), language="javascript")
        folded = fold("", fold_title("", "The code that runs", classes=["admonition-title"]))
        folded["classes"] = ["admonition", "dropdown"]
        if formula.stable is not None:
            folded += nodes.paragraph("", "Computers run this form, which is proved equal:")
            folded += _display(latex(formula.stable))
        folded += code
        box += folded
    return box


def fill(app, doctree, docname):
    """Put the entries where the directive stood, in the order of the chapters."""
    for place in list(doctree.findall(_Formulas)):
        modules = {page.partition("-")[2].replace("-", "_"): page for page in app.env.found_docs}
        entries, done = [], set()
        for module, page in sorted(modules.items(), key=lambda item: item[1]):
            try:
                formulas = vars(import_module(f"attnlib.formulas.{module}")) if module else {}
            except ModuleNotFoundError:
                continue  # a page without formulas
            own = [part for part in formulas.values() if isinstance(part, Formula) and part.identifier not in done]
            if own:
                entries.append(nodes.rubric("", app.env.titles[page].astext()))
                entries += [_entry(app, docname, formula) for formula in own]
                done |= {formula.identifier for formula in own}
        place.replace_self(entries)


def setup(app):
    """Register the directive and its events."""
    app.setup_extension("sphinx_extensions.records")
    app.add_directive("formulas", FormulasDirective)
    app.connect("env-updated", check)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
