"""The budget's promises, against SciPy's constrained optimiser and root finder, 50 digits, and exact tests."""

import math

import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from attnlib import softmax
from attnlib.evidence import inverse_temperature, largest_budget, route, samples_to_reject
from attnlib.maxent import entropy, kl_divergence, maximum_entropy

SCALES = (1e-3, 1.0, 30.0, 1e3)


def instances(rng, count, *, ties=False):
    """Scores of 2 to 64 keys, of every size, and budgets between nothing and nearly all."""
    for number in range(count):
        scores = SCALES[number % 4] * rng.normal(size=rng.integers(2, 65))
        if ties and number % 2:
            scores[rng.integers(scores.size, size=3)] = scores.max()
        cap = float(largest_budget(scores))
        if cap > 0:
            yield scores, cap * [rng.uniform(), 10 ** rng.uniform(-9, 0), 1 - 10 ** rng.uniform(-12, 0)][number % 3]


def exact_divergence(scores, beta):
    """KL(softmax(beta * scores) || equal weights) to 50 digits."""
    with mpmath.workdps(50):
        x = [mpmath.mpf(float(beta)) * mpmath.mpf(float(s)) for s in scores]
        e = [mpmath.exp(a - max(x)) for a in x]
        return sum(a / sum(e) * mpmath.log(len(e) * a / sum(e)) for a in e)


def test_the_budget_is_held_to_the_cap_with_ties(rng):
    count = 0
    for scores, budget in instances(rng, 320, ties=True):
        beta = float(inverse_temperature(scores, budget))
        assert beta > 0 and abs(float(exact_divergence(scores, beta)) - budget) <= 1e-12
        weights = route(scores, budget)
        np.testing.assert_allclose(weights, softmax(beta * (scores - scores.max())), atol=1e-13)
        assert abs(kl_divergence(weights) - budget) <= 1e-12
        assert abs(entropy(weights) - (math.log(scores.size) - budget)) <= 1e-12
        count += 1
    assert count > 300


def test_small_budgets_keep_their_digits(rng):
    for scores, _ in instances(rng, 40):
        for budget in (1e-6, 1e-12, 1e-16):
            beta = float(inverse_temperature(scores, budget))
            assert float(exact_divergence(scores, beta) / mpmath.mpf(budget)) == pytest.approx(1, rel=1e-6)


def test_beta_is_the_root_that_scipy_finds(rng):
    for scores, budget in instances(rng, 60):
        if not 1e-4 < budget < 0.98 * largest_budget(scores):
            continue
        unit = np.ptp(scores)
        z = scores / unit

        def spent(x, z=z, budget=budget):
            return float(kl_divergence(softmax(x * z))) - budget

        root = scipy.optimize.brentq(spent, 0, 1e6, xtol=1e-13, rtol=1e-14) / unit
        assert float(inverse_temperature(scores, budget)) == pytest.approx(root, rel=1e-8)


