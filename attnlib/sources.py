"""What the book's five sources say: each equation in words, with its verdict, and as a formal statement."""

import functools
import tomllib
from importlib import resources

import sympy as sp
from sympy import Derivative, Eq, IndexedBase, KroneckerDelta, Product, Sum, Symbol, exp, log, sqrt

from attnlib.formulas import (
    Weight,
    alpha,
    beta,
    c,
    d,
    eta,
    i,
    j,
    k,
    kappa,
    l,
    mean,
    n,
    nu,
    over_keys,
    p,
    q,
    rho,
    s,
    spread,
    tau,
    theta,
    u,
    v,
    w,
)
from attnlib.formulas.likelihood import log_reading, reading
from attnlib.proof import Index

VERDICTS = (
    "proved",
    "tested",
    "definition",
    "assumption",
    "incomplete",
    "misprint",
    "slip",
)  # equations.toml says what each means


@functools.cache
def sources() -> dict[str, dict]:
    """The sources' equations as printed, by id: source, label, statement, verdict, perhaps a correction."""
    return tomllib.loads(resources.files("attnlib").joinpath("equations.toml").read_text("utf-8"))


def source(identifier: str) -> dict:
    """One of them.

    Raises
    ------
    ValueError
        If there is no such id.
    """
    if identifier not in sources():
        raise ValueError(f"equation must be an id of equations.toml; got {identifier!r}")
    return sources()[identifier]


def statement(identifier: str) -> tuple[sp.Basic, ...] | sp.Eq | None:
    """What an equation of a source says, formally, in the book's letters.

    A tuple holds the two sides of an identity, which are equal whatever the letters are, or the one expression that is
    defined or assumed; an `Eq` is a condition, which holds for some values of the letters.  None: it says it in words.

    Examples
    --------
    >>> statement("ma-9")
    Eq(mu, Sum(theta[i]*v[i], (i, 1, n))/Sum(theta[i], (i, 1, n)))
    """
    return _statements().get(identifier)


