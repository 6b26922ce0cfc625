"""The letters that chapters share, each with what it means, in the order in which a product lists them.

Keys carry the index i (or j, l), coordinates the index c; each starts at one, as on the page, and each knows how far
it runs.  The number of keys `n` and of coordinates `d` stay symbolic.
"""

import sympy as sp

from attnlib.proof import Index

MEANINGS: dict = {}  # of every letter, in a few words; its order is the order of letters in a product


def declare(letter, meaning: str):
    """Give a letter its meaning, and with it its place in products; the letter is returned.

    Raises
    ------
    ValueError
        If the letter has another meaning already.

    Examples
    --------
    >>> declare(alpha, "learning rate")
    Traceback (most recent call last):
    ...
    ValueError: letter alpha means 'inverse temperature' already; got 'learning rate'
    """
    if MEANINGS.setdefault(letter, meaning) != meaning:
        raise ValueError(f"letter {letter} means {MEANINGS[letter]!r} already; got {meaning!r}")
    return letter


def _positive(name: str, meaning: str) -> sp.Symbol:
    return declare(sp.Symbol(name, positive=True), meaning)


def _real(name: str, meaning: str) -> sp.Symbol:
    return declare(sp.Symbol(name, real=True), meaning)


def _count(name: str, meaning: str) -> sp.Symbol:
    return declare(sp.Symbol(name, integer=True, positive=True), meaning)


def _array(name: str, meaning: str, **assumptions) -> sp.IndexedBase:
    return declare(sp.IndexedBase(name, **assumptions or {"real": True}), meaning)


n = _count("n", "number of keys")
sequence_length = _count("T", "queries, and as many keys")
d = _count("d", "coordinates")
head_count = _count("h", "heads")
number_size = _count("b", "bytes a number")

i, j, l = (Index(name, n) for name in "ijl")  # noqa: E741 (the letter of the book)
c = Index("c", d)

kappa = _positive("kappa", "precision at score zero")
alpha = _real("alpha", "inverse temperature")
beta = _positive("beta", "inverse temperature, 1/price")
eta = _positive("eta", "step size")
tau = _positive("tau", "temperature")
nu = _real("nu", "multiplier of “the weights sum to one”")
rho = _positive("rho", "budget")
target = _real("t", "expected score")
x = _real("x", "place")
mean = _real("mu", "mean")
spread = _positive("sigma", "standard deviation")

q = _array("q", "query")
k = _array("k", "keys")
theta = _array("theta", "relative precisions", positive=True)
pi0 = _array("pi", "prior", positive=True)
p = _array("p", "any weights", positive=True)
w = _array("w", "weights", positive=True)
g = _array("g", "upstream gradient")
v = _array("v", "values")
u = _array("u", "utilities")
s = _array("s", "scores")
o = _array("o", "output")


def over_keys(term: sp.Expr, index: Index = j) -> sp.Sum:
    """The sum of a term over all keys."""
    return sp.Sum(term, (index, 1, n))


class Weight(sp.Function):
    """The softmax weight of a key, at an inverse temperature: printed as w_i, proved with as what it stands for."""

    nargs = 2

    def unfold(self):
        """Give the exponential of the key's score over the sum of all keys' exponentials."""
        index, rate = self.args
        other = sp.Dummy("j", integer=True, positive=True)  # not j: a rate may hold it
        return sp.exp(rate * s[index]) / over_keys(sp.exp(rate * s[other]), other)

    def _eval_derivative(self, symbol):
        return self.unfold().diff(symbol)

    @property
    def free_symbols(self):
        """What the weight depends on: all scores too, so that it can be differentiated by one."""
        return super().free_symbols | self.unfold().free_symbols

    def _latex(self, printer, exp=None):
        return f"w_{{{printer._print(self.args[0])}}}" + (f"^{{{exp}}}" if exp else "")


class LogOrZero(sp.Function):
    """The logarithm, with the value 0 at 0: so code gives 0 log 0 its limit, 0.  Elsewhere it is the logarithm."""

    nargs = 1

    def unfold(self):
        """Give the logarithm, which it is for every number above zero."""
        return sp.log(self.args[0])

    def _latex(self, printer, exp=None):
        return printer._print(self.unfold() ** (exp or 1))


def stable_weight(index: Index, other: Index = j) -> sp.Expr:
    """The weight of key `index` at `alpha` from differences of scores alone, so that nothing overflows into NaN."""
    return 1 / over_keys(sp.exp(alpha * (s[other] - s[index])), other)
