"""One expression, four engines: NumPy, torch, 50 digits and the JavaScript of a real browser give the same numbers."""

import json

import numpy as np
import pytest
import sympy as sp
import torch
from scipy.stats import kstest, norm

from attnlib import attention, backward, evidence, formulas, length, likelihood, maxent, scores, softmax, transport
from attnlib.codegen import JAVASCRIPT_LOOPS, Law
from attnlib.formulas import alpha, c, d, i, j, n, over_keys, s
from attnlib.widgets import (
    BlockPooling,
    FourRoads,
    KeyAdvantage,
    KLBudget,
    LengthScaling,
    MaximumEntropyDial,
    PlanSimplex,
    QueryPlane,
    TemperatureSharpening,
    VarianceAgainstScore,
)

SHARED = Law(
    "shared",
    (alpha, n, s),
    {
        "product": over_keys(sp.exp(alpha * s[j])) * sp.exp(-alpha) + sp.exp(-alpha) ** 2,
        "terms": (sp.exp(-alpha * s[i]) / (1 + sp.exp(-alpha * s[i])) + sp.sqrt(n), (i, 1, n)),
    },
)
LAWS = [
    SHARED,
    *QueryPlane.laws,
    *VarianceAgainstScore.laws,
    *MaximumEntropyDial.laws,
    *PlanSimplex.laws,
    *KLBudget.laws,
    *KeyAdvantage.laws,
    *FourRoads.laws[:4],  # the others are above
    *TemperatureSharpening.laws,
    *BlockPooling.laws,
    *LengthScaling.laws,
]


def sample(law, rng):
    """Random arguments: every array over n keys and d coordinates, every parameter positive."""
    count, width = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    indices = {part.base: part.indices for expr, _ in law.results.values() for part in expr.atoms(sp.Indexed)}

    def one(argument):
        if argument in (n, d):
            return count if argument == n else width
        if not isinstance(argument, sp.IndexedBase):
            return float(rng.uniform(0.2, 1 if law.name == "gaussian" else 3))  # that one takes uniform numbers
        shape = [width if index == c else count for index in indices[argument]]
        return (rng.dirichlet(np.ones(count)) if argument[i].is_positive else rng.normal(size=shape)).tolist()

    return [one(argument) for argument in law.arguments]


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


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_all_engines_agree_with_fifty_digits(law, evaluate):
    rng = np.random.default_rng(7)
    many = [sample(law, rng) for _ in range(50)]
    numpy_law, torch_law, exact_law = law.numpy(), law.torch(), law.mpmath(50)
    for arguments, javascript in zip(many, evaluate(law, many), strict=True):
        exact, by_numpy, by_torch = exact_law(*arguments), numpy_law(*arguments), torch_law(*arguments)
        for key, value in exact.items():
            wanted = np.array(value, dtype=float)
            # A sum of terms of both signs may be near zero: errors are relative to the terms' size.
            size = np.abs(wanted).max() + (1e-2 if law.results[key][0].has(sp.Add, sp.log) else 0)
            for found in (by_numpy[key], by_torch[key].numpy(), javascript[key]):
                assert np.abs(np.array(found, dtype=float) - wanted).max() <= 1e-13 * max(size, 1e-300) * 10


