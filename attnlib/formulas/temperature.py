"""How sharp the weights should be (chapter 08)."""

from sympy import IndexedBase, Pow, Rational, Sum, Symbol, cos, exp, log, pi, sqrt

from attnlib.formulas.formula import Formula
from attnlib.formulas.maxent import spread_out
from attnlib.formulas.symbols import Weight, c, d, declare, i, j, k, over_keys, q, s, tau, w

top = Symbol("top", real=True)  # the largest score; any number gives the same, but with this one nothing overflows
scaled = declare(Symbol("scaled", nonnegative=True), "switch: 1 if the layer divides by √d, else 0")
chance, turn = declare(Symbol("U1", positive=True), "a uniform number"), declare(Symbol("U2", real=True), "another")
normal = declare(Symbol("Z", real=True), "a standard normal number")
factor = declare(Symbol("r", positive=True), "factor of z")
standard_scores = declare(IndexedBase("z", real=True), "scores over √d")

_logit = (s[j] - top) / tau
_masses = over_keys(exp(_logit))
_entropy = log(_masses) - over_keys(_logit * exp(_logit)) / _masses

entropy = Formula(
    "entropy at a temperature",
    spread_out,
    -over_keys(Weight(j, 1 / tau) * log(Weight(j, 1 / tau))),
    "How evenly softmax spreads the weights at a temperature.",
    stable=_entropy,
)
effective_keys = Formula(
    "effective number of keys",
    exp(spread_out),
    exp(-over_keys(Weight(j, 1 / tau) * log(Weight(j, 1 / tau)))),
    "Over how many keys the weights are spread.",
    stable=exp(_entropy),
)
scaling = Formula(
    "factor of the scores over the root of d",
    factor,
    Pow(sqrt(d), 1 - scaled, evaluate=False),
    "One where the layer divides scores by the root of d; the root where it does not.",
)
standard_score = Formula(
    "score of a key over the root of d",
    standard_scores[i],
    Sum(q[c] * k[i, c], (c, 1, d)) / sqrt(d),
    "Its variance is one for fresh queries and keys.",
)
fresh_weight = Formula(
    "weight of a fresh key",
    w[i],
    exp(factor * standard_scores[i]) / over_keys(exp(factor * standard_scores[j])),
    "Softmax of the scores as the layer has them.",
    stable=1 / over_keys(exp(factor * (standard_scores[j] - standard_scores[i]))),
)
gaussian = Formula(
    "normal number from two uniform ones",
    normal,
    Pow(-2 * log(chance), Rational(1, 2), evaluate=False) * cos(2 * pi * turn),
    "The method of Box and Muller.",
)
