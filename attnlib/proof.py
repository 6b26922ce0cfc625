"""What is equal, by proof: sums over a symbolic number of keys have one normal form, in which equal expressions cancel.

A sum is kept as its terms and the region over which it runs: a set of linear inequalities between whole numbers.  A
region does not know in which order its indices were written, and an empty one has sum 0 and product 1, always.  So
exchanged, triangular, shifted and split sums need no rules of their own, and each rule that needs a range to hold
something asks `_implied`, which proves linear inequalities from the ranges that are declared.
"""

import dataclasses
import functools
import itertools
import random

import sympy as sp
from sympy.core.function import AppliedUndef

_SPELLED = 16  # ranges of at most so many whole numbers are written out term by term
_CUTS = 12  # how often a region is cut: the orders of three indices, and each of their ends
_OPERATIONS = 2000  # a difference that is longer is not brought to one denominator, which could take minutes
_ROWS = 300  # inequalities at which `_implied` gives up: what is not proved is not used
_BINDING = (sp.Derivative, sp.Integral, sp.Subs)  # what is left of these may depend on how an index enters


class NotProved(ValueError):
    """An equality that was refuted or could not be decided."""


class _Refused(Exception):
    """Why nothing can be proved about an expression."""


class Index(sp.Symbol):
    """A whole number with a declared range: it is one of `first`, ..., `last`, and nothing else is an index.

    Parameters
    ----------
    name : str
        As it is printed.
    last : Expr or int
        The end of its range, such as n.
    first : Expr or int, optional
        The start of its range.

    Examples
    --------
    >>> n = sp.Symbol("n", integer=True, positive=True)
    >>> Index("i", n) == Index("i", n), Index("i", n) == Index("i", n - 1), Index("i", n, first=0).is_positive
    (True, False, None)
    """

    def __new__(cls, name, last, first=1):
        first, last = sp.sympify(first), sp.sympify(last)
        if not (first.is_integer and last.is_integer):
            raise ValueError(f"first and last of index {name} must be whole numbers; got {first} and {last}")
        assumptions = {"integer": True}
        if first.is_nonnegative:
            assumptions["positive" if first.is_positive else "nonnegative"] = True
        self = sp.Symbol.__xnew__(cls, name, **assumptions)
        self.first, self.last = first, last
        return self

    __slots__ = ("first", "last")

    def _hashable_content(self):
        return (*super()._hashable_content(), self.first, self.last)

    def __getnewargs_ex__(self):
        return (self.name, self.last, self.first), {}

    def __setstate__(self, state):
        pass  # all that it is is in its arguments


class _Bound(sp.Symbol):
    """A standard name for a bound index, which no symbol of an expression equals, whatever its name."""


# --- Linear inequalities between whole numbers -----------------------------------------------------------------------


@functools.lru_cache(maxsize=20_000)
def _linear(expr) -> dict:
    """A linear form: the coefficient of each symbol (or of what is not linear, as if it were one), and of 1."""
    return {part: coefficient for part, coefficient in sp.expand(expr).as_coefficients_dict().items() if coefficient}


@functools.lru_cache(maxsize=20_000)
def _known(symbol) -> tuple:
    """What is nonnegative by a symbol's declared range or its assumptions."""
    if isinstance(symbol, sp.Dummy | _Bound):
        return ()  # of a bound index, the claims of its region say all
    if isinstance(symbol, Index):
        return symbol - symbol.first, symbol.last - symbol
    least = 1 if symbol.is_integer and symbol.is_positive else 0 if symbol.is_nonnegative else None
    return () if least is None else (symbol - least,)


@functools.lru_cache(maxsize=20_000)
def _contradict(claims: frozenset) -> bool:
    """Whether no whole numbers make all claims nonnegative: Fourier's and Motzkin's elimination finds -1 >= 0.

    Sound for whole numbers, since it is so for fractions; what it does not find is taken to be possible.
    """
    rows = [_linear(claim) for claim in claims]
    symbols: set[sp.Symbol] = set()
    while new := {part for row in rows for part in row if part != 1} - symbols:
        symbols |= new
        rows += [_linear(fact) for symbol in new for fact in _known(symbol)]
    left = sorted(symbols, key=str)
    while left and len(rows) < _ROWS:
        symbol = min(left, key=lambda part: sum(part in row for row in rows))
        left.remove(symbol)
        above = [row for row in rows if row.get(symbol, 0) > 0]
        below = [row for row in rows if row.get(symbol, 0) < 0]
        rows = [row for row in rows if not row.get(symbol, 0)]
        for up, down in itertools.product(above, below):
            row = {part: down[symbol] * -up.get(part, 0) + up[symbol] * down.get(part, 0) for part in up | down}
            rows.append({part: coefficient for part, coefficient in row.items() if coefficient})
        if any(not (row.keys() - {1}) and row.get(1, 0) < 0 for row in rows):
            return True
        rows = [dict(row) for row in {frozenset(row.items()) for row in rows if row.keys() - {1}}]
    return False


def _implied(goal, claims=()) -> bool:
    """Whether `goal` >= 0 follows from nonnegative `claims` and the declared ranges; only for whole numbers."""
    goal = sp.expand(goal)
    if goal.is_Integer:
        return bool(goal >= 0)
    return bool(goal.is_integer) and _contradict(frozenset({*claims, -goal - 1}))


def _holds(claim, facts) -> sp.Expr:
    """One where `claim` >= 0, else zero."""
    if _implied(claim, facts):
        return sp.Integer(1)
    if _implied(-claim - 1, facts):
        return sp.Integer(0)
    for size in range(1, 4):  # claim >= -size is known, or claim < size is: only equalities are left
        if _implied(claim + size, facts):
            return 1 - sp.Add(*(_delta(claim + step, facts) for step in range(1, size + 1)))
        if _implied(size - 1 - claim, facts):
            return sp.Add(*(_delta(claim - step, facts) for step in range(size)))
    constant, form = sp.expand(claim).as_coeff_Add()
    if form.could_extract_minus_sign():  # of a condition and its contrary, one is standard
        return 1 - _holds(-claim - 1, facts)
    if not constant.is_Integer or abs(constant) > _SPELLED:
        return _Holds(claim)
    points = range(-constant, 0) if constant > 0 else range(-constant)
    return _Holds(form) + sp.sign(constant) * sp.Add(*(_delta(form - point, facts) for point in points))


def _delta(difference, facts=()) -> sp.Expr:
    """One where a whole number is zero, else zero, in a standard form."""
    difference = sp.expand(difference)
    constant, form = difference.as_coeff_Add()
    factors = [number for part, number in _linear(form).items() if part.is_integer]
    if form != 0 and len(factors) == len(_linear(form)) and all(number.is_Integer for number in (*factors, constant)):
        common = sp.gcd_list(factors)
        if constant % common:
            return sp.Integer(0)
        difference = sp.expand(difference / common)
    if _implied(difference - 1, facts) or _implied(-difference - 1, facts):
        return sp.Integer(0)
    if _implied(difference, facts) and _implied(-difference, facts):
        return sp.Integer(1)
    if (difference - difference.as_coeff_Add()[0]).could_extract_minus_sign():
        difference = -difference
    return sp.KroneckerDelta(difference, 0)


def _decided(expr, facts):
    """Conditions and deltas of whole numbers in their standard form: 0 or 1 where the facts decide."""
    if not expr.has(sp.KroneckerDelta, _Holds):
        return expr
    expr = expr.replace(_is_whole_delta, lambda delta: _delta(delta.args[0] - delta.args[1], facts))
    return sp.expand(expr.replace(_Holds, lambda claim: _holds(claim, facts)))


def _is_whole_delta(part) -> bool:
    return isinstance(part, sp.KroneckerDelta) and bool((part.args[0] - part.args[1]).is_integer)


class _Holds(sp.Expr):
    """One where its argument is nonnegative, else zero."""

    is_commutative = is_integer = is_nonnegative = True

    def _eval_power(self, power):
        return self if power.is_positive else None