def test_no_weights_within_the_budget_have_a_larger_expected_score(rng):
    """SciPy's SLSQP, in logarithms of the weights, with the constraint and nothing else."""
    for number in range(200):
        scores = rng.normal(size=rng.integers(2, 9))
        budget = rng.uniform(0.05, 0.9) * float(largest_budget(scores))
        log_n, best = math.log(scores.size), route(scores, budget)
        optimum = scipy.optimize.minimize(
            lambda y, s=scores: -np.exp(y) @ s,
            np.log(rng.dirichlet(np.full(scores.size, 5.0))),
            jac=lambda y, s=scores: -s * np.exp(y),
            bounds=[(-30, 0)] * scores.size,
            constraints=(
                {"type": "eq", "fun": lambda y: np.exp(y).sum() - 1, "jac": np.exp},
                {
                    "type": "ineq",
                    "fun": lambda y, b=budget, n=log_n: b - np.exp(y) @ (y + n),
                    "jac": lambda y, n=log_n: -np.exp(y) * (y + n + 1),
                },
            ),
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert np.exp(optimum.x) @ scores <= best @ scores + 1e-7, number
        assert np.exp(optimum.x) @ scores >= best @ scores - 1e-4, number
        for _ in range(20):  # competitors on the way to equal weights, within the budget
            other = rng.dirichlet(np.full(scores.size, 0.5))
            while kl_divergence(other) > budget:
                other = (other + 1 / scores.size) / 2
            assert other @ scores <= best @ scores + 1e-12


def test_it_is_maximum_entropy_with_objective_and_constraint_exchanged(rng):
    for scores, budget in instances(rng, 60):
        if 1e-3 < budget < 0.95 * largest_budget(scores):
            weights = route(scores, budget)
            other = maximum_entropy(scores, float(weights @ scores))
            np.testing.assert_allclose(other.weights, weights, atol=1e-9)
            assert float(other.multipliers) == pytest.approx(float(inverse_temperature(scores, budget)), rel=1e-7)


def test_scale_and_shift_change_beta_alone(rng):
    for scores, budget in instances(rng, 60):
        factor = 10 ** rng.uniform(-2, 2)
        np.testing.assert_allclose(route(factor * scores, budget), route(scores, budget), atol=1e-11)
        beta = float(inverse_temperature(scores, budget))
        assert float(inverse_temperature(factor * scores, budget)) == pytest.approx(beta / factor, rel=1e-8)
    np.testing.assert_allclose(route(np.array([1.0, 0.5, 0.0]) + 1e6, 0.3), route([1.0, 0.5, 0.0], 0.3), atol=1e-9)


def test_the_price_is_the_slope_of_the_expected_score(rng):
    for _ in range(20):
        scores = rng.normal(size=6)
        budget = rng.uniform(0.05, 0.9) * float(largest_budget(scores))
        up, down = (route(scores, budget + e) @ scores for e in (1e-5, -1e-5))
        assert (up - down) / 2e-5 == pytest.approx(1 / float(inverse_temperature(scores, budget)), rel=1e-4)


def test_beta_grows_with_the_budget(rng):
    scores = rng.normal(size=7)
    budgets = np.linspace(0, float(largest_budget(scores)), 60)
    betas = inverse_temperature(np.broadcast_to(scores, (60, 7)), budgets)
    assert betas[0] == 0 and betas[-1] == np.inf and (np.diff(betas[:-1]) > 0).all()


@pytest.mark.parametrize(
    "scores, cap",
    [
        ([1.0, 0.0, -1.0], math.log(3)),
        ([1.0, 1.0, -1.0], math.log(3) - math.log(2)),
        ([2.0, 2.0, 2.0], 0),
        ([5.0], 0),
        ([], 0),
        ([-np.inf, -np.inf], 0),
        ([3.0, -np.inf, 1.0], math.log(2)),
        ([1e6, -1e6, 0.0], math.log(3)),
        ([1e-300, 0.0], math.log(2)),
    ],
)
def test_largest_budget_and_what_it_buys(backend, scores, cap):
    given = backend.array(np.array(scores, dtype=float))
    assert float(largest_budget(given)) == pytest.approx(cap, abs=1e-15)
    weights = backend.numpy(route(given, float(largest_budget(given))))
    scores = np.array(scores, dtype=float)
    best = (scores == scores.max(initial=-np.inf)) & (scores > -np.inf)
    np.testing.assert_allclose(weights, best / max(best.sum(), 1))
    equal = (scores > -np.inf) / max((scores > -np.inf).sum(), 1)
    np.testing.assert_allclose(backend.numpy(route(given, 0.0)), equal)
    assert float(inverse_temperature(given, 0.0)) == 0
    assert not np.isnan(backend.numpy(route(given, cap / 2))).any()


@pytest.mark.filterwarnings("error")
def test_the_largest_budget_may_be_rounded(backend):
    """In float32, log n is above its value for some n, and below for others."""
    for count in range(2, 30):
        scores = backend.array(np.arange(count), "float32")
        cap = largest_budget(scores)
        best = np.eye(count)[-1]
        for budget in (cap, float(cap), np.float32(float(cap))):
            np.testing.assert_allclose(backend.numpy(route(scores, budget)), best, atol=2e-7)
        assert float(inverse_temperature(scores, cap)) == np.inf
        with pytest.raises(ValueError, match="largest that buys score"):
            route(scores, float(cap) * 1.00001)


@pytest.mark.filterwarnings("error")
def test_weights_do_not_change_where_no_float_holds_beta(backend):
    scores = np.array([2.0, 1.0, 0.0])
    tiny = backend.array(1e-310 * scores)
    np.testing.assert_allclose(backend.numpy(route(tiny, 0.3)), route(scores, 0.3), atol=1e-9)
    assert float(inverse_temperature(tiny, 0.3)) == np.inf


def test_masked_keys_are_out_of_the_question(backend, rng):
    scores = rng.normal(size=9)
    padded = np.append(scores, [-np.inf] * 4)
    weights = backend.numpy(route(backend.array(padded), 0.4))
    np.testing.assert_allclose(weights[:9], route(scores, 0.4), atol=1e-14)
    assert (weights[9:] == 0).all()
    assert float(inverse_temperature(backend.array(padded), 0.4)) == pytest.approx(
        float(inverse_temperature(scores, 0.4))
    )


def test_backends_dtypes_and_batches_agree(backend, rng):
    scores, budget = rng.normal(size=(3, 1, 6)), rng.uniform(0.1, 0.8, size=(3, 4))
    reference, betas = route(scores, budget), inverse_temperature(scores, budget)
    assert reference.shape == (3, 4, 6) and betas.shape == (3, 4)
    for index in np.ndindex(3, 4):
        np.testing.assert_allclose(reference[index], route(scores[index[0], 0], float(budget[index])), atol=1e-15)
    for dtype in backend.dtypes:
        given = backend.array(scores, dtype), backend.array(budget, dtype)
        weights, beta = route(*given), inverse_temperature(*given)
        tolerance = {"float64": 1e-13, "float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-1}[dtype]
        np.testing.assert_allclose(backend.numpy(weights), reference, atol=tolerance)
        np.testing.assert_allclose(backend.numpy(beta), betas, rtol=10 * tolerance)
        assert backend.dtype(weights) == dtype
        assert backend.dtype(beta) == (dtype if dtype in ("float32", "float64") else "float32")
        assert float(largest_budget(given[0])[0, 0]) == pytest.approx(math.log(6))
    strided = backend.array(np.repeat(scores, 2, axis=-1))[..., ::2]
    np.testing.assert_array_equal(backend.numpy(route(strided, 0.3)), backend.numpy(route(backend.array(scores), 0.3)))


def test_samples_to_reject(backend):
    weights = backend.array([[0.9, 0.1], [0.5, 0.5], [1.0, 0.0]])
    samples = backend.numpy(samples_to_reject(weights, error=0.01))
    expected = math.log(100) / np.array([math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1), 1.0, math.log(2)])
    np.testing.assert_allclose(samples[[0, 2]], expected[[0, 2]], rtol=1e-14)
    assert samples[1] == np.inf


def test_samples_to_reject_equal_weights_and_nearly_equal_ones(backend):
    for count in range(1, 65):
        for dtype in backend.dtypes:
            assert float(samples_to_reject(backend.array([1 / count] * count, dtype))) == np.inf
    for step in (1e-4, 1e-9):  # the divergence is 2 step^2, up to a share of step^2
        near = samples_to_reject(backend.array([0.5 + step, 0.5 - step]))
        assert float(near) == pytest.approx(math.log(20) / (2 * step**2), rel=1e-6)


def test_samples_to_reject_takes_weights_in_any_dtype(backend):
    for dtype in backend.dtypes:
        thirds = samples_to_reject(backend.array([2 / 3, 1 / 3], dtype))
        assert float(thirds) == pytest.approx(math.log(20) / (5 / 3 * math.log(2) - math.log(3)), rel=0.1)
        assert backend.dtype(thirds) == ("float64" if dtype == "float64" else "float32")
        samples_to_reject(backend.array([1 / 3] * 3, dtype))


def test_the_number_of_samples_is_that_of_exact_tests():
    """Neyman-Pearson tests on a binomial count: the false alarm's exponent tends to the divergence."""
    p = np.array([0.9, 1 / 30, 1 / 30, 1 / 30])
    draws = 100_000
    alarms = np.arange(scipy.stats.binom.ppf(0.05, draws, 0.9), draws + 1)  # key 1 this often: rejected
    exponent = -scipy.special.logsumexp(scipy.stats.binom.logpmf(alarms, draws, 0.25)) / draws
    assert math.log(20) / exponent == pytest.approx(float(samples_to_reject(p)), rel=0.01)


@pytest.mark.parametrize(
    "scores, budget, message",
    [
        ([1.0, 0.0], 0.7, r"budget must be from 0 to the largest that buys score, 0\.69314718056; got 0\.7"),
        ([1.0, 1.0], 0.1, r"largest that buys score, 0; got 0\.1"),
        ([1.0, 0.0], -0.1, r"budget must be from 0 .* got -0\.1"),
        ([1.0, 0.0], np.nan, "budget must be from 0 .* got nan"),
        ([1.0, 0.0], np.array([np.nan]), "budget must be from 0 .* got nan"),
        ([np.nan, 0.0], 0.1, "scores must be finite or -inf; got nan"),
        ([np.inf, 0.0], 0.1, "scores must be finite or -inf; got inf"),
        ([1e308, -1e308], 0.1, "scores must have differences that float64 can hold"),
        (3.0, 0.1, r"scores must have shape \(\.\.\., n\); got \(\)"),
        ([[1.0, 0.0]] * 3, [0.1] * 4, "batch dimensions of scores, and budget, must have shapes that broadcast"),
        ([1.0, 0.0], "all", "budget must be an array of real numbers"),
    ],
)
def test_bad_input_is_named(scores, budget, message):
    for function in (route, inverse_temperature):
        with pytest.raises(ValueError, match=message):
            function(scores, budget)


def test_gradients_are_refused_and_errors_bounded():
    import torch

    leaf = torch.tensor([1.0, 0.0], requires_grad=True)
    with pytest.raises(ValueError, match="scores must not ask for its gradient"):
        route(leaf, 0.1)
    with pytest.raises(ValueError, match="budget must not ask for its gradient"):
        route([1.0, 0.0], torch.tensor(0.1, requires_grad=True))
    for error in (0.0, 1.0, -0.1, np.nan, "small"):
        with pytest.raises(ValueError, match="error must be"):
            samples_to_reject([0.5, 0.5], error=error)
    with pytest.raises(ValueError, match="p must"):
        samples_to_reject([0.5, 0.6])
    with pytest.raises(ValueError, match="p must have at least one dimension"):
        samples_to_reject(1.0)
