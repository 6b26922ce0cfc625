"""Formulas as people write them, in LaTeX and in MathML: one place decides the order of terms and factors.

A sum begins with what is not subtracted.  A product lists numbers, letters in the order of their declaration, letters
with an index, functions, brackets, exponentials, and at last what extends to the right, such as a sum: 4T²dhb,
w_i (s_i − m), p_j log p_j.  A product that was left unevaluated keeps the order in which it was written.  In an
exponent a fraction is written with a slash.
"""

import html
import re
from contextlib import contextmanager

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.pretty.pretty_symbology import pretty_symbol, pretty_use_unicode

_OPEN_TO_THE_RIGHT = (sp.Sum, sp.Product, sp.Integral, sp.Derivative)


class PositiveFirst:
    """A printer that writes a difference as x − y, not as −y + x."""

    _in_exponent = False

    @contextmanager
    def _exponent(self):
        outside, self._in_exponent = self._in_exponent, True
        yield
        self._in_exponent = outside

    def _as_ordered_terms(self, expr, order=None):
        return sorted(super()._as_ordered_terms(expr, order), key=lambda term: term.could_extract_minus_sign())


def _held(expr) -> bool:
    return isinstance(expr, sp.UnevaluatedExpr)


def _is_sum(expr) -> bool:
    return (expr.args[0] if _held(expr) else expr).is_Add


def _is_letter(expr) -> bool:
    return expr.is_Symbol or isinstance(expr, sp.Indexed) or expr.func.__name__ == "Weight"


def _place(factor: sp.Expr) -> tuple:
    """Where a factor stands among others; see the module's text."""
    from attnlib.formulas.symbols import MEANINGS

    base = factor.args[0] if _held(factor) else factor
    base = base if isinstance(base, sp.exp) else base.as_base_exp()[0]
    letters = list(MEANINGS)
    if base.is_number:
        kind, rank = (0 if base.is_Rational else 1), 0
    elif base.is_Symbol or isinstance(base, AppliedUndef):
        kind, rank = 2, letters.index(base) if base in MEANINGS else len(letters)
    elif _is_letter(base):
        letter = base.base if isinstance(base, sp.Indexed) else sp.IndexedBase("w", positive=True)
        kind, rank = 3, letters.index(letter) if letter in MEANINGS else -1
    elif isinstance(base, sp.exp):
        kind, rank = 6, 0
    elif base.is_Add:
        kind, rank = 5, 0
    else:
        kind, rank = (7 if isinstance(base, _OPEN_TO_THE_RIGHT) else 4), 0
    return kind, rank, factor.sort_key()


def _listed(product: sp.Expr) -> list[sp.Expr]:
    factors = list(product.args) if product.is_Mul else [product]
    written = product.is_Mul and (1 in factors or product != sp.Mul(*factors))
    return factors if written else sorted(factors, key=_place)


def factors(product: sp.Mul) -> tuple[bool, list[sp.Expr], list[sp.Expr]]:
    """Whether a product has a minus sign, then what stands above and below its fraction line, in order.

    Examples
    --------
    >>> from attnlib.formulas import alpha, kappa, p, i
    >>> factors(-sp.log(p[i]) * p[i] * kappa / alpha)
    (True, [kappa, p[i], log(p[i])], [alpha])
    """
    negative = product.could_extract_minus_sign()
    above, below = sp.fraction(-product if negative else product, exact=True)
    return negative, _listed(above), [] if below == 1 else _listed(below)