# --- Every bound index by itself, and every derivative taken ---------------------------------------------------------


def _claims(limit) -> tuple:
    index, first, last = limit
    return index - first, last - index


def _dummy(name, claims, index):
    """A bound index that is assumed to be what its range proves: whole, perhaps positive, and no more."""
    if _implied(index - 1, claims):
        return sp.Dummy(name, integer=True, positive=True)
    if _implied(index, claims):
        return sp.Dummy(name, integer=True, nonnegative=True)
    return sp.Dummy(name, integer=True, negative=_implied(-index - 1, claims) or None)


def _apart(expr, facts=()):
    """Give every bound index a name of its own, with the assumptions that its range proves.

    What stands for an expression (has `unfold`) becomes that expression.
    """
    if hasattr(expr, "unfold"):
        return _apart(expr.unfold(), facts)
    if not isinstance(expr, sp.Basic) or not expr.args:
        return expr
    if isinstance(expr, sp.KroneckerDelta) and len(expr.args) > 2:
        raise _Refused(f"{expr} says itself in which range it holds")
    if not isinstance(expr, sp.Sum | sp.Product):
        return expr.func(*(_apart(arg, facts) for arg in expr.args))
    names, limits = {}, []
    for index, *ends in reversed(expr.limits):
        if len(ends) != 2 or not all(end.xreplace(names).is_integer for end in ends):
            raise _Refused(f"{expr} does not run from a whole number to a whole number")
        first, last = (_apart(end.xreplace(names), facts) for end in ends)
        fresh = sp.Dummy(index.name, integer=True)
        fresh = _dummy(index.name, (*facts, fresh - first, last - fresh), fresh)
        unproved = dict(index.assumptions0.items() - fresh.assumptions0.items())
        if unproved:  # sympy may have used it already, as in |j| = j
            name = next((name for name in ("positive", "nonnegative") if name in unproved), min(unproved))
            assumed = f"{index.name} is assumed to be {'' if unproved[name] else 'not '}{name}"
            raise _Refused(f"{assumed}, which its range from {first} to {last} does not prove")
        names[index] = fresh
        limits.append((fresh, first, last))
        facts = (*facts, fresh - first, last - fresh)
    return expr.func(_apart(expr.function.xreplace(names), facts), *reversed(limits))


def _taken(expr):
    """Take every derivative and integral that can be taken; the others stay as they are."""
    if not isinstance(expr, sp.Basic) or not expr.args:
        return expr
    if isinstance(expr, sp.Derivative):
        inner = _taken(expr.expr)
        for count, variable in enumerate(expr.variables):
            try:
                inner = _differentiated(inner, variable)
            except _Refused:
                return sp.Derivative(inner, *expr.variables[count:])
        return inner
    if isinstance(expr, sp.Integral) and not expr.has(sp.Sum, sp.Product, AppliedUndef):
        if not all(map(_is_between_reals, expr.limits)):
            return expr
        integral = expr.doit()  # with conditions (Piecewise) where it needs them
        return expr if integral.has(sp.Piecewise) else integral
    if isinstance(expr, sp.UnevaluatedExpr):
        return _taken(expr.args[0])
    if isinstance(expr, _BINDING):
        return expr
    return expr.func(*map(_taken, expr.args))


def _is_between_reals(limit) -> bool:
    """Whether an integral has both ends, and its letter is assumed to be no more than they prove.

    Sympy has used it already, as in |a| = a; and of an integral without ends only its slope is known.
    """
    variable, *ends = limit
    unsigned = not variable.is_nonnegative or all(end.is_nonnegative for end in ends)
    return len(ends) == 2 and unsigned and variable.is_integer is None and not variable.is_nonpositive


_SMOOTH_FUNCTIONS = (sp.exp, sp.log, sp.sin, sp.cos, sp.tanh, sp.erf, AppliedUndef)


def _differentiated(expr, by):
    """The derivative by a real symbol or by one element of an array, of which no element depends on another."""
    if not isinstance(by, sp.Indexed) and (not by.is_Symbol or isinstance(by, Index)):
        raise _Refused  # an index has no small change
    if expr == by:
        return sp.Integer(1)
    if by not in expr.free_symbols and not (isinstance(by, sp.Indexed) and expr.has(by.base)):
        return sp.Integer(0)
    if isinstance(expr, sp.Indexed):
        if not isinstance(by, sp.Indexed) or len(by.indices) != len(expr.indices) or expr.base != by.base:
            raise _Refused  # it stands in an index
        if any(index.has(by.base) for index in expr.indices):
            raise _Refused
        return sp.Mul(*(_delta(sp.expand(a - b)) for a, b in zip(expr.indices, by.indices, strict=True)))
    if expr.is_Add:
        return sp.Add(*(_differentiated(part, by) for part in expr.args))
    if expr.is_Mul:
        head, *tail = expr.args
        tail = sp.Mul(*tail)
        return _differentiated(head, by) * tail + head * _differentiated(tail, by)
    if expr.is_Pow:
        base, power = expr.args
        slope = power * base ** (power - 1) * _differentiated(base, by)  # where both are defined
        return slope + (sp.log(base) * expr * _differentiated(power, by) if power.has(*_names(by)) else 0)
    if isinstance(expr, sp.Sum | sp.Product):
        if any(end.has(*_names(by)) for limit in expr.limits for end in limit[1:]):
            raise _Refused
        inner = _differentiated(expr.function, by)
        if isinstance(expr, sp.Sum):
            return sp.Sum(inner, *expr.limits)
        # where no factor is zero; as both sides are continuous, also where one is
        return expr * sp.Sum(inner / expr.function, *expr.limits)
    if isinstance(expr, sp.Derivative) and isinstance(expr.expr, AppliedUndef):
        return sp.Derivative(expr, by)  # unknown functions are smooth
    if isinstance(expr, sp.exp | sp.log if by.is_integer else _SMOOTH_FUNCTIONS) or (
        isinstance(expr, sp.Max | sp.Min | sp.Abs) and not by.is_integer and all(arg.is_real for arg in expr.args)
    ):
        # the chain rule; by a whole number as if it were real, so only of what has a value also between
        parts = enumerate(expr.args, 1)
        return sp.Add(
            *(expr.fdiff(place) * _differentiated(part, by) for place, part in parts if part.has(*_names(by)))
        )
    raise _Refused


def _names(by):
    return (by.base,) if isinstance(by, sp.Indexed) else (by,)


# --- Sums and products over a region ---------------------------------------------------------------------------------


class _Total(sp.Expr):
    """The sum of a body over the region in which all claims are nonnegative: body, indices, claims, a point in it?"""

    is_commutative = True

    @property
    def free_symbols(self):
        return (self.args[0].free_symbols | self.args[2].free_symbols) - set(self.args[1])

    def _eval_is_real(self):
        return self.args[0].is_real or None

    def _eval_is_positive(self):
        return (self.args[3] is sp.true and self.args[0].is_positive) or None

    def _eval_is_nonnegative(self):
        return self.args[0].is_nonnegative or None


class _Multiplied(_Total):
    """The product of a body over a region."""

    def _eval_is_positive(self):
        return self.args[0].is_positive or None


@dataclasses.dataclass(frozen=True)
class _Way:
    """What is known where an expression stands (nonnegative), and how often a region may be cut into pieces."""

    facts: tuple = ()
    cut: int = 0

    def within(self, claims):
        return _Way((*self.facts, *claims), self.cut)


def _binds(factor, index) -> bool:
    """Whether a factor asks how an index enters: another one must not be put in its place."""
    return any(part.has(index) for part in factor.atoms(*_BINDING))


_DEFINED = (sp.Add, sp.Mul, sp.exp, sp.Max, sp.Min, sp.Abs, sp.KroneckerDelta, AppliedUndef)


