"""Derivations: true steps pass for a symbolic number of keys, false ones never do, and nothing is shown unproved."""

import json
import re

import numpy as np
import pytest
import sympy as sp

from attnlib.derive import VERDICTS, Derivation, DerivationError, check_equal, checked, equation, sources, together
from attnlib.formulas import (
    Weight,
    alpha,
    c,
    d,
    i,
    j,
    kappa,
    log_reading,
    mean,
    n,
    over_keys,
    reading,
    s,
    theta,
    v,
    weight,
)

F = sp.Function("f")
P = sp.IndexedBase("p", positive=True)
Z = sp.IndexedBase("z")  # complex
ANY = sp.Symbol("l", integer=True)  # any whole number, also a negative one
FIRST, TAKEN = (sp.Symbol(name, integer=True, positive=True) for name in ("index1", "index2"))  # standard names
X = sp.Symbol("x", real=True)
SUM = over_keys(theta[i], i)
SUM_S = over_keys(s[i], i)
SHARES = sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j]))
TRUE = [
    (weight, SHARES),
    (sp.Sum(SHARES, (i, 1, n)), sp.Integer(1)),
    (sp.log(sp.Product(reading, (i, 1, n))), sp.Sum(log_reading, (i, 1, n))),
    (sp.Derivative(sp.Sum(log_reading, (i, 1, n)), mean), over_keys(-kappa * theta[i] * (mean - v[i]), i)),
    (sp.Sum(F(s[i], s[j]), (i, 1, n), (j, 1, n)), sp.Sum(F(s[c], s[i]), (c, 1, n), (i, 1, n))),
    (over_keys(theta[i] + kappa, i), SUM + n * kappa),
    (over_keys(theta[i] * over_keys(theta[j]), i), SUM**2),
    (sp.Derivative(sp.log(over_keys(sp.exp(s[j]))), s[i]), sp.exp(s[i]) / over_keys(sp.exp(s[j]))),
    (sp.Derivative(over_keys(s[j] ** 2), s[j]), 2 * s[j]),
    (sp.Derivative(Weight(i, alpha), s[j]), alpha * Weight(i, alpha) * (sp.KroneckerDelta(i, j) - Weight(j, alpha))),
    (over_keys(Weight(j, alpha) * s[i]), s[i]),
    (over_keys(Weight(j, alpha) * Weight(i, alpha), j), Weight(i, alpha)),
    (sp.Sum(Weight(TAKEN, alpha), (TAKEN, 1, n)), sp.Integer(1)),
    (sp.KroneckerDelta(i, j) * F(s[j], ANY), sp.KroneckerDelta(i, j) * F(s[i], ANY)),
    (over_keys(s[i] * sp.Sum(v[i, c], (c, 1, d)), i), sp.Sum(over_keys(s[i] * v[i, c], i), (c, 1, d))),
    (sp.Derivative(-over_keys(P[i] * sp.log(P[i]), i), P[i]), -sp.log(P[i]) - 1),
]
FALSE = [
    (weight, sp.exp(alpha * s[i])),
    (weight, 1 / over_keys(sp.exp(alpha * (s[i] - s[j])))),
    (sp.Sum(SHARES, (i, 1, n)), n),
    (sp.Sum(F(s[i], s[j]), (i, 1, n), (j, 1, n)), sp.Sum(F(s[i], s[i]), (i, 1, n), (j, 1, n))),
    (over_keys(theta[i] ** 2, i), SUM**2),
    (over_keys(theta[i] + kappa, i), SUM + kappa),
    (sp.sqrt(mean**2), mean),
    (sp.KroneckerDelta(i, j) * F(s[j]), F(s[i])),
    (Weight(i, alpha), Weight(j, alpha)),
    # A weight's own index is nobody else's, and its derivative is not zero.
    (over_keys(Weight(j, s[j])), sp.Integer(1)),
    (over_keys(Weight(j, j * alpha)), sp.Integer(1)),
    (Weight(i, j), sp.exp(j * s[i]) / over_keys(sp.exp(j * s[j]))),
    (sp.Derivative(Weight(i, alpha), s[j]), sp.Integer(0)),
    # What binds an index, or asks how it enters, is not a constant, nor a place to put another index in.
    (sp.Derivative(over_keys(s[j]), n), sp.Integer(0)),
    (sp.Integral(X * over_keys(F(X, j)), (X, 0, 1)), over_keys(F(X, j)) / 2),
    (sp.Product(sp.Sum(F(i, j), (j, 1, n)), (i, 1, 2 * n)), sp.Product(sp.Sum(F(i, j), (j, 1, n)), (i, 1, n)) ** 2),
    (over_keys(sp.KroneckerDelta(FIRST, j) * over_keys(F(j, c), c)), over_keys(F(c, c), c)),
    (
        sp.KroneckerDelta(i, j) * sp.Derivative(F(i, j), i),
        sp.KroneckerDelta(i, j) * sp.Derivative(F(i, i), i),
    ),
    (over_keys(sp.KroneckerDelta(i, j) * sp.Derivative(F(j, i), j)), sp.Derivative(F(i, i), i)),
    # An end of a range, and an index of coordinates, is no index of keys.
    (over_keys(sp.KroneckerDelta(d, j) * s[j]), s[d]),
    (sp.Sum(sp.KroneckerDelta(c, i), (c, 1, d)), sp.Integer(1)),
    (over_keys(Weight(i, alpha), j), sp.Integer(1)),
    (
        sp.KroneckerDelta(TAKEN, j) * sp.Sum(F(i, j) + F(i, 1) ** 2, (i, 1, n)),
        sp.KroneckerDelta(TAKEN, j) * sp.Sum(F(i, i) + F(i, 1) ** 2, (i, 1, n)),
    ),
    ((1 - sp.KroneckerDelta(i, j)) * F(s[j]), (1 - sp.KroneckerDelta(i, j)) * F(s[i])),
    (over_keys(s[i] * sp.Sum(v[i, c], (c, 1, d)), i), sp.Sum(s[c] * over_keys(v[i, c], i), (c, 1, d))),
    (sp.Sum(sp.Sum(s[j], (j, 1, i)), (i, 1, n)), sp.Sum(sp.Sum(s[j], (i, 1, n)), (j, 1, n))),
    (sp.log(sp.exp(alpha) * sp.exp(alpha)), alpha),
    # A derivative in one key's score is not one in the sum's own index.
    (sp.Derivative(sp.log(over_keys(sp.exp(s[j]))), s[j]), sp.Integer(1)),
    (sp.Derivative(sp.log(over_keys(sp.exp(alpha * s[i]), i)), s[i]), alpha),
    (sp.Derivative(-over_keys(P[i] * sp.log(P[i]), i), P[i]), -over_keys(sp.log(P[i]) + 1, i)),
    # Nor does a sum over some of the keys contain each of them.
    (sp.Derivative(sp.Sum(s[j] ** 2, (j, 1, n - 1)), s[i]), 2 * s[i]),
    (sp.Derivative(sp.Sum(s[j] ** 2, (j, 1, 3)), s[i]), 2 * s[i]),
    # An index keeps what is known of it, and no more; its name is nobody else's.
    (sp.Sum(sp.Abs(ANY) * F(ANY), (ANY, -n, n)), sp.Sum(ANY * F(ANY), (ANY, -n, n))),
    (sp.Sum(F(j, TAKEN), (j, 1, n)), sp.Sum(F(TAKEN, TAKEN), (TAKEN, 1, n))),
    # A sum over no keys is zero; a sum of complex numbers is complex; a product of sums is no power.
    (sp.sign(sp.Sum(theta[i], (i, 2, n))), sp.Integer(1)),
    (sp.sqrt(over_keys(Z[i], i) ** 2), sp.Abs(over_keys(Z[i], i))),
    (sp.Product(sp.Sum(F(i, j), (j, 1, n)), (i, 1, n)), sp.Sum(F(i, j), (j, 1, n)) ** n),
]


