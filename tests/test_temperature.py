"""How sharp weights are: against 50 digits, sympy's moments, simulation, SciPy's optimiser and autograd."""

import math

import mpmath
import numpy as np
import pytest
import scipy.optimize
import torch

from attnlib import softmax
from attnlib.maxent import effective_keys, entropy
from attnlib.temperature import critical_deviation, largest_weight, least_range, rest, score_variance

SCALES = (1e-3, 1.0, 30.0, 1e3)


def exact_rest(scores, temperature):
    """The weight of the keys that are not best, to 50 digits."""
    with mpmath.workdps(50):
        x = [mpmath.mpf(float(s)) / mpmath.mpf(float(temperature)) for s in scores]
        masses = [mpmath.exp(a - max(x)) for a in x]
        return sum(mass for mass, s in zip(masses, scores, strict=True) if s < max(scores)) / sum(masses)


def test_rest_keeps_its_digits_and_its_bounds(rng):
    for number in range(400):
        scores = SCALES[number % 4] * rng.normal(size=rng.integers(1, 65))
        if number % 3 == 0:
            scores[rng.integers(scores.size, size=3)] = scores.max()
        temperature = 10 ** rng.uniform(-1, 3)
        left = rest(scores, temperature=temperature)
        exact = exact_rest(scores, temperature)
        if exact > 1e-300:
            assert abs(mpmath.mpf(float(left.weight)) / exact - 1) < 1e-12
        assert left.lower <= left.weight * (1 + 1e-12) and left.weight <= left.upper * (1 + 1e-12)
        weights = softmax(scores, temperature=temperature)
        assert float(left.weight) == pytest.approx(weights[scores < scores.max()].sum(), rel=1e-11, abs=1e-300)


def test_the_bounds_are_the_rate(rng):
    """At low temperatures what is left is (m2 / m) exp(-gap / temperature), and nothing else."""
    for _ in range(40):
        scores = rng.choice(np.linspace(-1, 1, 7), size=12)
        levels, counts = np.unique(scores, return_counts=True)
        left = rest(scores, temperature=0.01)
        rate = counts[-2] / counts[-1] * math.exp(-(levels[-1] - levels[-2]) / 0.01)
        assert float(left.weight) == pytest.approx(rate, rel=1e-6)
        assert float(left.lower) == pytest.approx(float(left.weight), rel=1e-6)
        assert float(left.upper) == pytest.approx(rate * (12 - counts[-1]) / counts[-2], rel=1e-6)


def test_effective_keys_fall_from_all_to_the_best(rng):
    for _ in range(40):
        scores = rng.integers(-3, 3, size=rng.integers(2, 20)).astype(float)
        temperatures = np.geomspace(1e4, 1e-2, 60)
        spread = np.array([effective_keys(softmax(scores, temperature=t)) for t in temperatures])
        assert (np.diff(spread) <= 1e-12).all()
        assert spread[0] == pytest.approx(scores.size, rel=1e-6)
        assert spread[-1] == pytest.approx((scores == scores.max()).sum(), rel=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "scores, weight",
    [
        ([], 0.0),
        ([3.0], 0.0),
        ([2.0, 2.0], 0.0),
        ([-np.inf, -np.inf], 0.0),
        ([1.0, -np.inf], 0.0),
        ([1.0, 0.0, -np.inf], 1 / (1 + math.e)),
        ([1e6, -1e6], 0.0),
        ([60000.0, 59999.0], 1 / (1 + math.e)),
        ([2.0, 2.0, 1.0], 1 / (1 + 2 * math.e)),
    ],
)
def test_edges_of_rest(backend, scores, weight):
    for dtype in backend.dtypes:
        if dtype in ("float16", "bfloat16") and max(map(abs, scores), default=0) > 100:
            continue  # 16 bits do not tell these scores apart, or do not hold them
        left = rest(backend.array(np.array(scores, dtype=float), dtype))
        for part in left:
            assert backend.dtype(part) == ("float64" if dtype == "float64" else "float32")
            assert float(part) == pytest.approx(weight, rel=1e-6)