def _defined(expr) -> bool:
    """Whether an expression surely has a value: it divides by nothing that may be zero, and takes no such logarithm."""
    if expr.is_Atom or isinstance(expr, sp.Indexed | _Holds):
        return expr.is_finite is not False and expr is not sp.nan
    if isinstance(expr, _Total):
        return _defined(expr.args[0])
    if expr.is_Pow:
        base, power = expr.args
        known = base.is_positive or (power.is_integer and (power.is_nonnegative or base.is_nonzero))
    else:
        known = isinstance(expr, _DEFINED) or (isinstance(expr, sp.log) and expr.args[0].is_positive)
    return bool(known) and all(map(_defined, expr.args))


def _ends(index, claims):
    """The greatest of which the index is at least, and the least of which it is at most; None if they are not all."""
    first, last = [], []
    for claim in claims:
        coefficient = _linear(claim).get(index, 0)
        if abs(coefficient) > 1 or (sp.expand(claim - coefficient * index)).has(index):
            return None
        if coefficient:
            (first if coefficient > 0 else last).append(sp.expand(index - coefficient * claim))
    return first, last


def _reaches(indices, claims, facts) -> bool:
    """Whether a region is proved to hold a point: its shadow, as one index after the other is left out, does."""
    for index in indices:
        ends = _ends(index, claims)
        if not ends:
            return False
        shadow = [last - first for first in ends[0] for last in ends[1]]  # as all steps are 1, whole numbers fill it
        claims = [claim for claim in claims if not claim.has(index)] + shadow
    return all(_implied(claim, facts) for claim in claims)


def _reduced(claims, facts):
    """The claims that do not follow from the others, or None if they contradict each other."""
    claims = list(dict.fromkeys(map(sp.expand, claims)))
    if _contradict(frozenset({*claims, *facts})):
        return None
    for claim in sorted(claims, key=sp.default_sort_key):
        others = [other for other in claims if other != claim]
        if _implied(claim, (*facts, *others)):
            claims = others
    return claims


def _sum(body, indices, claims, way):
    """The normal form of a sum over a region."""
    body = _decided(_expanded(body), (*way.facts, *claims))
    return sp.Add(*(_sum_of_term(term, tuple(indices), tuple(claims), way) for term in sp.Add.make_args(body)))


def _opened(total):
    """A sum's body, indices and claims under fresh names."""
    body, indices, claims, _point = total.args
    fresh = {index: sp.Dummy(index.name, **index.assumptions0) for index in indices}
    return body.xreplace(fresh), tuple(fresh.values()), tuple(claim.xreplace(fresh) for claim in claims)


def _sum_of_term(term, indices, claims, way):
    for factor in sp.Mul.make_args(term):
        base, power = factor.as_base_exp()
        if not (base.free_symbols & set(indices) and power.is_Integer and power > 0):
            continue
        rest = term / factor
        # a sum in a sum is one sum over both indices
        if type(base) is _Total:
            inner, more, further = _opened(base)
            return _sum(rest * base ** (power - 1) * inner, indices + more, claims + further, way)
        # where a claim is 1 the region ends; powers of 1 and 0 are 1 and 0
        if isinstance(base, _Holds):
            return _sum(rest, indices, (*claims, base.args[0]), way)
        if isinstance(base, sp.KroneckerDelta):
            solved = _pinned(base.args[0] - base.args[1], indices)
            if solved and not any(_binds(rest, index) for index in indices):
                return _put(rest, indices, claims, *solved, way)
    claims = _reduced(claims, way.facts)
    if claims is None:
        return sp.Integer(0)
    conditions = [claim for claim in claims if not claim.free_symbols & set(indices)]
    if conditions:  # of what is free: there is a sum only where they hold
        rest = [claim for claim in claims if claim not in conditions]
        there = sp.Mul(*(_holds(claim, way.facts) for claim in conditions))
        total = _sum(term, indices, rest, way.within(conditions)) if there != 0 else 0
        return sp.expand(there * total)
    for index in indices:  # a range of a known number of whole numbers is written out
        if not _binds(term, index) and (values := _values(index, claims, way)):
            return sp.Add(*(_put(term, indices, claims, index, value, way) for value in values))
    if not indices:
        return term
    return _parted(term, indices, claims, way)


def _values(index, claims, way):
    """All values of an index whose range is proved to hold at most a few; the claims still say which of them it has."""
    first, last = _ends(index, claims) or ((), ())
    for start, end in itertools.product(first, last):
        size = sp.expand(end - start)
        if size.is_Integer and size < _SPELLED:
            return [start + step for step in range(size + 1)]
        if way.cut:
            for most in range(4):
                if _implied(most - size, (*claims, *way.facts)):
                    return [end - step for step in range(most + 1)]
    return None


def _pinned(difference, indices):
    """The index, and its value, that makes a difference of whole numbers zero."""
    difference = sp.expand(difference)
    if difference.is_integer:
        for index in indices:
            coefficient = _linear(difference).get(index, 0)
            value = sp.expand(index - coefficient * difference)
            if abs(coefficient) == 1 and not value.has(index):
                return index, value
    return None


def _put(term, indices, claims, index, value, way):
    """The part of a sum in which an index has one value: the claims, put in too, say where there is one."""
    value = {index: value}
    others = tuple(other for other in indices if other != index)
    return _sum(term.xreplace(value), others, tuple(claim.xreplace(value) for claim in claims), way)


def _groups(indices, factors, claims):
    """Indices that no factor and no claim ties to each other."""
    groups = [{index} for index in indices]
    for part in (*factors, *claims):
        tied = [group for group in groups if group & part.free_symbols]
        if len(tied) > 1:
            groups = [group for group in groups if group not in tied] + [set().union(*tied)]
    return groups


def _parted(term, indices, claims, way):
    """Sums of factors that share no index, each by itself, and what no index occurs in outside.

    If a sum may be empty, what stands outside of it must have a value also then: 1/m over no keys is not 1/m times 0.
    """
    factors = sp.Mul.make_args(term)
    groups = _groups(indices, factors, claims)
    full = _reaches(indices, claims, way.facts)
    outside = [factor for factor in factors if not factor.free_symbols & set(indices)]
    kept = [] if full else [factor for factor in outside if not _defined(factor)]
    if len(groups) > 1 and not full and not all(map(_defined, factors)):
        groups = [set(indices)]
    if kept:
        groups = [set(indices)]
    result = sp.Mul(*(factor for factor in outside if factor not in kept))
    for group in groups:
        own = tuple(index for index in indices if index in group)
        inside = [factor for factor in factors if factor.free_symbols & group] + kept
        result *= _connected(inside, own, tuple(claim for claim in claims if claim.free_symbols & group), way)
    return sp.expand(result)


def _connected(factors, indices, claims, way):
    for index in indices:
        within = [factor for factor in factors if factor.has(index)]
        powers = sp.Mul(*within)
        power = 0 if powers == 1 else powers.exp if powers.is_Pow and powers.base == index else int(powers == index)
        ends = _ends(index, claims)
        known = (powers == 1 or power) and ends and len(ends[0]) == len(ends[1]) == 1
        if known and sp.sympify(power).is_Integer and power >= 0:
            # Faulhaber's polynomial, there where the range of this index is not empty; it is zero where that is empty
            # by one, but what stands beside it may have no value there
            (first,), (last,) = ends
            others = [claim for claim in claims if not claim.has(index)]
            rest = [factor for factor in factors if factor not in within]
            if not (_implied(last - first + 1, (*way.facts, *others)) and all(map(_defined, rest))):
                others.append(last - first)
            remaining = tuple(other for other in indices if other != index)
            body = sp.Mul(*rest) * (_power_sum(power, last) - _power_sum(power, first - 1))
            return _sum(body, remaining, others, way)
    body = sp.Mul(*factors)
    if any(_binds(body, index) for index in indices):
        return _labelled(_Total, body, indices, claims, way)
    moved, indices, claims = _shifted(body, indices, claims)
    if moved.is_Add:
        return _sum(moved, indices, claims, way)
    # larger pieces ask for the body's value also where the region is empty
    if (
        way.cut
        and (_defined(moved) or _reaches(indices, claims, way.facts))
        and (pieces := _pieces(indices, claims, way))
    ):
        fresh = {index: sp.Dummy(index.name, integer=True) for index in indices}  # and no more is known of them there
        moved, indices = moved.xreplace(fresh), tuple(fresh.values())
        pieces = [(sign, [claim.xreplace(fresh) for claim in part]) for sign, part in pieces]
        way = dataclasses.replace(way, cut=way.cut - 1)
        return sp.Add(*(sign * _sum(moved, indices, part, way) for sign, part in pieces))
    return _labelled(_Total, moved, indices, claims, way)


