"""False lines, wrong numbers and hostile input that once got through, and must not again."""

import pytest
import sympy as sp

from attnlib.codegen import Law
from attnlib.derive import Derivation, DerivationError, equation
from attnlib.formulas import Formula, Weight, i, j, kappa, n, over_keys, s, w, x
from attnlib.proof import NotProved, Undecided, check_equal, is_positive, prove
from attnlib.sources import statement
from attnlib.widgets import widget_classes
from attnlib.widgets.base import Widget
from sphinx_extensions.records import repeated

a = sp.Symbol("a", positive=True)
m = sp.Symbol("m", integer=True, positive=True)
y = sp.Symbol("y", real=True)
NUMBER = sp.Symbol("Z", real=True)
SQUARE = Formula("square of a place", NUMBER, x**2, "It is not negative.")
OTHER_J = sp.Symbol("j", integer=True, positive=True)
OTHER_I = sp.Symbol("i", integer=True, positive=True)


# --- The prover ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left, right",
    [
        (sp.Integral(sp.Abs(a), (a, -1, 1)), 0),  # the letter is assumed to be positive, the ends say otherwise
        (sp.Integral(sp.floor(m), (m, 0, 2)), 2),  # a whole number has nothing between
        (sp.Integral(2 * x, x), x**2),  # and any constant
        ((1 + x) * (sp.Float(1e-20) + y) + (1 + x) * (1.0 - y), (1 + x) * sp.Float(1)),  # lost in rounding
        (sp.O(x) + 1, 1 + sp.O(x)),
        (sp.Derivative(x**3, (x, m)), 0),
        (sp.Derivative(s[i], sp.IndexedBase("s", shape=(n,), real=True)[i]), 0),
        (sp.MatrixSymbol("A", 2, 2) * sp.MatrixSymbol("B", 2, 2), sp.MatrixSymbol("A", 2, 2)),
    ],
)
def test_what_has_no_one_exact_value_is_undecided(left, right):
    assert isinstance(prove(left, right), Undecided)


def test_an_integral_between_two_ends_is_taken():
    check_equal(sp.Integral(sp.Abs(x), (x, -1, 1)), 1)
    check_equal(sp.Integral(sp.Abs(a), (a, 0, 1)), sp.Rational(1, 2))


def test_a_text_is_not_run_as_python():
    with pytest.raises(ValueError, match="left must be an expression; got print"):
        prove("print(1)", 1)
    with pytest.raises(ValueError, match="expr must be an expression"):
        is_positive("1")


def test_a_number_of_keys_is_not_put_where_a_letter_must_stand():
    changes = sp.Derivative(sp.Function("f")(n), n)
    with pytest.raises(NotProved):
        check_equal(changes, sp.Function("g")(n), keys=(2,))


# --- Derivations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["x≡y", "x＝y", r"x \equiv 3", "{x=y}", r"\mathrm{x=3}", r"x\leq 0", "x<3", r"x \to 2", r"\char61", r"x\ne y"],
)
def test_a_name_that_says_something_is_refused(name):
    with pytest.raises(ValueError, match="name must not hold an equation"):
        Derivation(x, name)


def test_a_name_may_say_what_a_sum_runs_over():
    Derivation(x, r"\sum_{j=1}^{n} g_{j \to i}")


@pytest.mark.parametrize(
    "start, new",
    [
        (sp.Derivative(a**2, sp.Symbol("a", real=True)), sp.Integer(0)),
        (sp.Derivative(s[i], sp.IndexedBase("s", positive=True)[i]), sp.Integer(0)),
    ],
)
def test_letters_that_print_alike_do_not_stand_side_by_side(start, new):
    with pytest.raises(DerivationError, match="is two letters, which would be printed alike"):
        Derivation(start).step(new, "not the same letter")


def test_no_solution_is_lost_or_found_where_a_denominator_vanishes():
    hole = sp.Eq((x**2 - 2 * x + 1) / (x - 1), 0)
    with pytest.raises(DerivationError, match="x - 1 must be proved nonzero"):
        Derivation(hole).step(sp.Eq(x - 1, 0), "cancel")
    with pytest.raises(DerivationError, match="x - 1 must be proved nonzero"):
        Derivation(sp.Eq(x - 1, 0)).step(hole, "multiply above and below")
    Derivation(sp.Eq(x / kappa, y)).step(sp.Eq(x, kappa * y), "multiply by the precision", factor=1 / kappa)