def test_laws_agree_with_the_library():
    rng = np.random.default_rng(8)
    raw, values = rng.normal(size=6), rng.normal(size=6)
    found = VarianceAgainstScore.laws[2].numpy()(1.3, 0.7, 6, raw, values)
    whole = likelihood.estimate(values[:, None], raw, alpha=1.3, kappa=0.7)
    np.testing.assert_allclose(found["weights"], softmax(1.3 * raw), rtol=1e-13)
    np.testing.assert_allclose(found["estimate"], whole.mean[0], rtol=1e-13)
    np.testing.assert_allclose(found["deviation"], np.exp(-whole.log_precision / 2), rtol=1e-13)
    readings = VarianceAgainstScore.laws[1].numpy()(1.3, 0.7, 6, raw)
    np.testing.assert_allclose(readings["variances"], likelihood.variance(raw, alpha=1.3, kappa=0.7), rtol=1e-13)
    np.testing.assert_allclose(readings["deviations"] ** 2, readings["variances"], rtol=1e-13)
    density = VarianceAgainstScore.laws[0].numpy()(0.4, -0.3, 1.7)["density"]
    np.testing.assert_allclose(density, norm.pdf(0.4, -0.3, 1.7), rtol=1e-13)
    low, high = raw.min(), raw.max()
    asked, balance, tilted, bound, tangent, evenness = (law.numpy() for law in MaximumEntropyDial.laws)
    wanted = asked(0.8, low, high)["expectation"]
    made = maxent.maximum_entropy(raw, wanted)
    found = tilted(made.multipliers, 6, raw)
    assert low < wanted < high and abs(balance(made.multipliers, wanted, 6, raw)["slope"]) < 1e-13
    np.testing.assert_allclose(found["weights"], made.weights, rtol=1e-13)
    np.testing.assert_allclose(found["mean"], wanted, rtol=1e-13)
    np.testing.assert_allclose(evenness(6, made.weights)["entropy"], maxent.entropy(made.weights), rtol=1e-13)
    least = bound(made.multipliers, wanted, 6, raw)
    np.testing.assert_allclose(least["dual"], maxent.entropy(made.weights), rtol=1e-13)
    np.testing.assert_allclose(least["share"], np.exp(-least["dual"]), rtol=1e-13)
    further = bound(made.multipliers, 0.3, 6, raw)["dual"]  # the dual is a straight line in the expectation
    np.testing.assert_allclose(tangent(made.multipliers, wanted, least["dual"], 0.3)["height"], further, rtol=1e-13)
    query, key, value = rng.normal(size=(1, 3)), rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    by_laws = [law.numpy() for law in QueryPlane.laws]
    scored = by_laws[0](query[0], key, 6, 3)["scores"]
    weights = by_laws[1](1.3, 6, scored)["weights"]
    output = by_laws[2](weights, value, 6, 2)["output"]
    np.testing.assert_allclose(output, attention(query, key, value, scale=1.3)[0], rtol=1e-12)


def test_laws_of_transport_agree_with_the_library():
    rng = np.random.default_rng(10)
    raw, prior, tried = rng.normal(size=6), rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    tried = np.append(tried[:-2], [tried[-2:].sum(), 0])  # at the boundary, where 0 log 0 is 0
    place, cheapest, price, apart = (law.numpy() for law in PlanSimplex.laws)
    weights = cheapest(0.7, 6, raw, prior)["weights"]
    np.testing.assert_allclose(weights, transport.plan(raw, temperature=0.7, prior=prior), rtol=1e-13)
    cost, least = transport.objective(np.array([tried, weights]), raw, temperature=0.7, prior=prior)
    found = price(0.7, 6, raw, prior, tried)
    np.testing.assert_allclose([found["cost"], found["excess"]], [cost, cost - least], rtol=1e-12)
    divergence = apart(0.7, 6, tried, weights)["divergence"]
    np.testing.assert_allclose(divergence, 0.7 * maxent.kl_divergence(tried, weights), rtol=1e-12)
    for point in ((0.4, 0.3), (0.0, 1.0), (1.0, 1.0), (0.0, 0.5), (1.0, 0.5)):
        found = list(place(*point).values())
        np.testing.assert_allclose(found, PlanSimplex(point=point).plan, rtol=0, atol=1e-16)
        assert min(found) >= 0 and np.isclose(sum(found), 1)


def test_laws_of_the_budget_agree_with_the_library():
    raw = np.random.default_rng(9).normal(size=6)
    by_softmax, bought, testing = (law.numpy() for law in KLBudget.laws)
    weights = softmax(1.3 * raw)
    np.testing.assert_allclose(by_softmax(1.3, 6, raw)["weights"], weights, rtol=1e-13)
    found = bought(1.3, 6, raw, raw.max())
    np.testing.assert_allclose(found["spent"], maxent.kl_divergence(weights), rtol=1e-12)
    np.testing.assert_allclose(found["expectation"], weights @ raw, rtol=1e-12)
    np.testing.assert_allclose(1 / found["price"], evidence.inverse_temperature(raw, found["spent"]), rtol=1e-12)
    np.testing.assert_allclose(bought(1e300, 6, raw, raw.max())["spent"], evidence.largest_budget(raw), rtol=1e-15)
    np.testing.assert_allclose(testing(0.05, found["spent"])["draws"], evidence.samples_to_reject(weights), rtol=1e-12)


