"""The reader's language: a line as one would type it, parsed into sympy, and sympy's expressions written in it.

    exp(alpha*s_i)/sum_j exp(alpha*s_j)      d/d s_i log(sum_j exp(s_j))      sum_(j=1)^(i-1) p_j

The grammar, with what binds most loosely first::

    line       = ["="] sum ["=" sum]
    sum        = ["-"] product (("+" | "-") product)*
    product    = factor (["*" | "/"] factor)*              factors side by side are multiplied
    factor     = "-" factor | operator product | power     an operator takes what follows, up to the next + or -
    operator   = ("sum" | "prod") "_" range | "d" ["^" number] "/" "d" letter
    range      = index | "(" index "=" sum ")" "^" argument
    power      = atom ["^" argument]                       argument: a number, a letter, or a bracket
    atom       = number | letter | letter "_" argument | letter "[" sums "]" | function "(" sums ")" | "(" sum ")"

Read too, as people write them: log n, e^x, sum_ij, k_ic, Greek letters, signs such as ∑ and ·, and LaTeX's backslash.
What is typed becomes a tree, and the tree sympy's objects, by these rules alone: nothing is run as code.
"""

import difflib
import html
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from attnlib.formulas import Weight, alpha, i, j, l, s
from attnlib.printing import PositiveFirst, factors, letter
from attnlib.proof import Index

LONGEST = 1000  # signs of a line
DEEPEST = 30  # brackets in brackets
_DIGITS = 12  # of a number
_POWER = 64  # in an exponent
_LARGE = 1000  # of a number in a function
_TERMS = 3000  # that a line comes to when it is multiplied out
FUNCTIONS = {
    "exp": (sp.exp, 1),
    "log": (sp.log, 1),
    "sqrt": (sp.sqrt, 1),
    "abs": (sp.Abs, 1),
    "sign": (sp.sign, 1),
    "ceiling": (sp.ceiling, 1),
    "sin": (sp.sin, 1),
    "cos": (sp.cos, 1),
    "max": (sp.Max, 2),
    "min": (sp.Min, 2),
    "delta": (sp.KroneckerDelta, 2),
}
_OPERATORS = {"sum": (sp.Sum, "∑"), "prod": (sp.Product, "∏")}
_ALSO = {"ln": "log", "product": "prod"}
_SIGNS = {"\\": " ", "−": "-", "–": "-", "·": "*", "×": "*", "⋅": "*", "∕": "/", "⁄": "/", "÷": "/", "{": "(", "}": ")"}
_SIGNS |= {
    "∑": " sum",
    "Σ": " sum",
    "∏": " prod",
    "Π": " prod",
    "∂": " d ",
    "√": " sqrt",
    "¹": "^1",
    "²": "^2",
    "³": "^3",
    "½": "(1/2)",
}
_TOKEN = re.compile(
    r" *(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<name>[A-Za-z][A-Za-z0-9]*)|(?P<sign>\*\*|[-+*/^_=,()[\]]))"
)


class Unreadable(ValueError):
    """A line that cannot be read: why, in words, and from which place of the text to which."""

    def __init__(self, words: str, start: int = 0, end: int = 0):
        super().__init__(words)
        self.start, self.end = start, end


# --- Letters ---------------------------------------------------------------------------------------------------------


def spelled(symbol) -> str:
    """How a letter is typed.

    Examples
    --------
    >>> spelled(alpha), spelled(sp.Symbol("μ̂")), spelled(sp.Symbol("c'"))
    ('alpha', 'muhat', 'cprime')
    """
    text = str(getattr(symbol, "label", getattr(symbol, "name", symbol)))
    for sign, name in (("'", "prime"), ("ℓ", "ell"), ("\u0302", "hat")):
        text = text.replace(sign, name)
    return "".join(map(_latin, text))


def _latin(sign: str) -> str:
    """The name of a Greek letter; another sign stays."""
    return unicodedata.name(sign).split()[-1].lower() if "Ͱ" <= sign <= "Ͽ" else sign


