"""One expression, four engines: NumPy, torch, 50 digits and the JavaScript of a real browser give the same numbers."""

import json

import numpy as np
import pytest
import sympy as sp
import torch

from attnlib.codegen import JAVASCRIPT_LOOPS, Law
from attnlib.formulas import Formula, LogOrZero, alpha, c, d, i, j, layer, n, over_keys, p, s, w
from attnlib.widgets import widget_classes
from attnlib.widgets.base import _script

ROOT_OF_RATE = sp.exp(-alpha)
SHARED = Law(
    "shared",
    (alpha, n, s),
    product=Formula(
        "product", sp.Symbol("P"), over_keys(sp.exp(alpha * s[j])) * ROOT_OF_RATE + ROOT_OF_RATE**2, "A test."
    ),
    terms=Formula("terms", w[i], sp.exp(-alpha * s[i]) / (1 + sp.exp(-alpha * s[i])) + sp.sqrt(n), "A test."),
)
# Laws of one name are one law, or differ in their formulas.
LAWS = {f"{kind}-{law.name}": law for kind, cls in widget_classes().items() for law in cls.laws} | {"shared": SHARED}


def sample(law, rng):
    """Random arguments: every array over n keys and d coordinates, every parameter positive."""
    fewest = 2 if law.name == "relative" else 1  # one key has no budget to have a share of
    count, width = int(rng.integers(fewest, 9)), int(rng.integers(1, 5))
    indices = {part.base: part.indices for expr, _ in law.results.values() for part in expr.atoms(sp.Indexed)}

    def draw(argument):
        if argument in (n, d):
            return count if argument == n else width
        if not isinstance(argument, sp.IndexedBase):
            low, high = {"U1": (0.2, 1), "x1": (0.2, 1), "x2": (0.2, 1), "gamma": (1.2, 2)}.get(str(argument), (0.2, 3))
            return float(rng.uniform(low, high))
        shape = [width if index == c else count for index in indices[argument]]
        return (rng.dirichlet(np.ones(count)) if argument[i].is_positive else rng.normal(size=shape)).tolist()

    return [draw(argument) for argument in law.arguments]


@pytest.fixture(scope="module")
def evaluate(browser):
    """Run a law in the browser on many arguments."""
    page = browser.new_page()

    def evaluate(law, many):
        module = JAVASCRIPT_LOOPS + law.javascript()
        return json.loads(
            page.evaluate(
                """async ([text, name, many]) => {
                    const module = await import("data:text/javascript," + encodeURIComponent(text));
                    return JSON.stringify(many.map((one) => module[name](...one)));
                }""",
                [module, law.name, many],
            )
        )

    yield evaluate
    page.close()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_all_engines_agree_with_fifty_digits(law, evaluate):
    rng = np.random.default_rng(7)
    many = [sample(law, rng) for _ in range(50)]
    numpy_law, torch_law, exact_law = law.numpy(), law.torch(), law.mpmath(50)
    for arguments, javascript in zip(many, evaluate(law, many), strict=True):
        exact, by_numpy, by_torch = exact_law(*arguments), numpy_law(*arguments), torch_law(*arguments)
        for key, value in exact.items():
            wanted = np.array(value, dtype=float)
            # A sum of terms of both signs may be near zero: errors are relative to the terms' size.
            size = np.abs(wanted).max() + (1e-2 if law.results[key][0].has(sp.Add, sp.log, LogOrZero) else 0)
            for result in (by_numpy[key], by_torch[key].numpy(), javascript[key]):
                assert np.abs(np.array(result, dtype=float) - wanted).max() <= 1e-13 * max(size, 1e-300) * 10


def test_gradients_flow_through_the_torch_law():
    raw = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64, requires_grad=True)
    law = Law("softmax", (alpha, n, s), weights=layer.weight).torch()
    assert torch.autograd.gradcheck(lambda x: law(torch.tensor(1.4, dtype=torch.float64), 3, x)["weights"], raw)


def test_scores_too_far_apart_for_a_float_give_zero_and_one(evaluate):
    law = Law("softmax", (alpha, n, s), weights=layer.weight)
    assert evaluate(law, [[1.0, 2, [0.0, 1e6]]])[0]["weights"] == [0, 1]
    with np.errstate(over="ignore"):
        assert law.numpy()(1.0, 2, np.array([0.0, 1e6]))["weights"].tolist() == [0, 1]


