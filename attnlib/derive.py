"""Derivations that show a step of algebra only after sympy has proved it, and the record of what each step is about.

A `Derivation` is a chain of expressions, or of equations, each with the reason for it.  What is equal, `attnlib.proof`
decides.  A step may say which formula of the book, or which equation of a source, it proves; the record of that
travels in the cell's output, as a MIME type of its own.
"""

import copy
import html
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.relational import Relational

from attnlib.formulas import Formula, Weight
from attnlib.printing import latex, markdown, plain
from attnlib.proof import Index, NotProved, Proved, check_equal, check_follows, is_positive, prove
from attnlib.sources import source, statement
from attnlib.turn import Exercise

LINES_TYPE = (
    "application/vnd.attention-derived.lines+json"  # of a cell's output: its proofs as a reader would type them
)
RECORD_TYPE = "application/vnd.attention-derived.record+json"  # of a cell's output: a list of what its rows prove
DISPLAY = r"\displaystyle "
LEFT = 'style="text-align: left"'  # JupyterLab sets tables to the right
_RELATION = re.compile(
    r"[=<>≠-≯⩰-⫸≡≣←-⇿＝⩴⩵]|\\char"
    r"|\\(?:[lg]eq?|n?eq?|equiv|approx|sim(?:eq)?|cong|doteq|propto|to|iff|implies|\w*arrow)\b"
)
_GIVEN = {"definition", "assumption", "slip"}
_EVIDENCE = {
    "proved": {"proved"},
    "tested": {"tested"},
    "incomplete": {"proved", "tested"},
    "misprint": {"proved", "tested"},
    "slip": {"slip", "tested"},
}


class DerivationError(ValueError):
    """A step that is not proved, or a proof that is not about what it is said to be about."""


def _check_letters(*expressions) -> None:
    """Refuse letters, and weights at two inverse temperatures, side by side that would be printed alike."""
    parts = {part for expr in expressions for part in expr.atoms(sp.Symbol, sp.IndexedBase)}
    parts -= {array.label for array in parts if isinstance(array, sp.IndexedBase)}
    bound = {limit[0] for expr in expressions for part in expr.atoms(ExprWithLimits) for limit in part.limits}
    letters: dict[tuple[str, bool], sp.Basic] = {}
    for part in parts - bound:
        if letters.setdefault((latex(part), isinstance(part, sp.IndexedBase)), part) != part:
            raise DerivationError(f"{part} is two letters, which would be printed alike")
    parts = {part for expr in expressions for part in sp.sympify(expr).atoms(Weight)}
    if len(rates := {part.args[1] for part in parts}) > 1:
        raise DerivationError(f"weights at {' and at '.join(sorted(map(str, rates)))} would be printed alike")


def _check_ranges(symbols: Iterable[sp.Basic]) -> None:
    """Refuse a new index that may have nothing to run over: its step would say nothing there, and the next would."""
    for symbol in symbols:
        if isinstance(symbol, Index) and not is_positive(symbol.last - symbol.first + 1):
            raise DerivationError(f"index {symbol} runs from {symbol.first} to {symbol.last}, which may be nothing")


def _same(left, right, keys=()) -> bool:
    return left == right or isinstance(prove(left, right, keys=keys), Proved)


def _check_about(what: str, stated, shown: sp.Basic, keys=()) -> None:
    """Raise unless what a row shows is what is stated: for an equation both sides, for an expression every side."""
    if isinstance(stated, sp.Eq) and isinstance(shown, sp.Eq):
        sides = [(shown.lhs, shown.rhs), (shown.rhs, shown.lhs)]
        about = any(_same(a, stated.lhs, keys) and _same(b, stated.rhs, keys) for a, b in sides)
    elif isinstance(stated, tuple) and isinstance(shown, sp.Expr):
        about = all(_same(shown, side, keys) for side in stated)
    else:
        about = False
    if not about:
        says = " = ".join(map(str, stated)) if isinstance(stated, tuple) else stated
        raise DerivationError(f"{what} states {says}; what is shown here is not proved to be that: {shown}")