class Latex(PositiveFirst, LatexPrinter):
    """LaTeX as people write it."""

    def _print_Symbol(self, expr, style="plain"):
        text = super()._print_Symbol(expr, style)
        return re.sub(r"(?<![\\A-Za-z])[A-Za-z]{3,}", r"\\text{\g<0>}", text)  # a word is no product of letters

    def _print_Indexed(self, expr):
        return f"{self._print(expr.base.label)}_{{{' '.join(map(self._print, expr.indices))}}}"

    def _factors(self, parts):
        texts = []
        for number, part in enumerate(parts):
            text = self._print(part)
            if len(parts) > 1 and self._needs_mul_brackets(part, first=number == 0, last=number == len(parts) - 1):
                text = rf"\left({text}\right)"
            if number and part.is_Rational and parts[number - 1].is_Rational:
                text = rf"\cdot {text}"
            texts.append(text)
        return " ".join(texts)

    # sympy leaves out the brackets of what is held back: after a minus, under a sum, and where it begins with a minus
    # in a product.
    def _print_Mul(self, expr):
        if _held(-expr):
            inner = (-expr).args[0]
            text = self._print(inner)
            return rf"- \left({text}\right)" if inner.is_Add or inner.could_extract_minus_sign() else f"- {text}"
        negative, above, below = factors(expr)
        text = self._factors(above)
        if below and self._in_exponent:
            text = rf"\left({text}\right)" if len(above) == 1 and _is_sum(above[0]) else text
            under = self._factors(below)
            text = f"{text} / " + (rf"\left({under}\right)" if len(below) > 1 or _is_sum(below[0]) else under)
        elif below:
            text = rf"\frac{{{text}}}{{{self._factors(below)}}}"
        elif negative and len(above) == 1 and above[0].is_Add:
            text = rf"\left({text}\right)"
        return f"- {text}" if negative else text

    def _print_log(self, expr, exp=None):
        text = self._print(expr.args[0])
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log{power} {text}" if _is_letter(expr.args[0]) else rf"\log{power}\left({text}\right)"

    def _print_ExpBase(self, expr, exp=None):
        with self._exponent():
            return self._do_exponent(f"e^{{{self._print(expr.args[0])}}}", exp)

    def _print_Sum(self, expr):
        body = expr.function
        return super()._print_Sum(expr.func(body.args[0], *expr.limits) if _held(body) else expr)

    def _needs_add_brackets(self, expr):
        return (_held(expr) and expr.args[0].is_Add) or super()._needs_add_brackets(expr)

    def _needs_mul_brackets(self, expr, first=False, last=False):
        inner = expr.args[0] if _held(expr) else expr
        return (inner.could_extract_minus_sign() and not first) or super()._needs_mul_brackets(expr, first, last)

    def _print_Derivative(self, expr):
        if hasattr(expr.expr, "unfold") and len(expr.variables) == 1:  # one letter: it fits above the line
            return rf"\frac{{\partial {self._print(expr.expr)}}}{{\partial {self._print(expr.variables[0])}}}"
        return super()._print_Derivative(expr)


def latex(expr: sp.Basic) -> str:
    r"""LaTeX of an expression, as people write it.

    Examples
    --------
    >>> from attnlib.formulas import alpha, p, i
    >>> print(latex(sp.log(p[i]) * p[i] * alpha))
    \alpha p_{i} \log p_{i}
    """
    return Latex().doprint(expr)


def markdown(tex: str, display: bool = False) -> str:
    r"""A formula in Markdown, also within a table or a quotation: without bars, angles and ends of lines.

    >>> markdown(r"|x| < \|y\|"), markdown("")
    ('$\\vert x\\vert \\lt \\Vert y\\Vert$', '')
    """
    for sign, name in ((r"(?<!\\)\\\|", "Vert"), (r"\|", "vert"), ("<", "lt"), (">", "gt")):
        tex = re.sub(sign, rf"\\{name} ", tex)
    mark = "$$" if display else "$"
    return tex and f"{mark}{' '.join(tex.split())}{mark}"


def plain(text: str) -> str:
    r"""Text in Markdown, none of whose characters marks anything.

    >>> plain("x_1 *or* | $5")
    'x\\_1 \\*or\\* \\| \\$5'
    """
    return re.sub(r"([\\`*_|<$~])", r"\\\1", text)


def letter(symbol) -> str:
    """A letter as it is read, wherever it goes: alpha is α."""
    before = pretty_use_unicode(True)  # which sympy leaves to the terminal
    try:
        return pretty_symbol(str(symbol))
    finally:
        pretty_use_unicode(before)


