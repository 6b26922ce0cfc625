"""What a trained head does with a sentence (chapter 11)."""

from sympy import IndexedBase, Sum, Symbol, log, sqrt

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import LogOrZero, c, d, declare, i, j, k, n, o, over_keys, q, s, w

trained = declare(IndexedBase("y", real=True), "output as trained")

score = Formula(
    "score of a trained head",
    s[i],
    Sum(q[c] * k[i, c], (c, 1, d)) / sqrt(d),
    "The inner product of query and key, over the root of their number of coordinates.",
)
relative_budget = Formula(
    "relative budget",
    declare(Symbol("rho_rel", nonnegative=True), "share of the largest budget"),
    over_keys(w[j] * log(n * w[j])) / log(n),
    "The divergence of the weights from equal ones, over the largest that there is: 0 if all are equal, 1 on one key.",
    stable=over_keys(w[j] * LogOrZero(n * w[j])) / log(n),
)
change = Formula(
    "change of the output",
    declare(Symbol("Delta", nonnegative=True), "change of the output"),
    sqrt(Sum((o[c] - trained[c]) ** 2, (c, 1, d)) / Sum(trained[c] ** 2, (c, 1, d))),
    "The distance between the output and that of the head as trained, over the latter's length.",
)