@dataclass(frozen=True)
class Row:
    """A line of a derivation: its two sides in LaTeX, the reason for it, and what it is evidence for."""

    left: str
    right: str
    reason: str = ""
    verdict: str = "definition"
    equation: str | None = None
    formula: Formula | None = None
    keys: tuple[int, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Whether only its left side stands there."""
        return self == Row(self.left, "")

    @property
    def origin(self) -> str:
        """Which equation of a source it is, if it is one."""
        return "{source}, {label}: ".format(**source(self.equation)) if self.equation else ""

    @property
    def mark(self) -> str:
        """What is said of it: that it is proved, or what else it is evidence by."""
        if self.verdict == "proved":
            return "✓ proved" + (f" for n = {', '.join(map(str, self.keys))}" if self.keys else "")
        if self.verdict == "tested":
            return "✓ tested"
        return self.verdict if self.equation or self.formula else ""

    def records(self) -> list[dict]:
        """What the row is evidence for: equations of sources, formulas of the book."""
        subjects = (("equation", self.equation), ("formula", self.formula and self.formula.identifier))
        return [
            {"kind": kind, "id": identifier, "by": self.verdict, "keys": list(self.keys)}
            for kind, identifier in subjects
            if identifier
        ]


class Derivation:
    """A proof that prints itself once every step of it is proved.

    Parameters
    ----------
    start : Expr or Eq
        What the derivation is about: an expression, whose steps are then equal expressions, or an equation, whose steps
        are then equivalent equations.  With `name`, the name stands on the left and `start` on its right.
    name : str, optional
        LaTeX for the left side.
    reason, equation, formula, verdict : optional
        As in `step`; a start is given, not proved, so its verdict is "definition" (the default) or "assumption".

    Examples
    --------
    >>> from attnlib.formulas import i, kappa, theta, v, x
    >>> proof = Derivation(sp.Derivative(-kappa * theta[i] * (x - v[i]) ** 2 / 2, x))
    >>> proof.step(-kappa * theta[i] * (x - v[i]), "differentiate")
    Derivation of 1 proved step
    >>> proof.step(kappa * theta[i] * (x - v[i]), "a wrong sign")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    attnlib.derive.DerivationError: step 2 (a wrong sign): not proved equal:
      left   -kappa*(x - v[i])*theta[i]
      right  kappa*(x - v[i])*theta[i]
      with ...
    """

    def __init__(
        self,
        start: sp.Basic,
        name: str | None = None,
        *,
        reason: str = "",
        equation: str | None = None,
        formula: Formula | None = None,
        verdict: str = "definition",
    ):
        if verdict not in _GIVEN:
            raise DerivationError(f"verdict of a start must be one of {', '.join(sorted(_GIVEN))}; got {verdict!r}")
        bare = name or ""  # without what a sum runs over, and such
        while (shorter := re.sub(r"[_^]\{[^{}]*\}", "", bare)) != bare:
            bare = shorter
        if _RELATION.search(bare):
            raise ValueError(f"name must not hold an equation, which nothing would prove; got {name!r}")
        start = sp.sympify(start, strict=True)  # no text: it would be run
        if not isinstance(start, sp.Expr | Relational):
            raise DerivationError(f"start must be an expression or an equation, not what sympy made of it: {start}")
        if formula and verdict == "slip":
            raise DerivationError(f"formula {formula.name!r} is proved, defined or assumed; got a slip")
        _check_letters(start)
        self._last: sp.Basic | None = start
        self.lines: list[tuple[sp.Basic, str]] = [(start, reason)]  # what is shown line by line, and why
        self._proofs = [self.lines]
        self._rows: list[Row] = []
        if isinstance(start, sp.Eq):
            sides = latex(start.lhs), f"= {latex(start.rhs)}"
        else:
            sides = (name, f"= {latex(start)}") if name else (latex(start), "")
        self._add(start, Row(*sides, reason, verdict, equation, formula))

    def _add(self, shown: sp.Basic | None, row: Row) -> None:
        """Append a row, once what it shows, if not in words, is proved to be what it is evidence for."""
        if row.equation is not None:
            recorded = source(row.equation)["verdict"]
            if row.verdict not in _EVIDENCE.get(recorded, {recorded}):
                raise DerivationError(
                    f"equation {row.equation} is recorded as {recorded}, but here it is {row.verdict}"
                )
            if shown is not None and (row.verdict == "proved" or statement(row.equation) is not None):
                _check_about(f"equation {row.equation}", statement(row.equation), shown, row.keys)
        if row.formula is not None:
            what, stated = f"formula {row.formula.name!r}", row.formula.expression
            if isinstance(shown, sp.Eq):
                _check_about(what, sp.Eq(row.formula.letter, stated, evaluate=False), shown, row.keys)
            else:
                _check_about(what, (stated,), shown, row.keys)
        if row.verdict == "proved" and row.records() and latex(shown) == latex(self._last):
            raise DerivationError("evidence must not repeat what stands before it, also not in other brackets")
        if self._rows and self._rows[-1].is_bare and not row.left:
            row = replace(row, left=self._rows.pop().left)  # a bare start and its first step share a line
        self._rows.append(row)

    def step(
        self,
        new: sp.Basic,
        reason: str,
        *,
        equation: str | None = None,
        formula: Formula | None = None,
        factor: sp.Expr = sp.S.One,
        keys: Iterable[int] = (),
    ) -> "Derivation":
        """Append a step that is proved equal to the one before (an equation: equivalent to it), or raise.

        Parameters
        ----------
        new : Expr or Eq
            The next expression or equation.  After an equation, `new` may be its mirror or a multiple of it.
        reason : str
            Why it holds, for the reader.  May hold LaTeX between ``\\\\(`` and ``\\\\)``.
        equation : str, optional
            The id of the source equation that this step proves.
        formula : Formula, optional
            The formula of the book that this step proves: what it shows is proved to be the formula's right side.
        factor : Expr
            (old left − old right) / (new left − new right): proved to be positive or negative, then used.
        keys : sequence of int
            Numbers of keys for which to prove the step where no proof is found for a symbolic number.

        Raises
        ------
        DerivationError
            With both sides, if the step is not proved, or if it is not about what it is said to prove.
        """
        new, keys = sp.sympify(new, strict=True), tuple(keys)
        if self._last is None:
            raise DerivationError(f"step ({reason}): nothing may follow a sign, or several derivations together")
        if isinstance(new, sp.Eq) != isinstance(self._last, sp.Eq) or not isinstance(new, sp.Expr | sp.Eq):
            raise DerivationError(f"step ({reason}): an expression follows an expression, an equation an equation")
        about = equation or (formula and formula.name)
        if (equation or formula) and new == self._last:
            raise DerivationError(f"step ({reason}): evidence for {about} must not repeat what stands before it")
        try:
            _check_letters(self._last, new)
            _check_ranges(new.free_symbols - self._last.free_symbols)
            if isinstance(new, sp.Eq):
                check_follows(self._last, new, sp.sympify(factor), keys=keys)
            else:
                check_equal(self._last, new, keys=keys)
        except (DerivationError, NotProved) as error:
            raise DerivationError(f"step {self._proved() + 1} ({reason}): {error}") from None
        if isinstance(new, sp.Eq):
            sides = r"\Longleftrightarrow\quad " + latex(new.lhs), f"= {latex(new.rhs)}"
        else:
            sides = "", f"= {latex(new)}"
        self._add(new, Row(*sides, reason, "proved", equation, formula, keys))
        self._last = new
        self.lines.append((new, reason))
        return self

    def sign(self, sign: str, reason: str) -> "Derivation":
        """Prove that the last expression is above (`sign` ">") or below ("<") zero for any number of keys."""
        if sign not in (">", "<"):
            raise ValueError(f"sign must be '>' or '<'; got {sign!r}")
        if not isinstance(self._last, sp.Expr) or not is_positive({">": 1, "<": -1}[sign] * self._last):
            raise DerivationError(f"step {self._proved() + 1} ({reason}): not proved: {self._last} {sign} 0")
        self._last = None
        self._add(None, Row("", f"{sign} 0", reason, "proved"))
        return self

    def __repr__(self) -> str:
        return f"Derivation of {self._proved()} proved step{'s' * (self._proved() != 1)}"

    def _proved(self) -> int:
        return sum(row.verdict == "proved" for row in self._rows)

    def _repr_mimebundle_(self, **_options) -> dict:
        records = [record for row in self._rows for record in row.records()]
        proofs = [Exercise(tuple(step for step, _ in lines)).packed() for lines in self._proofs if len(lines) > 1]
        return {kind: found for kind, found in ((RECORD_TYPE, records), (LINES_TYPE, proofs)) if found}

    def _repr_markdown_(self) -> str:
        """The rows for where HTML is not shown, or the formulas in it are not: Colab, and notebooks not yet trusted."""
        lines = ["| | | |", "|--:|:--|:--|"]
        for row in self._rows:
            sides = (markdown(side and DISPLAY + side) for side in (row.left, row.right))
            words = row.origin + _words(row.reason, markdown, plain)
            lines.append(f"| {' | '.join([*sides, words])}{row.mark and f' *{row.mark}*'} |")
        return "\n".join(lines)

    def _repr_html_(self) -> str | None:
        if "google.colab" in sys.modules:
            return None  # it would show the formulas as TeX
        lines = ['<table class="derivation" role="presentation">']
        for row in self._rows:
            origin = mark = anchor = ""
            if row.equation:
                origin = f'<span class="equation-source">{row.origin.strip()}</span> '
                anchor = f' id="{row.equation}"'
            if row.formula:
                origin = f'<span id="proof-of-{row.formula.identifier}"></span>{origin}'
            if row.mark:
                mark = f'<span class="{"proved" if row.mark[0] == "✓" else "given"}">{row.mark}</span>'
            sides = (
                f'<td class="left" {LEFT}>{_maths(row.left and DISPLAY + row.left)}</td>'
                f'<td class="formula" {LEFT}>{_maths(row.right and DISPLAY + row.right)}</td>'
            )
            span = "" if row.left or row.right else ' colspan="3"'  # a claim that was tested has words alone
            words = f'<td class="reason"{span} {LEFT}>{origin}{_words(row.reason, _maths, _escaped)} {mark}</td>'
            lines.append(f"<tr{anchor}>{sides * (not span)}{words}</tr>")
        return "\n".join([*lines, "</table>"])


def together(*derivations: Derivation) -> Derivation:
    """Several derivations as one table, so that their equality signs stand below each other."""
    if not derivations:
        raise ValueError("derivations must be one or more; got none")
    table = copy.copy(derivations[0])
    table._last = None
    table._rows = [row for derivation in derivations for row in derivation._rows]
    table._proofs = [lines for derivation in derivations for lines in derivation._proofs]
    return table


def checked(identifier: str, holds: bool | np.bool_, reason: str) -> Derivation:
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
    claim = Derivation(sp.S.One)
    claim._last, claim._rows = None, []
    claim._add(None, Row("", "", reason, "tested", identifier))
    return claim


def _maths(latex: str) -> str:
    """Mathematics in a cell's HTML: JupyterLab typesets it when it is shown, the book when it is built."""
    return rf'<span class="math notranslate nohighlight">\({_escaped(latex)}\)</span>' if latex else ""


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _words(reason: str, maths: Callable[[str], str], text: Callable[[str], str]) -> str:
    """A reason, its LaTeX written by one function and its words by the other."""
    parts = re.split(r"\\\((.*?)\\\)", reason)
    return "".join(maths(part) if number % 2 else text(part) for number, part in enumerate(parts))


def equation(
    identifier: str,
    left: sp.Basic,
    right: sp.Basic | None = None,
    reason: str = "",
    *,
    name: str | None = None,
    formula: Formula | None = None,
    keys: Iterable[int] = (),
) -> Derivation:
    """Record one equation of a source: with `right`, as proved; without, as the definition or assumption that it is.

    Either way what is shown is proved to be what the ledger states (`attnlib.sources`).

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, j, over_keys, s, stable_weight
    >>> equation("ma-weights", stable_weight(i), sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j])), "divide")
    Derivation of 1 proved step
    >>> equation("transport-entropy", sp.Integer(2))
    Traceback (most recent call last):
    ...
    attnlib.derive.DerivationError: equation transport-entropy states -Sum(log(p[j])*p[j], (j, 1, n)); what is shown \
here is not proved to be that: 2
    """
    if right is None:
        verdict = source(identifier)["verdict"]
        return Derivation(left, name, reason=reason, equation=identifier, formula=formula, verdict=verdict)
    return Derivation(left, name).step(right, reason, equation=identifier, formula=formula, keys=keys)


def defined(formula: Formula, reason: str | None = None, *, verdict: str = "definition") -> Derivation:
    """A formula of the book as the definition, or the assumption, that it is; its own sentence is the reason.

    Examples
    --------
    >>> from attnlib.formulas.layer import score
    >>> defined(score)._repr_mimebundle_()[RECORD_TYPE][0]["id"]
    'score-of-a-key'
    """
    words = formula.says if reason is None else reason
    return Derivation(formula.expression, latex(formula.letter), reason=words, formula=formula, verdict=verdict)


def proved(formula: Formula, start: sp.Expr, reason: str, *, given: str = "", keys: Iterable[int] = ()) -> Derivation:
    """A formula of the book as what `start` comes to; `given` says why one starts there.

    Examples
    --------
    >>> from attnlib.formulas import i, layer, stable_weight
    >>> proved(layer.weight, stable_weight(i), "multiply by the exponential of the key's score")
    Derivation of 1 proved step
    """
    derivation = Derivation(start, latex(formula.letter), reason=given)
    return derivation.step(formula.expression, reason, formula=formula, keys=keys)