class Letters:
    """The letters of an exercise by the names under which they are typed.

    Parameters
    ----------
    letters : iterable of Symbol, Index, Indexed, undefined function or Weight
        An element stands for its array; a `Weight` for the softmax weights at its inverse temperature.
    free : iterable of Index
        The indices that may stand outside of a sum.

    Raises
    ------
    ValueError
        If two letters would be typed alike.
    """

    def __init__(self, letters: Iterable, free: Iterable[Index] = ()):
        self.scalars: dict[str, sp.Symbol] = {}
        self.arrays: dict[str, object] = {}  # an IndexedBase; or the class Weight
        self.functions: dict[str, UndefinedFunction] = {}
        self.rate: sp.Expr = alpha
        self.free = frozenset(free)
        self.elements: dict[str, sp.Indexed] = {}  # one of each array
        for one in letters:
            table: dict = self.scalars
            if isinstance(one, sp.Indexed):
                self.elements[spelled(one.base)] = one
                one = one.base
            if isinstance(one, Weight):
                self.rate, table, one = one.args[1], self.arrays, Weight
            elif isinstance(one, sp.IndexedBase):
                table = self.arrays
            elif isinstance(one, UndefinedFunction):
                table = self.functions
            name = "w" if one is Weight else spelled(one)
            if table.setdefault(name, one) != one or (table is self.functions and name in self.scalars):
                raise ValueError(f"letters must be typed each in its own way; got two that are typed {name}")

    @classmethod
    def of(cls, *expressions: sp.Basic) -> "Letters":
        """All letters of some expressions, and the book's indices of keys."""
        found: dict = {}
        for expr in expressions:
            labels = {array.label for array in expr.atoms(sp.IndexedBase)}
            simple = [
                part for part in expr.atoms(sp.Indexed) if all(isinstance(index, Index) for index in part.indices)
            ]
            elements = {part.base: part for part in (*expr.atoms(sp.Indexed), *sorted(simple, key=str, reverse=True))}
            weights = expr.atoms(Weight)
            for part in (*sp.preorder_traversal(expr), *(part for weight in weights for part in _inner(weight))):
                if isinstance(part, AppliedUndef) and not hasattr(part, "unfold"):
                    found[part.func] = True
                elif isinstance(part, Weight):
                    found[Weight(i, part.args[1])] = True
                elif isinstance(part, sp.IndexedBase):
                    found[elements.get(part, part[i])] = True
                elif isinstance(part, sp.Symbol) and part not in labels:
                    found[part] = not isinstance(part, sp.Dummy)
        taken = {spelled(part) for part in found if isinstance(part, sp.Symbol)}
        found |= {index: True for index in (i, j, l) if spelled(index) not in taken}
        for index in [part for part in found if isinstance(part, Index)]:
            found |= dict.fromkeys(index.first.free_symbols | index.last.free_symbols, True)
        bound = {limit[0] for expr in expressions for part in expr.atoms(sp.Sum, sp.Product) for limit in part.limits}
        outside = set().union(*(expr.free_symbols for expr in expressions))
        slopes = {by for expr in expressions for part in expr.atoms(sp.Derivative) for by in part.variables}
        outside |= {part for by in slopes for part in by.free_symbols}
        letters = [
            part for part, kept in found.items() if kept and (isinstance(part, Index) or part not in bound - outside)
        ]
        return cls(letters, [part for part in outside if isinstance(part, Index)])

    def __iter__(self):
        yield from self.scalars.values()
        for name, array in self.arrays.items():
            yield Weight(i, self.rate) if array is Weight else self.elements[name]
        yield from self.functions.values()

    def names(self) -> list[str]:
        """Every name that may be typed."""
        return [*self.scalars, *self.arrays, *self.functions, *FUNCTIONS, *_OPERATORS]


def _inner(weight: Weight):
    return (*weight.args[1].free_symbols, s)


# --- A tree of what was typed ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A part of a line: its kind, what it names, its parts, and from which place of the text to which it stands."""

    kind: str
    name: str
    parts: tuple["Node", ...]
    start: int
    end: int


def _known(name: str) -> str:
    """The name of a function or an operator as this language has it: Log and ln are log."""
    lower = name.lower()
    lower = _ALSO.get(lower, lower)
    return lower if lower in FUNCTIONS or lower in _OPERATORS else name


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    signs: list[tuple[str, int]] = []
    for place, sign in enumerate(text):
        if sign == "\u0302" and signs:  # the hat of the letter before
            signs = [pair for pair in signs if pair != (" ", place - 1)] + [(part, place) for part in "hat "]
            continue
        unseen = sign.isspace() or unicodedata.category(sign) == "Cf"
        name = _latin(sign)
        plain = _SIGNS.get(sign) or (f" {name} " if name != sign else " " if unseen else sign)
        signs += [(part, place) for part in plain]
    plain, places = "".join(sign for sign, _ in signs), [place for _, place in signs]
    found, at = [], 0
    end = len(plain.rstrip(" "))
    while at < end:
        token = _TOKEN.match(plain, at)
        if token is None:
            at += len(plain[at:]) - len(plain[at:].lstrip(" "))
            sign = text[places[at]]
            raise Unreadable(f"“{sign}” is no sign of this language", places[at], places[at] + 1)
        kind = str(token.lastgroup)
        found.append(_Token(kind, token[kind], places[token.start(kind)], places[token.end() - 1] + 1))
        at = token.end()
    return [*found, _Token("end", "", len(text), len(text))]