@pytest.mark.parametrize("left, right", TRUE)
def test_true_equations_are_proved(left, right):
    check_equal(left, right)
    check_equal(right, left)


@pytest.mark.parametrize("left, right", FALSE)
def test_false_equations_are_refused_with_both_sides(left, right):
    with pytest.raises(DerivationError) as caught:
        check_equal(left, right)
    assert str(left) in str(caught.value) and str(right) in str(caught.value)


def test_every_true_equation_holds_in_numbers_too():
    """The prover against plain arithmetic, so that a wrong normal form cannot bless a wrong equation."""
    rng = np.random.default_rng(0)
    for left, right in TRUE[:2] + TRUE[5:7]:
        for count in (1, 2, 4):
            values = {kappa: rng.uniform(1, 2), alpha: rng.uniform(-1, 1), i: 1}
            values |= {array[key]: rng.uniform(0.5, 2) for array in (theta, s, v) for key in range(1, count + 1)}
            numbers = [sp.N(side.subs(n, count).doit().subs(values), 30) for side in (left, right)]
            assert abs(numbers[0] - numbers[1]) < 1e-12


def test_mutated_steps_are_refused():
    """A sign, a factor or an index changed anywhere in a right side is noticed."""
    for left, right in TRUE[:4]:
        for wrong in (-right, 2 * right, right + 1, right**2 + 1):
            with pytest.raises(DerivationError):
                check_equal(left, wrong)