def test_a_sum_that_no_index_reaches_is_computed_once():
    text = SHARED.javascript()
    assert text.count("sum(1, n") == 1 and text.count("Math.exp(-alpha)") <= 1


def test_counts_constants_deltas_and_logarithms_of_zero_run_in_every_engine(evaluate):
    law = Law(
        "counted",
        (alpha, n, s),
        ignorance=Formula("ignorance", sp.Symbol("L"), sp.log(n), "A test."),
        plain=Formula("plain weight", w[i], sp.Integer(1) / n + 0 * s[i], "A test."),
        chosen=Formula("chosen", w[i], over_keys(sp.KroneckerDelta(i, j) * s[j]) * sp.log(i), "A test."),
        nothing=Formula("nothing", w[i], s[i] * LogOrZero(s[i] ** 2), "A test."),
        largest=Formula("largest", w[i], sp.Max(0, s[i]), "A test."),
    )
    arguments = [1.0, 3, [0.5, 0.0, 3.0]]
    exact = law.mpmath()(*arguments)
    results = [law.numpy()(*arguments), evaluate(law, [arguments])[0]]
    del law.results["largest"]  # torch's maximum wants two tensors
    results.append({key: value.numpy() for key, value in law.torch()(*arguments).items()} | {"largest": [0.5, 0, 3]})
    for engine in results:
        for key, value in exact.items():
            np.testing.assert_allclose(np.array(engine[key], float), np.array(value, float), rtol=1e-14, err_msg=key)
    assert float(exact["nothing"][1]) == 0


def test_a_gradient_flows_past_a_logarithm_of_zero():
    law = Law("evenness", (n, p), entropy=Formula("evenness", sp.Symbol("H"), over_keys(p[j] * LogOrZero(p[j])), "."))
    weights = torch.tensor([0.0, 0.4, 0.6], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(law.torch()(3, weights)["entropy"], weights)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    "name", ["sum0", "list", "weights", "i", "j", "class", "show", "sum", "range", "numpy", "Math"]
)
def test_an_argument_that_the_code_needs_is_refused(name):
    with pytest.raises(ValueError, match=rf"argument of law 'bad' must have a name of its own .*; got '{name}'"):
        Law("bad", (alpha, n, s, sp.Symbol(name)), weights=layer.weight)


@pytest.mark.parametrize("name", ["show", "sum", "class", "list", "alpha", "j", "a b", "mount", "torch"])
def test_a_law_or_a_result_with_a_name_that_the_code_needs_is_refused(name):
    with pytest.raises(ValueError, match=f"law of law '{name}' must have a name of its own"):
        Law(name, (alpha, n, s), weights=layer.weight)
    if name not in ("alpha", "j"):
        with pytest.raises(ValueError, match="result of law 'fine' must have a name of its own"):
            Law("fine", (alpha, n, s), **{name: layer.weight})


def test_unbound_symbols_are_named():
    with pytest.raises(ValueError, match=r"result 'weights' of law 'softmax' must use its arguments only.*alpha"):
        Law("softmax", (n, s), weights=layer.weight)
    with pytest.raises(ValueError, match="must use its arguments only"):
        Law("softmax", (alpha, s), weights=layer.weight)  # its list runs to n
    table = Formula("table", sp.IndexedBase("t")[i, c], s[i] * c, "A test.")
    with pytest.raises(ValueError, match="must have at most one index"):
        Law("softmax", (n, d, s), table=table)


@pytest.mark.parametrize(
    "line, said",
    [
        (
            'import { handle } from "./charts.js";',
            "layer.js imports handle from './charts.js', which",
        ),
        ('import { nothing } from "./shared.js";', r"imports nothing from './shared.js'"),
        ('import { hardmax } from "laws";', r"imports hardmax from 'laws'"),
        ('import * as everything from "laws";', r"has an import that cannot be bundled: import \*"),
        ('import "./shared.js";', r"has an import that cannot be bundled"),
        ("const softmax = 1;", r"declares again softmax"),
        ("function panel() {}", r"declares again panel"),
    ],
)
def test_what_cannot_be_bundled_is_refused(monkeypatch, line, said):
    from attnlib.widgets import base

    read = base._source
    monkeypatch.setattr(base, "_source", lambda name: f"{line}\n{read(name)}" if name == "layer.js" else read(name))
    with pytest.raises(ValueError, match=said):
        _script("layer", widget_classes()["layer"].laws)