class _Reader:
    """Reads a line from left to right, one token ahead."""

    def __init__(self, text: str, letters: Letters):
        if len(text) > LONGEST:
            raise Unreadable(f"a line has at most {LONGEST} signs; this one has {len(text)}", LONGEST, len(text))
        self.tokens, self.at, self.depth, self.letters = _tokens(text), 0, 0, letters
        self.bound: list[str] = []  # the indices of the sums around

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def ahead(self, count: int) -> _Token:
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self, *signs: str) -> _Token | None:
        """Pass over one of some signs, if it is next."""
        if self.next.kind != "sign" or self.next.text not in signs:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def fail(self, words: str, token: _Token | None = None) -> NoReturn:
        token = token or self.next
        raise Unreadable(words, token.start, max(token.end, token.start + 1))

    def node(self, kind: str, name: str, parts, start: int) -> Node:
        return Node(kind, name, tuple(parts), start, self.tokens[self.at - 1].end)

    def line(self) -> tuple[Node | None, Node]:
        self.take("=")
        if self.next.kind == "end":
            self.fail("the line is empty")
        left, right = None, self.sum()
        if self.take("="):
            left, right = right, self.sum()
        if self.next.text == "=":
            self.fail("a line has one = only")
        if self.next.text in (")", "]"):
            self.fail(f"“{self.next.text}” closes no bracket")
        if self.next.kind != "end":
            self.fail(f"“{self.next.text}” is not expected here")
        return left, right

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} brackets stand in each other")
        start, parts, signs = self.next.start, [], []
        sign = self.take("-", "+")
        while True:
            signs.append(sign.text if sign else "+")
            parts.append(self.product())
            if not (sign := self.take("-", "+")):
                break
        self.depth -= 1
        return parts[0] if signs == ["+"] else self.node("plus", "".join(signs), parts, start)

    def product(self) -> Node:
        start, parts, signs = self.next.start, [self.factor()], ["*"]
        while True:
            if sign := self.take("*", "/"):
                signs.append(sign.text)
            elif self.next.kind in ("number", "name") or self.next.text in ("(", "["):
                if self.next.kind == "number":
                    self.fail(f"between the number {self.next.text} and what stands before it a sign is missing")
                signs.append("*")
            else:
                break
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else self.node("times", "".join(signs), parts, start)

    def factor(self) -> Node:
        start, minus = self.next.start, 0
        while self.take("-"):
            minus += 1
        inner = self.operator() or self.power()
        return self.node("plus", "-", (inner,), start) if minus % 2 else inner

    def operator(self) -> Node | None:
        token = self.next
        if token.kind != "name":
            return None
        name = _known(token.text)
        if name in _OPERATORS and not self.is_letter(token):
            self.at += 1
            if not self.take("_"):
                self.fail(f"“{name}” needs an index, such as {name}_j", token)
            ranges = self.range(name)
            self.bound += [index.name for index, *_ends in ranges]
            node = self.body()
            for limits in reversed(ranges):
                node = self.node(name, "", (*limits, node), token.start)
                self.bound.pop()
            return node
        if token.text == "d":
            return self.derivative(token)
        return None

    def body(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} sums and brackets stand in each other")
        inner = self.product()
        self.depth -= 1
        return inner

    def range(self, name: str) -> list[tuple[Node, ...]]:
        """The index of a sum and, if they are typed, its ends; or several indices, each with its own range."""
        bracket = self.take("(")
        found: list[tuple[Node, ...]] = [(one,) for one in self.indices(name)]
        if bracket:
            while self.take(","):
                found += [(one,) for one in self.indices(name)]
            if len(found) == 1 and self.take("="):
                found = [(*found[0], self.sum())]
            self.close(bracket)
        for index, *first in found:
            if first:
                if not self.take("^", "**"):
                    self.fail(f"where the {name} ends is missing: {name}_({index.name}=1)^n")
                return [(index, *first, self.argument())]
            if not isinstance(self.letters.scalars.get(index.name), Index):
                words = f"“{index.name}” has no range; type one: {name}_({index.name}=1)^n"
                raise Unreadable(words, index.start, index.end)
        return found

    def indices(self, name: str) -> list[Node]:
        """An index; or two, as in sum_ij."""
        token = self.next
        if token.kind != "name":
            self.fail(f"“{name}_” needs an index, such as {name}_j")
        self.at += 1
        names = [token.text]
        if not self.is_letter(token) and all(isinstance(self.letters.scalars.get(one), Index) for one in token.text):
            names = list(token.text)
        return [self.node("letter", one, (), token.start) for one in names]

    def derivative(self, token: _Token) -> Node | None:
        """What begins as d/d x, d/dx or d^2/dx^2; else nothing is passed over."""
        before, count = self.at, 1
        self.at += 1
        if self.take("^", "**") and self.next.kind == "number" and self.next.text in ("1", "2", "3", "4"):
            count = int(self.next.text)
            self.at += 1
        if not self.take("/") or self.next.kind != "name" or self.next.text[0] != "d":
            self.at = before
            return None
        below = self.next
        if below.text == "d" and self.ahead(1).kind == "name":
            self.at += 1
        elif len(below.text) > 1 and below.text not in self.letters.names():
            self.tokens[self.at] = _Token("name", below.text[1:], below.start + 1, below.end)
        else:
            self.at = before
            return None
        by = self.atom()
        if count > 1 and not (self.take("^", "**") and self.next.text == f"{count}"):
            self.fail(f"a derivative taken {count} times is typed d^{count}/dx^{count}")
        if count > 1:
            self.at += 1
        return self.node("derivative", f"{count}", (by, self.body()), token.start)

    def power(self) -> Node:
        start, base = self.next.start, self.atom()
        if not self.take("^", "**"):
            return base
        exponent = self.argument()
        if self.next.text in ("^", "**"):
            self.fail("a power of a power needs brackets")
        return self.node("power", "", (base, exponent), start)

    def argument(self) -> Node:
        """What stands beside ^: a number, a letter, or a bracket; a minus may stand before it."""
        start = self.next.start
        if self.take("-"):
            return self.node("plus", "-", (self.atom(),), start)
        return self.atom()

    def is_letter(self, token: _Token) -> bool:
        return token.text in self.letters.scalars or token.text in self.letters.arrays

    def close(self, opening: _Token) -> None:
        if not self.take(")" if opening.text == "(" else "]"):
            if self.next.kind == "end":
                self.fail("this bracket is not closed", opening)
            self.fail(f"“{self.next.text}” is not expected here")

    def several(self, opening: _Token) -> list[Node]:
        parts = [self.sum()]
        while self.take(","):
            parts.append(self.sum())
        self.close(opening)
        return parts

    def atom(self) -> Node:
        token = self.next
        if token.kind == "number":
            self.at += 1
            if len(token.text) > _DIGITS:
                self.fail(f"a number has at most {_DIGITS} digits", token)
            return self.node("number", token.text, (), token.start)
        if bracket := self.take("(", "["):
            inner = self.sum()
            self.close(bracket)
            return self.node("bracket", "", (inner,), token.start)
        if token.kind != "name":
            if token.kind == "end":
                self.fail("the line ends where something must follow")
            self.fail(f"“{token.text}” stands where a number, a letter or a bracket must stand")
        self.at += 1
        return self.named(token)

    def named(self, token: _Token) -> Node:
        name, letters = token.text, self.letters
        if not (self.is_letter(token) or name in self.bound):
            name = _known(name)
        if self.next.text == "_" and self.ahead(1).text:  # a word or a number below it is its own: s_min, s0
            for joined in (f"{name}_{self.ahead(1).text}", f"{name}{self.ahead(1).text}"):
                if joined in letters.scalars:
                    self.at += 2
                    return self.node("letter", joined, (), token.start)
        if name in letters.arrays and (self.next.text in ("_", "[")):
            return self.indexed(name, token)
        if name in letters.scalars or name in self.bound:
            if self.next.text == "_":
                self.fail(f"“{name}” has no index", token)
            return self.node("letter", name, (), token.start)
        if name in letters.functions or name in FUNCTIONS:
            wanted = FUNCTIONS[name][1] if name not in letters.functions else None
            example = {1: "x", 2: "x, y", None: "x"}[wanted]
            if name == "delta" and self.next.text == "_":
                parts = self.below()
            elif name == "log" and self.next.kind in ("name", "number"):  # as the book prints it: log w_i
                parts = [self.operator() or self.atom()]
            elif bracket := self.take("("):
                parts = self.several(bracket)
            else:
                self.fail(f"“{name}” needs a bracket: {name}({example})", token)
            if wanted and len(parts) != wanted:
                self.fail(f"“{name}” takes {wanted}, not {len(parts)}: {name}({example})", token)
            return self.node("function", name, parts, token.start)
        if name in letters.arrays:
            self.fail(f"“{name}” needs an index, such as {name}_i", token)
        if name == "e" and self.next.text in ("^", "**"):
            self.at += 1
            return self.node("function", "exp", (self.argument(),), token.start)
        if name == "pi":
            return self.node("number", "pi", (), token.start)
        self.fail(f"“{name}” is no letter of this exercise{self.advice(name)}", token)

    def advice(self, name: str) -> str:
        """What may have been meant by an unknown name."""
        names = (*self.letters.names(), *self.bound)
        if name[0] == "d" and (name == "d" or name[1:] in names):
            return f"; a derivative is typed before what it is taken of: d/d {name[1:] or 'x'} …"
        if any(name[:cut] in names and name[cut:] in names for cut in range(1, len(name))):
            return "; between factors stands a space or a *"
        near = difflib.get_close_matches(name, names, 1) if len(name) > 2 else []
        return f"; is {near[0]} meant?" if near else ", whose letters are the buttons below"

    def indexed(self, name: str, token: _Token) -> Node:
        return self.node("indexed", name, self.below(), token.start)

    def below(self) -> list[Node]:
        """The indices of a letter: _i, _ij, _(i, j), _(ij) or [i, j]."""
        opening = self.take("[")
        if opening is None and self.take("_"):
            opening = self.take("(")
        if opening is None:
            return self.letters_below()
        if self.ahead(1).text in (")", "]") and self.next.kind == "name":
            parts = self.letters_below()
            self.close(opening)
            return parts
        return self.several(opening)

    def letters_below(self) -> list[Node]:
        """What stands below a letter without a bracket: a number, a letter, or letters side by side as in k_ic."""
        token = self.next
        if token.kind == "name" and token.text not in (*self.letters.scalars, *self.bound):
            known = [one for one in token.text if one in (*self.letters.scalars, *self.bound)]
            if len(known) == len(token.text) > 1:
                self.at += 1
                return [Node("letter", one, (), token.start, token.end) for one in token.text]
        if token.kind not in ("number", "name"):
            self.fail("an index is a letter, a number or a bracket")
        return [self.atom()]