def test_an_equation_may_be_multiplied_by_what_is_proved_nonzero_and_by_nothing_else():
    start = sp.Eq(over_keys(-kappa * theta[i] * (mean - v[i]), i), 0)
    solved = sp.Eq(mean, over_keys(theta[i] * v[i], i) / SUM)
    assert repr(Derivation(start).step(solved, "solve", factor=-kappa * SUM)) == "Derivation of 1 proved step"
    with pytest.raises(DerivationError, match="factor must be proved nonzero"):
        Derivation(sp.Eq(mean * (mean - 1), 0)).step(sp.Eq(mean - 1, 0), "divides by the answer", factor=mean)
    with pytest.raises(DerivationError, match="not proved equal"):
        Derivation(start).step(solved, "forgets the factor")


def test_signs_are_proved():
    second = Derivation(sp.Derivative(sp.Sum(log_reading, (i, 1, n)), mean, 2)).step(-kappa * SUM, "twice")
    assert "< 0" in second.sign("<", "precisions are positive")._repr_latex_()
    no_keys = sp.Sum(theta[i] * theta[j], (j, 1, n), (i, 2, n))  # of which there are none when n is one
    for start, sign in ((-kappa * SUM, ">"), (over_keys(s[i], i), ">"), (mean**2, ">"), (no_keys, ">")):
        with pytest.raises(DerivationError, match="not proved"):
            Derivation(start).sign(sign, "wrong")


def test_a_proof_for_given_numbers_of_keys_says_so():
    cauchy = over_keys(theta[i] ** 2, i) * n - SUM**2
    lagrange = sp.Sum((theta[i] - theta[j]) ** 2, (i, 1, n), (j, 1, n)) / 2
    assert "✓ proved for n = 2, 3" in Derivation(cauchy).step(lagrange, "Lagrange", keys=(2, 3))._repr_html_()
    with pytest.raises(DerivationError):
        Derivation(cauchy).step(2 * lagrange, "wrong", keys=(2, 3))
    assert "proved for n = 1" in Derivation(over_keys(s[i] ** 2, i)).step(SUM_S**2, "x", keys=iter([1]))._repr_html_()
    with pytest.raises(ValueError, match="keys must be whole numbers of at least one"):
        check_equal(SUM_S, 2 * SUM_S, keys=(0,))


def test_nothing_follows_a_sign_or_several_derivations():
    signed = Derivation(SUM).sign(">", "positive")
    several = together(Derivation(SUM, "a"), Derivation(kappa, "b"))
    for derivation in (signed, several):
        with pytest.raises(DerivationError, match="nothing may follow"):
            derivation.step(SUM, "no")


def test_kinds_of_steps_do_not_mix():
    for start, new in ((SUM, sp.Eq(mean, 1)), (sp.Eq(mean, 1), mean), (sp.Eq(mean, 1), sp.true)):
        with pytest.raises(DerivationError, match="an expression follows an expression"):
            Derivation(start).step(new, "no")


def test_a_name_holds_no_equation():
    assert Derivation(SUM, r"\sum_{i=1}^{n} \theta_i")
    with pytest.raises(ValueError, match="name must not hold an equation"):
        Derivation(SUM, r"a = \frac{b}{c}")


def test_a_failed_step_leaves_the_derivation_as_it_was():
    proof = Derivation(weight, "w_i")
    before = proof._repr_html_()
    with pytest.raises(DerivationError, match=r"step 1 \(no reason at all\)"):
        proof.step(SHARES**2, "no reason at all")
    assert proof._repr_html_() == before


