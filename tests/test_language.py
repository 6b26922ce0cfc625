"""The reader's language: what is typed is read as meant, and what cannot be read is said in words, at its place."""

import random
import time

import pytest
import sympy as sp

from attnlib.formulas import (
    Weight,
    alpha,
    beta,
    c,
    d,
    i,
    j,
    k,
    kappa,
    l,
    n,
    over_keys,
    p,
    q,
    s,
    tau,
    theta,
    u,
)
from attnlib.language import DEEPEST, FUNCTIONS, LONGEST, Letters, Unreadable, parse, spelled, written

weight = Weight(i, alpha)
J = sp.Symbol("j", integer=True, positive=True)  # of a range that is not its own
M = sp.Symbol("m", integer=True, positive=True)
LETTERS = Letters.of(weight * u[i] / tau + theta[i] * kappa + sp.Sum(q[c] * k[i, c], (c, 1, d)))


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("exp(alpha*s_i)/sum_j exp(alpha*s_j)", sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j]))),
        ("w_i*(u_i - sum_j w_j u_j)", weight * (u[i] - over_keys(Weight(j, alpha) * u[j]))),
        ("sum_j u_j + 1", over_keys(u[j]) + 1),
        ("sum_j (u_j + 1)", over_keys(u[j] + 1)),
        ("sum_j u_j*s_j/tau", over_keys(u[j] * s[j] / tau)),
        ("(sum_j u_j)^2", over_keys(u[j]) ** 2),
        ("sum_(j=1)^(i-1) theta_j", sp.Sum(theta[J], (J, 1, i - 1))),
        ("sum_{j=2}^n s_{j-1}", sp.Sum(s[J - 1], (J, 2, n))),
        ("sum_(m=1)^n s_m", sp.Sum(s[M], (M, 1, n))),
        ("sum_(i, j) s_i*s_j", over_keys(over_keys(s[i] * s[j]), i)),
        ("sum_ij s_i*s_j", over_keys(over_keys(s[i] * s[j]), i)),
        ("Σ_j θ_j\u200b", over_keys(theta[j])),
        (r"\sum_{j} \theta_j", over_keys(theta[j])),
        ("log n + ln w_i", sp.log(n) + sp.log(weight)),
        ("log sum_j theta_j", sp.log(over_keys(theta[j]))),
        ("Sum_j Exp(s_j)", over_keys(sp.exp(s[j]))),
        ("prod_j theta_j", sp.Product(theta[j], (j, 1, n))),
        ("sum_i sum_j s_i*s_j", over_keys(over_keys(s[i] * s[j]), i)),
        ("d/d s_i log(theta_i)", sp.Derivative(sp.log(theta[i]), s[i])),
        ("d/dtau (1/tau)", sp.Derivative(1 / tau, tau)),
        ("d^2/dtau^2 tau^3", sp.Derivative(tau**3, (tau, 2))),
        ("∂/∂tau tau*kappa + 1", sp.Derivative(tau * kappa, tau) + 1),
        ("-tau^2", -(tau**2)),
        ("(-tau)^2", tau**2),
        ("2*-tau", -2 * tau),
        ("--tau", tau),
        ("tau^-1/2", 1 / (2 * tau)),
        ("1/2 tau", tau / 2),
        ("tau/kappa/2", tau / (2 * kappa)),
        ("0.25", sp.Rational(1, 4)),
        ("½·α − β·0", alpha / 2),
        ("e^(−α s_i)", sp.exp(-alpha * s[i])),
        ("√(tau) × tau²", tau ** sp.Rational(5, 2)),
        ("k[i, c] + k_ic + k_{i,c} + k_{ic}", 4 * k[i, c]),
        ("delta_il + δ_{il}", 2 * sp.KroneckerDelta(i, l)),
        ("[tau + 1][kappa]", (tau + 1) * kappa),
        ("delta(i, l)", sp.KroneckerDelta(i, l)),
        ("max(u_i, 0)", sp.Max(u[i], 0)),
        ("ln(pi)", sp.log(sp.pi)),
        ("= tau", tau),
    ],
)
def test_what_is_typed_is_read_as_meant(typed, meant):
    letters = Letters([*LETTERS, beta], [i, c, l])
    line = parse(typed, letters)
    assert line.left is None and line.right == meant
    assert line.mathml.startswith("<math>") and "None" not in line.mathml