class MathML(PositiveFirst, MathMLPresentationPrinter):
    """MathML in which every letter says which one it is, so that picture and formula can mark each other.

    `marked` holds the names of the letters that say so.
    """

    def __init__(self, marked=()):
        super().__init__({"fold_short_frac": False})
        self._marked_names = marked

    def _element(self, tag, *children):
        node = self.dom.createElement(tag)
        for child in children:
            node.appendChild(self.dom.createTextNode(child) if isinstance(child, str) else child)
        return node

    def _marked(self, node, symbol):
        if str(symbol) in self._marked_names:
            node.setAttribute("data-symbol", str(symbol))
        return node

    def _space(self):
        space = self._element("mspace")
        space.setAttribute("width", "0.17em")
        return space

    def _bracketed(self, node):
        return self._element("mrow", self._element("mo", "("), node, self._element("mo", ")"))

    def _factors(self, parts):
        row = self._element("mrow")
        for number, part in enumerate(parts):
            if number:
                row.appendChild(self._element("mo", "\u2062"))  # invisible times
            node = self._print(part)
            last = number == len(parts) - 1
            open_ended = part.is_Add or (isinstance(part, _OPEN_TO_THE_RIGHT) and not last)
            row.appendChild(self._bracketed(node) if len(parts) > 1 and open_ended else node)
        return row

    def _print_Mul(self, expr):
        negative, above, below = factors(expr)
        node = self._factors(above)
        if below and self._in_exponent:
            node = self._bracketed(node) if len(above) == 1 and above[0].is_Add else node
            under = self._factors(below)
            under = self._bracketed(under) if len(below) > 1 or below[0].is_Add else under
            node = self._element("mrow", node, self._element("mo", "/"), under)
        elif below:
            node = self._element("mfrac", node, self._factors(below))
        elif negative and len(above) == 1 and above[0].is_Add:
            node = self._bracketed(node)
        return self._element("mrow", self._element("mo", "−"), node) if negative else node

    def _print_Add(self, expr, order=None):
        row = self._element("mrow")
        for number, term in enumerate(self._as_ordered_terms(expr, order)):
            negative = term.could_extract_minus_sign()
            if number:
                row.appendChild(self._element("mo", "−" if negative else "+"))
                term = -term if negative else term
            node = self._print(term)
            row.appendChild(self._bracketed(node) if number and term.is_Add else node)
        return row

    def _print_Symbol(self, expr, style="plain"):
        return self._marked(super()._print_Symbol(expr, style), expr)

    def _print_Indexed(self, expr, power=None):
        row = self._element("mrow", *map(self._print, expr.indices))
        name = super()._print_Symbol(expr.base.label)
        if name.tagName == "msup":  # the name itself has something above: s^plain
            name, power = name.childNodes
        parts = (name, row) if power is None else (name, row, power)
        return self._marked(self._element("msub" if power is None else "msubsup", *parts), expr.base.label)

    def _print_Pow(self, expr):
        if isinstance(expr.base, sp.Indexed) and expr.exp.is_Integer and expr.exp > 0:
            return self._print_Indexed(expr.base, self._print(expr.exp))
        return super()._print_Pow(expr)

    def _print_Sum(self, expr):
        *inner, (index, first, last) = expr.limits
        body = expr.func(expr.function, *inner) if inner else expr.function
        equals = self._element("mo", "=")
        equals.setAttribute("lspace", "0")
        equals.setAttribute("rspace", "0")
        start = self._element("mrow", self._print(index), equals, self._print(first))
        sign = self._element("munderover", self._element("mo", "∑"), start, self._print(last))
        node = self._print(body)
        return self._element("mrow", sign, self._bracketed(node) if body.is_Add else node)

    def _print_Index(self, expr):
        return self._element("mi", str(expr))

    def _print_Weight(self, expr):
        node = self._element("msub", self._element("mi", "w"), self._element("mrow", self._print(expr.args[0])))
        return self._marked(node, "w")

    def _print_exp(self, expr):
        with self._exponent():
            return self._element("msup", self._element("mi", "e"), self._print(expr.args[0]))

    def _print_log(self, expr):
        argument = expr.args[0]
        node = self._print(argument)
        name = self._element("mrow", self._element("mi", "log"), self._element("mo", "\u2061"))  # function application
        if _is_letter(argument):
            return self._element("mrow", name, self._space(), node)
        return self._element("mrow", name, self._bracketed(node))

    def _print_LogOrZero(self, expr):
        return self._print(expr.unfold())


def mathml(equations, marked=(), says=()) -> str:
    """Equations as MathML, a display each, in which the letters named in `marked` can be found.

    Parameters
    ----------
    equations : sequence of pairs
        Left and right side of each.
    marked : collection of str
        Names of letters; the element of each gets its name as `data-symbol`.
    says : sequence of str
        A sentence for each equation: its alternative text.
    """
    printer = MathML(marked)
    texts = []
    for number, sides in enumerate(equations):
        row = "<mo>=</mo>".join(printer._print(side).toxml() for side in sides)
        for entity, character in (("&ExponentialE;", "e"), ("&InvisibleTimes;", "\u2062"), ("&pi;", "π")):
            row = row.replace(entity, character)
        alternative = f' alttext="{html.escape(says[number])}"' if says else ""
        tex = html.escape(" = ".join(map(latex, sides)))
        texts.append(f'<math display="block" data-tex="{tex}"{alternative}><mrow>{row}</mrow></math>')
    return "".join(texts)
