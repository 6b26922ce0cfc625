"""Attention as the cheapest plan (chapter 04)."""

from sympy import Max, Min, Symbol, exp, log

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import LogOrZero, alpha, declare, i, j, nu, over_keys, p, pi0, s, stable_weight, tau, w

across, height = declare(Symbol("x1", real=True), "place across"), declare(Symbol("x2", real=True), "place upwards")
cost_of_plan = declare(Symbol("J", real=True), "cost of a plan")
gini = declare(Symbol("G", real=True), "cost by Gini’s evenness")
least = declare(Symbol("J_min", real=True), "least cost")

_second = Min(Max(across - height / 2, 0), 1 - height)
first_of_three = Formula("first of three weights at a place", p[1], 1 - height - _second, "What the others leave.")
second_of_three = Formula(
    "second of three weights at a place", p[2], _second, "Across, less half the height, kept within the triangle."
)
third_of_three = Formula("third of three weights at a place", p[3], height, "The height in the triangle.")

cost = Formula(
    "cost of a plan",
    cost_of_plan,
    tau * over_keys(p[j] * log(p[j])) - over_keys(p[j] * s[j]),
    "The expected cost, less the temperature times Shannon's entropy.",
    stable=tau * over_keys(p[j] * LogOrZero(p[j])) - over_keys(p[j] * s[j]),
)
least_cost = Formula(
    "least cost",
    least,
    -tau * log(over_keys(exp(s[j] / tau))),
    "The cost of the cheapest plan.",
)
plan = Formula(
    "cheapest plan",
    w[i],
    exp(s[i] / tau) / over_keys(exp(s[j] / tau)),
    "Softmax at a temperature: the plan of least cost where the prior is equal.",
    stable=stable_weight(i).subs(alpha, 1 / tau),
)
plan_from_prior = Formula(
    "cheapest plan from a prior",
    w[i],
    pi0[i] * exp(s[i] / tau) / over_keys(pi0[j] * exp(s[j] / tau)),
    "Softmax with a prior weight in each term.",
    stable=1 / over_keys(pi0[j] / pi0[i] * exp((s[j] - s[i]) / tau)),
)
dearness = Formula(
    "divergence from the cheapest plan, at its price",
    tau * Symbol("KL", real=True),
    tau * over_keys(p[j] * log(p[j] / w[j])),
    "The temperature times the divergence of a plan from the cheapest.",
    stable=tau * over_keys(p[j] * LogOrZero(p[j] / w[j])),
)
gini_cost = Formula(
    "cost of a plan, by Gini's evenness",
    gini,
    -over_keys(p[j] * s[j]) - tau * (1 - over_keys(p[j] ** 2)),
    "Another strictly convex price: one less the sum of squares in place of the entropy.",
)
gini_plan = Formula(
    "cheapest plan, by Gini's evenness",
    w[i],
    Max(0, (s[i] - nu) / (2 * tau)),
    "A key whose score is not above ν gets nothing: this is sparsemax, of the scores over 2τ.",
)
gini_mass = Formula(
    "weight above a threshold",
    declare(Symbol("W", real=True), "all weight"),
    over_keys(Max(0, (s[j] - nu) / (2 * tau))),
    "It falls with ν; the weights sum to one at one ν.",
)