@functools.cache
def _power_sum_polynomial(power):
    x = sp.Symbol("x")
    return x, sp.expand((sp.bernoulli(power + 1, x + 1) - sp.bernoulli(power + 1, 1)) / (power + 1))


def _power_sum(power, last):
    """1^power + ... + last^power."""
    x, polynomial = _power_sum_polynomial(int(power))
    return polynomial.subs(x, last)


def _pieces(indices, claims, way):
    """A region as a sum and difference of standard ones, or None if it is one.

    Equalities of sets, so they hold whatever is empty: two indices are in order, in reversed order or equal; what is at
    least a free end is everything from 1 on less what is below; and ends differ from standard ones by single points.
    """
    for a, b in itertools.combinations(indices, 2):
        if not any(_implied(order, (*claims, *way.facts)) for order in (a - b - 1, b - a - 1)):
            return [(1, (*claims, a - b - 1)), (1, (*claims, b - a - 1)), (1, (*claims, a - b, b - a))]
    for claim in claims:
        others = tuple(other for other in claims if other != claim)
        constant = sp.expand(claim).as_coeff_Add()[0]
        form = claim - constant
        bound = [index for index in indices if claim.has(index)]
        if not all(abs(_linear(claim).get(index, 0)) == 1 for index in bound):
            continue
        (index, *more) = bound
        below = not more and _linear(claim)[index] == 1
        if below and form != index and not _implied(-index, (*others, *way.facts)):
            # it is at least an end that is not a number
            end = index - claim
            return [
                (1, (*others, index - 1)),
                (-1, (*others, index - 1, end - 1 - index)),
                (1, (*others, index - end, -index)),
            ]
        ordered = len(more) == 1 and form in (index - more[0], more[0] - index)
        standard = -1 if form == index or ordered else 0
        if constant != standard and abs(constant - standard) <= _SPELLED:
            whole = (1, (*others, form + standard))
            if constant > standard:
                points = [(1, form + constant - step) for step in range(constant - standard)]
            else:
                points = [(-1, form + standard - step) for step in range(standard - constant)]
            return [whole, *((sign, (*others, point, -point)) for sign, point in points)]
    return None


def _shifted(body, indices, claims):
    """Indices shifted and mirrored so that one place of the body holds each of them alone: one such way is standard."""
    for index in indices:
        read = [factor for factor in sp.Mul.make_args(body) if factor.has(sp.Indexed, AppliedUndef)]
        choices = []
        for argument in _arguments(body):
            coefficient = _linear(argument).get(index, 0) if argument.is_integer else 0
            rest = sp.expand(argument - coefficient * index)
            if abs(coefficient) == 1 and not rest.free_symbols & set(indices):
                value = sp.expand(coefficient * (index - rest))  # each whole number once
                key = sorted(str(_expanded(factor.xreplace({index: value}))) for factor in read)
                choices.append((key, value != index, value))
        if choices:
            *_, value = min(choices, key=lambda choice: choice[:2])
            fresh = sp.Dummy(index.name, integer=True)
            moved = {index: value.xreplace({index: fresh})}
            body = _decided(_expanded(body.xreplace(moved)), ())
            claims = [claim.xreplace(moved) for claim in claims]
            indices = tuple(fresh if other == index else other for other in indices)
            if body.is_Add:
                break
    return body, indices, tuple(map(sp.expand, claims))


def _labelled(kind, body, indices, claims, way):
    """A sum or product that stays: its indices in a standard order, with standard names."""
    facts = (*way.facts, *claims)
    taken = {symbol.name for symbol in body.atoms(_Bound)}
    names = [name for number in range(1, 50) if (name := f"index{number}") not in taken][: len(indices)]
    point = sp.true if _reaches(indices, claims, way.facts) else sp.false
    choices = []
    for order in itertools.permutations(indices):
        fresh = {
            index: _Bound(name, **_dummy(name, facts, index)._assumptions_orig)
            for index, name in zip(order, names, strict=True)
        }
        parts = sorted((claim.xreplace(fresh) for claim in claims), key=sp.default_sort_key)
        choices.append(kind(body.xreplace(fresh), sp.Tuple(*fresh.values()), sp.Tuple(*parts), point))
    return min(choices, key=str)


def _arguments(body):
    """Where an index may stand with a shift: in an array's or an unknown function's place."""
    parts = sorted(body.atoms(sp.Indexed, AppliedUndef), key=str)
    return list(dict.fromkeys(argument for part in parts for argument in getattr(part, "indices", part.args)))


def _product(body, indices, claims, way):
    """The normal form of a product over a region: 1 where that is empty."""
    body = _decided(body, (*way.facts, *claims))
    claims = _reduced(claims, way.facts)
    if claims is None:
        return sp.Integer(1)
    conditions = [claim for claim in claims if not claim.free_symbols & set(indices)]
    if conditions:
        there = sp.Mul(*(_holds(claim, way.facts) for claim in conditions))
        rest = [claim for claim in claims if claim not in conditions]
        return 1 + there * (_product(body, indices, rest, way.within(conditions)) - 1)
    if not indices:
        return body
    for index in indices:
        if not _binds(body, index) and (values := _values(index, claims, _Way())):
            others = tuple(other for other in indices if other != index)
            cases = [{index: value} for value in values]
            return sp.Mul(
                *(_product(body.xreplace(v), others, [claim.xreplace(v) for claim in claims], way) for v in cases)
            )
    result = sp.Integer(1)
    for factor in sp.Mul.make_args(sp.factor_terms(body)):  # a product of products, empty or not
        # an exponential's product is that of a sum; so is any positive factor's, but of no other is there a logarithm
        if isinstance(factor, sp.exp):
            result *= sp.exp(_sum(factor.args[0], indices, claims, way))
        elif factor.is_positive:
            result *= sp.exp(_sum(sp.log(factor), indices, claims, way))
        elif not factor.free_symbols & set(indices):
            count = _sum(sp.Integer(1), indices, claims, way)
            result *= _labelled(_Multiplied, factor, indices, claims, way) if count.has(_Total) else factor**count
        else:
            base, power = factor.as_base_exp()  # (ab)^m = a^m b^m for whole m, whatever the signs
            if not (power.is_integer and not power.free_symbols & set(indices)):
                base, power = factor, 1
            own, region = indices, claims
            if not any(_binds(base, index) for index in indices):
                base, own, region = _shifted(base, indices, claims)
            result *= _labelled(_Multiplied, base, own, region, way) ** power
    return result


# --- Normal form -----------------------------------------------------------------------------------------------------


def _expanded(expr):
    """Multiplied out, by sympy's rules without `force`.

    They hold where they are used: e^(x + y) is split always, (xy)^a for whole a or x >= 0, log(xy) for x > 0,
    log(x^a) for x > 0 and real a, or for -1 < a <= 1.
    """
    expr = sp.expand(expr)
    if expr.has(sp.Max):
        lower = expr.replace(_is_power_of_largest, _lowered)
        if lower.has(sp.Heaviside):
            lower = lower.replace(sp.Mul, _without_steps)
        expr = expr if expr == lower else _expanded(lower)
    return expr


def _is_power_of_largest(part) -> bool:
    return part.is_Pow and isinstance(part.base, sp.Max) and part.exp.is_Integer and part.exp > 1


def _lowered(power):
    """The larger of a and b is a root of (m - a)(m - b), so its square is (a + b) m - ab."""
    largest, exponent = power.args
    if len(largest.args) != 2 or not all(arg.is_extended_real for arg in largest.args):
        return power
    a, b = largest.args
    return ((a + b) * largest - a * b) * largest ** (exponent - 2)