# --- From the tree to sympy ------------------------------------------------------------------------------------------


class _Builder:
    """Makes sympy's objects of a tree; `bound` are the indices of the sums around, by name."""

    def __init__(self, letters: Letters):
        self.letters = letters
        self.demands: set[tuple[str, sp.Expr]] = set()

    def demand(self, what: str, part: sp.Expr, bound: dict) -> None:
        """Note what a line divides by, or takes a logarithm or root of, as typed: sympy cancels at once."""
        if not part.free_symbols & set(bound.values()):
            self.demands.add((what, part))

    def build(self, node: Node, bound: dict) -> sp.Expr:
        made = getattr(self, f"_{node.kind}")(node, bound)
        if made.is_real is False:  # what is around it could make it real again: |log(−1)| is π
            _fail(node, "this is no real number")
        return made

    def all(self, nodes, bound: dict) -> list[sp.Expr]:
        return [self.build(node, bound) for node in nodes]

    def _number(self, node, bound):
        return sp.pi if node.name == "pi" else sp.Rational(node.name)

    def _letter(self, node, bound):
        if node.name in bound:
            return bound[node.name]
        found = self.letters.scalars.get(node.name)
        if found is None:
            _fail(node, f"“{node.name}” is no letter of this exercise")
        if isinstance(found, Index) and found not in self.letters.free:
            words = f"“{node.name}” is an index of a sum, and no sum over it is here: a sum ends before the next + or −"
            _fail(node, words)
        return found

    def _indexed(self, node, bound):
        indices = self.all(node.parts, bound)
        for part, index in zip(node.parts, indices, strict=True):
            if not index.is_integer:
                _fail(part, "an index must be a whole number")
            if index.is_Integer and index < 1:
                _fail(part, "an index begins at 1")
        array = self.letters.arrays[node.name]
        if len(indices) != (count := len(self.letters.elements[node.name].indices) if array is not Weight else 1):
            _fail(node, f"“{node.name}” has {count} {'index' if count == 1 else 'indices'}, not {len(indices)}")
        return Weight(*indices, self.letters.rate) if array is Weight else array[tuple(indices)]

    def _bracket(self, node, bound):
        return self.build(node.parts[0], bound)

    def _plus(self, node, bound):
        parts = zip(node.name, self.all(node.parts, bound), strict=True)
        return sp.Add(*(part if sign == "+" else -part for sign, part in parts))

    def _times(self, node, bound):
        made = []
        for sign, part in zip(node.name, node.parts, strict=True):
            factor = self.build(part, bound)
            if sign == "/" and factor == 0:
                _fail(part, "nothing can be divided by zero")
            if sign == "/":
                self.demand("nonzero", factor, bound)
            made.append(factor if sign == "*" else 1 / factor)
        return sp.Mul(*made)

    def _power(self, node, bound):
        base, exponent = self.all(node.parts, bound)
        degree = max((abs(part.exp) for part in base.atoms(sp.Pow) if part.exp.is_Rational), default=1)
        digits = max((len(str(part)) for part in base.atoms(sp.Rational)), default=1)
        if exponent.is_number and not abs(exponent) * max(degree, 1, sp.Rational(digits, 4)) <= _POWER:
            _fail(node, "this power is too large for this language")
        if exponent.is_Rational and exponent.q > _POWER:
            _fail(node, f"a root is at most the {_POWER}th")
        if not exponent.is_nonnegative:
            self.demand("nonzero", base, bound)
        if not exponent.is_integer:
            self.demand("positive", base, bound)
        return base**exponent

    def _function(self, node, bound):
        made = self.all(node.parts, bound)
        if node.name in self.letters.functions:
            return self.letters.functions[node.name](*made)
        if made[0].is_number and not abs(made[0]) <= _LARGE:
            _fail(node, f"“{node.name}” is taken of numbers up to {_LARGE}")
        if node.name in ("log", "sqrt"):
            self.demand("positive", made[0], bound)
        return FUNCTIONS[node.name][0](*made)

    def _sum(self, node, bound):
        index, *ends, body = node.parts
        known = self.letters.scalars.get(index.name)
        if ends:
            first, last = self.all(ends, bound)
            for end, value in zip(ends, (first, last), strict=True):
                if not value.is_integer:
                    _fail(end, "it must run from a whole number to a whole number")
            if not isinstance(known, Index | None):
                _fail(index, f"“{index.name}” is a letter already")
            assumed = {name: True for name in ("positive", "nonnegative") if getattr(first, f"is_{name}")}
            symbol = sp.Symbol(index.name, integer=True, **assumed)
            if known is not None and (first, last) == (known.first, known.last):
                symbol = known
        else:
            symbol, first, last = known, known.first, known.last
        return _OPERATORS[node.kind][0](self.build(body, bound | {index.name: symbol}), (symbol, first, last))

    _prod = _sum

    def _derivative(self, node, bound):
        by, body = self.all(node.parts, bound)
        if not isinstance(by, sp.Symbol | sp.Indexed) or isinstance(by, Index) or by in bound.values():
            _fail(node.parts[0], "a derivative is taken by a letter")
        if by.is_integer and body.has(sp.sin, sp.cos, sp.ceiling, sp.sign, sp.Abs, sp.Max, sp.Min):
            _fail(node, "a derivative by a whole number is taken of what has a value, and a slope, between them too")
        return sp.Derivative(body, (by, int(node.name)))


