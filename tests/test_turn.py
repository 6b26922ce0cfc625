"""The reader's turn: right lines are proved, wrong ones refuted by numbers that plain arithmetic confirms."""

import ast
import importlib
import inspect
import json
import random
import subprocess
import sys

import mpmath
import pytest
import sympy as sp
from conftest import requests
from test_proof_fuzz import NoValue, number

from attnlib.derive import Derivation
from attnlib.formulas import Weight, alpha, i, j, kappa, l, mean, n, over_keys, s, theta, v
from attnlib.language import Letters, Unreadable, parse, written
from attnlib.proof import Index, Proved, Refuted, Undecided, follows, prove, smallest
from attnlib.turn import Exercise, Shown, check, form, judge, preview, respond
from attnlib.widgets import VarianceAgainstScore, YourTurn
from attnlib.widgets.proof import PROVER, Prover

weight = Weight(i, alpha)
slope = Exercise((sp.Derivative(weight, s[i]), alpha * weight * (1 - weight)))
product = Exercise((slope.steps[0], alpha * weight - alpha * weight**2, alpha * weight * (1 - weight)))
estimate = Exercise(
    (
        sp.Eq(over_keys(-kappa * theta[i] * (mean - v[i]), i), 0),
        sp.Eq(mean * over_keys(theta[i], i) - over_keys(theta[i] * v[i], i), 0),
        sp.Eq(mean, over_keys(theta[i] * v[i], i) / over_keys(theta[i], i)),
    )
)


# --- The book's own lines --------------------------------------------------------------------------------------------


def test_every_step_of_the_book_is_proved_when_it_is_typed(proofs):
    wrong, asked = [], requests(proofs)
    for request in asked:
        answer = json.loads(respond(json.dumps(request)))
        if (answer["verdict"], answer.get("done")) != ("proved", True):
            wrong.append(f"{'  →  '.join(request['exercise']['steps'])}: {answer['words']}")
    assert len(asked) > 180 and not wrong, "\n".join(wrong)
    assert len(set(proofs.values())) == 12  # the chapters, and the ledger


# --- Wrong lines made from right ones --------------------------------------------------------------------------------


def parts(expr, where):
    """The parts of an expression at which `where` holds, with what puts another in their place."""
    found = [(expr, lambda other: other)] if where(expr) else []
    for place, arg in enumerate(expr.args):
        if isinstance(arg, sp.Tuple | sp.IndexedBase) or isinstance(expr, sp.Indexed | Weight):
            continue
        for part, put in parts(arg, where):
            found.append(
                (
                    part,
                    lambda new, put=put, place=place: expr.func(*expr.args[:place], put(new), *expr.args[place + 1 :]),
                )
            )
    return found


def spoiled(expr, draw):
    """An expression with a sign, an index, a term or a factor wrong; None where it has no such part."""
    kind = draw.choice(["sign", "index", "term", "factor"])
    if kind == "index":
        places = parts(expr, lambda part: isinstance(part, sp.Indexed) and part.indices[0].is_Symbol)
        bound = {limit[0] for part in expr.atoms(sp.Sum) for limit in part.limits}
        others = sorted({i, j, *expr.free_symbols & bound} & (expr.free_symbols | bound), key=str)
        if not places or len(others) < 2:
            return None
        part, put = draw.choice(places)
        other = draw.choice([one for one in others if one != part.indices[0]] or others)
        return put(part.base[(other, *part.indices[1:])])
    places = parts(
        expr, lambda part: part.is_Add if kind in ("sign", "term") else part.is_Mul or part.is_Pow or part.is_Add
    )
    if not places:
        return None
    part, put = draw.choice(places)
    if kind == "factor":
        return put(part * draw.choice([2, sp.Rational(1, 2), -1]))
    term = draw.choice(part.args)
    return put(part - 2 * term if kind == "sign" else part - term)


