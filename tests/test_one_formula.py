"""Where the roads meet: the weights of every road, and the four readings of log-sum-exp, against each other."""

import math

import mpmath
import numpy as np
import pytest

from attnlib import evidence, likelihood, maxent, softmax, transport
from attnlib.widgets import FourRoads

CASES = [(count, scale) for count in (1, 2, 3, 8, 64) for scale in (1e-3, 1.0, 30.0, 1e3)]  # times 12 draws


def instances(rng, count, scale):
    """Scores of one size, and an α at which the softmax is neither even nor a single key for all digits."""
    for _ in range(12):
        scores = scale * rng.normal(size=count)
        yield scores, float(rng.uniform(0.05, 6) / scale)


def exact(scores, alpha):
    """The softmax and its log-sum-exp to 50 digits."""
    with mpmath.workdps(50):
        exponents = [mpmath.mpf(alpha) * mpmath.mpf(float(score)) for score in scores]
        total = mpmath.fsum(map(mpmath.exp, exponents))
        return np.array([float(mpmath.exp(x) / total) for x in exponents]), float(mpmath.log(total))


@pytest.mark.parametrize("count, scale", CASES)
def test_all_roads_lead_to_the_same_weights(rng, count, scale):
    for scores, alpha in instances(rng, count, scale):
        wanted, _ = exact(scores, alpha)
        weights = softmax(alpha * scores)
        expectation, budget = weights @ scores, min(float(maxent.kl_divergence(weights)), math.log(count))
        precisions = likelihood.log_precision(scores, alpha=alpha)
        # Readings of one key with a value of one at its place are the weights.
        pooled = likelihood.estimate(np.eye(count), scores, alpha=alpha, kappa=3.0).mean
        roads = {
            "softmax": weights,
            "precisions": np.exp(precisions - np.logaddexp.reduce(precisions)),
            "estimate": pooled,
            "transport": transport.plan(scores, temperature=1 / alpha),
            "entropy": maxent.maximum_entropy(scores, expectation).weights,
            "budget": evidence.route(scores, max(0.0, min(budget, float(evidence.largest_budget(scores))))),
        }
        for road, result in roads.items():
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-10, err_msg=road)


@pytest.mark.parametrize("count, scale", CASES)
def test_log_sum_exp_has_four_readings(rng, count, scale):
    for scores, alpha in instances(rng, count, scale):
        _, wanted = exact(scores, alpha)
        weights = softmax(alpha * scores)
        blocks = np.array_split(scores, rng.integers(1, count + 1))
        running = likelihood.Estimate(np.zeros(1), np.array(-np.inf))
        for block in blocks:
            running = likelihood.pool(running, likelihood.estimate(np.zeros((block.size, 1)), block, alpha=alpha))
        readings = {
            "transport": -alpha * float(transport.objective(weights, scores, temperature=1 / alpha)),
            "dual": float(maxent.entropy(weights)) + alpha * (weights @ scores),
            "pooled precision": float(
                likelihood.estimate(np.zeros((count, 1)), scores, alpha=alpha, kappa=5.0).log_precision
            )
            - math.log(5.0),
            "streamed": float(running.log_precision),
        }
        for name, reading in readings.items():
            assert reading == pytest.approx(wanted, rel=1e-12, abs=1e-12), name


def test_each_reading_translates_into_the_others(rng):
    """A parameter of one road, put through its weights, gives the others', and comes back."""
    for _ in range(50):
        scores, alpha = rng.normal(size=rng.integers(2, 17)), float(rng.uniform(0.2, 5))
        roads = FourRoads(scores=np.clip(scores, -3, 3), alpha=alpha)
        from_expectation = float(maxent.maximum_entropy(roads.scores, roads.expectation).multipliers)
        from_budget = float(evidence.inverse_temperature(roads.scores, roads.spent))
        assert from_expectation == pytest.approx(alpha, rel=1e-7)
        assert from_budget == pytest.approx(alpha, rel=1e-6)
        assert 1 / roads.temperature == pytest.approx(alpha, rel=1e-15)
        weights = np.array([roads.by_likelihood, roads.by_entropy, roads.by_budget, roads.by_transport])
        assert np.ptp(weights, axis=0).max() < 1e-12
        step = 1e-5  # dt/dρ = τ and dH/dt = -α
        up, down = (FourRoads(scores=roads.scores, alpha=a) for a in (min(alpha + step, 5), alpha - step))
        price = (up.expectation - down.expectation) / (up.spent - down.spent)
        assert price == pytest.approx(roads.temperature, rel=1e-3)


def test_a_prior_does_not_part_them(rng):
    for _ in range(100):
        scores, prior = rng.normal(size=7), rng.dirichlet(np.ones(7))
        alpha = float(rng.uniform(0.1, 3))
        plan = transport.plan(scores, temperature=1 / alpha, prior=prior)
        even = maxent.maximum_entropy(scores, plan @ scores, prior=prior)
        readings = likelihood.estimate(np.eye(7), alpha * scores + np.log(prior)).mean
        np.testing.assert_allclose(even.weights, plan, atol=1e-10)
        np.testing.assert_allclose(readings, plan, atol=1e-13)
        assert float(even.multipliers) == pytest.approx(alpha, rel=1e-7)


def test_they_part_when_the_scores_are_doubled():
    scores = np.array([2.0, 1.0, 0.0])
    before = softmax(scores)
    budget = float(maxent.kl_divergence(before))
    np.testing.assert_allclose(evidence.route(2 * scores + 1, budget), before, atol=1e-12)
    assert softmax(2 * scores)[0] > before[0] + 0.1
    assert maxent.maximum_entropy(2 * scores, before @ scores).weights[0] < before[0] - 0.1