@pytest.mark.parametrize("start", [sp.Eq(x, x), sp.Eq(x, x + 1), (x, y)])
def test_what_sympy_has_made_no_statement_of_is_no_start(start):
    with pytest.raises(DerivationError, match="start must be an expression or an equation"):
        Derivation(start)


def test_a_line_repeated_in_other_brackets_is_no_evidence():
    (side, _) = statement("ma-weights")
    with pytest.raises(DerivationError, match="must not repeat"):
        equation("ma-weights", sp.UnevaluatedExpr(side), side, "the same")


def test_a_formula_is_no_slip():
    with pytest.raises(DerivationError, match="got a slip"):
        Derivation(x**2, formula=SQUARE, verdict="slip")


# --- Laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "letter, expression",
    [
        (NUMBER, sp.Sum(sp.Sum(s[j] * s[OTHER_J], (OTHER_J, 1, n)), (j, 1, n))),
        (w[i], sp.Sum(s[OTHER_I] * s[i], (OTHER_I, 1, n))),
    ],
)
def test_two_indices_with_one_name_are_refused(letter, expression):
    with pytest.raises(ValueError, match="must have a name for each index"):
        Law("captured", (n, s), result=Formula("captured index", letter, expression, "One hides the other."))


@pytest.mark.parametrize("name", ["in", "Math", "range", "i j"])
def test_an_index_that_the_code_needs_is_refused(name):
    index = sp.Symbol(name, integer=True)
    total = Formula("total of the scores", NUMBER, sp.Sum(s[index], (index, 1, n)), "All of them.")
    with pytest.raises(ValueError, match="index of law 'total' must have a name of its own"):
        Law("total", (n, s), result=total)


@pytest.mark.parametrize("name", ["abs", "max", "masked_log"])
def test_an_argument_that_hides_a_function_is_refused(name):
    argument = sp.Symbol(name, real=True)
    with pytest.raises(ValueError, match="argument of law 'size' must have a name of its own"):
        Law("size", (argument,), result=Formula("size of it", NUMBER, sp.Abs(argument), "Not negative."))


def test_a_weight_without_a_stable_form_runs_in_every_engine():
    own = Formula("own weight", w[i], Weight(i, 1), "At rate one.")
    score = Formula("mean score", NUMBER, over_keys(Weight(j, 1) * s[j]), "Over the weights.")
    law = Law("weighted", (n, s), weights=own, mean=score)
    arguments = (2, [0.0, float(sp.log(3))])
    for run in (law.numpy(), law.torch(), law.mpmath()):
        assert [float(part) for part in run(*arguments)["weights"]] == pytest.approx([0.25, 0.75])
    assert float(law.numpy()(*arguments)["mean"]) == pytest.approx(0.75 * float(sp.log(3)))


# --- Widgets ---------------------------------------------------------------------------------------------------------


def test_a_subclass_shows_only_what_runs():
    base = widget_classes()["layer"]
    with pytest.raises(ValueError, match="shows what none of its laws runs: square of a place"):
        type(base)("Other", (base,), {"shown": (SQUARE,)})


def test_presets_are_read_once_and_whole():
    layer = widget_classes()["layer"]
    assert len(layer(presets=(preset for preset in [("still", "as it was", {})]))._presets) == 1
    for preset in [("label", "sentence"), (1, "sentence", {}), ("label", None, {})]:
        with pytest.raises(ValueError, match="each of presets must be"):
            layer(presets=[preset])


def test_hostile_words_stay_words():
    hostile = "</script><img src=x onerror=alert(1)>"
    page = widget_classes()["layer"](presets=[(hostile, hostile, {})])._repr_mimebundle_()[0]["text/html"]
    assert "<img" not in page and page.count("</script>") == 1
    assert issubclass(widget_classes()["layer"], Widget)


# --- Pages -----------------------------------------------------------------------------------------------------------


def test_what_a_page_records_twice_is_named():
    proof, other = ({"kind": "formula", "id": name, "by": "proved", "keys": []} for name in ("weight", "score"))
    widgets = [{"kind": "widget", "id": "layer", "name": name} for name in ("one", "one", "two")]
    assert repeated([proof, other, proof, *widgets]) == ["formula weight", "widget one"]
    assert not repeated([proof, other, {**proof, "kind": "equation"}, *widgets[1:]])