def apart(left, right):
    """Whether plain arithmetic gives two numbers at some place."""
    free = {part for part in left.free_symbols | right.free_symbols if part.is_Symbol and part.is_integer}
    for count in (2, 3):
        whole = {part: count for part in free if not isinstance(part, Index)}
        whole |= {part: min(2, int(part.last.subs(whole | {n: count}))) for part in free if isinstance(part, Index)}
        draw = {}

        def real(name, _positive, draw=draw, count=count):
            return draw.setdefault(name, mpmath.mpf(random.Random(f"{name} {count}").uniform(0.4, 1.6)))

        first, second = (number(side, whole | {n: count}, real) for side in (left, right))
        if abs(first - second) > 1e-9 * max(abs(first), abs(second)):
            return True
    return False


def values(answer):
    """The numbers of a refutation: of whole numbers by symbol, of all else by name."""
    whole = {symbol: int(value) for symbol, value in answer.values.items() if symbol.is_integer}
    rest = {symbol.name.replace(" ", ""): value for symbol, value in answer.values.items()}
    return whole, lambda name, _positive: sp.Float(rest.get(name, 1), 40)._to_mpmath(130)


def test_two_hundred_wrong_lines_are_not_accepted_and_nearly_all_refuted(proofs):
    """Wrong by plain arithmetic, which shares nothing with the prover, and by which its numbers are put in again."""
    draw, wrong, refuted, accepted = random.Random(13), 0, 0, []
    steps = []
    for text in sorted(proofs):
        exercise = Exercise.unpacked(json.loads(text))
        if not (exercise.is_about_equations or exercise.letters.functions):
            steps += [(exercise, step) for step in exercise.steps[1:]]
    while wrong < 200:
        exercise, right = draw.choice(steps)
        bad = spoiled(right, draw)
        try:
            if bad is None or not apart(unfolded(right), unfolded(bad)):
                continue
            line = parse(written(bad, exercise.letters), exercise.letters)
        except (NoValue, TypeError, ZeroDivisionError, Unreadable):
            continue  # plain arithmetic has no number there; or an index has no sum any more
        wrong += 1
        answer = judge(right, line)
        if isinstance(answer, Proved):
            accepted.append(f"{right} and {bad}")
        elif isinstance(answer, Refuted):
            shown = smallest(answer.left, answer.right) or answer
            whole, real = values(shown)
            sides = [number(unfolded(side), whole, real) for side in (shown.left, shown.right)]
            assert abs(sides[0] - sides[1]) > 1e-12 * max(map(abs, sides)), (right, bad, str(shown))
            assert abs(sides[0] - shown.left_value) < 1e-9 * max(1, abs(sides[0])), (right, str(shown))
            refuted += 1
    assert not accepted and refuted >= 190, (accepted, refuted)


def unfolded(expr):
    return expr.replace(lambda part: hasattr(part, "unfold"), lambda part: part.unfold())


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_a_right_line_is_proved_and_the_goal_ends_the_proof():
    answer = check(product, [], "alpha*w_i - alpha*w_i^2")
    assert answer["verdict"] == "proved" and answer["nearer"] and not answer["done"] and answer["next"] == 2
    answer = check(product, ["alpha*w_i - alpha*w_i^2"], "w_i alpha (1 − w_i)")
    assert answer["done"] and "complete" in answer["words"]


def test_an_exercise_of_one_step_ends_with_any_form_of_its_goal():
    for line in ("alpha*w_i - alpha*w_i^2", "alpha*(1 - w_i)*exp(alpha*s_i)/sum_j exp(alpha*s_j)"):
        assert check(slope, [], line)["done"]
    assert not check(slope, [], "d/d s_i exp(alpha*s_i)/sum_j exp(alpha*s_j)")["done"]


def test_what_leads_nowhere_is_accepted_and_said_to_be_so():
    answer = check(product, ["alpha*w_i - alpha*w_i^2"], "d/d s_i w_i")
    assert answer["verdict"] == "proved" and not answer["nearer"] and "been here before" in answer["words"]
    answer = check(product, [], "alpha*w_i*(sum_j w_j - 2*w_i + w_i^2 + s_i - s_i*w_i - (s_i - w_i)*(1 - w_i))")
    assert answer["verdict"] == "proved" and not answer["nearer"] and "longer than all" in answer["words"]


