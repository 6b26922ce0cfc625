"""The prover against plain arithmetic: of random statements and near misses, none that numbers contradict is proved.

In the test suite it runs for a minute.  By hand, for as long as asked, with a table of what was drawn and accepted:

    python tests/test_proof_fuzz.py --seconds 600 --seed 3
    python tests/test_proof_fuzz.py --count 20000
"""

import argparse
import collections
import itertools
import random
import time

import mpmath
import pytest
import sympy as sp
from sympy.core.function import AppliedUndef

from attnlib.proof import Index, Proved, prove

mpmath.mp.dps = 40
n, d, m = (sp.Symbol(name, integer=True, positive=True) for name in "ndm")
i, j, k, K = (Index(name, n) for name in ("i", "j", "k", "K"))
c, before = Index("c", d), Index("b", n - 1)
x = sp.Symbol("x", real=True)
kappa = sp.Symbol("kappa", positive=True)
s, v, a = (sp.IndexedBase(name, real=True) for name in "sva")
p = sp.IndexedBase("p", positive=True)
F = sp.Function("f", real=True)
Sum, Product, D = sp.Sum, sp.Product, sp.KroneckerDelta


# --- Plain arithmetic: nothing of the prover's is used ---------------------------------------------------------------


class NoValue(Exception):
    """Division by zero, the logarithm of what is not positive."""


def number(expr, whole, real):
    """The value of an expression, by loops: `whole` gives whole numbers, `real` symbols and elements."""
    if isinstance(expr, sp.Symbol):
        return whole[expr] if expr in whole else real(str(expr), expr.is_positive)
    if expr.is_Rational:
        return mpmath.mpf(int(expr.p)) / int(expr.q)
    if isinstance(expr, Sum | Product):
        (index, first, last), *outer = reversed(expr.limits)
        inner = expr.func(expr.function, *reversed(outer)) if outer else expr.function
        result = mpmath.mpf(isinstance(expr, Product))
        for step in range(int(number(first, whole, real)), int(number(last, whole, real)) + 1):
            value = number(inner, whole | {index: step}, real)
            result = result + value if isinstance(expr, Sum) else result * value
        return result
    if isinstance(expr, sp.Derivative):
        (by,), size = expr.variables, mpmath.mpf(10) ** -12
        name = str(by) if by.is_Symbol else element(by, whole, real)

        def moved(step):
            return number(expr.expr, whole, lambda other, above: real(other, above) + step * (other == name))

        return (moved(size) - moved(-size)) / (2 * size)  # exact to about 24 digits
    if isinstance(expr, sp.Indexed):
        return real(element(expr, whole, real), expr.is_positive)
    values = [number(arg, whole, real) for arg in expr.args]
    if expr.is_Add:
        return mpmath.fsum(values)
    if expr.is_Mul:
        return mpmath.fprod(values)
    if expr.is_Pow:
        base, power = values
        if (base == 0 and power <= 0 and power != 0) or (base < 0 and power != int(power)):
            raise NoValue
        return mpmath.power(base, power)
    if isinstance(expr, sp.exp):
        return mpmath.exp(values[0])
    if isinstance(expr, sp.log):
        if values[0] <= 0:
            raise NoValue
        return mpmath.log(values[0])
    if isinstance(expr, D):
        return mpmath.mpf(values[0] == values[1])
    if isinstance(expr, sp.Max | sp.Min):
        return (max if isinstance(expr, sp.Max) else min)(values)
    if isinstance(expr, sp.Abs):
        return abs(values[0])
    if isinstance(expr, sp.Heaviside):
        return mpmath.mpf(values[0] > 0)
    if isinstance(expr, AppliedUndef):
        return mpmath.fsum((place + 2) * mpmath.sin((place + 1) * value + place) for place, value in enumerate(values))
    raise TypeError(f"no arithmetic for {expr.func}")


def element(indexed, whole, real):
    return f"{indexed.base}[{','.join(str(int(number(index, whole, real))) for index in indexed.indices)}]"