def test_an_equation_has_two_sides():
    line = parse("tau*kappa = 1/2", LETTERS)
    assert (line.left, line.right) == (tau * kappa, sp.Rational(1, 2)) and "<mo>=</mo>" in line.mathml


@pytest.mark.parametrize(
    "typed, words, place",
    [
        ("exp s_i", "“exp” needs a bracket: exp(x)", (0, 3)),
        ("s", "“s” needs an index, such as s_i", (0, 1)),
        ("tau_i", "“tau” has no index", (0, 3)),
        ("1 + thete_i", "“thete” is no letter of this exercise; is theta meant?", (4, 9)),
        ("theta_is_i", "“is” is no letter of this exercise; between factors stands a space or a *", (6, 8)),
        (
            "dtheta/dtau",
            "“dtheta” is no letter of this exercise; a derivative is typed before what it is taken of: d/d theta …",
            (0, 6),
        ),
        ("2*(s_i + (1 - tau)", "this bracket is not closed", (2, 3)),
        ("s_i)", "“)” closes no bracket", (3, 4)),
        ("s_i + ", "the line ends where something must follow", (6, 7)),
        ("   ", "the line is empty", (3, 4)),
        ("s_i * / tau", "“/” stands where a number, a letter or a bracket must stand", (6, 7)),
        ("tau 2", "between the number 2 and what stands before it a sign is missing", (4, 5)),
        (
            "s_j",
            "“j” is an index of a sum, and no sum over it is here: a sum ends before the next + or −",
            (2, 3),
        ),
        ("sum exp(s_j)", "“sum” needs an index, such as sum_j", (0, 3)),
        ("sum_m s_m", "“m” has no range; type one: sum_(m=1)^n", (4, 5)),
        ("sum_(tau=1)^n tau", "“tau” is a letter already", (5, 8)),
        ("sum_(j=1) s_j", "where the sum ends is missing: sum_(j=1)^n", (10, 11)),
        ("sum_(j=tau)^n s_j", "it must run from a whole number to a whole number", (7, 10)),
        ("s_(i/2)", "an index must be a whole number", (3, 6)),
        ("s_0", "an index begins at 1", (2, 3)),
        ("k_i", "“k” has 2 indices, not 1", (0, 3)),
        ("max(tau)", "“max” takes 2, not 1: max(x, y)", (0, 3)),
        ("q = b", "“q” needs an index, such as q_i", (0, 1)),
        ("a = b = c", "“a” is no letter of this exercise, whose letters are the buttons below", (0, 1)),
        ("tau = tau = tau", "a line has one = only", (10, 11)),
        ("s_i/(tau - tau)", "nothing can be divided by zero", (4, 15)),
        ("log(0)", "this is no real number", (0, 6)),
        ("sqrt(-1)", "this is no real number", (0, 8)),
        ("abs(log(-1))", "this is no real number", (4, 11)),
        ("9^9^9^9", "a power of a power needs brackets", (3, 4)),
        ("9^(9^9)", "this power is too large for this language", (0, 7)),
        ("((tau^60)^60)^60", "this power is too large for this language", (1, 12)),
        ("1234567890123", "a number has at most 12 digits", (0, 13)),
        ("exp(exp(exp(9)))", "“exp” is taken of numbers up to 1000", (4, 15)),
        ("d/d i tau", "a derivative is taken by a letter", (4, 5)),
        (
            "d^12/dtau^12 tau",
            "“dtau” is no letter of this exercise; a derivative is typed before what it is taken of: d/d tau …",
            (5, 9),
        ),
        ("٣ + 1", "“٣” is no sign of this language", (0, 1)),
        ("d^2/dtau tau", "a derivative taken 2 times is typed d^2/dx^2", (9, 12)),
        ("s_i < 1", "“<” is no sign of this language", (4, 5)),
        ("__import__('os')", "“'” is no sign of this language", (11, 12)),
        ("__import__", "“_” stands where a number, a letter or a bracket must stand", (0, 1)),
        ("ѕ_i", "“ѕ” is no sign of this language", (0, 1)),  # Cyrillic
        ("(" * (DEEPEST + 1) + "1", f"more than {DEEPEST} brackets stand in each other", (DEEPEST, DEEPEST + 1)),
        ("1+" * LONGEST, f"a line has at most {LONGEST} signs; this one has {2 * LONGEST}", (LONGEST, 2 * LONGEST)),
        ("(tau+kappa+1)^60*(tau+kappa+2)^60", "multiplied out, this line has more than 3000 terms", (0, 33)),
    ],
)
def test_what_cannot_be_read_is_said_at_its_place(typed, words, place):
    with pytest.raises(Unreadable) as error:
        parse(typed, LETTERS)
    assert (str(error.value), (error.value.start, error.value.end)) == (words, place)


