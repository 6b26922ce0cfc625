"""Derivations: nothing is shown unproved, and a record is about what it says that it is about."""

import re

import numpy as np
import pytest
import sympy as sp

from attnlib.derive import RECORD_TYPE, Derivation, DerivationError, Row, checked, defined, equation, proved, together
from attnlib.formulas import (
    Weight,
    alpha,
    catalogue,
    i,
    j,
    kappa,
    layer,
    mean,
    n,
    over_keys,
    s,
    stable_weight,
    theta,
    v,
)
from attnlib.formulas.likelihood import log_reading
from attnlib.printing import MathML, latex
from attnlib.proof import Index, NotProved
from attnlib.sources import VERDICTS, sources, statement

X = sp.Symbol("x", real=True)
SUM = over_keys(theta[i], i)
SUM_S = over_keys(s[i], i)
SHARES = sp.exp(alpha * s[i]) / over_keys(sp.exp(alpha * s[j]))
STABLE = stable_weight(i)


def records(derivation):
    """What a derivation is evidence for, as its cell's output carries it."""
    return derivation._repr_mimebundle_().get(RECORD_TYPE, [])


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
    assert "< 0" in second.sign("<", "precisions are positive")._repr_html_().replace("&lt;", "<")
    no_keys = sp.Sum(theta[i] * theta[j], (j, 1, n), (i, 2, n))  # of which there are none when n is one
    below = sp.Sum(j * sp.exp(s[j]), (j, -5, n))  # in which j is not positive
    for start, sign in ((-kappa * SUM, ">"), (over_keys(s[i], i), ">"), (mean**2, ">"), (no_keys, ">"), (below, ">")):
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
        Derivation(SUM_S).step(2 * SUM_S, "no keys", keys=(0,))


def test_a_step_brings_in_no_index_that_may_have_nothing_to_run_over():
    fewer = Index("b", n - 1)
    weighed = over_keys(sp.KroneckerDelta(j, fewer))
    with pytest.raises(DerivationError, match="index b runs from 1 to n - 1, which may be nothing"):
        Derivation(sp.S.One).step(weighed, "one key is picked; but of one key there is none to pick")
    assert Derivation(sp.S.One).step(over_keys(sp.KroneckerDelta(j, i)), "one key is picked")


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
    proof = Derivation(STABLE, "w_i")
    before = proof._repr_html_()
    with pytest.raises(DerivationError, match=r"step 1 \(no reason at all\)"):
        proof.step(SHARES**2, "no reason at all")
    assert proof._repr_html_() == before


def test_records_follow_the_sources():
    shown = equation("ma-weights", SHARES, STABLE, "divide", name="p_i")
    assert records(shown) == [{"kind": "equation", "id": "ma-weights", "by": "proved", "keys": []}]
    assert 'id="ma-weights"' in shown._repr_html_()
    with pytest.raises(ValueError, match="equation must be an id"):
        equation("ma-99", STABLE)
    with pytest.raises(DerivationError, match="recorded as assumption, but here it is proved"):
        equation("ma-3", STABLE, SHARES)
    with pytest.raises(DerivationError, match="verdict of a start must be one of"):
        equation("ma-9", STABLE)  # recorded as proved, and no proof offered
    with pytest.raises(DerivationError, match="must not repeat what stands before it"):
        equation("ma-9", 1, 1)
    with pytest.raises(DerivationError, match="recorded as proved, but here it is definition"):
        Derivation(STABLE, equation="ma-9")
    assert all(entry["verdict"] in VERDICTS for entry in sources().values())
    assert all("correction" in entry for entry in sources().values() if entry["verdict"] in ("misprint", "slip"))


@pytest.mark.parametrize(
    "left, right",
    [
        (sp.Integer(2), sp.UnevaluatedExpr(2)),
        (SHARES, STABLE),
        (sp.Eq(mean * SUM, over_keys(theta[i] * s[i], i)), sp.Eq(mean, over_keys(theta[i] * s[i], i) / SUM)),
        (sp.Eq(mean * SUM, over_keys(theta[i] * v[i], i)), sp.Eq(2 * mean, 2 * over_keys(theta[i] * v[i], i) / SUM)),
    ],
)
def test_a_proof_of_something_else_is_no_evidence(left, right):
    with pytest.raises(DerivationError, match=r"equation ma-9 states .*; what is shown here is not proved to be that"):
        step = {"factor": sp.Rational(1, 2) * SUM if right.has(2 * mean) else SUM} if isinstance(left, sp.Eq) else {}
        Derivation(left).step(right, "true, but not Eq. 9", equation="ma-9", **step)


