"""Values as noisy readings of one answer (chapter 02)."""

from sympy import IndexedBase, Mul, Pow, Rational, Symbol, UnevaluatedExpr, exp, log, pi, sqrt

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import (
    Weight,
    alpha,
    declare,
    i,
    j,
    kappa,
    mean,
    over_keys,
    s,
    spread,
    stable_weight,
    theta,
    v,
    x,
)

deviations = declare(IndexedBase("sigma", positive=True), "standard deviations")
answer = declare(Symbol("μ̂", real=True), "estimate")
answer_deviation = declare(Symbol("σ̂", positive=True), "its standard deviation")
height = declare(Symbol("f", positive=True), "density")
pooled = declare(Symbol("P", positive=True), "pooled precision")

# One reading as the source prints it; unevaluated, since sympy would pull the square root apart.
reading = Mul(
    Pow(kappa * theta[i] / (2 * pi), Rational(1, 2), evaluate=False),
    exp(-kappa * theta[i] * (mean - v[i]) ** 2 / 2),
    evaluate=False,
)
log_reading = log(kappa * theta[i] / (2 * pi)) / 2 - kappa * theta[i] * (mean - v[i]) ** 2 / 2

density = Formula(
    "Gaussian density",
    height,
    Mul(
        exp(-((x - mean) ** 2) / (2 * spread**2)),
        1 / Mul(spread, UnevaluatedExpr(Pow(2 * pi, Rational(1, 2), evaluate=False)), evaluate=False),
        evaluate=False,
    ),
    "How likely a reading is at a place.",
    stable=exp(-((x - mean) ** 2) / (2 * spread**2)) / (spread * sqrt(2 * pi)),
)
variance = Formula(
    "variance of a reading",
    deviations[i] ** 2,
    exp(-alpha * s[i]) / kappa,
    "If α is above zero, a key with a larger score is a more precise reading of the answer.",
)
deviation = Formula(
    "standard deviation of a reading",
    deviations[i],
    sqrt(variance.runs),
    "The root of the variance.",
)
estimate = Formula(
    "maximum-likelihood estimate",
    answer,
    over_keys(Weight(j, alpha) * v[j]),
    "The mean of the readings, each with its share of the precision.",
    stable=over_keys(stable_weight(j, i) * v[j]),
)
pooled_precision = Formula(
    "pooled precision", pooled, kappa * over_keys(exp(alpha * s[j])), "Precisions of independent readings add."
)
standard_deviation = Formula(
    "standard deviation of the estimate",
    answer_deviation,
    Pow(pooled_precision.expression, -Rational(1, 2), evaluate=False),
    "One over the root of the pooled precision.",
    stable=1 / sqrt(pooled_precision.expression),
)