def _fail(node: Node, words: str) -> NoReturn:
    raise Unreadable(words, node.start, node.end)


def _terms(expr: sp.Basic) -> int:
    """How many terms an expression comes to when it is multiplied out: the most that any part of it comes to."""
    most = 1

    def count(part) -> int:
        nonlocal most
        inner = [count(arg) for arg in part.args]
        found = 1
        if part.is_Add:
            found = sum(inner)
        elif part.is_Mul:
            found = math.prod(inner)
        elif part.is_Pow and part.exp.is_Integer and abs(part.exp) <= _POWER:
            found = math.comb(inner[0] + abs(int(part.exp)) - 1, abs(int(part.exp)))
        elif isinstance(part, sp.Sum | sp.Derivative):
            found = inner[0]
        most = max(most, found)
        return found

    count(expr)
    return most


@dataclass(frozen=True)
class Line:
    """What a line says: an expression, or with a left side that it equals an equation; and how it was typed."""

    left: sp.Expr | None
    right: sp.Expr
    typed: tuple[Node | None, Node]
    letters: Letters
    demands: frozenset[tuple[str, sp.Expr]]  # what must be nonzero, or positive, for the line to have a value

    @property
    def mathml(self) -> str:
        """The line as MathML, as it was typed: nothing is multiplied out, cancelled or put in order."""
        left, right = (node and _Typesetter(self.letters).set(node) for node in self.typed)
        row = right if left is None else f"{left}<mo>=</mo>{right}"
        return f'<math><mstyle displaystyle="true"><mrow>{row}</mrow></mstyle></math>'