def test_a_definition_of_something_else_is_no_evidence():
    with pytest.raises(DerivationError, match="equation ma-3 states"):
        equation("ma-3", sp.exp(-alpha * s[i]))
    with pytest.raises(DerivationError, match="equation ma-1 states"):
        equation("ma-1", SHARES.subs(alpha, 2 * alpha))


def test_every_equation_that_is_proved_is_stated():
    tested = {"ma-derive", "ma-components", "transport-simplex", "litman-inference", "litman-variance"}
    tested |= {f"summary-{claim}" for claim in ("likelihood", "features", "assumptions", "gaussian")}
    tested |= {f"testing-{claim}" for claim in ("samples", "budget", "softmax", "empty")}
    wanted = {name for name, entry in sources().items() if entry["verdict"] in ("proved", "incomplete", "misprint")}
    assert {name for name in wanted if statement(name) is None} == tested
    assert all(statement(name) is not None for name in wanted - tested)


def test_a_formula_is_recorded_by_name_and_only_by_what_it_says():
    shown = Derivation(SHARES, "w_i").step(STABLE, "divide", formula=layer.weight)
    assert records(shown) == [{"kind": "formula", "id": "weight-of-a-key", "by": "proved", "keys": []}]
    assert 'id="proof-of-weight-of-a-key"' in shown._repr_html_()
    assert records(defined(layer.score))[0]["by"] == "definition"
    assert records(defined(layer.score, verdict="assumption"))[0]["by"] == "assumption"
    assert records(proved(layer.weight, STABLE, "multiply"))[0]["by"] == "proved"
    with pytest.raises(DerivationError, match="formula 'weight of a key' states"):
        Derivation(SHARES**2).step(STABLE**2, "squares", formula=layer.weight)
    with pytest.raises(DerivationError, match="must not repeat what stands before it"):
        proved(layer.weight, layer.weight.expression, "as it is")
    with pytest.raises(DerivationError, match="formula 'score of a key' states"):
        Derivation(s[i], formula=layer.score)


def test_an_equation_is_a_formula_only_with_its_letter_on_the_other_side():
    solved = sp.Eq(X, STABLE)
    with pytest.raises(DerivationError, match="formula 'weight of a key' states"):
        Derivation(sp.Eq(2 * X, 2 * STABLE)).step(solved, "halve", factor=2, formula=layer.weight)
    weight = sp.Eq(layer.weight.letter, STABLE)
    halved = Derivation(sp.Eq(2 * weight.lhs, 2 * STABLE)).step(weight, "halve", factor=2, formula=layer.weight)
    assert records(halved)[0]["id"] == "weight-of-a-key"


def test_bad_input_is_named():
    for text in (lambda: Derivation("s"), lambda: Derivation(SUM).step("s", "a text would be run")):
        with pytest.raises(ValueError):
            text()
    with pytest.raises(ValueError, match=r"sign must be '>' or '<'; got '='"):
        Derivation(SUM).sign("=", "neither")
    with pytest.raises(ValueError, match="derivations must be one or more; got none"):
        together()


def test_a_failed_record_leaves_the_derivation_as_it_was():
    proof = Derivation(SHARES, "w_i")
    before = proof._repr_html_()
    with pytest.raises(DerivationError, match="states"):
        proof.step(STABLE, "true", equation="ma-11")
    assert proof._repr_html_() == before and proof.step(STABLE, "true")