def _without_steps(*factors):
    """A step beside the positive part of the same number leaves it as it is: where that is not 0, the step is 1."""
    parts = [factor for factor in factors if isinstance(factor, sp.Max)]
    positive = {argument for part in parts if sp.S.Zero in part.args and len(part.args) == 2 for argument in part.args}
    return sp.Mul(*(part for part in factors if not (isinstance(part, sp.Heaviside) and part.args[0] in positive)))


_SPECIAL = (sp.Sum, sp.Product, _Total, sp.KroneckerDelta, _Holds, sp.Max, sp.Min, sp.Heaviside)


@functools.lru_cache(maxsize=4096)  # the terms of an expression share their sums
def _normal(expr, way):
    """The normal form: sums by their regions, deltas of whole numbers by their difference, the rest multiplied out."""
    if isinstance(expr, _BINDING) or not expr.has(*_SPECIAL):
        return _expanded(expr) if isinstance(expr, sp.Expr) else expr
    if isinstance(expr, sp.Sum | sp.Product):
        indices = [limit[0] for limit in expr.limits]
        claims = tuple(sp.expand(claim) for limit in expr.limits for claim in _claims(limit))
        body, kind = expr.function, _sum if isinstance(expr, sp.Sum) else _product
        return _expanded(kind(_normal(body, way.within(claims)), indices, claims, way))
    if isinstance(expr, _Total):
        kind = _product if isinstance(expr, _Multiplied) else _sum
        body, indices, claims = _opened(expr)
        return _expanded(kind(_normal(body, way.within(claims)), indices, claims, way))
    args = [_normal(arg, way) for arg in expr.args]
    if isinstance(expr, sp.KroneckerDelta | _Holds):
        return _decided(expr.func(*args), way.facts)
    expr = expr.func(*args)
    if isinstance(expr, sp.Max | sp.Min):
        return _expanded(_largest(expr))
    if isinstance(expr, sp.Heaviside):
        return _expanded(_step(expr))
    return _expanded(expr)


def _signed(difference):
    """A number as its sign, a positive factor and the rest; of the rest and its contrary, one is standard."""
    difference = sp.factor_terms(sp.expand(difference))
    sign = -1 if difference.could_extract_minus_sign() else 1
    difference = sp.factor_terms(sp.expand(sign * difference))
    scale = sp.Mul(*(factor for factor in sp.Mul.make_args(difference) if factor.is_positive))
    return sign, scale, difference / scale


def _largest(expr):
    """The larger of two real numbers, by the positive part of their difference (or of its contrary: one is standard).

    max(a, b) = b + max(a - b, 0), max(ca, 0) = c max(a, 0) for positive c, and min(a, b) = a + b - max(a, b).
    """
    if len(expr.args) != 2 or not all(arg.is_extended_real for arg in expr.args):
        return expr
    a, b = expr.args
    if isinstance(expr, sp.Min):
        return a + b - _largest(sp.Max(a, b, evaluate=False))
    sign, scale, difference = _signed(a - b)
    return (b if sign == 1 else a) + scale * sp.Max(difference, 0)


def _by_step(largest):
    if len(largest.args) != 2 or sp.S.Zero not in largest.args or not all(arg.is_real for arg in largest.args):
        return largest
    (difference,) = set(largest.args) - {sp.S.Zero}
    return difference * sp.Heaviside(difference)


def _step(expr):
    """The step at zero (where it is a half) of a real number: that of its contrary is the rest to one."""
    if not expr.args[0].is_extended_real or expr.args[1] != sp.S.Half:
        return expr
    sign, _, difference = _signed(expr.args[0])
    step = sp.Heaviside(difference)
    return step if sign == 1 else 1 - step


def _at_equal_indices(expr, way, done=frozenset()):
    """Write what stands beside a delta of free whole numbers in one of them fewer: elsewhere it is zero."""
    result, beside = [], {}
    for term in sp.Add.make_args(sp.expand(expr)):
        deltas = {part for part in sp.Mul.make_args(term) if isinstance(part, sp.KroneckerDelta)} - done
        for delta in sorted(deltas, key=str):
            symbols = [part for part in delta.free_symbols if part.is_Symbol and part.is_integer]
            symbols.sort(key=lambda part: (isinstance(part, Index), str(part)))  # what is known to be in a range stays
            pinned = _pinned(delta.args[0] - delta.args[1], symbols)
            if pinned and not _binds(term, pinned[0]):
                beside.setdefault((delta, *pinned), []).append(term / delta)
                break
        else:
            result.append(term)
    for (delta, symbol, value), terms in beside.items():
        try:
            rest = _normal(sp.Add(*terms).xreplace({symbol: value}), way)
        except ValueError:  # sympy, of the larger of two where one is 1/0
            raise _Refused(f"where {symbol} is {value} a part has no value") from None
        result.append(_at_equal_indices(rest * delta, way, done | {delta}))
    return sp.Add(*result)


def _opaque(expr) -> dict:
    """A symbol for each part that sympy's simplification must not open, with what is known of its sign."""
    own = expr.atoms(_Total, _Holds, sp.KroneckerDelta)
    symbols = {part: sp.Dummy(positive=part.is_positive or None, real=part.is_real or None) for part in own}
    return symbols | {part: sp.Dummy() for part in expr.atoms(sp.Sum, sp.Product, sp.Piecewise, *_BINDING)}


def _zero(expr, way, simplify=False) -> bool:
    """Whether the normal form of an expression (indices apart, derivatives taken) is zero wherever it is defined."""
    expr = _at_equal_indices(_normal(expr, way), way)
    if expr.count_ops() > _OPERATIONS:
        return False
    if expr.has(sp.Heaviside) and expr.has(sp.Max):  # max(d, 0) is d times its step
        expr = _normal(expr.replace(sp.Max, lambda *args: _by_step(sp.Max(*args))), way)
    if expr.has(sp.zoo, sp.nan, sp.oo, -sp.oo):
        return False  # a value was put in where there is none
    expr = sp.together(expr)
    expr = expr.xreplace(_opaque(expr))
    return sp.expand(sp.fraction(expr)[0]) == 0 or (simplify and sp.simplify(expr) == 0)


_UNKNOWN = (sp.Limit, sp.Order, sp.MatrixExpr, sp.AccumBounds)


def _check_kind(difference) -> None:
    """Refuse what has no one exact value, and arrays that differ but whose elements would pass for the same."""
    if inexact := difference.atoms(sp.Float):
        raise _Refused(f"{min(inexact, key=str)} is a decimal, which is rounded; write it as a fraction")
    if unknown := next((part for part in sp.preorder_traversal(difference) if isinstance(part, _UNKNOWN)), None):
        raise _Refused(f"nothing is known here of {type(unknown).__name__}")
    if any(not count.is_Integer for part in difference.atoms(sp.Derivative) for _, count in part.variable_count):
        raise _Refused("a derivative is taken a number of times that is not written out")
    arrays: dict[str, sp.IndexedBase] = {}
    for array in difference.atoms(sp.IndexedBase):
        if arrays.setdefault(str(array), array) != array:
            raise _Refused(f"{array} is two arrays, which print alike")


def _difference(left, right):
    """What is to be shown to be zero, and the ranges of the free indices: they are within them."""
    _check_kind(sp.Tuple(left, right))
    indices = {part for part in left.free_symbols | right.free_symbols if isinstance(part, Index)}
    facts = tuple(fact for index in sorted(indices, key=str) for fact in _known(index))
    difference = _taken(_apart(left, facts)) - _taken(_apart(right, facts))
    if not difference.is_commutative:
        raise _Refused("the order of its factors matters")
    fixed = {index: index.first for index in indices if index.first == index.last and not _binds(difference, index)}
    return difference.xreplace(fixed), _Way(facts)


