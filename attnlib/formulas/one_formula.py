"""Where the four roads agree and part (chapter 07)."""

from sympy import IndexedBase, Symbol, exp, log

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import LogOrZero, alpha, declare, i, j, over_keys, pi0, rho, s, target, tau, w

scale, shift = declare(Symbol("a", positive=True), "stretch"), declare(Symbol("b", real=True), "shift")

temperature = Formula("temperature", tau, 1 / alpha, "One over the inverse temperature.")
moved_score = Formula(
    "score that is moved", IndexedBase("s^moved", real=True)[i], scale * s[i] + shift, "Stretched, and shifted."
)
weight_with_prior = Formula(
    "weight with a prior",
    w[i],
    pi0[i] * exp(alpha * s[i]) / over_keys(pi0[j] * exp(alpha * s[j])),
    "Softmax, with a prior weight in each term.",
    stable=1 / over_keys(pi0[j] / pi0[i] * exp(alpha * (s[j] - s[i]))),
)
expectation = Formula(
    "expected score of any weights",
    target,
    over_keys(w[j] * s[j]),
    "The number that maximum entropy holds.",
)
slope_with_prior = Formula(
    "slope of the dual with a prior, times a positive sum",
    Symbol("D'", real=True),
    over_keys(pi0[j] * (s[j] - target) * exp(alpha * (s[j] - target))),
    "It grows with α, and is zero where the weights have the expected score.",
)
budget = Formula(
    "divergence of any weights from a prior",
    rho,
    over_keys(w[j] * log(w[j] / pi0[j])),
    "The number that the budget road holds.",
    stable=over_keys(w[j] * LogOrZero(w[j] / pi0[j])),
)
part = Formula(
    "part of a divergence",
    IndexedBase("rho", real=True)[i],
    w[i] * log(w[i] / pi0[i]) - w[i] + pi0[i],
    "What one key adds to the divergence of weights that sum to one: never below zero, and zero where the two agree.",
    stable=w[i] * LogOrZero(w[i] / pi0[i]) - w[i] + pi0[i],
)