def test_of_a_line_with_two_sides_both_must_follow():
    assert check(slope, [], "alpha*w_i - alpha*w_i^2 = alpha*w_i*(1 - w_i)")["done"]
    assert check(slope, [], "alpha*w_i = alpha*w_i*(1 - w_i)")["verdict"] == "refuted"
    assert check(slope, [], "alpha*w_i*(1 - w_i) = alpha")["verdict"] == "refuted"


def test_where_a_side_has_no_value_nothing_is_contradicted():
    """With one key 1 - w is zero, and its logarithm has no slope."""
    assert check(Exercise((-alpha * weight, weight)), [], "d/d s_i log(1 - w_i)")["verdict"] == "proved"


def test_a_fault_of_the_prover_is_said_and_ends_nothing(monkeypatch):
    request = json.dumps({"id": 3, "do": "check", "exercise": slope.packed(), "lines": [], "text": "alpha"})

    def fail(*_arguments):
        raise AssertionError("proved, but false")

    monkeypatch.setattr("attnlib.turn.judge", fail)
    assert json.loads(respond(request)) == {
        "id": 3,
        "verdict": "undecided",
        "words": "The prover failed on this line: AssertionError: proved, but false",
    }


def test_an_exercise_that_cannot_be_read_is_said_and_ends_nothing():
    bad = slope.packed() | {"steps": ["alpha", "("]}
    answer = json.loads(respond(json.dumps({"id": 4, "do": "check", "exercise": bad, "lines": [], "text": "alpha"})))
    assert (answer["id"], answer["verdict"]) == (4, "undecided") and "The prover failed" in answer["words"]


def test_a_sum_is_cut_in_an_equation_too():
    m, r = sp.symbols("m r", integer=True, positive=True)
    one, two, both = Index("j", m), Index("l", m + r, first=m + 1), Index("i", m + r)
    over_all, *over_parts = (
        sp.Sum(sp.exp(s[index]) * (v[index] - mean), (index, index.first, index.last)) for index in (both, one, two)
    )
    assert isinstance(follows(sp.Eq(over_all, 0), sp.Eq(sum(over_parts), 0)), Proved)


def test_a_left_side_is_no_part_of_a_proof_about_an_expression():
    first = "d/d s_i w_i = alpha*w_i - alpha*w_i^2"
    assert check(product, [], first)["verdict"] == "proved"
    assert check(product, [first], "alpha*w_i*(1 - w_i)")["done"]
    assert check(product, [first], "alpha*w_i")["verdict"] == "refuted"


def test_a_hint_follows_the_book_step_by_step(proofs):
    """Also where lines share a form that is loose, or lie near each other."""
    for packed in map(json.loads, proofs):
        exercise = Exercise.unpacked(packed)
        if len(set(exercise.exact)) == len(exercise.steps):
            for place in range(1, len(exercise.steps)):
                answer = check(exercise, packed["steps"][1:place], packed["steps"][place])
                assert answer["next"] == min(place + 1, len(exercise.steps) - 1) and answer["nearer"], packed["steps"]


def test_a_refutation_says_small_numbers_and_both_values():
    words = check(slope, [], "w_i*(1 - w_i)")["words"]
    assert words == "Refuted at s = (0, 0), α = 0 (i = 2, n = 2): your line gives 0.25, the line before 0."


def test_what_is_neither_proved_nor_refuted_is_not_called_wrong():
    f, x = sp.Function("f"), sp.Symbol("x", real=True)
    answer = check(Exercise((f(x), sp.Derivative(f(x), x))), [], "d/dx (f(x) - f(x))")
    assert answer["verdict"] in ("undecided", "refuted")
    unknown = Exercise((sp.Derivative(sp.Abs(sp.sign(x)), x), sp.Integer(0)))
    answer = check(unknown, [], "0")
    assert answer["verdict"] == "undecided" and "may be right" in answer["words"]


