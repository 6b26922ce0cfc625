"""The ledger page: every equation of the sources, its verdict, and a link to the cell that gives the evidence.

Evidence travels in cell outputs (`records`).  A row without evidence is a warning, which fails the build; evidence
without a row, or that is not about it, is an error in `attnlib.derive`.
"""

import re
from collections import Counter

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from attnlib.sources import VERDICTS, sources
from sphinx_extensions.records import records

logger = logging.getLogger(__name__)


class _Ledger(nodes.General, nodes.Element):
    """Stands where the ledger goes until all chapters are read."""


class LedgerDirective(SphinxDirective):
    """``{ledger}``: the table of all equations."""

    def run(self):
        self.env.ledger_page = self.env.docname
        return [_Ledger()]


def check(app, env):
    """Warn of every row without evidence; have the ledger page written again if the evidence has changed."""
    evidence = {}  # a claim may have evidence in several chapters; the first in reading order is shown
    for page, record in records(env):
        if record["kind"] == "equation":
            evidence.setdefault(record["id"], (page, (record["keys"], record["by"])))
    for identifier in sources().keys() - evidence.keys():
        logger.warning("ledger: equation %s has no evidence in any chapter", identifier)
    before, env.ledger_shown = getattr(env, "ledger_shown", None), evidence
    return [env.ledger_page] if evidence != before and hasattr(env, "ledger_page") else []


def _statement(latex):
    """A claim in words is set as words, which break over lines; the formulas in it, or a formula alone, as formulas."""
    pieces = re.split(r"\\text\{([^{}]*)\}", latex)  # every second piece is words
    if len("".join(pieces[1::2])) < 25:
        return [nodes.math("", rf"\displaystyle {latex}")]
    return [
        nodes.Text(part) if number % 2 else nodes.math("", part) for number, part in enumerate(pieces) if part.strip()
    ]


def _totals(name, entries):
    counts = Counter(entry["verdict"] for entry in entries)
    each = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return nodes.paragraph("", f"{name}: {len(entries)} equations and claims, {each}.")


def fill(app, doctree, docname):
    """Put the entries where the directive stood."""
    for place in list(doctree.findall(_Ledger)):
        rows = sources().values()
        entries = [_totals("All sources", rows)]
        source = None
        for identifier, entry in sources().items():
            if source != entry["source"]:
                source = entry["source"]
                entries += [nodes.rubric("", source), _totals(source, [e for e in rows if e["source"] == source])]
            head = nodes.paragraph("", "", nodes.strong("", f"{entry['source']}, {entry['label']}"))
            head += [nodes.Text(": "), nodes.emphasis("", entry["verdict"])]
            if evidence := app.env.ledger_shown.get(identifier):
                page, (keys, by) = evidence
                uri = f"{app.builder.get_relative_uri(docname, page)}#{identifier}"
                title = "the evidence below" if page == docname else app.env.titles[page].astext()
                counted = f" for {', '.join(map(str, keys))} keys" if keys else ""
                how = f", {by}" if by in ("proved", "tested") and by != entry["verdict"] else ""
                head += [nodes.Text(f"{how}{counted} in "), nodes.reference("", title, internal=True, refuri=uri)]
            box = nodes.container("", head, nodes.paragraph("", "", *_statement(entry["statement"])))
            box["classes"].append("ledger-entry")
            if correction := entry.get("correction"):
                words = re.split(r"\$(.*?)\$", correction)  # every second piece is mathematics
                parts = [nodes.math("", part) if number % 2 else nodes.Text(part) for number, part in enumerate(words)]
                box += nodes.paragraph("", "", *parts)
            entries.append(box)
        place.replace_self(entries)


def setup(app):
    """Register the directive and its events."""
    app.setup_extension("sphinx_extensions.records")
    app.add_directive("ledger", LedgerDirective)
    app.connect("env-updated", check)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "env_version": 5, "parallel_read_safe": False, "parallel_write_safe": True}
