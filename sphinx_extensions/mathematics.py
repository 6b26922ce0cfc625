r"""Typeset the book's mathematics while it is built, so that no page needs a script for it.

Sphinx writes a formula as ``<span class="math notranslate nohighlight">\(...\)</span>`` (or a ``div``, ``\[...\]``),
and so do the book's own cell outputs. `typeset` replaces what is inside with MathML, which screen readers read and
browsers set in the font that `pages` ships. MathJax reads the TeX, the same that browsers run, from the files of the
package `sphinx-mathjax-offline`, run here by V8 (`mini-racer`); `mathematics.js` writes the MathML. Its TeX stays with
it, for who copies it.
"""

import functools
import html
import re
from importlib.metadata import distribution
from pathlib import Path

import py_mini_racer
from myst_parser.sphinx_ext.mathjax import html_visit_displaymath
from sphinx.ext.mathjax import html_visit_math
from sphinx.util import logging

logger = logging.getLogger(__name__)

MATHJAX = Path(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))
COMPONENTS = ("loader.js", "core.js", "adaptors/liteDOM.js", "input/tex-full.js")

FORMULA = re.compile(r'<(span|div)( class="(?:[\w-]+ )*math notranslate nohighlight\b[^>]*>)(.*?)</\1>', re.DOTALL)
LONG = 24  # characters of a formula in the text that may be wider than a phone's line: there it scrolls in its own box
NUMBER = re.compile(r'<span class="eqno">.*?</span>', re.DOTALL)


class BadFormula(ValueError):
    """MathJax cannot read a formula."""


@functools.cache
def mathjax() -> py_mini_racer.MiniRacer:
    """Start V8 with MathJax in it: a fifth of a second, once a build."""
    engine = py_mini_racer.MiniRacer()
    engine.eval("var global = globalThis, window; var MathJax = {loader: {load: []}, startup: {typeset: false}};")
    for name in COMPONENTS:
        engine.eval((MATHJAX / name).read_text(encoding="utf-8"))
    engine.eval(Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))
    return engine


@functools.cache
def convert(tex: str, display: bool = False) -> str:
    """Return one formula as MathML; raise `BadFormula` with MathJax's own words where it has none."""
    result = mathjax().call("convert", tex, display)
    if "error" in result:
        raise BadFormula(result["error"])
    return result["mathml"]


def typeset(page: str, docname: str) -> str:
    """Typeset every formula of a page; warn about each that MathJax cannot read, and leave it as it was."""

    def replace(match: re.Match) -> str:
        tag, attributes, content = match.groups()
        number = NUMBER.search(content)
        tex = html.unescape(NUMBER.sub("", content)).strip()
        if tex.startswith((r"\(", r"\[")):
            tex = tex[2:-2].strip()
        try:
            formula = convert(tex, tag == "div")
        except BadFormula as error:
            logger.warning("MathJax cannot read a formula: %s\n%s", error, tex, location=docname, type="mathematics")
            return match[0]
        if len(re.findall("<m[ino][ >]", formula)) > 1:  # more than a letter, which is its own text
            formula = formula.replace("<math", f'<math data-tex="{html.escape(tex)}"', 1)
        if tag == "span" and len(re.sub(r"<[^>]*>|[\u2061\u2062]", "", formula)) > LONG:
            attributes = attributes.replace("math notranslate", "math long notranslate")
        if tag == "div":
            formula = f'<div class="formula">{formula}</div>'  # scrolls where it is too wide
        return f"<{tag}{attributes}{formula}{number[0] if number else ''}</{tag}>"

    return FORMULA.sub(replace, page)


def plain(fragment: str) -> str:
    """Return a piece of HTML as text, still escaped, with the characters of its formulas: "Why α?"."""
    fragment = FORMULA.sub(lambda match: characters(html.unescape(match[3]).strip()[2:-2]), fragment)
    return re.sub(r"<[^>]*>", "", fragment)


def characters(tex: str) -> str:
    """Return the characters of a formula, escaped; nothing for a bad one, of which `typeset` warns."""
    try:
        return re.sub(r"<[^>]*>|\u2061", "", convert(tex))
    except BadFormula:
        return ""


def setup(app):
    """Register a renderer that writes what Sphinx's MathJax renderer writes, but loads no script for it."""
    app.add_html_math_renderer("typeset", (html_visit_math, None), (html_visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": False}  # V8 does not survive a fork