@pytest.mark.parametrize(
    "line, verdict",
    [
        ("mu*sum_i theta_i = sum_i theta_i*v_i", "proved"),
        ("sum_i theta_i*v_i = mu*sum_i theta_i", "proved"),
        ("0 = 2*kappa*sum_i theta_i*(mu - v_i)", "proved"),
        ("mu = (sum_i theta_i*v_i)/sum_i theta_i", "proved"),
        ("mu = sum_i v_i/n", "refuted"),
        ("0 = 0", "refuted"),
        ("mu^2 = ((sum_i theta_i*v_i)/sum_i theta_i)^2", "refuted"),
        ("mu*(mu*sum_i theta_i - sum_i theta_i*v_i) = 0", "refuted"),
        ("(mu*sum_i theta_i - sum_i theta_i*v_i)/mu = 0", "undecided"),
        ("mu*sum_i theta_i", "unreadable"),
    ],
)
def test_an_equation_must_say_what_the_one_before_says(line, verdict):
    assert check(estimate, [], line)["verdict"] == verdict


def test_to_square_or_to_divide_by_what_may_vanish_is_never_proved():
    x, y, above = sp.Symbol("x", real=True), sp.Symbol("y", real=True), sp.Symbol("z", positive=True)
    for old, new in [
        ((x, y), (x**2, y**2)),
        ((x * y, y), (x, 1)),
        ((x**2, y**2), (x, y)),
        ((x, x), (1, 1)),
        ((1 / x, 1), (1, x)),
    ]:
        answers = [
            follows(sp.Eq(*pair, evaluate=False), sp.Eq(*other, evaluate=False))
            for pair, other in ((old, new), (new, old))
        ]
        if (old, new) in [((x, x), (1, 1)), ((1 / x, 1), (1, x))]:
            assert not any(isinstance(answer, Refuted) for answer in answers)
        else:
            assert all(isinstance(answer, Refuted | Undecided) for answer in answers), (old, new)
    assert isinstance(follows(sp.Eq(x * above, above), sp.Eq(x, 1)), Proved)
    assert isinstance(follows(sp.Eq(above**2, 4 * x**2 + 1), sp.Eq(above, sp.sqrt(4 * x**2 + 1))), Proved)


def test_a_logarithm_or_a_root_that_goes_must_have_had_a_value():
    """Where s is below zero the first line says nothing, and the second has solutions."""
    x, y, positive = sp.Symbol("x", real=True), sp.Symbol("y", real=True), sp.Symbol("z", positive=True)
    for part in (sp.sqrt(s[i]), sp.log(s[i]), over_keys(sp.log(s[j]))):
        for pair in ((sp.Eq(y + part, x + part), sp.Eq(y, x)), (sp.Eq(y, x), sp.Eq(y + part, x + part))):
            assert isinstance(follows(*pair), Undecided), part
    for part in (sp.sqrt(positive), sp.log(weight), sp.log(over_keys(sp.exp(s[j])))):
        assert isinstance(follows(sp.Eq(y + part, x + part), sp.Eq(y, x)), Proved), part


def test_an_equation_holds_nowhere_where_a_side_has_no_value():
    x, y = sp.Symbol("x", real=True), sp.Symbol("y", real=True)
    for part in (sp.log(y), 1 / y):
        answer = follows(sp.Eq(x + part, part), sp.Eq(x, 1))
        assert isinstance(answer, Refuted) and part.subs(y, answer.values[y]).is_real


def test_what_has_no_value_ends_no_proof_with_a_fault():
    m, a, x = (
        sp.Symbol("m", integer=True, nonnegative=True),
        sp.Symbol("a", nonnegative=True),
        sp.Symbol("x", real=True),
    )
    part = sp.sign(sp.Max(1 / m, x))
    assert isinstance(prove(part, sp.Sum(part, (l, 1, m)) / m), Undecided)
    none = sp.Sum(a, (j, n, n - 1))
    assert isinstance(follows(sp.Eq(x * n**n / none, s[i] / none), sp.Eq(x * n**n, s[i])), Undecided)


def test_roots_and_logarithms_of_negative_numbers_refute_nothing():
    """Two imaginary roots have a real product, and log x has a slope below zero only for sympy."""
    x = sp.Symbol("x", real=True)
    roots = sp.Product(sp.sqrt(s[j]), (j, 1, n)), sp.sqrt(sp.Product(s[j], (j, 1, n)))
    slopes = sp.Derivative(sp.log(x), x), 1 / sp.Abs(x)
    for left, right in (roots, slopes):
        assert not isinstance(prove(left, right), Refuted)