def test_rest_in_batches_and_backends(backend, rng):
    scores = rng.normal(size=(3, 4, 6))
    reference = rest(scores, temperature=0.3)
    for index in np.ndindex(3, 4):
        single = rest(scores[index], temperature=0.3)
        for whole, part in zip(reference, single, strict=True):
            assert whole.shape == (3, 4) and whole[index] == part
    result = rest(backend.array(scores), temperature=0.3)
    for whole, part in zip(reference, result, strict=True):
        np.testing.assert_allclose(backend.numpy(part), whole, rtol=1e-13)
    strided = backend.array(np.repeat(scores, 2, axis=-1))[..., ::2]
    np.testing.assert_array_equal(backend.numpy(rest(strided, temperature=0.3).weight), backend.numpy(result.weight))


def test_gradients_are_those_of_the_softmax():
    """Where keys tie, the gradient is that of the tied keys' weight."""
    for values in ([1.0, 0.2, -0.5, 0.1], [0.7, 0.7, 0.7, 0.2, -3.0], [2.0, 1.0, 1.0, -math.inf]):
        leaf = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        other = leaf.detach().clone().requires_grad_()
        rest(leaf, temperature=0.7).weight.backward()
        torch.softmax(other / 0.7, -1)[other < other.max()].sum().backward()
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-12, atol=1e-15)
    means = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.3, 1.2, -0.7, 2.0)]
    names = ("query_mean", "query_variance", "key_mean", "key_variance")
    assert torch.autograd.gradcheck(lambda *given: score_variance(5, **dict(zip(names, given, strict=True))), means)
    width = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: largest_weight(7, x), width)
    share = torch.tensor([0.4, 0.05], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: least_range(7, x), share)


def test_the_variance_of_a_score_is_that_of_the_draws(rng):
    """Coordinates of several laws with mean 0 and variance 1, moved and stretched."""
    laws = {
        "gaussian": rng.standard_normal,
        "signs": lambda size: rng.choice([-1.0, 1.0], size=size),
        "uniform": lambda size: rng.uniform(-math.sqrt(3), math.sqrt(3), size=size),
        "laplace": lambda size: rng.laplace(scale=1 / math.sqrt(2), size=size),
    }
    for d in (1, 7, 24):
        for of_query in laws.values():
            for of_key in laws.values():
                mq, mk = rng.uniform(-1, 1, size=2)
                sq, sk = rng.uniform(0.5, 2, size=2)
                query, key = mq + sq * of_query((8000, d)), mk + sk * of_key((8000, d))
                given = {"query_mean": mq, "query_variance": sq**2, "key_mean": mk, "key_variance": sk**2}
                measured = ((query * key).sum(axis=1)).var()
                assert measured == pytest.approx(float(score_variance(d, **given)), rel=0.2)
    query = rng.normal(size=50)
    drawn = (rng.normal(1.0, 2.0, size=(20_000, 50)) @ query).var()
    within = score_variance(50, query_mean=math.sqrt(query @ query / 50), query_variance=0, key_mean=1, key_variance=4)
    assert float(within) == pytest.approx(4 * query @ query) == pytest.approx(drawn, rel=0.05)


def test_the_variance_broadcasts_and_scales(backend, rng):
    d = backend.array([[1.0], [4.0], [64.0]])
    variances = backend.array([1.0, 2.0])
    result = backend.numpy(score_variance(d, key_variance=variances))
    np.testing.assert_array_equal(result, [[1, 2], [4, 8], [64, 128]])
    assert float(score_variance(np.int64(3))) == 3


def test_entropy_on_both_sides_of_the_critical_deviation(rng):
    """The share of log n that is left tends to 1 - (sigma / critical)^2, then 0, slowly."""
    apart = []
    for count in (16, 256, 4096):
        critical = float(critical_deviation(count))
        assert critical == pytest.approx(math.sqrt(2 * math.log(count)), rel=1e-15)
        logits = rng.normal(size=(100, count))
        shares = [float(entropy(softmax(x * critical * logits)).mean()) / math.log(count) for x in (0.5, 1.0, 2.0)]
        apart.append(np.abs(np.array(shares) - [0.75, 0, 0]))
        assert abs(shares[0] - 0.75) < 0.06 and shares[1] < 0.55 and shares[2] < 0.25
    assert (np.diff(apart, axis=0)[:, 1:] < 0).all() and apart[-1][0] < 0.02