def test_records_follow_the_sources():
    shown = equation("ma-weights", SHARES, weight, "divide", name="p_i")._repr_html_()
    record = json.loads(re.search(r'data-record="([^"]*)"', shown)[1].replace("&quot;", '"'))
    assert record == {"id": "ma-weights", "keys": [], "by": "proved"} and 'id="ma-weights"' in shown
    with pytest.raises(ValueError, match="equation must be an id"):
        equation("ma-99", weight)
    with pytest.raises(DerivationError, match="recorded as assumption, but here it is proved"):
        equation("ma-3", weight, SHARES)
    with pytest.raises(DerivationError, match="verdict of a start must be one of"):
        equation("ma-9", weight)  # recorded as proved, and no proof offered
    with pytest.raises(DerivationError, match="must not repeat what stands before it"):
        equation("ma-9", 1, 1)
    with pytest.raises(DerivationError, match="recorded as proved, but here it is definition"):
        Derivation(weight, equation="ma-9")
    assert all(entry["verdict"] in VERDICTS for entry in sources().values())
    assert all("correction" in entry for entry in sources().values() if entry["verdict"] in ("misprint", "slip"))


def test_a_claim_is_recorded_as_tested_only_if_it_held():
    shown = together(checked("testing-limit", True, "two keys tie"), Derivation(SUM).sign(">", "sum"))._repr_html_()
    assert "✓ tested</span>" in shown and 'id="testing-limit"' in shown and "by&quot;: &quot;tested" in shown
    with pytest.raises(DerivationError, match=r"claim testing-limit \(a tie\): the computation says otherwise"):
        checked("testing-limit", np.float64(1) < 0, "a tie")
    with pytest.raises(ValueError, match=r"holds must be True or False; got 0\.5"):
        checked("testing-limit", 0.5, "a tie")
    with pytest.raises(DerivationError, match="recorded as proved, but here it is tested"):
        checked("ma-9", True, "no simulation replaces a proof")
    with pytest.raises(DerivationError, match="recorded as tested, but here it is proved"):
        equation("testing-limit", SHARES, weight)


def test_equal_for_some_numbers_of_keys_unfolds_before_it_counts():
    with pytest.raises(DerivationError, match="not proved equal"):
        check_equal(sp.Derivative(Weight(i, alpha), s[j]), 0, keys=(2,))
    assert Weight(i, alpha).diff(s[j]) != 0


def test_weights_that_would_be_printed_alike_are_refused():
    with pytest.raises(DerivationError, match="weights at alpha and at kappa would be printed alike"):
        Derivation(Weight(i, alpha) / Weight(i, kappa))
    with pytest.raises(DerivationError, match="would be printed alike"):
        Derivation(Weight(i, alpha)).step(Weight(i, kappa), "another rate")


def test_a_start_has_the_verdict_that_is_recorded():
    with pytest.raises(DerivationError, match="recorded as assumption, but here it is definition"):
        Derivation(theta[i], equation="ma-3")
    with pytest.raises(DerivationError, match="not proved"):
        Derivation(sp.Eq(mean, kappa)).sign(">", "an equation has no sign")


def test_what_is_held_back_keeps_its_brackets():
    held = sp.UnevaluatedExpr
    for expr, shown in (
        (kappa - held(alpha - mean), r"\kappa - \left(\alpha - \mu\right)"),
        (2 * held(alpha - mean), r"2 \left(\alpha - \mu\right)"),
        (held(alpha - mean) ** 2, r"\left(\alpha - \mu\right)^{2}"),
        (kappa * held(-alpha), r"\kappa \left(- \alpha\right)"),
        (mean - held(alpha - kappa), r"\mu - \left(\alpha - \kappa\right)"),
        (-held(alpha - kappa), r"- \left(\alpha - \kappa\right)"),
        (sp.exp(-held(alpha - kappa)), r"e^{- \left(\alpha - \kappa\right)}"),
        (over_keys(-held(s[j] - mean)), r"\sum_{j=1}^{n} - \left(s_{j} - \mu\right)"),
        (over_keys(held(s[j] - mean)), r"\sum_{j=1}^{n} \left(s_{j} - \mu\right)"),
        (kappa * alpha - mean, r"\alpha \kappa - \mu"),
    ):
        assert shown in Derivation(expr, "x")._repr_latex_()


def test_every_medium_shows_every_step_and_escapes_it():
    proof = together(Derivation(weight, "w_i").step(SHARES, "if \\(a < b\\) & so"), Derivation(SUM).sign(">", "sum"))
    page, tex = proof._repr_html_(), proof._repr_latex_()
    assert page.count("<tr") == tex.count("\\\\\n") + 1 == 3 and page.count("✓ proved</span>") == 2
    assert r"\(a &lt; b\)" in page and "&amp; so" in page