def is_positive(expr) -> bool:
    """Whether an expression is proved to be above zero for every number of keys, wherever it is defined.

    Examples
    --------
    >>> n = sp.Symbol("n", integer=True, positive=True)
    >>> j, s = Index("j", n), sp.IndexedBase("s", real=True)
    >>> is_positive(sp.Sum(sp.exp(s[j]), (j, 1, n))), is_positive(sp.Sum(sp.exp(s[j]), (j, 2, n)))
    (True, False)
    """
    try:
        expr, way = _difference(_expression("expr", expr), sp.Integer(0))
    except _Refused:
        return False
    if expr.is_integer and _implied(expr - 1, way.facts):
        return True
    written = expr.replace(lambda part: isinstance(part, sp.Sum | sp.Product), lambda part: _normal(part, way))
    for form in (sp.factor_terms(written), _normal(expr, way)):
        form = form.xreplace(_opaque(form))
        if form.is_positive or sp.simplify(form).is_positive:
            return True
    return False


def _expression(name, value):
    value = value if isinstance(value, str) else sp.sympify(value)  # sympy would run a text as Python
    if not isinstance(value, sp.Expr):
        raise ValueError(f"{name} must be an expression; got {value}")
    return value


# --- Numbers ---------------------------------------------------------------------------------------------------------


class _NoValue(Exception):
    """An expression, or a part of it, that cannot be computed at a point."""


class _Point:
    """Numbers for all that is free, drawn when first asked for, within declared ranges and assumptions."""

    def __init__(self, rng, sizes, numbers=()):
        self.seed, self.sizes = rng.random(), sizes
        self.numbers, self.polynomials = dict(numbers), {}

    def rng(self, symbol):
        """Chance for one symbol, whatever was drawn before it: the order of terms is not the same in every process."""
        return random.Random(f"{self.seed} {symbol}")

    def whole(self, symbol):
        """The value of a whole number: of one with a declared range, one within it."""
        if symbol not in self.numbers:
            if isinstance(symbol, Index):
                first, last = (self.spelled(end) for end in (symbol.first, symbol.last))
                if not (first.is_Integer and last.is_Integer and first <= last):
                    raise _NoValue
                number = self.rng(symbol).randint(int(first), int(last))
            elif symbol.is_positive and (size := self.size(symbol)):
                number = size
            else:
                fitting = [number for number in range(-3, 5) if _fits(sp.Integer(number), symbol)]
                if not fitting:
                    raise _NoValue
                number = self.rng(symbol).choice(fitting)
            self.numbers[symbol] = sp.Integer(number)
        return self.numbers[symbol]

    def size(self, symbol):
        """The value of a number of keys or of other things, if it is given."""
        return self.sizes.get(symbol.name)

    def real(self, symbol):
        """The value of a real symbol, or of one element of an array."""
        if symbol.is_integer:
            return self.whole(symbol)
        if symbol not in self.numbers:
            self.numbers[symbol] = self.drawn(symbol)
        return self.numbers[symbol]

    def drawn(self, symbol):
        """A random value for a real symbol."""
        rng = self.rng(symbol)
        size = sp.Float(rng.uniform(0.3, 2), 40)
        below = symbol.is_negative or (not symbol.is_nonnegative and rng.random() < 0.5)
        number = -size if below else size
        if not _fits(number, symbol):
            raise _NoValue
        return number

    def spelled(self, expr, bound=None, symbolic=False):
        """The expression term by term, its whole numbers put in; with `symbolic`, elements and symbols stay symbols."""
        bound = bound or {}
        if hasattr(expr, "unfold"):
            return self.spelled(expr.unfold(), bound, symbolic)
        if isinstance(expr, sp.Symbol):
            if expr in bound:
                return bound[expr]
            if expr.is_integer:
                return self.whole(expr)
            return expr if symbolic else self.real(expr)
        if not expr.args or isinstance(expr, sp.IndexedBase):
            return expr
        if isinstance(expr, sp.Sum | sp.Product):
            return self._over(expr, list(expr.limits), bound, symbolic)
        if isinstance(expr, sp.Derivative):
            if not symbolic:
                _check_real([sp.N(self.spelled(expr.expr, bound), 30)])  # there is a slope only where there is a value
            whole = {
                part for part in expr.variables if part.is_integer and part.is_Symbol and not isinstance(part, Index)
            }
            between = {part: sp.Dummy(part.name, positive=part.is_positive) for part in whole - bound.keys()}
            inner = self.spelled(expr.expr, bound | between, True)
            if inner.has(sp.zoo, sp.nan, sp.oo, -sp.oo):
                raise _NoValue  # sympy would say that its slope is zero
            for variable in expr.variables:
                variable = self.spelled(variable, bound | between, True)
                if not variable.is_Symbol:
                    raise _NoValue
                inner = sp.diff(inner, variable)
            if inner.has(sp.Derivative, sp.Subs):
                raise _NoValue
            inner = inner.xreplace({real: self.whole(part) for part, real in between.items()})
            return inner if symbolic else inner.xreplace({part: self.real(part) for part in inner.free_symbols})
        if isinstance(expr, sp.Integral | sp.Subs):
            raise _NoValue
        if isinstance(expr, sp.UnevaluatedExpr):
            return self.spelled(expr.args[0], bound, symbolic)
        args = [self.spelled(arg, bound, symbolic) for arg in expr.args]
        _check_real(args)
        if isinstance(expr, sp.Indexed):
            if not all(index.is_Integer for index in args[1:]):
                raise _NoValue
            names = ("positive", "negative", "nonnegative", "integer")
            assumptions = {"real": True} | {name: True for name in names if getattr(expr, f"is_{name}")}
            element = sp.Symbol(f"{expr.base.label}[{', '.join(map(str, args[1:]))}]", **assumptions)
            return element if symbolic else self.real(element)
        if isinstance(expr, AppliedUndef):
            return self._polynomial(expr.func, args)
        return expr.func(*args)

    def _over(self, expr, limits, bound, symbolic):
        if not limits:
            return self.spelled(expr.function, bound, symbolic)
        index, first, last = limits.pop()
        first, last = (self.spelled(end, bound) for end in (first, last))
        if not (first.is_Integer and last.is_Integer and last - first < 100):
            raise _NoValue
        kind = sp.Add if isinstance(expr, sp.Sum) else sp.Mul
        parts = [
            self._over(expr, list(limits), bound | {index: sp.Integer(number)}, symbolic)
            for number in range(int(first), int(last) + 1)
        ]
        _check_real(parts)
        return kind(*parts)

    def _polynomial(self, function, args):
        """A random smooth function, the same one wherever it occurs."""
        key = (function, len(args))
        if key not in self.polynomials:
            rng = self.rng(function)
            self.polynomials[key] = [[sp.Rational(rng.randint(-9, 9), 7) for _ in range(4)] for _ in args]
        forms = zip(args, self.polynomials[key], strict=True)
        value = sp.Mul(*(a + b * x + c * x**2 + d * x**3 for x, (a, b, c, d) in forms))
        unknown = function(*args)
        if unknown.is_integer or unknown.is_negative or unknown.is_real is False:
            raise _NoValue
        return 1 + value**2 if unknown.is_nonnegative else value

    def value(self, expr):
        """A real number, or None where there is none."""
        number = sp.N(self.spelled(expr), 30)
        return number if number.is_Number and number.is_finite and number.is_real else None


def _check_real(parts) -> None:
    """Raise if one of them is a number, but no real one: with the others it could come to one."""
    if any(isinstance(part, sp.Expr) and part.is_number and not (part.is_real and part.is_finite) for part in parts):
        raise _NoValue


def _fits(number, symbol) -> bool:
    """Whether a number is nothing that a symbol is assumed not to be."""
    return not any(getattr(number, f"is_{name}") is (not value) for name, value in symbol.assumptions0.items())