def differ(left, right, seed):
    """Where both sides differ for n from 1 to 3, or None."""
    free = left.free_symbols | right.free_symbols | {n}  # what is said of a free index is said where there is one
    for derivative in left.atoms(sp.Derivative) | right.atoms(sp.Derivative):
        free |= {symbol for variable in derivative.variables for symbol in variable.free_symbols}
    free = sorted((part for part in free if part.is_Symbol and part.is_integer), key=str)
    if unknown := [part for part in free if not isinstance(part, Index) and part not in (n, d, m)]:
        raise TypeError(f"no numbers for {unknown}")
    sizes = [part for part in (n, d, m) if part in free or (part == d and c in free)]
    for counts in itertools.product((1, 2, 3), repeat=len(sizes)):
        base = dict(zip(sizes, counts, strict=True))
        indices = [part for part in free if isinstance(part, Index)]
        ends = {i: n, j: n, k: n, K: n, c: d, before: n - 1}
        for places in itertools.product(*(range(1, int(ends[part].subs(base)) + 1) for part in indices)):
            whole = base | dict(zip(indices, places, strict=True))
            for draw in range(3):
                values = random.Random(f"{seed} {draw} {counts}")
                numbers = collections.defaultdict(lambda values=values: mpmath.mpf(values.uniform(0.4, 1.6)))

                def real(name, above, numbers=numbers, draw=draw):
                    value = numbers[name]
                    return value if above else (value, value - 1, 4 * value - 4)[draw]

                try:
                    sides = [number(side, whole, real) for side in (left, right)]
                except NoValue:
                    continue
                if abs(sides[0] - sides[1]) > 1e-12 * max(abs(sides[0]), abs(sides[1]), 1):
                    return whole, *map(float, sides)
    return None


# --- Statements ------------------------------------------------------------------------------------------------------


