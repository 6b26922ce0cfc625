"""The book's symbols and formulas in sympy: what the chapters prove is what the widgets run.

Keys carry the index i (or j), coordinates the index c; both start at one, as on the page.  The number of keys `n` and
of coordinates `d` stay symbolic.
"""

from sympy import Dummy, Function, IndexedBase, Mul, Pow, Rational, Sum, Symbol, ceiling, exp, log, pi, sqrt

n = Symbol("n", integer=True, positive=True)  # keys
d = Symbol("d", integer=True, positive=True)  # coordinates
i, j, c = (Symbol(name, integer=True, positive=True) for name in "ijc")

alpha = Symbol("alpha", real=True)  # inverse temperature
beta = Symbol("beta", positive=True)  # inverse temperature, where it is what a budget buys
tau = Symbol("tau", positive=True)  # temperature
target = Symbol("t", real=True)  # the expected score that is asked for
rho = Symbol("rho", positive=True)  # a budget on the divergence from equal weights
eta = Symbol("eta", positive=True)  # the size of a step
nu = Symbol("nu", real=True)  # the multiplier of "the weights sum to one"
kappa = Symbol("kappa", positive=True)  # precision of a key whose score is zero
x = Symbol("x", real=True)  # a point at which a density is read
mean = Symbol("mu", real=True)
spread = Symbol("sigma", positive=True)  # a standard deviation

q, k, s, v, w = (IndexedBase(name, real=True) for name in "qksvw")  # query, keys, scores, values, weights
g, u = IndexedBase("g", real=True), IndexedBase("u", real=True)  # the loss's derivatives by the output and the weights
theta = IndexedBase("theta", positive=True)  # relative precisions
p, pi0 = IndexedBase("p", positive=True), IndexedBase("pi", positive=True)  # any weights, prior weights


def over_keys(term, index=j):
    """The sum of a term over all keys."""
    return Sum(term, (index, 1, n))


class Weight(Function):
    """The softmax weight of a key, at an inverse temperature: printed as w_i, proved with as what it stands for."""

    nargs = 2

    def unfold(self):
        """Give the exponential of the key's score over the sum of all keys' exponentials."""
        index, rate = self.args
        other = Dummy("j", integer=True, positive=True)  # not j: a rate may hold it
        return exp(rate * s[index]) / over_keys(exp(rate * s[other]), other)

    def _eval_derivative(self, symbol):
        return self.unfold().diff(symbol)

    @property
    def free_symbols(self):
        """What the weight depends on: all scores too, so that it can be differentiated by one."""
        return super().free_symbols | self.unfold().free_symbols

    def _latex(self, printer, exp=None):
        return f"w_{{{printer._print(self.args[0])}}}" + (f"^{{{exp}}}" if exp else "")


score = Sum(q[c] * k[i, c], (c, 1, d))


def weight_of(index, other=j):
    """The weight of key `index`, with `other` as the index of the sum in it."""
    return 1 / over_keys(exp(alpha * (s[other] - s[index])), other)


weight = weight_of(i)
log_partition = log(over_keys(exp(alpha * s[j])))
expected_score = over_keys(weight_of(j, i) * s[j])
dual = log(over_keys(exp(alpha * (s[j] - target))))  # log Z - alpha t, with the shift inside where it cannot overflow
dual_slope = over_keys((s[j] - target) * exp(alpha * (s[j] - target)))  # times a positive number; increasing in alpha
entropy = -over_keys(p[j] * log(p[j]))
output = over_keys(w[j] * v[j, c])

precision = kappa * exp(alpha * s[i])
variance = exp(-alpha * s[i]) / kappa
pooled_precision = kappa * over_keys(exp(alpha * s[j]))
estimate = over_keys(weight_of(j, i) * v[j])
standard_deviation = 1 / sqrt(pooled_precision)
# Estimates that are merged into one: of each its largest score M, the sum of its exponentials relative to that, and its
# average o. A key alone has its score, 1 and its value. What is merged has the largest of all M as its `top`.
tops, sums, averages = IndexedBase("M", real=True), IndexedBase("ℓ", positive=True), IndexedBase("o", real=True)
top = Symbol("top", real=True)
merged_sum = over_keys(sums[j] * exp(tops[j] - top))
merged_share = sums[i] * exp(tops[i] - top) / merged_sum
merged_average = over_keys(sums[j] * exp(tops[j] - top) * averages[j]) / merged_sum
# What attention of T queries over T keys takes; every head has d coordinates, in queries, keys and values alike.
length = Symbol("T", integer=True, positive=True)
heads, number_size = Symbol("h", integer=True, positive=True), Symbol("b", integer=True, positive=True)
tile = Symbol("r", integer=True, positive=True)  # queries that a streaming method holds at a time
speed, bandwidth = Symbol("R", positive=True), Symbol("B", positive=True)  # operations and bytes a second
flops = 4 * heads * d * length**2
arguments_held = 4 * number_size * heads * d * length  # queries, keys, values and output
naive_held = arguments_held + 2 * number_size * heads * length**2
streaming_held = arguments_held + 2 * number_size * heads * length
naive_traffic = 4 * number_size * heads * (d * length + length**2)
streaming_traffic = 2 * number_size * heads * d * length * (1 + ceiling(length / tile))
density = exp(-((x - mean) ** 2) / (2 * spread**2)) / (spread * sqrt(2 * pi))

# One reading as the source prints it; unevaluated, since sympy would pull the square root apart.
reading = Mul(
    Pow(kappa * theta[i] / (2 * pi), Rational(1, 2), evaluate=False),
    exp(-kappa * theta[i] * (mean - v[i]) ** 2 / 2),
    evaluate=False,
)
log_reading = log(kappa * theta[i] / (2 * pi)) / 2 - kappa * theta[i] * (mean - v[i]) ** 2 / 2

utility = Sum(g[c] * v[i, c], (c, 1, d))
baseline = over_keys(w[j] * u[j])
advantage = u[i] - baseline
score_gradient = w[i] * advantage / tau


def divergence(of, other):
    """KL(of || other)."""
    return over_keys(of[j] * log(of[j] / other[j]))


# The cost of any plan p, and the cheapest plan; equal prior weights add tau log n to every cost.
cost = tau * divergence(p, pi0) - over_keys(p[j] * s[j])
least_cost = -tau * log(over_keys(pi0[j] * exp(s[j] / tau)))
cheapest = 1 / over_keys(pi0[j] / pi0[i] * exp((s[j] - s[i]) / tau))