class _SmallPoint(_Point):
    """The same with small whole numbers, and halves, for real symbols: what can be followed by hand."""

    simple = tuple(map(sp.Rational, (0, 1, -1, 2, "1/2", -2, 3)))

    def size(self, symbol):
        return self.sizes["n"]  # of all things as many as keys

    def drawn(self, symbol):
        fitting = [number for number in self.simple if _fits(number, symbol)]
        if not fitting:
            raise _NoValue
        return self.rng(symbol).choice(fitting[:4])


def _compared(left, right, point):
    """Both sides at a point, as a refutation where they differ, else None."""
    try:
        first, second = point.value(left), point.value(right)
    except (_NoValue, ZeroDivisionError, OverflowError, TypeError):  # the last: sympy, of what is not a number
        return None
    if first is None or second is None or abs(first - second) <= 1e-12 * max(abs(first), abs(second), 1e-8):
        return None
    return Refuted(left, right, point.numbers, first, second)


# --- Answers ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Proved:
    """Proved for every number of keys, or for the numbers of keys in `keys`."""

    keys: tuple = ()

    def __str__(self):
        return "proved" + f" for n = {', '.join(map(str, self.keys))}" * bool(self.keys)


@dataclasses.dataclass(frozen=True)
class Refuted:
    """Refuted by numbers: the values of whole numbers, symbols and elements, and what both sides are there."""

    left: sp.Basic
    right: sp.Basic
    values: dict
    left_value: sp.Expr
    right_value: sp.Expr

    def value(self, expr):
        """What another expression is with the same numbers; None where it has no value."""
        return _Point(random.Random(0), {}, self.values).value(expr)

    def __str__(self):
        values = ", ".join(f"{name} = {_short(value)}" for name, value in self.values.items())
        return f"with {values or 'nothing free'}: left {_short(self.left_value)}, right {_short(self.right_value)}"


@dataclasses.dataclass(frozen=True)
class Undecided:
    """Neither proved nor refuted, and why."""

    reason: str

    def __str__(self):
        return f"undecided: {self.reason}"


Answer = Proved | Refuted | Undecided


def _short(number) -> str:
    return str(number) if number.is_Integer else f"{float(number):.6g}"


def _counts(keys) -> tuple[int, ...]:
    keys = tuple(keys)
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in keys):
        raise ValueError(f"keys must be whole numbers of at least one; got {keys}")
    return keys


def _with_keys(expr, count):
    """The expression for a number of keys, also in the ranges of its indices."""
    if hasattr(expr, "unfold"):
        return _with_keys(expr.unfold(), count)
    if isinstance(expr, Index):
        return Index(expr.name, _with_keys(expr.last, count), _with_keys(expr.first, count))
    if isinstance(expr, sp.Symbol):
        return sp.Integer(count) if expr.name == "n" and expr.is_integer and expr.is_positive else expr
    try:
        return expr.func(*(_with_keys(arg, count) for arg in expr.args)) if expr.args else expr
    except ValueError:
        raise _Refused(f"{expr} needs n as a letter") from None


def _alike(left, right) -> str:
    """In what symbols differ that print alike, one in each side."""
    names: dict[str, set[sp.Basic]] = {}
    for part in left.free_symbols | right.free_symbols:
        names.setdefault(str(part), set()).add(part)
    texts = []
    for name, parts in sorted(names.items()):
        if len(parts) > 1 and not any(isinstance(part, sp.Indexed) for part in parts):
            texts.append(f"{name} is {' and '.join(sorted(map(_described, parts)))}, which print alike")
    return "; ".join(texts)


def _described(symbol) -> str:
    if isinstance(symbol, Index):
        return f"an index from {symbol.first} to {symbol.last}"
    assumed = [name for name, value in getattr(symbol, "_assumptions_orig", {}).items() if value]
    return f"a symbol assumed to be {', '.join(assumed)}" if assumed else "a symbol without assumptions"


def prove(left, right, *, keys=()):
    """Answer whether two expressions are equal wherever both are defined, for every number of keys.

    Parameters
    ----------
    left, right : Expr
        A free `Index` is taken to be within its declared range.  Empty sums are 0, empty products 1.
    keys : sequence of int
        Numbers of keys (of the symbol n) for which to prove it where no proof for a symbolic n is found.

    Returns
    -------
    Proved, Refuted or Undecided
        Refuted only by numbers, proved only by algebra.

    Examples
    --------
    >>> n = sp.Symbol("n", integer=True, positive=True)
    >>> i, j, s = Index("i", n), Index("j", n), sp.IndexedBase("s", real=True)
    >>> print(prove(sp.Sum(s[j], (j, 1, i)), sp.Sum(s[j], (j, 1, i - 1)) + s[i]))
    proved
    >>> print(prove(sp.Sum(1, (j, 3, n)), n - 2))
    with n = 1: left 0, right -1
    >>> print(prove(sp.Derivative(sp.Function("f")(i), i), 0))
    undecided: no normal form makes both sides the same, and no numbers were found that tell them apart
    """
    keys = _counts(keys)
    left, right = _expression("left", left), _expression("right", right)
    reason = ""
    try:
        _check_kind(sp.Tuple(left, right))
    except _Refused as refusal:
        return Undecided(str(refusal))
    try:
        difference, way = _difference(left, right)
        if _zero(difference, way):
            return _checked(Proved(), left, right, (1, 2))
        answer = _refutation(left, right, keys or (1, 2, 3, 5))
        if answer:
            return answer
        cut = dataclasses.replace(way, cut=_CUTS)
        # cheap ways first; sympy's simplification knows more, and takes its time
        if _zero(difference, cut) or _zero(difference, way, simplify=True):
            return _checked(Proved(), left, right, (1, 2))
        cases = [[_with_keys(side, count) for side in (left, right)] for count in keys]
        if cases and all(_zero(*_difference(*sides), simplify=True) for sides in cases):
            return _checked(Proved(keys), left, right, keys)
    except _Refused as refusal:
        reason = str(refusal)
        if answer := _refutation(left, right, keys or (1, 2, 3, 5)):
            return answer
    generic = "no normal form makes both sides the same, and no numbers were found that tell them apart"
    return Undecided(reason or _alike(left, right) or generic)


def _refutation(left, right, counts):
    rng = random.Random(0)
    answers = (_compared(left, right, _Point(rng, {"n": count})) for count in counts for _ in range(6))
    return next(filter(None, answers), None)


def _checked(answer, left, right, counts):
    """A proof, unless numbers contradict it: then a rule is wrong, which must not pass in silence."""
    rng = random.Random(1)
    for count in counts[:2]:
        if contradiction := _compared(left, right, _Point(rng, {"n": count})):
            raise AssertionError(f"proved, but false {contradiction}:\n  left   {left}\n  right  {right}")
    return answer


def smallest(left, right, *, keys=(1, 2, 3, 5), where=None):
    """Find small numbers at which two expressions differ, for people to follow.

    Parameters
    ----------
    left, right : Expr
    keys : sequence of int
        Numbers of keys to try, the first ones first.
    where : function, optional
        Whether a refutation's numbers will do.

    Returns
    -------
    Refuted or None
        None where no such numbers were found, which proves nothing.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> print(smallest((x + y) ** 2, x**2 + y**2))
    with x = 1, y = 1: left 4, right 2
    """
    keys = _counts(keys)
    rng = random.Random(0)
    for count in keys:
        tries = filter(None, (_compared(left, right, _SmallPoint(rng, {"n": count})) for _ in range(12)))
        if found := max(itertools.islice(filter(where, tries), 4), key=_indices_apart, default=None):
            return _simplified(left, right, found, where)
    return None


def _indices_apart(refuted) -> int:
    """How many values the free indices have: of one key twice, little is seen."""
    return len({value for symbol, value in refuted.values.items() if isinstance(symbol, Index)})


def _simplified(left, right, found, where):
    """The same refutation with as many zeros and ones as still refute; a letter alone is rather one, for 0 hides it."""
    for symbol in list(found.values) if found else ():
        for number in map(sp.Integer, (0, 1) if "[" in symbol.name else (1,)):
            if symbol.is_integer or found.values[symbol] == number or not _fits(number, symbol):
                continue
            simpler = _compared(left, right, _Point(random.Random(0), {}, found.values | {symbol: number}))
            if simpler and (where is None or where(simpler)):
                found = simpler
                break
    return found