def parse(text: str, letters: Letters) -> Line:
    """Read a line.

    Parameters
    ----------
    text : str
        What was typed, at most `LONGEST` signs.
    letters : Letters
        The letters that it may use.

    Returns
    -------
    Line

    Raises
    ------
    Unreadable
        With what is wrong in words, and where.

    Examples
    --------
    >>> letters = Letters.of(Weight(i, alpha))
    >>> parse("exp(alpha*s_i)/sum_j exp(alpha*s_j)", letters).right
    exp(alpha*s[i])/Sum(exp(alpha*s[j]), (j, 1, n))
    >>> parse("exp s_i", letters)
    Traceback (most recent call last):
    ...
    attnlib.language.Unreadable: “exp” needs a bracket: exp(x)
    """
    typed = _Reader(text, letters).line()
    builder = _Builder(letters)
    whole = Node("line", "", (), 0, len(text))
    sides = []
    for node in filter(None, typed):
        try:
            side = builder.build(node, {})
        except (TypeError, ValueError, RecursionError) as error:
            if isinstance(error, Unreadable):
                raise
            _fail(node, "this cannot be computed with")
        if side.has(sp.zoo, sp.nan, sp.oo, -sp.oo, sp.I):
            _fail(node, "this is no real number")
        if _terms(side) > _TERMS:
            _fail(whole, f"multiplied out, this line has more than {_TERMS} terms")
        sides.append(side)
    return Line(sides[0] if len(sides) > 1 else None, sides[-1], typed, letters, frozenset(builder.demands))


# --- The tree as it was typed, in MathML -----------------------------------------------------------------------------


