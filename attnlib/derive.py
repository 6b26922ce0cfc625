"""Derivations that show a step of algebra only after sympy has proved it, and the record of every source equation met.

A `Derivation` is a chain of expressions, or of equations, each with the reason for it.  Sums over a symbolic number of
keys are brought to one normal form (expanded, split, constants outside) in which equal expressions cancel.
"""

import copy
import functools
import html
import itertools
import json
import re
import tomllib
from importlib import resources

import numpy as np
import sympy as sp
from sympy.printing.latex import LatexPrinter

from attnlib.codegen import PositiveFirst

VERDICTS = (
    "proved",
    "tested",
    "definition",
    "assumption",
    "incomplete",
    "misprint",
    "slip",
)  # equations.toml says what each means
DISPLAY = r"\displaystyle "
LEFT = 'style="text-align: left"'  # JupyterLab sets tables to the right
_WAITING = sp.Derivative | sp.Integral | sp.UnevaluatedExpr  # what `doit` is for; sums have rules of their own
_BINDING = (sp.Derivative, sp.Integral, sp.Subs)  # what may bind an index or depend on how it enters
_GIVEN = {"definition", "assumption", "slip"}
_EVIDENCE = {
    "proved": {"proved"},
    "tested": {"tested"},
    "incomplete": {"proved", "tested"},
    "misprint": {"proved", "tested"},
    "slip": {"slip", "tested"},
}


class DerivationError(ValueError):
    """A step that sympy could not prove."""


@functools.cache
def sources() -> dict[str, dict]:
    """The sources' equations as printed, by id: source, label, statement, verdict, perhaps a correction."""
    return tomllib.loads(resources.files("attnlib").joinpath("equations.toml").read_text("utf-8"))


def _source(identifier: str) -> dict:
    if identifier not in sources():
        raise ValueError(f"equation must be an id of equations.toml; got {identifier!r}")
    return sources()[identifier]


class _Bound(sp.Symbol):
    """A standard name for a bound index, which no symbol of an expression equals, whatever its name."""


def _apart(expr):
    """Give every bound index a name of its own, so that none is taken for a free one: sympy's `diff` would do so.

    What stands for an expression (has `unfold`) becomes that expression.
    """
    if hasattr(expr, "unfold"):
        expr = expr.unfold()
    if not isinstance(expr, sp.Basic) or not expr.args:
        return expr
    expr = expr.func(*map(_apart, expr.args))
    if isinstance(expr, sp.Sum | sp.Product):
        bound = {limit[0]: sp.Dummy(**limit[0].assumptions0) for limit in expr.limits}
        expr = expr.func(*(part.xreplace(bound) for part in expr.args))
    return expr


def _normal(expr):
    """Expand; then split every sum, move what does not carry its index outside, and give its index a standard name.

    A key's free index is one of the keys, so a sum over all keys of what is nonzero at that one is that term.
    """
    expr = expr.replace(lambda part: isinstance(part, _WAITING), lambda part: part.doit())
    expr = sp.expand(sp.expand_log(expr, force=False), power_exp=True)
    if not isinstance(expr, sp.Sum | sp.Product):
        if not expr.has(sp.Sum, sp.Product):
            return expr
        return sp.expand(expr.func(*(_normal(arg) if isinstance(arg, sp.Expr) else arg for arg in expr.args)))
    *inner, (index, first, last) = expr.limits
    body = sp.expand(_normal(expr.func(expr.function, *inner) if inner else expr.function))
    if isinstance(expr, sp.Product):
        return _named(sp.Product, body, index, first, last)
    total = sp.Integer(0)
    for term in sp.Add.make_args(body):
        outside, inside = term.as_independent(index, as_Add=False)
        chosen = _chosen(inside, index, first, last)
        inner = [part for part in sp.Mul.make_args(inside) if isinstance(part, sp.Sum)]
        if inside == 1:
            total += outside * (last - first + 1)
        elif len(inner) == 1 and _precedes(inner[0].limits[0][1:], (first, last), index):
            exchanged = expr.func(inside / inner[0] * inner[0].function, (index, first, last))
            total += outside * _normal(_apart(sp.Sum(exchanged, *inner[0].limits)))
        elif chosen is not None:
            total += outside * (inside / sp.KroneckerDelta(index, chosen)).xreplace({index: chosen})
        else:
            total += outside * _named(sp.Sum, inside, index, first, last)
    return total