def test_laws_of_the_four_roads_agree_with_the_library():
    raw = np.random.default_rng(9).normal(size=6)
    precise, lowest, carried, inverse = (law.numpy() for law in FourRoads.laws[:4])
    weights = softmax(1.3 * raw)
    tau = inverse(1.3)["temperature"]
    np.testing.assert_allclose(precise(1.3, 6, raw)["weights"], weights, rtol=1e-13)
    least = lowest(tau, 6, raw)["least"]
    np.testing.assert_allclose(least, transport.objective(weights, raw, temperature=tau), rtol=1e-13)
    np.testing.assert_allclose(carried(tau, 6, raw, least)["weights"], weights, rtol=1e-13)


def test_laws_of_sharpening_agree_with_the_library():
    rng = np.random.default_rng(9)
    scaling, sharpened, evenness, gaussian, drawn = (law.numpy() for law in TemperatureSharpening.laws)
    assert scaling(64, 1)["factor"] == 1 and scaling(64, 0)["factor"] == 8
    raw, rate = rng.normal(size=6), 1.3
    weights = sharpened(rate, 2.0, 6, raw)["weights"]
    np.testing.assert_allclose(weights, softmax(2 * rate * raw), rtol=1e-13)
    found = evenness(rate, 2.0, 6, raw, raw.max())
    np.testing.assert_allclose(found["entropy"], maxent.entropy(weights), rtol=1e-13)
    np.testing.assert_allclose(found["effective"], maxent.effective_keys(weights), rtol=1e-13)
    np.testing.assert_allclose(found["divergence"], maxent.kl_divergence(weights), rtol=1e-12)
    query, key = rng.normal(size=(1, 5)), rng.normal(size=(6, 5))
    np.testing.assert_allclose(drawn(5, 6, query[0], key)["scores"], scores(query, key)[0], rtol=1e-12)
    numbers = [gaussian(1 - a, b)["number"] for a, b in rng.uniform(size=(4000, 2))]
    assert kstest(numbers, "norm").pvalue > 0.01


def test_laws_of_blocks_agree_with_the_library():
    rng = np.random.default_rng(9)
    raw, values = rng.normal(size=6), rng.normal(size=6)
    merged, width = (law.numpy() for law in BlockPooling.laws)
    whole = likelihood.estimate(values[:, None], raw)
    blocks = [merged(3, raw[at].max(), raw[at], np.ones(3), values[at]) for at in (slice(3), slice(3, 6))]
    tops = [raw[:3].max(), raw[3:].max()]
    sums, averages = ([block[name] for block in blocks] for name in ("total", "average"))
    found = merged(2, max(tops), tops, sums, averages)
    np.testing.assert_allclose(found["average"], whole.mean[0], rtol=1e-12)
    np.testing.assert_allclose(np.log(found["total"]) + max(tops), whole.log_precision, rtol=1e-12)
    np.testing.assert_allclose(found["weights"], [softmax(raw)[:3].sum(), softmax(raw)[3:].sum()], rtol=1e-13)
    deviation = width(max(tops), found["total"])["deviation"]
    np.testing.assert_allclose(deviation, np.exp(-whole.log_precision / 2), rtol=1e-12)


def test_laws_of_length_agree_with_the_library():
    counted, roofline, limits = (law.numpy() for law in LengthScaling.laws)
    for keys, width, heads, size in ((64, 16, 1, 2), (1000, 80, 3, 4), (2**20, 256, 64, 8)):
        found, one = counted(keys, width, heads, size), length.cost(keys, width, bytes_per_number=size)
        for name in ("flops", "traffic_naive", "traffic_streaming"):
            law = "_".join(reversed(name.split("_")))
            assert found[law] == heads * getattr(one, name), name
        for way in ("naive", "streaming"):
            assert found[f"{way}_intensity"] == pytest.approx(getattr(one, f"intensity_{way}"), rel=1e-14)
            extra = heads * getattr(one, f"memory_{way}")
            assert found[f"{way}_held"] == 4 * size * heads * width * keys + extra
            reach = limits(found[f"{way}_held"], width, heads, size)[way]
            assert reach == pytest.approx(keys, rel=1e-12)  # what T keys fill is filled by T keys
    assert roofline(6, 8, 2, 4)["seconds"] == 3 and roofline(6, 16, 2, 4)["seconds"] == 4