def test_every_letter_of_the_book_is_typed_in_letters_and_digits():
    from attnlib.formulas import MEANINGS

    assert all(spelled(one).replace("_", "").isascii() and spelled(one)[0].isalpha() for one in MEANINGS)


def test_a_number_below_a_letter_is_part_of_its_name():
    absent = sp.Symbol("s0", real=True)
    assert parse("exp(s_0) + exp(s0)", Letters.of(sp.exp(absent) + s[i])).right == 2 * sp.exp(absent)


def test_letters_that_would_be_typed_alike_are_refused():
    with pytest.raises(ValueError, match="two that are typed tau"):
        Letters([tau, sp.Symbol("tau", real=True)])


def test_an_index_that_would_be_typed_like_a_free_letter_gets_another_name():
    inner = sp.Dummy("i", integer=True, positive=True)
    expr = sp.Sum(p[inner] * u[i], (inner, 1, n))
    letters = Letters.of(expr)
    assert written(expr, letters) == "sum_j p_j*u_i" and parse("sum_j p_j*u_i", letters).right == over_keys(u[i] * p[j])


# --- Hostile and careless input --------------------------------------------------------------------------------------

PARTS = [*FUNCTIONS, *"sum_j prod_j d/d s_i w_j theta_i tau alpha ( ) [ ] { } + - * / ^ ** = _ , . 0 9 1e9 .5".split()]
PARTS += [
    "__import__('os').system('x')",
    "<img src=x onerror=alert(1)>",
    "lambda: 0",
    "\\frac{1}{2}",
    "${7*7}",
    "∑",
    "ѕ",
]
PARTS += [
    "\u202e",
    "\x00",
    "😀",
    "\u0302",
    "½",
    "9^9",
    ";",
    "#",
    "\n",
    '"',
    "'",
    "eval(",
    "s_i.free_symbols",
    "[[",
    "@",
]


def hostile(seed: int) -> str:
    """A line of random parts; every tenth is repeated until it is long."""
    draw = random.Random(seed)
    line = draw.choice(["", " ", "*"]).join(draw.choices(PARTS, k=draw.randint(1, 12)))
    return line * draw.choice([10, 100, 10_000]) if seed % 10 == 0 else line


def test_ten_thousand_hostile_lines_give_a_sentence_or_a_line():
    """Nothing else is raised, none takes long, and nothing that is read holds what was not typed as mathematics."""
    read, slowest = 0, 0.0
    for seed in range(10_000):
        line, began = hostile(seed), time.process_time()
        try:
            found = parse(line, LETTERS)
        except Unreadable as error:
            assert str(error) and 0 <= error.start <= error.end <= len(line) + 1, line[:200]
        else:
            read += 1
            assert found.right.free_symbols <= {*LETTERS.scalars.values(), *found.right.free_symbols}, line
            assert "<img" not in found.mathml and "onerror" not in found.mathml
        slowest = max(slowest, time.process_time() - began)
    assert read > 100 and slowest < 5, (read, slowest)


@pytest.mark.parametrize(
    "line", ["(" * 10_000, "-" * 10_000 + "1", "sum_j " * 10_000, "1" + "^1" * 10_000, "x" * 10**6, "exp(" * 200]
)
def test_depth_and_length_end_in_a_sentence(line):
    with pytest.raises(Unreadable):
        parse(line, LETTERS)