def _precedes(inner, outer, index) -> bool:
    """Whether an inner sum's range, free of the outer index, should stand outside: one order is standard."""
    return not any(end.has(index) for end in inner) and sp.Tuple(*inner).sort_key() < sp.Tuple(*outer).sort_key()


def _named(kind, body, index, first, last):
    taken = {str(symbol) for symbol in body.atoms(_Bound)}
    name = next(name for name in map("index{}".format, itertools.count(1)) if name not in taken)
    symbol = _Bound(name, **index.assumptions0)
    return kind(body.xreplace({index: symbol}), (symbol, first, last))


def _chosen(term, index, first, last):
    """The free index at which a term is nonzero, where a sum over all keys or coordinates meets a Kronecker delta."""
    from attnlib.formulas import c, d, i, j, n

    if term.has(*_BINDING):  # what is a derivative by an index cannot be read at one
        return None
    for delta in term.atoms(sp.KroneckerDelta) & set(sp.Mul.make_args(term)):
        others = delta.free_symbols - {index}
        if first == 1 and last.is_Symbol and len(delta.free_symbols) == 2 and len(others) == 1:
            (other,) = others
            elsewhere = ({c} if last == n else {i, j}) | {n, d}  # indices and ends of other ranges
            known = other.is_integer and other.is_positive and not isinstance(other, sp.Dummy | _Bound)
            if known and other not in elsewhere:
                return other
    return None


def _at_equal_indices(term):
    """Write a term with a Kronecker delta of two free indices in one of them alone: elsewhere it is zero."""
    if term.has(*_BINDING):
        return term
    for delta in sorted(term.atoms(sp.KroneckerDelta) & set(sp.Mul.make_args(term)), key=str):
        if all(index.is_Symbol and not isinstance(index, _Bound) for index in delta.args):
            first, second = sorted(delta.args, key=str)
            term = delta * (term / delta).xreplace({second: first})
    return term


def _nonempty(part) -> bool:
    return all((last - first).is_nonnegative for _, first, last in part.limits)


def _opaque(expr) -> dict:
    """A symbol for every sum: positive where its terms are and there is one, real where its terms are.

    And one for whatever else binds an index: a sum inside it may depend on that index.
    """

    def known(part):
        if isinstance(part, sp.Sum):
            return part.function.is_positive and _nonempty(part), part.function.is_real
        return part.is_positive, part.is_real

    made = {}
    for part in expr.atoms(sp.Sum, sp.Product, *_BINDING):
        positive, real = known(part)
        made[part] = sp.Dummy(positive=positive or None, real=real or None)
    return made


def _positive(expr) -> bool:
    """Whether sympy, and the rule that a sum of positive terms over at least one key is positive, prove `expr` > 0."""
    expr = sp.factor_terms(_apart(sp.sympify(expr)).doit())
    return bool(sp.simplify(expr.xreplace(_opaque(expr))).is_positive)


def _vanishes(expr) -> bool:
    terms = sp.Add.make_args(sp.expand(_normal(_apart(expr))))
    expr = sp.together(sp.Add(*map(_at_equal_indices, terms)))
    return sp.simplify(expr.xreplace(_opaque(expr))) == 0


def _counts(keys) -> tuple[int, ...]:
    keys = tuple(keys)
    if not all(isinstance(count, int) and count >= 1 for count in keys):
        raise ValueError(f"keys must be whole numbers of at least one; got {keys}")
    return keys