def test_no_scores_within_a_range_give_a_larger_weight(rng):
    for _ in range(200):
        n, width = int(rng.integers(1, 65)), rng.uniform(0, 12)
        bound = float(largest_weight(n, width))
        scores = width * rng.uniform(size=(50, n)) * rng.choice([1.0, rng.uniform()])
        assert softmax(scores).max() <= bound + 1e-12
        worst = np.append(width, np.zeros(n - 1))
        assert softmax(worst)[0] == pytest.approx(bound, rel=1e-14)
        assert 1 / n <= bound * (1 + 1e-15) and bound <= 1
    for _ in range(20):  # an optimiser does not find any either
        n, width = int(rng.integers(2, 7)), rng.uniform(0.5, 4)
        optimum = scipy.optimize.minimize(
            lambda s: -float(softmax(s)[0]), rng.uniform(0, width, size=n), bounds=[(0, width)] * n
        )
        assert -optimum.fun == pytest.approx(float(largest_weight(n, width)), rel=1e-5)


def test_the_least_range_is_the_inverse(backend, rng):
    n = rng.integers(2, 100_000, size=300).astype(float)
    share = rng.uniform(1e-3, 1 - 1e-6, size=300)
    width = backend.numpy(least_range(backend.array(n), backend.array(share)))
    again = backend.numpy(largest_weight(backend.array(n), backend.array(width)))
    np.testing.assert_allclose(again, np.maximum(share, 1 / n), rtol=1e-12)
    assert (width[share <= 1 / n] == 0).all()
    assert float(least_range(1, 0.99)) == 0 and float(largest_weight(1, 0.0)) == 1
    assert float(largest_weight(50, math.inf)) == 1 and float(largest_weight(50, 0)) == pytest.approx(1 / 50)
    assert float(least_range(1000, 0.9)) / 2 == pytest.approx(4.552, abs=5e-4)
    assert float(largest_weight(1000, 6.0)) == pytest.approx(0.2877, abs=5e-5)


def test_dtypes_follow_the_input(backend):
    for dtype in backend.dtypes:
        n, half = backend.array([8.0], dtype), backend.array([0.5], dtype)
        for result in (
            score_variance(n),
            critical_deviation(n),
            largest_weight(n, half),
            least_range(n, half),
        ):
            assert backend.dtype(result) == dtype and np.isfinite(backend.numpy(result)).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rest(3.0), "scores must have at least one dimension"),
        (lambda: rest([np.nan, 1.0]), "scores must be finite or -inf; got nan"),
        (lambda: rest([np.inf, 1.0]), "scores must be finite or -inf; got inf"),
        (lambda: rest([1.0], temperature=0), "temperature must be a finite number above zero; got 0"),
        (lambda: rest([1j]), "scores must be an array of real numbers"),
        (lambda: score_variance(0), r"head_dim must be a whole number of at least 1; got 0\.0"),
        (lambda: score_variance(2.5), r"head_dim must be a whole number of at least 1; got 2\.5"),
        (lambda: score_variance([4, np.nan]), "head_dim must be a whole number of at least 1; got nan"),
        (lambda: score_variance(4, key_variance=-1.0), r"key_variance must not be negative; got -1\.0"),
        (lambda: score_variance(4, query_mean=np.inf), "query_mean must be finite; got inf"),
        (lambda: score_variance(4, query_mean=1e200), "the variance must be a number that float64 can hold"),
        (lambda: score_variance([1, 2], key_mean=[1, 2, 3]), "key_variance must have shapes that broadcast; got"),
        (lambda: critical_deviation(0), "keys must be a whole number of at least 1; got 0"),
        (lambda: critical_deviation(np.inf), "keys must be a whole number of at least 1; got inf"),
        (lambda: largest_weight(3, -1.0), r"score_range must not be negative; got -1\.0"),
        (lambda: largest_weight(3, np.nan), "score_range must not be negative; got nan"),
        (lambda: largest_weight([1, 2], [1, 2, 3]), "keys, score_range must have shapes that broadcast"),
        (lambda: least_range(3, 1.0), r"weight must be above 0 and below 1; got 1\.0"),
        (lambda: least_range(3, [0.5, np.nan]), "weight must be above 0 and below 1; got nan"),
        (lambda: least_range("many", 0.5), "keys must be an array of real numbers"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