def test_a_mirrored_goal_ends_a_proof_and_a_factor_may_stand_within_its_sum():
    for line in ("(sum_i theta_i*v_i)/(sum_i theta_i) = mu", "mu = sum_i theta_i*v_i/sum_i theta_i"):
        assert check(estimate, [], line)["done"]


def test_a_hint_is_for_the_step_after_the_one_that_is_nearest():
    assert check(estimate, [], "mu*sum_i theta_i = sum_i theta_i*v_i")["next"] == 2
    assert check(estimate, [], "sum_i kappa*theta_i*(mu - v_i) = 0")["next"] == 1


def test_what_is_cancelled_as_it_is_typed_is_still_demanded():
    """Sympy cancels at once; where what was typed has no value, nothing is proved of an equation, or refuted."""
    x, y, z = (sp.Symbol(name, real=True) for name in "xyz")
    equation = Exercise((sp.Eq(x + z, y + z), sp.Eq(x, y)), Letters([x, y, z]))
    assert check(equation, [], "x = y")["done"]
    assert check(equation, [], "x*z/z = y")["verdict"] == "undecided"
    assert check(equation, [], "exp(log(x)) = y")["verdict"] == "undecided"
    root = Exercise((sp.Abs(x), x), Letters([x, y, z]))
    assert check(root, [], "sqrt(x)*sqrt(x)")["verdict"] != "refuted"
    assert check(root, [], "x")["verdict"] == "refuted"


def test_a_stray_line_of_the_process_is_no_answer():
    prover = Prover()
    request = {"id": 7, "do": "check", "exercise": slope.packed(), "lines": [], "text": "alpha*w_i*(1 - w_i)"}
    assert prover.ask(request)["id"] == 7
    for stray in ("a warning", json.dumps({"id": 6, "verdict": "proved"})):
        prover._answers.put(stray)
        assert prover.ask(request | {"id": 8, "text": "alpha"})["verdict"] == "refuted"
    prover.stop()


def test_a_form_forgives_order_names_and_signs_alone():
    assert form(over_keys(s[j] - s[i])) == form(over_keys(-(s[i] - s[j])))
    assert form(over_keys(s[i], i) * 2) == form(2 * over_keys(s[j]))
    assert form(sp.exp(alpha * (s[i] - s[j]))) == form(sp.exp(alpha * s[i] - alpha * s[j]))
    assert form(alpha * weight * (1 - weight)) != form(alpha * weight - alpha * weight**2)
    assert form(over_keys(2 * s[j])) != form(2 * over_keys(s[j]))


def test_a_picture_shows_the_numbers_only_if_it_has_them_all():
    shown = Shown(2, {"s": ("scores", -3, 3), "alpha": ("alpha", 0, 3)})
    exercise = Exercise(slope.steps, shown=shown)
    assert check(exercise, [], "alpha*w_i")["state"] == {"scores": [0.0, 0.0], "alpha": 1.0}
    without = Exercise(slope.steps, shown=Shown(2, {"s": ("scores", -3, 3)}))
    assert check(without, [], "alpha*w_i")["state"] is None


def test_an_exercise_is_the_same_after_it_was_packed():
    for exercise in (slope, estimate):
        again = Exercise.unpacked(json.loads(json.dumps(exercise.packed())))
        assert again.forms == exercise.forms
        letters = [sorted(map(str, one.packed()["letters"])) for one in (again, exercise)]
        assert letters[0] == letters[1]


def test_letters_are_the_same_after_they_were_packed():
    x = sp.Symbol("x", real=True)
    assumed = ("nonzero", "nonpositive", "negative", "nonnegative", "positive", "integer", "even", "rational")
    others = [sp.Symbol("a", **{name: True}) for name in assumed]
    array = sp.IndexedBase("x", real=True)
    for step in (
        *(x * sp.Abs(other) for other in others),
        array[1] + sp.Symbol("x_1", real=True),
        array[2] * sp.Symbol("x2"),
    ):
        exercise = Exercise((step, step**2))
        assert Exercise.unpacked(json.loads(json.dumps(exercise.packed()))).steps == exercise.steps