def check_equal(left, right, *, keys=()) -> None:
    """Prove that two expressions are equal, for every number of keys or, with `keys`, for those numbers.

    Equal means: wherever both sides are defined.  A free index of keys or coordinates is taken to be one of them.

    Raises
    ------
    DerivationError
        With both sides, if sympy does not bring their difference to zero.

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, j, over_keys, s, weight
    >>> check_equal(weight, sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j])))
    >>> check_equal(weight, sp.exp(alpha * s[i]))
    Traceback (most recent call last):
    ...
    attnlib.derive.DerivationError: not proved equal:
      left   1/Sum(exp(alpha*(-s[i] + s[j])), (j, 1, n))
      right  exp(alpha*s[i])
    """
    from attnlib.formulas import n

    left, right, keys = sp.sympify(left), sp.sympify(right), _counts(keys)
    pairs = [[_apart(side).subs(n, count).doit() for side in (left, right)] for count in keys] or [(left, right)]
    if not all(_vanishes(first - second) for first, second in pairs):
        raise DerivationError(f"not proved equal:\n  left   {left}\n  right  {right}")


def _check_letters(*expressions) -> None:
    """Refuse weights at two inverse temperatures side by side: they would be printed alike."""
    parts = {part for expr in expressions for part in sp.sympify(expr).atoms(sp.Function) if hasattr(part, "unfold")}
    if len(rates := {part.args[1] for part in parts}) > 1:
        raise DerivationError(f"weights at {' and at '.join(sorted(map(str, rates)))} would be printed alike")


def _check_follows(old, new, factor, keys) -> None:
    """Prove that equation `new` says what `old` says: its two sides differ by a positive or negative multiple."""
    if not (_positive(factor) or _positive(-factor)):
        raise DerivationError(f"factor must be proved nonzero; got {factor}")
    check_equal(old.lhs - old.rhs, factor * (new.lhs - new.rhs), keys=keys)


def _held(expr) -> bool:
    return isinstance(expr, sp.UnevaluatedExpr)


class _Latex(PositiveFirst, LatexPrinter):
    def _print_Indexed(self, expr):
        return f"{self._print(expr.base.label)}_{{{' '.join(map(self._print, expr.indices))}}}"

    # sympy leaves out the brackets of what is held back: after a minus, under a sum, and where it begins with a minus
    # in a product.
    def _print_Mul(self, expr):
        if not _held(-expr):
            return super()._print_Mul(expr)
        inner = (-expr).args[0]
        text = self._print(inner)
        return rf"- \left({text}\right)" if inner.is_Add or inner.could_extract_minus_sign() else f"- {text}"

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


def _latex(expr) -> str:
    return _Latex().doprint(expr)