class _Typesetter:
    """Writes a tree as MathML."""

    def __init__(self, letters: Letters):
        self.letters = letters

    def set(self, node: Node, bare: bool = False) -> str:
        """The MathML of a part; with `bare`, without the bracket around it, where a line or a place does its work."""
        if bare and node.kind == "bracket":
            return self.set(node.parts[0])
        return f"<mrow>{getattr(self, f'_{node.kind}')(node)}</mrow>"

    def glyph(self, name: str, table: dict) -> str:
        symbol = table.get(name, name)
        return "w" if symbol is Weight else letter(getattr(symbol, "label", symbol))

    def _number(self, node):
        return "<mi>π</mi>" if node.name == "pi" else f"<mn>{node.name}</mn>"

    def _letter(self, node):
        return f"<mi>{html.escape(self.glyph(node.name, self.letters.scalars))}</mi>"

    def _indexed(self, node):
        below = "<mspace width='0.17em'/>".join(self.set(part, bare=True) for part in node.parts)
        return f"<msub><mi>{html.escape(self.glyph(node.name, self.letters.arrays))}</mi><mrow>{below}</mrow></msub>"

    def _bracket(self, node, inner=None):
        return f"<mo>(</mo>{self.set(inner or node.parts[0])}<mo>)</mo>"

    def _plus(self, node):
        signs = [sign if number else sign.replace("+", "") for number, sign in enumerate(node.name)]
        signs = ["−" if sign == "-" else sign for sign in signs]
        return "".join(
            f"<mo>{sign}</mo>" * bool(sign) + self.set(part) for sign, part in zip(signs, node.parts, strict=True)
        )

    def _times(self, node):
        row = ""
        for number, (sign, part) in enumerate(zip(node.name, node.parts, strict=True)):
            if sign == "/":  # below all that stands before it
                above = self.set(node.parts[0], bare=True) if number == 1 else row
                row = f"<mfrac linethickness='1px'><mrow>{above}</mrow>{self.set(part, bare=True)}</mfrac>"
            elif number:
                between = "·" if part.kind == "number" and part.name != "pi" else "\u2062"
                row += f"<mo>{between}</mo>{self.set(part)}"
            else:
                row = self.set(part)
        return row

    def _power(self, node):
        return f"<msup>{self.set(node.parts[0])}{self.set(node.parts[1], bare=True)}</msup>"

    def _function(self, node):
        inner = ("" if node.name == "delta" else "<mo>,</mo>").join(map(self.set, node.parts))
        if node.name == "exp":
            return f"<msup><mi>e</mi><mrow>{inner}</mrow></msup>"
        if node.name == "sqrt":
            return f"<msqrt>{inner}</msqrt>"
        if node.name == "delta":
            return f"<msub><mi>δ</mi><mrow>{inner}</mrow></msub>"
        if node.name == "abs":
            return f"<mo>|</mo>{inner}<mo>|</mo>"
        name = self.glyph(node.name, self.letters.functions)
        return f"<mspace width='0.17em'/><mi>{html.escape(name)}</mi><mo>\u2061</mo><mo>(</mo>{inner}<mo>)</mo>"

    def _sum(self, node):
        index, *ends, body = node.parts
        sign = f"<mo>{_OPERATORS[node.kind][1]}</mo>"
        if ends:
            start, end = self.set(ends[0]), self.set(ends[1], bare=True)
            below = f"<mrow>{self._letter(index)}<mo lspace='0' rspace='0'>=</mo>{start}</mrow>"
            return f"<munderover>{sign}{below}{end}</munderover>{self.scope(node.kind, body)}"
        return f"<munder>{sign}{self._letter(index)}</munder>{self.scope(node.kind, body)}"

    def scope(self, kind: str, body: Node) -> str:
        """What an operator takes, in a bracket where one would not see how far it goes."""
        return self._bracket(body, body) if kind != "sum" and body.kind == "times" else self.set(body)

    _prod = _sum

    def _derivative(self, node):
        by, body = node.parts
        power = f"<mn>{node.name}</mn>" if node.name != "1" else ""
        sign = f"<msup><mo>∂</mo>{power}</msup>" if power else "<mo>∂</mo>"
        below = f"<msup>{self.set(by)}{power}</msup>" if power else self.set(by)
        return f"<mfrac>{sign}<mrow><mo>∂</mo>{below}</mrow></mfrac>{self.scope(node.kind, body)}"


# --- sympy's expressions in the reader's language --------------------------------------------------------------------


_OPEN = (sp.Sum, sp.Product, sp.Derivative)


