"""One formula, one object: what a page proves is what a widget shows, and what it runs."""

import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cache

import sympy as sp

from attnlib.formulas.symbols import Weight
from attnlib.proof import Index, check_equal


@dataclass(frozen=True)
class Formula:
    """A formula: what stands on its left, what stands on its right, and how it is computed.

    Parameters
    ----------
    name : str
        What it gives, in words that no other formula has: "weight of a key".  Its address is made of them.
    letter : Expr
        The left side, such as w[i].  The indices in it are those that the formula holds for, each within the range that
        it was declared with; so a law that runs the formula gives a list over them.
    expression : Expr
        The right side, as people write it.
    says : str
        One sentence about it.
    stable : Expr, optional
        What computers run in its place, where that differs: equal, but safe from overflow.

    Raises
    ------
    ValueError
        If the name does not begin with a letter or if the right side has an index that the left side lacks.

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, j, over_keys, s, w
    >>> weight = Formula("share of a key", w[i], sp.exp(s[i]) / over_keys(sp.exp(s[j])), "The shares sum to one.")
    >>> weight.indices, weight.identifier
    ((i,), 'share-of-a-key')
    >>> Formula("score of no key", sp.Symbol("S"), s[i], "Which key?")
    Traceback (most recent call last):
    ...
    ValueError: formula 'score of no key': its right side must have the indices of its left side only; got also i
    """

    name: str
    letter: sp.Expr
    expression: sp.Expr
    says: str
    stable: sp.Expr | None = None

    def __post_init__(self):
        if not re.fullmatch(r"[^\W\d_].*", self.name):
            raise ValueError(f"name must be words, a letter first; got {self.name!r}")
        for expr in filter(None, (self.expression, self.stable)):
            if extra := {symbol for symbol in expr.free_symbols if isinstance(symbol, Index)} - set(self.indices):
                raise ValueError(
                    f"formula {self.name!r}: its right side must have the indices of its left side only; "
                    f"got also {', '.join(sorted(map(str, extra)))}"
                )

    @property
    def indices(self) -> tuple[Index, ...]:
        """The indices that the formula holds for, by name; each knows its range."""
        return tuple(sorted((part for part in self.letter.free_symbols if isinstance(part, Index)), key=str))

    @property
    def identifier(self) -> str:
        """The name as an address within a page."""
        return re.sub(r"\W+", "-", self.name).strip("-").lower()

    @property
    def runs(self) -> sp.Expr:
        """What computers run: the stable form where there is one, with every weight written in full."""
        expr = self.expression if self.stable is None else self.stable
        return expr.replace(Weight, lambda *arguments: Weight(*arguments).unfold())

    def check(self) -> None:
        """Prove that what runs is what is shown; raises `NotProved` where it is not."""
        check_equal(self.expression, self.runs)


@cache
def catalogue() -> dict[str, Formula]:
    """Every formula of the book by its identifier, chapter by chapter.

    Raises
    ------
    ValueError
        If one name means two formulas.

    Examples
    --------
    >>> catalogue()["weight-of-a-key"].letter
    w[i]
    """
    from attnlib import formulas

    known: dict[str, Formula] = {}
    for module in pkgutil.iter_modules(formulas.__path__):
        for formula in vars(importlib.import_module(f"attnlib.formulas.{module.name}")).values():
            if isinstance(formula, Formula) and known.setdefault(formula.identifier, formula) != formula:
                raise ValueError(f"name {formula.name!r} must mean one formula; got {formula} and another")
    return known