class Derivation:
    """A proof that prints itself once every step of it is proved.

    Parameters
    ----------
    start : Expr or Eq
        What the derivation is about: an expression, whose steps are then equal expressions, or an equation, whose steps
        are then equivalent equations.  With `name`, the name stands on the left and `start` on its right.
    name : str, optional
        LaTeX for the left side.
    reason, equation, verdict : str, optional
        As in `step`; a start is given, not proved, so its verdict is "definition" (the default) or "assumption".

    Examples
    --------
    >>> from attnlib.formulas import kappa, mean, theta, v, i, x
    >>> proof = Derivation(sp.Derivative(-kappa * theta[i] * (x - v[i]) ** 2 / 2, x))
    >>> proof.step(-kappa * theta[i] * (x - v[i]), "differentiate")
    Derivation of 1 proved step
    >>> proof.step(kappa * theta[i] * (x - v[i]), "a wrong sign")
    Traceback (most recent call last):
    ...
    attnlib.derive.DerivationError: step 2 (a wrong sign): not proved equal:
      left   -kappa*(x - v[i])*theta[i]
      right  kappa*(x - v[i])*theta[i]
    """

    def __init__(self, start, name=None, *, reason="", equation=None, verdict="definition"):
        if verdict not in _GIVEN:
            raise DerivationError(f"verdict of a start must be one of {', '.join(sorted(_GIVEN))}; got {verdict!r}")
        bare = name or ""
        while (shorter := re.sub(r"\{[^{}]*\}", "", bare)) != bare:
            bare = shorter
        if "=" in bare:
            raise ValueError(f"name must not hold an equation, which nothing would prove; got {name!r}")
        _check_letters(start)
        self._last = start
        self._rows = []
        if isinstance(start, sp.Eq):
            sides = _latex(start.lhs), f"= {_latex(start.rhs)}"
        else:
            sides = (name, f"= {_latex(start)}") if name else (_latex(start), "")
        self._add(sides, reason, equation, verdict)

    def _add(self, sides, reason, equation, verdict, keys=()):
        if equation is not None:
            recorded = _source(equation)["verdict"]
            if verdict not in _EVIDENCE.get(recorded, {recorded}):
                raise DerivationError(f"equation {equation} is recorded as {recorded}, but here it is {verdict}")
        if self._rows and self._rows[-1][1:] == ("", "", None, "definition", ()) and not sides[0]:
            sides = (self._rows.pop()[0], sides[1])  # a bare start and its first step share a line
        self._rows.append((*sides, reason, equation, verdict, keys))

    def step(self, new, reason, *, equation=None, factor=1, keys=()):
        """Append a step that is proved equal to the one before (an equation: equivalent to it), or raise.

        Parameters
        ----------
        new : Expr or Eq
            The next expression or equation.  After an equation, `new` may be its mirror or a multiple of it.
        reason : str
            Why it holds, for the reader.  May hold LaTeX between ``\\\\(`` and ``\\\\)``.
        equation : str, optional
            The id of the source equation that this step proves.
        factor : Expr
            (old left − old right) / (new left − new right): proved to be positive or negative, then used.
        keys : sequence of int
            Numbers of keys for which to prove the step where no proof is found for a symbolic number.

        Raises
        ------
        DerivationError
            With both sides, if the step is not proved.
        """
        new, keys = sp.sympify(new), _counts(keys)
        if self._last is None:
            raise DerivationError(f"step ({reason}): nothing may follow a sign, or several derivations together")
        if isinstance(new, sp.Eq) != isinstance(self._last, sp.Eq) or not isinstance(new, sp.Expr | sp.Eq):
            raise DerivationError(f"step ({reason}): an expression follows an expression, an equation an equation")
        if equation and new == self._last:
            raise DerivationError(f"step ({reason}): evidence for {equation} must not repeat what stands before it")
        try:
            _check_letters(self._last, new)
            if isinstance(new, sp.Eq):
                _check_follows(self._last, new, sp.sympify(factor), keys)
            else:
                check_equal(self._last, new, keys=keys)
        except DerivationError as error:
            raise DerivationError(f"step {self._proved() + 1} ({reason}): {error}") from None
        self._last = new
        if isinstance(new, sp.Eq):
            sides = r"\Longleftrightarrow\quad " + _latex(new.lhs), f"= {_latex(new.rhs)}"
        else:
            sides = "", f"= {_latex(new)}"
        self._add(sides, reason, equation, "proved", keys)
        return self

    def sign(self, sign, reason, *, equation=None):
        """Prove that the last expression is above (`sign` ">") or below ("<") zero for any number of keys."""
        if not isinstance(self._last, sp.Expr) or not _positive({">": 1, "<": -1}[sign] * self._last):
            raise DerivationError(f"step {self._proved() + 1} ({reason}): not proved: {self._last} {sign} 0")
        self._last = None
        self._add(("", f"{sign} 0"), reason, equation, "proved")
        return self

    def __repr__(self):
        return f"Derivation of {self._proved()} proved step{'s' * (self._proved() != 1)}"

    def _proved(self):
        return sum(row[4] == "proved" for row in self._rows)

    def _repr_latex_(self):
        rows = (rf"{left} &{right} && \text{{{reason}}}" for left, right, reason, *_rest in self._rows)
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"

    def _repr_html_(self):
        lines = ['<table class="derivation" role="presentation">']
        for left, right, reason, equation, verdict, keys in self._rows:
            source = mark = anchor = ""
            if equation:
                record = html.escape(json.dumps({"id": equation, "keys": keys, "by": verdict}))
                entry = _source(equation)
                source = (
                    f'<span class="equation-source" data-record="{record}">{entry["source"]}, {entry["label"]}:</span> '
                )
                anchor = f' id="{equation}"'
            if verdict == "proved":
                mark = f'<span class="proved">✓ proved{" for n = " * bool(keys)}{", ".join(map(str, keys))}</span>'
            elif verdict == "tested":
                mark = '<span class="proved">✓ tested</span>'
            elif equation:
                mark = f'<span class="given">{verdict}</span>'
            sides = (
                f'<td class="left" {LEFT}>{_maths(left and DISPLAY + left)}</td>'
                f'<td class="formula" {LEFT}>{_maths(right and DISPLAY + right)}</td>'
            )
            span = "" if left or right else ' colspan="3"'  # a claim that was tested has words alone
            words = f'<td class="reason"{span} {LEFT}>{source}{_words(reason)} {mark}</td>'
            lines.append(f"<tr{anchor}>{sides * (not span)}{words}</tr>")
        return "\n".join([*lines, "</table>"])