def test_a_claim_is_recorded_as_tested_only_if_it_held():
    both = together(checked("testing-limit", True, "two keys tie"), Derivation(SUM).sign(">", "sum"))
    assert "✓ tested</span>" in both._repr_html_() and 'id="testing-limit"' in both._repr_html_()
    assert records(both) == [{"kind": "equation", "id": "testing-limit", "by": "tested", "keys": []}]
    with pytest.raises(DerivationError, match=r"claim testing-limit \(a tie\): the computation says otherwise"):
        checked("testing-limit", np.float64(1) < 0, "a tie")
    with pytest.raises(ValueError, match=r"holds must be True or False; got 0\.5"):
        checked("testing-limit", 0.5, "a tie")
    with pytest.raises(DerivationError, match="recorded as proved, but here it is tested"):
        checked("ma-9", True, "no simulation replaces a proof")
    with pytest.raises(DerivationError, match="recorded as tested, but here it is proved"):
        equation("testing-limit", SHARES, STABLE)


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
        (sp.exp(held(alpha - mean) / kappa), r"e^{\left(\alpha - \mu\right) / \kappa}"),
        (over_keys(-held(s[j] - mean)), r"\sum_{j=1}^{n} - \left(s_{j} - \mu\right)"),
        (over_keys(held(s[j] - mean)), r"\sum_{j=1}^{n} \left(s_{j} - \mu\right)"),
        (kappa * alpha - mean, r"\kappa \alpha - \mu"),
    ):
        assert shown in Derivation(expr, "x")._repr_markdown_()


def test_every_medium_shows_every_step_and_escapes_it():
    proof = together(Derivation(STABLE, "w_i").step(SHARES, "if \\(a < b\\) & so"), Derivation(SUM).sign(">", "sum"))
    page, text = proof._repr_html_(), proof._repr_markdown_()
    assert page.count("<tr") == text.count("\n") - 1 == 3
    assert page.count("✓ proved</span>") == text.count("*✓ proved*") == 2
    assert r"\(a &lt; b\)" in page and "&amp; so" in page and r"if $a \lt b$ & so" in text


def test_a_row_in_markdown_keeps_its_cells():
    """A bar in a formula or in words would start another cell."""
    text = Derivation(sp.Abs(mean) + 1).step(1 + sp.Abs(-mean), "a | b, or *c*")._repr_markdown_()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] == [4, 4, 4]
    assert r"\vert" in text and r"a \| b, or \*c\*" in text


@pytest.mark.parametrize(
    "expr, shown",
    [
        (theta[i] * (s[i] - mean), r"\theta_{i} \left(s_{i} - \mu\right)"),
        (sp.log(theta[j]) * theta[j], r"\theta_{j} \log \theta_{j}"),
        (catalogue()["operations-of-attention"].expression, "4 T^{2} d h"),
        (-kappa * (mean - v[i]) * theta[i], r"- \kappa \theta_{i} \left(\mu - v_{i}\right)"),
        (sp.exp(-X / (2 * kappa)), r"e^{- x / \left(2 \kappa\right)}"),
        (v[i] * theta[i], r"\theta_{i} v_{i}"),
        (kappa * SUM, r"\kappa \sum_{i=1}^{n} \theta_{i}"),
        (s[i] * SUM / kappa, r"\frac{s_{i} \sum_{i=1}^{n} \theta_{i}}{\kappa}"),
    ],
)
def test_products_are_printed_as_people_write_them_in_latex_and_in_mathml(expr, shown):
    assert latex(expr) == shown
    letters = [part for part in "κθsμvTdhbx" if part in MathML()._print(expr).toxml()]
    assert letters, "MathML prints the same letters"


def test_a_word_is_no_product_of_letters():
    assert latex(sp.Symbol("scaled") * alpha) == r"\alpha \text{scaled}"
    assert latex(sp.Symbol("M_max")) == r"M_{\text{max}}"


def test_mathml_lists_factors_in_the_order_of_latex():
    for formula in catalogue().values():
        marked = MathML({"w", "v", "s", "alpha", "tau"})._print(formula.expression).toxml()
        order = [name for name in ("w", "v") if f'data-symbol="{name}"' in marked]
        if order == ["w", "v"]:
            assert marked.index('data-symbol="w"') < marked.index('data-symbol="v"'), formula.name


def test_a_row_says_what_it_is_evidence_for():
    assert Row("a", "").is_bare and not Row("a", "", "why").is_bare
    assert Row("a", "b", verdict="proved").records() == []


def test_the_stable_form_of_every_formula_is_what_is_shown():
    for formula in catalogue().values():
        formula.check()
    wrong = layer.weight.__class__("another", layer.weight.letter, SHARES, "No.", stable=STABLE**2)
    with pytest.raises(NotProved):
        wrong.check()