def test_laws_of_the_backward_pass_agree_with_the_library():
    rng = np.random.default_rng(9)
    raw, values, g = rng.normal(size=6), rng.normal(size=(6, 2)), rng.normal(size=2)
    by_softmax, _, valued, credit, steps = (law.numpy() for law in KeyAdvantage.laws)
    weights = by_softmax(0.7, 6, raw)["weights"]
    np.testing.assert_allclose(weights, softmax(raw, temperature=0.7), rtol=1e-13)
    use = valued(g, values, 6, 2)["utilities"]
    np.testing.assert_allclose(use, values @ g, rtol=1e-12)
    found, moved = credit(0.7, 6, weights, use), steps(0.7, 0.4, 6, raw, weights, use)
    np.testing.assert_allclose(found["baseline"], (weights @ values) @ g, rtol=1e-12)
    np.testing.assert_allclose(found["advantages"], backward.advantage(weights, use), rtol=1e-11)
    gradient = backward.score_gradient(weights, use, temperature=0.7)
    np.testing.assert_allclose(found["gradients"], gradient, rtol=1e-11)
    np.testing.assert_allclose(moved["plain"], raw - 0.4 * gradient, rtol=1e-12)
    natural = np.linalg.pinv(backward.fisher_information(weights, temperature=0.7)) @ gradient
    gap = raw - 0.4 * natural - moved["natural"]
    np.testing.assert_allclose(gap, gap[0], atol=1e-12)  # equal up to one number added to all scores


def test_gradients_flow_through_the_torch_law():
    raw = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64, requires_grad=True)
    law = Law("softmax", (alpha, n, s), {"weights": (formulas.weight, (i, 1, n))}).torch()
    assert torch.autograd.gradcheck(lambda x: law(torch.tensor(1.4, dtype=torch.float64), 3, x)["weights"], raw)


def test_scores_too_far_apart_for_a_float_give_zero_and_one(evaluate):
    law = Law("softmax", (alpha, n, s), {"weights": (formulas.weight, (i, 1, n))})
    assert evaluate(law, [[1.0, 2, [0.0, 1e6]]])[0]["weights"] == [0, 1]
    with np.errstate(over="ignore"):
        assert law.numpy()(1.0, 2, np.array([0.0, 1e6]))["weights"].tolist() == [0, 1]


def test_a_sum_that_no_index_reaches_is_computed_once():
    text = SHARED.javascript()
    assert text.count("sum(1, n") == 1 and text.count("Math.exp(-alpha)") <= 1


def test_counts_constants_and_deltas_run_in_every_engine(evaluate):
    law = Law(
        "counted",
        (alpha, n, s),
        {
            "ignorance": sp.log(n),
            "plain": (sp.Integer(1) / n, (i, 1, n)),
            "chosen": (over_keys(sp.KroneckerDelta(i, j) * s[j]) * sp.log(i), (i, 1, n)),
            "largest": (sp.Max(0, s[i]), (i, 1, n)),
        },
    )
    arguments = [1.0, 3, [0.5, -2.0, 3.0]]
    exact = law.mpmath()(*arguments)
    found = [law.numpy()(*arguments), evaluate(law, [arguments])[0]]
    del law.results["largest"]  # torch's maximum wants two tensors
    found.append({key: value.numpy() for key, value in law.torch()(*arguments).items()} | {"largest": [0.5, 0, 3]})
    for engine in found:
        for key, value in exact.items():
            np.testing.assert_allclose(np.array(engine[key], float), np.array(value, float), rtol=1e-14, err_msg=key)


def test_names_that_the_code_needs_are_refused():
    for name in ("sum0", "list", "weights"):
        with pytest.raises(ValueError, match=rf"must not be named as its code names parts; got \['{name}'\]"):
            Law("bad", (alpha, n, s, sp.Symbol(name)), {"weights": (formulas.weight, (i, 1, n))})


def test_unbound_symbols_are_named():
    with pytest.raises(ValueError, match=r"result 'weights' of law 'softmax' must use its arguments only.*alpha"):
        Law("softmax", (n, s), {"weights": (formulas.weight, (i, 1, n))})
    with pytest.raises(ValueError, match="must use its arguments only"):
        Law("softmax", (alpha, n, s), {"weights": formulas.weight})
