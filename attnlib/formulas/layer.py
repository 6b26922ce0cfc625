"""What the layer computes (chapter 01)."""

from sympy import Sum, exp

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import Weight, alpha, c, d, i, j, k, o, over_keys, q, s, stable_weight, target, v, w

score = Formula("score of a key", s[i], Sum(q[c] * k[i, c], (c, 1, d)), "The inner product of query and key.")
weight = Formula(
    "weight of a key",
    w[i],
    exp(alpha * s[i]) / over_keys(exp(alpha * s[j])),
    "The softmax of α times the scores; the weights sum to one.",
    stable=stable_weight(i),
)
output = Formula(
    "output of the layer", o[c], over_keys(w[j] * v[j, c]), "The mean of the values, each with its key's weight."
)
expected_score = Formula(
    "expected score",
    target,
    over_keys(Weight(j, alpha) * s[j]),
    "The mean of the scores under the weights.",
    stable=over_keys(stable_weight(j, i) * s[j]),
)