class Draw:
    """Random expressions, true rewrites of them, and changes of one place."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        whole = tuple(sp.symbols("j k", integer=True))
        self.bound = self((j, k), whole, whole)  # of the latter only the range says more

    def __call__(self, *choices):
        return self.rng.choice(choices)

    def place(self, *bound):
        """Where an array is read: a bound index, shifted or mirrored, or what is free."""
        if bound and self.rng.random() < 0.75:
            index = self(*bound)
            return self(index, index, index, index + 1, index - 1, n + 1 - index, n - index, 2 - index)
        return self(i, i, K, before, before + 1, i + 1, n + 1 - i, n, m, sp.Integer(1), sp.Integer(2))

    def factor(self, *bound):
        where = self.place(*bound)
        kinds = [
            lambda: s[where],
            lambda: v[where],
            lambda: p[where],
            lambda: sp.exp(s[where]),
            lambda: s[where] ** 2,
            lambda: a[where, self.place(*bound)],
            lambda: s[where] - s[self.place(*bound)],
            lambda: D(where, self.place(*bound)),
            lambda: D(where, self.place(*bound)),
            lambda: sp.log(p[where]),
            lambda: sp.Max(s[where] - x, 0),
            lambda: sp.Max(s[where], v[where]),
            lambda: F(where, self.place(*bound)),
            lambda: self(x, kappa, where, n, sp.Integer(2), 1 / kappa),
            lambda: 1 / self(p[where], n - 1, n, x, s[where], K, where, where - 1),
        ]
        return self(*kinds)()

    def body(self, *bound):
        return sp.Mul(*(self.factor(*bound) for _ in range(self(1, 1, 2, 2, 3))))

    def limits(self, index, *outer):
        first = self(1, 1, 1, 1, 1, 2, 2, 3, K, K + 1, before, *outer, *(other + 1 for other in outer), 0)
        ends = (n, n, n, n, n - 1, K, K - 1, i, d, m, n + 1, 3, before, before + 1)
        last = self(*ends, *outer, *outer, *(other - 1 for other in outer), *(n + 1 - other for other in outer))
        return index, sp.sympify(first), sp.sympify(last)

    def sum(self):
        j, k = self.bound
        kind = self.rng.random()
        if kind < 0.5:
            return Sum(self.body(j), self.limits(j))
        if kind < 0.8:
            return Sum(Sum(self.body(j, k), self.limits(k, j)), self.limits(j))
        if kind < 0.9:
            return Sum(self.body(j) * Sum(self.body(k), self.limits(k)), self.limits(j))
        return Product(self.body(j), self.limits(j))

    def expression(self):
        j, _ = self.bound
        weight = sp.exp(s[self.place()]) / Sum(sp.exp(s[j]), (j, 1, n))
        by = self(s[self.place()], s[self.place()], p[self.place()], x)
        total = self.sum()
        kinds = [
            lambda: total,
            lambda: total,
            lambda: total,
            lambda: self.factor() * total,
            lambda: total + self.factor(),
            lambda: sp.Derivative(self(total, weight, sp.log(Sum(sp.exp(s[j]), (j, 1, n)))), by),
            lambda: Sum(weight * self.body(j), self.limits(j)),
            lambda: sp.Max(self.factor(), self(0, x)) ** 2 * self(1, x),
            lambda: self.factor() * D(self.place(), self.place()) * total,
            lambda: sp.exp(total) if not total.has(F, a) else total,
            lambda: sp.log(Product(p[self.place(j)] * sp.exp(self.body(j)), self.limits(j))),
        ]
        return self(*kinds)()

    def rewritten(self, expr):
        """Another way to write the expression, mostly a true one: numbers say whether it is."""
        if isinstance(expr, sp.Derivative) and self.rng.random() < 0.8:
            return expr.doit()
        if isinstance(expr, sp.Pow) and isinstance(expr.base, sp.Max) and expr.exp == 2:
            first, second = expr.base.args
            return (first + second) * expr.base - first * second
        totals = [part for part in sp.preorder_traversal(expr) if isinstance(part, Sum | Product)]
        if not totals or self.rng.random() < 0.1:
            return sp.expand(expr)
        total = self(*totals)
        return expr.xreplace({total: self.total(total)})

    def total(self, total):
        kind, body = total.func, total.function
        index, first, last = total.limits[-1]
        inner = kind(body, *total.limits[:-1]) if len(total.limits) > 1 else body

        def join(*parts):
            return sp.Add(*parts) if kind is Sum else sp.Mul(*parts)

        def term(value):
            return (
                inner.subs(index, value)
                if inner == body
                else kind(
                    body.subs(index, value),
                    *((b, u.subs(index, value), w.subs(index, value)) for b, u, w in total.limits[:-1]),
                )
            )

        def over(term, *limit):
            return kind(term, (index, *limit))

        cut = self(K, K - 1, i, before, n - 1, first, sp.Integer(1), last - 1)
        rewrites = [
            lambda: join(over(inner, first, last - 1), term(last)),
            lambda: join(term(first), over(inner, first + 1, last)),
            lambda: join(over(inner, first, cut), over(inner, cut + 1, last)),
            lambda: over(term(index + 1), first - 1, last - 1),
            lambda: over(term(index - 1), first + 1, last + 1),
            lambda: over(term(first + last - index), first, last),
            lambda: kind(sp.expand(body), *total.limits),
        ]
        if kind is Sum:
            rewrites += [
                lambda: over(inner, first, last + 1) - term(last + 1),
                lambda: sp.Add(*(Sum(term, *total.limits) for term in sp.Add.make_args(sp.expand(body)))),
                lambda: self.outside(total),
                lambda: total - self.factor() + self.factor(),
            ]
        else:
            rewrites += [lambda: sp.Mul(*(Product(term, *total.limits) for term in sp.Mul.make_args(body)))] * 3
        if len(total.limits) == 2:
            rewrites += [lambda: self.exchanged(total)] * 6
        for delta in body.atoms(D):
            if len(total.limits) == 1 and (solution := sp.solve(delta.args[0] - delta.args[1], index)):
                rewrites += [lambda delta=delta, solution=solution: (body / delta).subs(index, solution[0])] * 8
        return self(*rewrites)()

    def outside(self, total):
        if len(total.limits) > 1:
            return total
        outside, inside = total.function.as_independent(total.limits[0][0], as_Add=False)
        if inside == 1:
            _, first, last = total.limits[0]
            return outside * (last - first + 1)
        return outside * Sum(inside, *total.limits)

    def exchanged(self, total):
        (inner, low, high), (outer, first, last) = total.limits
        if high == outer and not low.has(outer):
            return Sum(total.function, (outer, inner, last), (inner, low, last))
        if low == outer and not high.has(outer):
            return Sum(total.function, (outer, first, inner), (inner, first, high))
        if high == outer - 1 and not low.has(outer):
            return Sum(total.function, (outer, inner + 1, last), (inner, low, last - 1))
        return Sum(total.function, (outer, first, last), (inner, low, high))

    def changed(self, expr):
        """The expression with one place changed."""
        parts = [part for part in sp.preorder_traversal(expr) if part.is_Atom or isinstance(part, sp.Indexed | D)]
        part = self(*parts)
        if isinstance(part, Index | sp.Symbol) and part.is_integer:
            bound = [part for part in self.bound if expr.has(part)] or [i]
            return expr.subs(part, self(i, K, part + 1, part - 1, n + 1 - part, *bound)) if part != n else expr
        if part.is_Integer:
            return expr.xreplace({part: part + self(1, -1)})
        if isinstance(part, sp.Indexed):
            moved = self(part.indices[0] + 1, part.indices[0] - 1, i, K, n + 1 - part.indices[0])
            return expr.xreplace({part: part.base[(moved, *part.indices[1:])]})
        if isinstance(part, D):
            return expr.xreplace({part: self(D(part.args[0] + 1, part.args[1]), sp.Integer(1), 1 - part)})
        return self(-expr, 2 * expr, expr + 1)

    def statement(self):
        left = right = self.expression()
        for _ in range(self(1, 1, 2)):
            right = self.rewritten(right)
        if self.rng.random() < 0.4:
            right = self.changed(right)
        return left, right


def judged(seed, which):
    """A statement: both sides, where they differ (None: nowhere that was tried), and whether it was accepted."""
    label = f"{seed} {which}"
    draw = Draw(label)
    while True:
        try:
            left, right = draw.statement()
            if left.has(sp.nan, sp.zoo, sp.oo, sp.I) or right.has(sp.nan, sp.zoo, sp.oo, sp.I) or left == right:
                continue
            if sp.count_ops(left) + sp.count_ops(right) > 80 or (left - right).has(sp.Subs):
                continue
            place = differ(left, right, label)
        except (
            TypeError,
            ValueError,
            NotImplementedError,
        ):  # sympy refuses to write it, or there is no arithmetic for it
            continue
        break
    try:
        accepted = isinstance(prove(left, right), Proved)
    except AssertionError:  # it says so itself: a false proof was found
        accepted = True
    return left, right, place, accepted


def fuzzed(seed, seconds=float("inf"), count=float("inf"), first=0, show=False):
    """Draw statements until the time or the number is reached: how many there were of each kind, and the false ones."""
    start, tally, false = time.monotonic(), collections.Counter(), []
    while time.monotonic() - start < seconds and tally["drawn"] < count:
        which = first + tally["drawn"]
        left, right, place, accepted = judged(seed, which)
        tally["drawn"] += 1
        tally["true"] += place is None
        tally["accepted"] += accepted
        if place is not None and accepted:
            false.append(f"{left} = {right} at {place} (--seed {seed} --first {which} --count 1)")
        if show and place is None and not accepted:
            print(f"not accepted ({which}): {left} = {right}", flush=True)
    return tally, false


def test_no_random_statement_is_proved_that_numbers_contradict():
    tally, false = fuzzed(seed=time.strftime("%Y-%m-%d"), seconds=60)
    assert not false
    # Else nothing was tried. Of every ten that are drawn about four are accepted; a slow machine draws few.
    assert tally["accepted"] > tally["drawn"] / 10 or tally["drawn"] < 50


def test_plain_arithmetic_knows_true_from_false():
    assert differ(Sum(s[j], (j, 1, i)), Sum(s[j], (j, 1, i - 1)) + s[i], 0) is None
    assert differ(sp.Derivative(Sum(s[j] ** 2, (j, 1, n)), s[i]), 2 * s[i], 0) is None
    assert differ(Sum(kappa, (j, 3, n)), kappa * (n - 2), 0)[0] == {n: 1}
    with pytest.raises(TypeError, match="no arithmetic for"):
        differ(sp.sin(x), x, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Random statements, proved or not, against plain arithmetic.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")
    parser.add_argument("--count", type=float, default=float("inf"), help="how many statements to draw")
    parser.add_argument("--seed", default="0", help="where to start; the same seed draws the same statements")
    parser.add_argument("--first", type=int, default=0, help="the number of the first statement to draw")
    parser.add_argument("--show", action="store_true", help="print true statements that were not accepted")
    given = parser.parse_args()
    if given.seconds == given.count == float("inf"):
        parser.error("give --seconds or --count")
    tally, false = fuzzed(given.seed, given.seconds, given.count, given.first, given.show)
    for statement in false:
        print(f"FALSE, but proved: {statement}")
    for name in ("drawn", "true", "accepted"):
        print(f"{name:15} {tally[name]:7}")
    print(f"{'false accepted':15} {len(false):7}")
    raise SystemExit(bool(false))