def check_equal(left, right, *, keys=()) -> None:
    """Raise unless two expressions are proved equal.

    Parameters
    ----------
    left, right, keys
        As in `prove`.

    Raises
    ------
    NotProved
        With both sides, and the numbers that refute it or the reason why it is undecided.

    Examples
    --------
    >>> x = sp.Symbol("x", positive=True)
    >>> check_equal(sp.sqrt(x**2), x)
    >>> check_equal(x, 2 * x)
    Traceback (most recent call last):
    ...
    attnlib.proof.NotProved: not proved equal:
      left   x
      right  2*x
      with x = 0.51848: left 0.51848, right 1.03696
    """
    answer = prove(left, right, keys=keys)
    if not isinstance(answer, Proved):
        left, right = sp.sympify(left), sp.sympify(right)
        alike = f"\n  {text}" if (text := _alike(left, right)) and text not in str(answer) else ""
        raise NotProved(f"not proved equal:\n  left   {left}\n  right  {right}\n  {answer}{alike}")


# --- Equations -------------------------------------------------------------------------------------------------------


def is_nonzero(expr) -> bool:
    """Whether an expression is proved to be above zero, or to be below, for every number of keys."""
    return is_positive(expr) or is_positive(-expr)


def _demanded(expr: sp.Basic) -> set[tuple[str, sp.Basic]]:
    """What an expression divides by, and what it takes logarithms and roots of: with what that must be."""
    powers = expr.atoms(sp.Pow)
    divided = {part.base for part in powers if part.exp.could_extract_minus_sign()}
    rooted = {part.base for part in powers if part.exp.is_integer is not True} | {
        part.args[0] for part in expr.atoms(sp.log)
    }
    return {("nonzero", part) for part in divided if part.is_nonzero is not True} | {
        ("positive", part) for part in rooted if part.is_positive is not True
    }


def check_follows(old, new, factor, *, keys=()) -> None:
    """Raise unless two equations are proved to have the same solutions, since their sides differ by a factor.

    Parameters
    ----------
    old, new : Eq
    factor : Expr
        (old left - old right) / (new left - new right), which is to be proved nonzero.
    keys : sequence of int
        As in `prove`.

    Raises
    ------
    NotProved
        If the factor, or what only one of them divides by, is not proved nonzero, or what only one takes a logarithm or
        root of is not proved positive; or if it is not the factor.
    """
    if not is_nonzero(factor):
        raise NotProved(f"factor must be proved nonzero; got {factor}")
    _check_demands(old, new)
    check_equal(old.lhs - old.rhs, factor * (new.lhs - new.rhs), keys=keys)


def _check_demands(old, new, more=frozenset()) -> None:
    """Raise if only one of two equations asks that something is not zero, or positive: else it has no solution."""
    for wanted, part in sorted((_demanded(old) ^ _demanded(new)) | more, key=str):
        if not {"nonzero": is_nonzero, "positive": is_positive}[wanted](part):
            verb = {"nonzero": "divides by it", "positive": "takes its logarithm or root"}[wanted]
            raise NotProved(f"{part} must be proved {wanted}, for only one of the equations {verb}")


def follows(old, new, *, demands=frozenset()):
    """Answer whether two equations have the same solutions, for every number of keys.

    Parameters
    ----------
    old, new : Eq
    demands : set of pairs
        What else is to be proved "nonzero" or "positive", such as what one of them was divided by before it cancelled.

    Returns
    -------
    Proved, Refuted or Undecided
        Proved where one is the other times what is proved nonzero; refuted where one holds and the other does not.  A
        line that is squared, or divided by what may vanish, is undecided at best.

    Examples
    --------
    >>> x, y, z = sp.Symbol("x", real=True), sp.Symbol("y", positive=True), sp.Symbol("z", real=True)
    >>> print(follows(sp.Eq(x * y, y), sp.Eq(x, 1)), "|", follows(sp.Eq(x * z, z), sp.Eq(x, 1)))
    proved | with x = 2, z = 0: left 2, right 1
    >>> print(follows(sp.Eq(x, 1), sp.Eq(x, 2)))
    with x = 1: left 1, right 2
    """
    reason = "no factor was found, proved nonzero, that makes one line of the other"
    try:
        _difference(old.lhs - old.rhs, new.lhs - new.rhs)  # letters of both must go together
        (before, way), (after, more) = _difference(old.lhs, old.rhs), _difference(new.lhs, new.rhs)
        way = _Way((*way.facts, *more.facts))
        forms = [sp.together(_at_equal_indices(_normal(side, way), way)) for side in (before, after)]
        if any(form.has(sp.zoo, sp.nan, sp.oo, -sp.oo) for form in forms):
            raise _Refused("a part of one line has no value")
        opaque = _opaque(sp.Tuple(*forms))
        forms = [form.xreplace(opaque) for form in forms]
        multiple = max(form.count_ops() for form in forms) < _OPERATIONS and any(
            map(_simplifies_to_nonzero, _quotients(*forms))
        )
        if multiple or any(_differ_by(old, new, sign) for sign in (1, -1)):
            _check_demands(old, new, demands)
            return Proved()
    except (_Refused, NotProved) as refusal:
        reason = str(refusal)
    return _loses(old, new) or _loses(new, old) or Undecided(reason)


def _differ_by(old, new, factor) -> bool:
    return isinstance(prove(old.lhs - old.rhs, factor * (new.lhs - new.rhs)), Proved)


def _simplifies_to_nonzero(expr) -> bool:
    return bool(expr.is_nonzero or sp.simplify(expr).is_nonzero)


def _quotients(left, right):
    """What the left side is the right side's multiple by: cancelled, or divided as polynomials in one letter."""
    if right == 0:
        return
    yield sp.factor_terms(sp.cancel(left / right))
    above, below = (sp.fraction(side)[0] for side in (left, right))
    for symbol in sorted(above.free_symbols & below.free_symbols, key=str):
        if above.is_polynomial(symbol) and below.is_polynomial(symbol):
            quotient, rest = sp.div(above, below, symbol)
            if sp.simplify(rest) == 0:
                yield quotient * sp.fraction(right)[1] / sp.fraction(left)[1]


def _loses(holds, fails):
    """Small numbers at which an equation holds and another does not, as a refutation of the other; else None."""
    rng = random.Random(0)
    difference = holds.lhs - holds.rhs
    arrays = {array.label for side in (holds, fails) for array in side.atoms(sp.IndexedBase)}
    letters = {part for part in holds.free_symbols | fails.free_symbols if part.is_Symbol and not part.is_integer}
    for unknown, count, _ in itertools.product(sorted(letters - arrays, key=str), (1, 2, 3), range(4)):
        letter = sp.Dummy(**unknown.assumptions0)
        point = _SmallPoint(rng, {"n": count}, {unknown: letter})
        try:
            for value in _roots(point.spelled(difference), letter, point.drawn(unknown)):
                there = _SmallPoint(rng, point.sizes, point.numbers | {unknown: value})
                if not _fits(value, unknown) or sp.simplify(there.spelled(difference)) != 0:
                    continue
                if None in map(there.value, holds.args):  # a part that cancels has no value here
                    continue
                if found := _compared(fails.lhs, fails.rhs, there):
                    return found
        except (_NoValue, ZeroDivisionError, OverflowError, TypeError):
            continue
    return None


def _roots(expr, letter, drawn) -> list:
    """Where an expression of one letter is zero, if it is a polynomial of at most the second degree."""
    polynomial = sp.expand(sp.fraction(sp.together(expr))[0])
    if polynomial == 0:
        return [drawn]
    if not polynomial.is_polynomial(letter) or not 1 <= sp.degree(polynomial, letter) <= 2:
        return []
    roots = sp.roots(polynomial, letter)
    return sorted((root for root in roots if root.is_real), key=float)