class _Writer(PositiveFirst, StrPrinter):
    """Writes an expression so that `parse` reads it again."""

    printmethod = "_typed"  # not the text that sympy's classes print themselves as

    def __init__(self, letters: Letters):
        super().__init__()
        self.letters = letters

    def parenthesize(self, item, level, strict=False):
        if isinstance(item, sp.UnevaluatedExpr):
            return self._print(item)
        if isinstance(item, _OPEN):
            return f"({self._print(item)})"
        return super().parenthesize(item, level, strict)

    def _print_Symbol(self, expr):
        return spelled(expr)

    def _print_Mul(self, expr):
        negative, above, below = factors(expr)
        text = self._side(above, last=not below)
        if below:
            under = self._side(below, last=len(below) == 1)
            text = f"{text}/{under}" if len(below) == 1 else f"{text}/({under})"
        return f"-{text}" if negative else text

    def _side(self, parts, last):
        texts = [self.parenthesize(part, PRECEDENCE["Mul"]) for part in parts]
        if last and isinstance(parts[-1], _OPEN):
            texts[-1] = self._print(parts[-1])  # an operator takes what follows, and nothing does
        return "*".join(texts)

    def _print_Indexed(self, expr):
        return self._below(spelled(expr.base), expr.indices)

    def _below(self, name, indices):
        if len(indices) == 1 and (indices[0].is_Symbol or indices[0].is_Integer):
            below = self._print(indices[0])
            if (
                not {f"{name}_{below}", f"{name}{below}"} & self.letters.scalars.keys()
            ):  # these would be read as letters
                return f"{name}_{below}"
        return f"{name}[{', '.join(map(self._print, indices))}]"

    def _print_Weight(self, expr):
        return self._below("w", expr.args[:1])

    def _print_LogOrZero(self, expr):
        return f"log({self._print(expr.args[0])})"

    def _print_Function(self, expr):
        names = {kind: name for name, (kind, _) in FUNCTIONS.items()}
        name = names.get(expr.func) or spelled(expr.func.__name__)
        return f"{name}({', '.join(map(self._print, expr.args))})"

    _print_Max = _print_Min = _print_KroneckerDelta = _print_Abs = _print_ceiling = _print_sign = _print_Function

    def _print_Exp1(self, expr):
        return "exp(1)"

    def _print_UnevaluatedExpr(self, expr):
        return f"({self._print(expr.args[0])})"

    def _print_Sum(self, expr, name="sum"):
        *inner, (index, first, last) = expr.limits
        body = expr.func(expr.function, *inner) if inner else expr.function
        known = self.letters.scalars.get(spelled(index))
        if isinstance(known, Index) and (first, last) == (known.first, known.last):
            limits = spelled(index)
        else:
            limits = f"({spelled(index)}={self._print(first)})^({self._print(last)})"
        text = self._print(body)
        return f"{name}_{limits} " + (f"({text})" if body.is_Add or text.startswith("-") else text)

    def _print_Product(self, expr):
        return self._print_Sum(expr, "prod")

    def _print_Derivative(self, expr):
        text = self._print(expr.expr)
        if expr.expr.is_Add or text.startswith("-"):
            text = f"({text})"
        for by, count in reversed(expr.variable_count):
            power = "" if count == 1 else f"^{count}"
            text = f"d{power}/d {self._print(by)}{power} {text}"
        return text

    def _print_Relational(self, expr):
        return f"{self._print(expr.lhs)} = {self._print(expr.rhs)}"


def written(expr: sp.Basic, letters: Letters) -> str:
    """An expression or an equation as a reader would type it.

    Examples
    --------
    >>> from attnlib.formulas import over_keys, tau, u
    >>> weight = Weight(i, alpha)
    >>> expr = weight * (u[i] - over_keys(Weight(j, alpha) * u[j])) / tau
    >>> written(expr, Letters.of(expr))
    'w_i*(u_i - sum_j w_j*u_j)/tau'
    """
    return re.sub(r"\*\*", "^", _Writer(letters).doprint(_renamed(expr, letters)))


def _renamed(expr: sp.Basic, letters: Letters) -> sp.Basic:
    """The same with another index for a sum whose index would be typed like a letter that is free inside it."""
    if not expr.args:
        return expr
    expr = expr.func(*(_renamed(arg, letters) for arg in expr.args)) if not isinstance(expr, sp.Indexed) else expr
    if isinstance(expr, sp.Sum | sp.Product):
        for index, first, last in expr.limits:
            free = {spelled(part) for part in expr.function.free_symbols if part != index and part.is_Symbol}
            known = letters.scalars.get(spelled(index))
            if spelled(index) in free or (known is not None and not isinstance(known, Index)):
                others = [one for one in (i, j, l, sp.Symbol("m"), sp.Symbol("a")) if spelled(one) not in free]
                other = next(one for one in others if isinstance(letters.scalars.get(spelled(one)), Index | None))
                other = sp.Symbol(other.name, **index.assumptions0) if (first, last) != (1, i.last) else other
                limits = [(other if one == index else one, *ends) for one, *ends in expr.limits]
                expr = expr.func(expr.function.xreplace({index: other}), *limits)
    return expr