def test_a_preview_is_the_line_as_typed():
    shown = preview(slope, "w_i + w_i - 1*w_i")["mathml"]
    assert shown.count("<mi>w</mi>") == 3


# --- The widget in Python, and the process beside the kernel ---------------------------------------------------------


def turn(**options):
    return YourTurn("slope", Derivation(slope.steps[0]).step(slope.steps[1], "the quotient rule"), **options)


def test_the_widget_gives_start_goal_and_hints():
    box = turn()
    page = box._repr_mimebundle_()[0]["text/html"]
    assert box.goal == "alpha*w_i*(1 - w_i)" and "the quotient rule" in page and page.count("<tr>") == 4
    assert "<details><summary>The book’s proof" in page and 'id="slope"' in page


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: YourTurn("slope", Derivation(slope.steps[0])), "steps must be a start and a goal at least; got 1"),
        (
            lambda: turn(inputs={s: "score"}, shown=VarianceAgainstScore()),
            "inputs must be of alpha, kappa, scores, value; got score",
        ),
        (lambda: YourTurn("a b", Derivation(slope.steps[0]).step(slope.steps[1], "rule")), "name must be letters"),
        (lambda: YourTurn("a", Derivation(slope.steps[0]).step(slope.steps[1], r"rule \(x\)")), "plain words"),
        (
            lambda: YourTurn("a", Derivation(slope.steps[0]).step(slope.steps[0] + 0 * n, "rule")),
            "another form than its start",
        ),
    ],
)
def test_bad_exercises_are_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_process_of_a_kernel_answers_and_ends_what_is_too_slow():
    request = {"id": 7, "do": "check", "exercise": slope.packed(), "lines": [], "text": "alpha*w_i*(1 - w_i)"}
    prover = Prover()
    assert prover.ask(request)["done"]
    first = prover._process.pid
    answer = prover.ask(request | {"id": 8}, seconds=0)
    assert (answer["id"], answer["verdict"]) == (8, "undecided") and "Too large a step" in answer["words"]
    assert prover.ask(request)["done"] and prover._process.pid != first
    prover.stop()


def test_the_widget_answers_messages_and_shows_numbers_in_the_picture():
    picture = VarianceAgainstScore(scores=[2, 1], value=[1, 0])
    box, said = turn(shown=picture, inputs={s: "scores"}), []
    box.send = said.append
    box._answer({"id": 1, "do": "check", "lines": [], "text": "alpha*w_i"})
    assert said[0]["verdict"] == "refuted" and said[0]["state"]
    box._hear(box, {"do": "show", "state": said[0]["state"]}, [])
    assert list(picture.scores) == said[0]["state"]["scores"]
    PROVER.stop()


def test_nothing_that_is_typed_runs_in_the_process(tmp_path):
    """Of the modules that read a line, none calls what runs text; and lines that would write a file write none."""
    for name in ("language", "turn", "proof", "printing"):
        called = {
            node.func
            for node in ast.walk(ast.parse(inspect.getsource(importlib.import_module(f"attnlib.{name}"))))
            if isinstance(node, ast.Call)
        }
        names = {
            getattr(one, "id", getattr(one, "attr", ""))
            for one in called
            if not isinstance(getattr(one, "value", None), ast.Name) or one.value.id != "re"
        }
        assert not names & {"eval", "exec", "compile", "__import__", "parse_expr", "lambdify", "S"}
        assert name == "proof" or "sympify" not in names
    target = tmp_path / "written"
    lines = [
        f"open('{target}','w')",
        f"__import__('pathlib').Path('{target}').touch()",
        "().__class__",
        "s_i.__class__",
    ]
    requests = [
        json.dumps({"id": number, "do": do, "exercise": slope.packed(), "lines": [], "text": line})
        for number, line in enumerate(lines)
        for do in ("preview", "check")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "attnlib.turn"], input="\n".join(requests) + "\n", capture_output=True, text=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert not done.stderr and len(answers) == len(requests) and not target.exists()
    assert all(answer["verdict"] == "unreadable" and answer["words"] for answer in answers)