@functools.cache
def _statements() -> dict[str, tuple[sp.Basic, ...] | sp.Eq]:
    stated: dict[str, tuple[sp.Basic, ...] | sp.Eq] = {}

    # Ma's appendix.
    a, x, y = (IndexedBase(letter, real=True) for letter in "axy")
    inner, own = Sum(x[c] * y[c], (c, 1, d)), sqrt(Sum(x[c] ** 2, (c, 1, d)))
    stated["ma-a-sum"] = (Sum(a[i], (i, 1, n)),)
    stated["ma-a-product"] = (Product(a[i], (i, 1, n)),)
    stated["ma-a1"] = (inner, Sum(y[c] * x[c], (c, 1, d)))
    stated["ma-a2"] = (inner.subs(y, x), Sum(x[c] ** 2, (c, 1, d)))
    stated["ma-a-norm"] = (own,)
    stated["ma-a-cosine"] = (inner / (own * own.subs(x, y)),)
    softmax = exp(alpha * s[i]) / over_keys(exp(alpha * s[j]))
    stated["ma-a-softmax"] = (softmax.subs(alpha, 1),)
    stated["ma-a-density"] = (reading,)
    stated["ma-a-log"] = (log(reading), sum(map(log, reading.args)))
    stated["ma-a-log-expanded"] = (log(reading), log_reading)
    slope = -kappa * theta[i] * (mean - v[i])
    stated["ma-a-derivative"] = (Derivative(log(reading), mean), slope)

    # Ma's likelihood.
    variance = 1 / (kappa * exp(alpha * s[i]))
    readings, slopes = Sum(log(reading), (i, 1, n)), Sum(Derivative(log(reading), mean), (i, 1, n))
    weighted, precisions = over_keys(theta[i] * v[i], i), over_keys(theta[i], i)
    stated["ma-1"] = (softmax,)
    by_score = over_keys(s[j] * exp(alpha * s[j])) / over_keys(exp(alpha * s[j]))
    stated["ma-amplify"] = (Derivative(softmax, alpha), softmax * (s[i] - by_score))
    powers = [over_keys(Weight(i, alpha) * s[i] ** power, i) for power in (1, 2)]
    evenness = log(over_keys(exp(alpha * s[j]))) - alpha * powers[0]
    stated["ma-sharpness"] = (Derivative(evenness, alpha), -alpha * (powers[1] - powers[0] ** 2))
    stated["ma-subspace"] = (Sum(IndexedBase("W", real=True)[Symbol("a"), c] * x[c], (c, 1, Symbol("m"))),)
    stated["ma-2"] = (reading,)
    stated["ma-3"] = (exp(alpha * s[i]),)
    stated["ma-variance"] = (variance, exp(-alpha * s[i]) / kappa)
    stated["ma-coordinate"] = (variance,)
    stated["ma-mean"] = stated["ma-joint"] = stated["ma-abstract"] = (reading,)
    stated["ma-4"] = (Product(reading, (i, 1, n)),)
    stated["ma-log-likelihood"] = (log(Product(reading, (i, 1, n))),)
    stated["ma-sum-of-logs"] = (log(Product(reading, (i, 1, n))), readings)
    stated["ma-5"] = (Derivative(readings, mean), slopes)
    stated["ma-6"] = (Derivative(log(reading), mean), slope)
    stated["ma-7"] = Eq(over_keys(slope, i), 0)
    stated["ma-8"] = Eq(mean * precisions - weighted, 0)
    stated["ma-9"] = Eq(mean, weighted / precisions)
    stated["ma-10"] = (theta[i] / over_keys(theta[j]),)
    stated["ma-weights"] = (softmax, softmax)
    stated["ma-cancel"] = (kappa * theta[i] / over_keys(kappa * theta[j]), theta[i] / over_keys(theta[j]))
    stated["ma-sum-one"] = (over_keys(softmax, i), sp.S.One)
    stated["ma-11"] = (weighted / precisions, over_keys(theta[i] / over_keys(theta[j]) * v[i], i))
    stated["ma-12"] = Eq(exp(alpha * s[i]), 1 / (kappa * spread**2))
    width = Symbol("R", nonnegative=True)
    gaps = over_keys(exp(alpha * width) - exp(alpha * (s[j] - s[i])))
    stated["ma-sparse"] = (n * exp(alpha * width) - 1 / softmax, gaps)
    stated["ma-cost"] = (Sum(1, (c, 1, d), (i, 1, n), (j, 1, n)), n**2 * d)
    stated["summary-quadratic"] = (Sum(1, (i, 1, n), (j, 1, n)), n**2)

    # Ma's maximum entropy; a counts its features.
    feature, features, multipliers = Index("a", n), IndexedBase("f", real=True), IndexedBase("lambda", real=True)
    exponent = Sum(multipliers[feature] * features[feature, i], (feature, 1, n))
    partition = over_keys(exp(exponent.xreplace({i: j})))
    stated["ma-13"] = (exp(exponent - 1 - nu), exp(exponent) * exp(-1 - nu))
    stated["ma-14"] = Eq(exp(-1 - nu), 1 / partition)
    stated["ma-15"] = (KroneckerDelta(feature, i) * s[feature],)
    own_rates = over_keys(exp(multipliers[j] * s[j]))
    stated["ma-16"] = (exp(multipliers[i] * s[i] - log(own_rates)), exp(multipliers[i] * s[i]) / own_rates)
    stated["ma-same"] = (softmax, softmax)
    total = Symbol("Z", positive=True)
    mean_log = alpha * over_keys(p[j] * s[j]) - log(total) * over_keys(p[j])
    stated["summary-independent"] = (over_keys(p[j] * (alpha * s[j] - log(total))), mean_log)

    # The transport post.
    cost = tau * over_keys(p[j] * log(p[j])) - over_keys(p[j] * s[j])
    lagrangian = cost + nu * (1 - over_keys(p[j]))
    masses = over_keys(exp(s[j] / tau))
    stated["transport-entropy"] = (-over_keys(p[j] * log(p[j])),)
    stated["transport-objective"] = stated["litman-trade"] = (-over_keys(p[j] * s[j]) - tau * Symbol("H"),)
    stated["transport-label"] = (cost,)
    one_sum = over_keys(p[j] * (tau * log(p[j]) - s[j]))
    stated["transport-lagrangian"] = (lagrangian,)
    stated["transport-stationary"] = (Derivative(lagrangian, p[i]), -s[i] + tau * (1 + log(p[i])) - nu)
    stated["transport-log"] = Eq(tau * log(p[i]), s[i] + nu - tau)
    stated["transport-exponential"] = (exp((s[i] + nu - tau) / tau), exp(s[i] / tau) * exp((nu - tau) / tau))
    stated["transport-partition"] = Eq(total, masses)
    stated["transport-constant"] = Eq(exp((nu - tau) / tau), 1 / masses)
    stated["transport-softmax"] = (exp(s[i] / tau) * (1 / masses), exp(s[i] / tau) / masses)
    mass = Symbol("a", positive=True)
    row = over_keys(mass * p[j] * (tau * log(mass * p[j]) - s[j]))
    stated["litman-forward"] = (row, mass * one_sum + mass * tau * log(mass) * over_keys(p[j]))

    # The testing post.
    h, matrix, residual = (IndexedBase(letter, real=True) for letter in ("h", "W", "o"))
    token, row_of, width_of = (Symbol(letter, integer=True, positive=True) for letter in "taD")
    by_beta = exp(beta * s[i]) / over_keys(exp(beta * s[j]))
    stated["testing-stream"] = (h[i, c],)
    stated["testing-projections"] = (Sum(matrix[row_of, c] * h[i, c], (c, 1, width_of)),)
    stated["testing-score"] = (Sum(k[i, c] * q[c], (c, 1, d)),)
    stated["testing-weights"] = stated["testing-motivation"] = (by_beta,)
    stated["testing-output"] = (over_keys(w[i] * v[i, c], i),)
    stated["testing-residual"] = (residual[c] + h[token, c],)
    stated["testing-uniform"] = Eq(Symbol("x", positive=True), 1 / n)
    straying = over_keys(p[i] * log(n * p[i]), i)
    stated["testing-argmax"] = stated["testing-bounds"] = (over_keys(p[i] * s[i], i) - straying / beta,)
    log_mean = log(over_keys(exp(beta * s[j])) / n)
    apart = over_keys(p[i] * log(p[i] / by_beta), i)
    stated["testing-solution"] = (apart, over_keys(p[i] * (log(n * p[i]) - beta * s[i] + log_mean), i))
    budget = eta * rho + nu + over_keys(p[j] * (s[j] - eta * log(n * p[j]) - nu))
    stated["testing-hard"] = (Derivative(budget, p[i]), s[i] - eta * (log(n * p[i]) + 1) - nu)
    stated["testing-view"] = Eq(log(n * p[i]), (s[i] - nu) / eta - 1)
    moment = [over_keys(Weight(i, beta) * s[i] ** power, i) for power in (0, 1, 2)]
    stated["testing-interpretation"] = (
        Derivative(beta * moment[1] - log_mean, beta),
        beta * (moment[2] - moment[1] ** 2),
    )

    # Litman's abstract, for the backward pass.
    def weight(index: Index) -> sp.Expr:
        return Weight(index, 1 / tau)

    def covariance(first: Index, second: Index) -> sp.Expr:
        return KroneckerDelta(first, second) * weight(first) - weight(first) * weight(second)

    def advantage(index: Index) -> sp.Expr:
        return u[index] - over_keys(weight(l) * u[l], l)

    received = weight(j) * advantage(j) / tau
    stated["litman-gradient"] = (over_keys(u[i] * Derivative(weight(i), s[j]), i), received)
    potential = tau * log(over_keys(exp(s[l] / tau), l))
    stated["litman-fisher"] = (Derivative(potential, s[i], s[j]), covariance(i, j) / tau)
    stated["litman-natural"] = (over_keys(covariance(i, j) / tau**2 * tau * advantage(i), i), received)
    return stated