def together(*derivations: Derivation) -> Derivation:
    """Several derivations as one table, so that their equality signs stand below each other."""
    made = copy.copy(derivations[0])
    made._last = None
    made._rows = [row for derivation in derivations for row in derivation._rows]
    return made


def checked(identifier: str, holds, reason: str) -> Derivation:
    """Record a claim of a source that a computation decides, where there is no algebra to prove.

    Parameters
    ----------
    identifier : str
        The id of the claim in equations.toml.
    holds : bool
        What the computation found: that the claim, or its correction, holds.
    reason : str
        What was computed, and what was seen.  May hold LaTeX between ``\\(`` and ``\\)``.

    Raises
    ------
    DerivationError
        If it does not hold.

    Examples
    --------
    >>> from attnlib import softmax
    >>> checked("testing-limit", softmax([2.0, 2.0, 1.0], temperature=1e-3)[0] == 0.5, "two keys tie")
    Derivation of 0 proved steps
    """
    if not isinstance(holds, bool | np.bool_):
        raise ValueError(f"holds must be True or False; got {holds!r}")
    if not holds:
        raise DerivationError(f"claim {identifier} ({reason}): the computation says otherwise")
    made = Derivation(sp.S.true)
    made._last, made._rows = None, []
    made._add(("", ""), reason, identifier, "tested")
    return made


def _maths(latex: str) -> str:
    """Mathematics in a cell's HTML: JupyterLab typesets it when it is shown, the book when it is built."""
    return rf'<span class="math notranslate nohighlight">\({html.escape(latex, quote=False)}\)</span>' if latex else ""


def _words(reason: str) -> str:
    """A reason's HTML; the LaTeX in it becomes mathematics."""
    parts = re.split(r"\\\((.*?)\\\)", reason)
    return "".join(_maths(part) if at % 2 else html.escape(part, quote=False) for at, part in enumerate(parts))


def equation(identifier, left, right=None, reason="", *, name=None, keys=()):
    """Record one equation of a source: with `right`, as proved; without, as the definition or assumption that it is.

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, j, over_keys, s, weight
    >>> equation("ma-weights", weight, sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j])), "divide")
    Derivation of 1 proved step
    """
    if right is None:
        return Derivation(left, name, reason=reason, equation=identifier, verdict=_source(identifier)["verdict"])
    return Derivation(left, name).step(right, reason, equation=identifier, keys=keys)
