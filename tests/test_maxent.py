"""The promises of maximum entropy, against SLSQP, scipy's own entropies and root finder, 50 digits, and geometry."""

import math

import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from scipy.spatial import ConvexHull

from attnlib import softmax
from attnlib.maxent import effective_keys, entropy, kl_divergence, maximum_entropy


def plain(backend, result):
    """Return NumPy's view of a result; a single number of NumPy comes as a scalar."""
    return np.asarray(result) if backend.name == "numpy" else backend.numpy(result)


def miss(features, weights, expectation):
    """How far the expectations are off, as a part of each feature's range."""
    features = np.atleast_2d(features)
    low = features.min(axis=1)  # measured from the smallest value, so that the test itself rounds little
    off = np.abs((features - low[:, None]) @ weights - (np.atleast_1d(expectation) - low))
    return (off / np.maximum(np.ptp(features, axis=1), 1e-300)).max()


def instances(count, seed=1):
    """Scores of 2 to 64 keys, scaled and shifted, and expectations anywhere in their range, very near its ends too."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        keys, scale = int(rng.integers(2, 65)), 10 ** rng.uniform(-3, 3)
        s = rng.normal(size=keys)
        if number % 3 == 0:
            s = np.concatenate([np.round(s), [-1, 1]])  # many ties
        s = scale * (s + rng.choice([0, 100]))
        part = rng.choice([rng.uniform(0.01, 0.99), 1e-6, 1 - 1e-6])
        yield s, s.min() + part * np.ptp(s)


# -- entropy and divergence ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, -2, 0, 1, 2])
def test_entropy_and_divergence_are_scipys(backend, rng, axis):
    p, q = (softmax(3 * rng.normal(size=(2, 3, 5)), axis=axis) for _ in range(2))
    entropies = plain(backend, entropy(backend.array(p), axis=axis))
    np.testing.assert_allclose(entropies, scipy.stats.entropy(p, axis=axis), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        plain(backend, effective_keys(backend.array(p), axis=axis)), np.exp(entropies), rtol=1e-13
    )
    both = plain(backend, kl_divergence(backend.array(p), backend.array(q), axis=axis))
    np.testing.assert_allclose(both, scipy.special.rel_entr(p, q).sum(axis), rtol=1e-11)
    uniform = plain(backend, kl_divergence(backend.array(p), axis=axis))
    equal = np.full(p.shape, 1 / p.shape[axis])
    np.testing.assert_allclose(uniform, scipy.special.rel_entr(p, equal).sum(axis), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(entropies + uniform, math.log(p.shape[axis]), rtol=1e-14)


def test_divergence_of_two_shapes(backend, rng):
    p, q = softmax(rng.normal(size=(4, 1, 6))), softmax(rng.normal(size=(3, 6)))
    divergences = plain(backend, kl_divergence(backend.array(p), backend.array(q)))
    assert divergences.shape == (4, 3)
    np.testing.assert_allclose(divergences[2, 1], scipy.special.rel_entr(p[2, 0], q[1]).sum(), rtol=1e-12)
    assert (divergences > 0).all() and np.abs(
        plain(backend, kl_divergence(backend.array(p), backend.array(p)))
    ).max() == 0


@pytest.mark.filterwarnings("error")
def test_zeros_one_key_and_sixteen_bits(backend):
    certain, even = backend.array([1.0, 0.0]), backend.array([0.5, 0.5])
    assert float(entropy(certain)) == 0 and not np.signbit(plain(backend, entropy(certain)))
    assert float(effective_keys(certain)) == 1 and float(entropy(backend.array([1.0]))) == 0
    assert float(kl_divergence(certain, even)) == pytest.approx(math.log(2))
    assert float(kl_divergence(even, certain)) == math.inf and float(kl_divergence(certain, certain)) == 0
    for dtype in backend.dtypes:
        p = backend.array(np.full(1024, 1 / 1024), dtype)
        assert backend.dtype(entropy(p)) == backend.dtype(kl_divergence(p, p)) == dtype
        np.testing.assert_allclose(float(effective_keys(p)), 1024, rtol=1e-5 if "16" not in dtype else 1e-2)


def test_gradients_are_right_also_through_a_softmax_that_underflows(rng):
    p = torch.tensor(softmax(rng.normal(size=(2, 5))), requires_grad=True)
    q = torch.tensor(softmax(rng.normal(size=(2, 5))), requires_grad=True)
    assert torch.autograd.gradcheck(entropy, p, eps=1e-9, atol=1e-6)  # steps small enough that sums stay one
    assert torch.autograd.gradcheck(effective_keys, p, eps=1e-9, atol=1e-5)
    assert torch.autograd.gradcheck(kl_divergence, p, eps=1e-9, atol=1e-6)
    assert torch.autograd.gradcheck(kl_divergence, (p, q), eps=1e-9, atol=1e-6)
    s = torch.tensor([0.0, 1.0, -2000.0], dtype=torch.float64, requires_grad=True)
    entropy(softmax(s)).backward()
    w = softmax(s.detach())
    expected = -w * (w.clamp_min(1e-300).log() + entropy(w))
    torch.testing.assert_close(s.grad, expected, rtol=1e-12, atol=1e-15)


# -- one feature -----------------------------------------------------------------------------------------------------


def test_weights_are_a_softmax_with_the_expectation_and_the_sign_of_the_multiplier():
    worst = 0.0
    for s, t in instances(400):
        solution = maximum_entropy(s, t)
        worst = max(worst, miss(s, solution.weights, t))
        alpha = float(solution.multipliers)
        assert np.isclose(solution.weights.sum(), 1, rtol=1e-12) and solution.weights.min() >= 0
        np.testing.assert_allclose(solution.weights, scipy.special.softmax(alpha * (s - t)), rtol=1e-7, atol=1e-13)
        if abs(t - s.mean()) > 1e-6 * np.ptp(s):
            assert (alpha > 0) == (t > s.mean())
    assert worst <= 1e-10


def test_brentq_finds_the_same_multiplier():
    for s, t in instances(200, seed=2):
        centred = (s - t) / np.ptp(s)
        slope = lambda a, z=centred: scipy.special.softmax(a * z) @ z  # noqa: E731
        reach = 1.0
        while slope(reach) < 0 or slope(-reach) > 0:
            reach *= 2
        root = scipy.optimize.brentq(slope, -reach, reach, xtol=1e-12, rtol=1e-14)
        multiplier = float(maximum_entropy(s, t).multipliers) * np.ptp(s)
        # Where the variance is small, rounding of the expectation moves the root.
        w = scipy.special.softmax(root * centred)
        assert abs(multiplier - root) <= 1e-9 * (1 + abs(root)) + 1e-14 / (w @ centred**2)


def test_slsqp_finds_no_weights_of_larger_entropy(backend, rng):
    for _ in range(20):
        keys = int(rng.integers(2, 9))
        s, prior = rng.normal(size=keys), rng.dirichlet(np.ones(keys))
        t = float(s @ rng.dirichlet(np.ones(keys)))
        solution = maximum_entropy(backend.array(s), t, prior=backend.array(prior))
        weights = plain(backend, solution.weights)
        best = scipy.optimize.minimize(
            lambda p, prior=prior: scipy.special.rel_entr(p, prior).sum(),
            np.full(keys, 1 / keys),
            method="SLSQP",
            bounds=[(0, 1)] * keys,
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "eq", "fun": lambda p, s=s, t=t: p @ s - t},
            ],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert best.success
        np.testing.assert_allclose(weights, best.x, atol=2e-5)
        assert scipy.special.rel_entr(weights, prior).sum() <= best.fun + 1e-9


def test_many_weights_with_the_same_expectation_have_less_entropy(rng):
    s, p = rng.normal(size=6), rng.dirichlet(np.ones(6))
    solution = maximum_entropy(s, p @ s)
    free = scipy.linalg.null_space(np.stack([np.ones(6), s]))
    others = solution.weights + (rng.normal(size=(20_000, 4)) * 0.1) @ free.T
    others = others[(others > 0).all(axis=1)]
    assert len(others) > 1000 and (entropy(others) < entropy(solution.weights)).all()


def test_dual_slope_curvature_and_envelope(rng):
    for _ in range(50):
        s = rng.normal(size=7)
        t, h = s.min() + rng.uniform(0.1, 0.9) * np.ptp(s), 1e-5
        weights, alpha = maximum_entropy(s, t)
        dual = lambda a, t=t, s=s: scipy.special.logsumexp(a * s) - a * t  # noqa: E731
        np.testing.assert_allclose(dual(alpha), entropy(weights), rtol=1e-12)  # strong duality
        assert min(dual(alpha + step) for step in (-0.1, -1e-3, 1e-3, 0.1)) > dual(alpha)
        best = [float(entropy(maximum_entropy(s, t + step).weights)) for step in (-h, 0, h)]
        np.testing.assert_allclose((best[2] - best[0]) / (2 * h), -alpha, atol=1e-6)
        rise = maximum_entropy(s, t + h).multipliers - maximum_entropy(s, t - h).multipliers
        np.testing.assert_allclose(rise / (2 * h), 1 / (weights @ (s - t) ** 2), rtol=1e-5)


EXACT = [mpmath.mpf(x) for x in (0, 0.25, 0.5, 0.5, 1)]


def test_fifty_digits_at_the_ends():
    for part in (1e-6, 1 - 1e-6, 0.5, 1e-9):
        s = np.array([0.0, 0.25, 0.5, 0.5, 1.0])
        solution = maximum_entropy(s, part)
        with mpmath.workdps(50):
            f = lambda a, part=part: sum((x - part) * mpmath.exp(a * x) for x in EXACT)  # noqa: E731
            exact = mpmath.findroot(f, float(solution.multipliers))
            z = [mpmath.exp(exact * mpmath.mpf(x)) for x in s]
            exact_weights = [float(x / sum(z)) for x in z]
        np.testing.assert_allclose(float(solution.multipliers), float(exact), rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(solution.weights, exact_weights, rtol=1e-8)


def test_running_example(backend):
    for tau, t, h in ((0.25, 1.9814, 0.0930), (1.0, 1.5752, 0.8324), (4.0, 1.1650, 1.0781)):
        p = softmax(np.array([2.0, 1.0, 0.0]), temperature=tau)
        assert round(float(p @ [2, 1, 0]), 4) == t
        solution = maximum_entropy(backend.array([2.0, 1.0, 0.0]), float(p @ [2, 1, 0]))
        assert solution.multipliers.shape == () and round(float(entropy(solution.weights)), 4) == h
        np.testing.assert_allclose(plain(backend, solution.weights), p, rtol=1e-9)
        np.testing.assert_allclose(float(solution.multipliers), 1 / tau, rtol=1e-9)


def test_ties_constant_one_key_and_huge_scores(backend):
    tied = plain(backend, maximum_entropy(backend.array([2.0, 2.0, 0.0]), 1.999).weights)
    assert tied[0] == tied[1] and tied[0] == pytest.approx(0.5 * 1.999 / 2)
    flat = maximum_entropy(backend.array([0.3] * 4), backend.array(0.3))
    assert plain(backend, flat.weights).tolist() == [0.25] * 4 and float(flat.multipliers) == 0
    solution = maximum_entropy(backend.array([7.0]), 7.0, prior=[1.0])
    assert plain(backend, solution.weights).tolist() == [1] and float(solution.multipliers) == 0
    huge = maximum_entropy(backend.array([1e6, -1e6, 0.0]), 0.0)
    np.testing.assert_allclose(plain(backend, huge.weights), 1 / 3)
    strided = backend.array(np.arange(12.0))[::3]
    np.testing.assert_allclose(plain(backend, maximum_entropy(strided, 5).weights) @ [0, 3, 6, 9], 5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("part", [5e-324, 1e-310, 1e-100, 1e-30])
def test_next_to_the_ends_and_gaps_and_priors_of_any_size(backend, part):
    solution = maximum_entropy(backend.array([0.0, 1.0]), part)
    assert float(solution.weights[1]) == pytest.approx(part, rel=1e-9, abs=1e-323)
    assert float(solution.multipliers) == pytest.approx(math.log(part), abs=1)
    gaps = plain(backend, maximum_entropy(backend.array([0.0, max(part, 1e-300), 1.0]), max(part, 1e-300) / 10).weights)
    np.testing.assert_allclose(gaps, [0.9, 0.1, 0], atol=1e-9)
    tilted = maximum_entropy(backend.array([0.0, 2.0]), 1.5, prior=backend.array([1.0, part]))
    np.testing.assert_allclose(plain(backend, tilted.weights), [0.25, 0.75], rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_what_the_dtype_cannot_hold_is_infinite(backend):
    steep = maximum_entropy(backend.array([0.0, 1e-39], "float32"), backend.array(3e-40, "float32"))
    assert float(steep.multipliers) == -math.inf
    np.testing.assert_allclose(plain(backend, steep.weights), [0.7, 0.3], rtol=1e-5)
    assert float(effective_keys(backend.array(np.full(70_000, 1 / 70_000), "float16"))) == math.inf


def test_weights_may_come_in_a_coarser_dtype_than_what_is_beside_them(backend):
    thirds, scores = np.full(3, 1 / 3), backend.array([0.0, 1.0, 2.0])
    for dtype in backend.dtypes:
        p = backend.array(thirds, dtype)
        assert abs(float(kl_divergence(p, backend.array(thirds)))) < 0.01
        assert float(maximum_entropy(scores, 1.0, prior=p).weights[0]) == pytest.approx(1 / 3)
        with pytest.raises(ValueError, match=r"p must sum to one along axis -1; got a sum of 1\.2"):
            kl_divergence(backend.array([0.6, 0.6], dtype), backend.array([0.5, 0.5]))


def test_dtypes_follow_the_features(backend):
    for dtype in backend.dtypes:
        solution = maximum_entropy(backend.array([0.0, 1.0, 2.0], dtype), 1.5)
        assert backend.dtype(solution.weights) == dtype
        assert backend.dtype(solution.multipliers) == ("float32" if "16" in dtype else dtype)
        np.testing.assert_allclose(float(solution.multipliers), 0.834115, rtol=1e-5)


# -- several features, and a prior -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_several_features_reach_their_expectations(seed):
    rng = np.random.default_rng(seed)
    for number in range(60):
        keys, count = int(rng.integers(3, 65)), int(rng.integers(1, 6))
        features = 10 ** rng.uniform(-3, 3, size=(count, 1)) * rng.normal(size=(count, keys))
        prior = rng.dirichlet(np.ones(keys))
        if number % 3 == 0:
            prior[rng.integers(keys)] = 0
            prior /= prior.sum()
        inside = rng.dirichlet(np.full(keys, rng.choice([1.0, 0.05]))) + 1e-6
        inside[prior == 0] = 0
        t = features @ (inside / inside.sum())
        weights, multipliers = maximum_entropy(features, t, prior=prior)
        assert miss(features[:, prior > 0], weights[prior > 0], t) <= 1e-10 and (weights[prior == 0] == 0).all()
        weighty = (prior > 0) & (weights > 1e-200)
        left = np.log(weights[weighty] / prior[weighty]) - multipliers @ (features[:, weighty] - t[:, None])
        np.testing.assert_allclose(left, left[0], atol=1e-6)  # log(p / prior) is the features' combination, plus -log Z


def test_two_features_against_slsqp(rng):
    s = np.linspace(-1, 1, 12)
    features = np.stack([s, s**2])
    p = softmax(rng.normal(size=12))
    solution = maximum_entropy(features, features @ p)
    best = scipy.optimize.minimize(
        lambda p: -scipy.stats.entropy(p) if p.min() > 0 else 1e3,
        p,
        jac=lambda p: np.log(np.maximum(p, 1e-300)) + 1,
        method="SLSQP",
        bounds=[(1e-9, 1)] * 12,
        constraints={
            "type": "eq",
            "fun": lambda p, t=features @ p: np.r_[p.sum() - 1, features @ p - t],
        },
        options={"ftol": 1e-13, "maxiter": 500},
    )
    np.testing.assert_allclose(solution.weights, best.x, atol=1e-5)


def test_dependent_and_constant_features_share_the_multiplier(backend, rng):
    s = rng.normal(size=8)
    t = float(s @ rng.dirichlet(np.ones(8)))
    alone = maximum_entropy(backend.array(s), t)
    alpha = float(alone.multipliers)
    doubled = maximum_entropy(backend.array(np.stack([s, 2 * s, np.full(8, 3.0)])), [t, 2 * t, 3.0])
    np.testing.assert_allclose(plain(backend, doubled.weights), plain(backend, alone.weights), rtol=1e-10)
    # alpha_1 + 2 alpha_2 = alpha, with the least norm: alpha * (1, 2) / 5
    np.testing.assert_allclose(plain(backend, doubled.multipliers), [alpha / 5, 2 * alpha / 5, 0], atol=1e-10)
    split = maximum_entropy(np.diag(s), softmax(alpha * s) * s)  # Ma's Eq. 15: one feature for every key
    np.testing.assert_allclose(split.weights, softmax(alpha * s), rtol=1e-9)


def test_a_prior_tilts_and_masks(backend, rng):
    s, prior = rng.normal(size=6), np.array([0.1, 0.2, 0.0, 0.3, 0.4, 0.0])
    solution = maximum_entropy(backend.array(s), float(prior @ s), prior=backend.array(prior))
    np.testing.assert_allclose(plain(backend, solution.weights), prior, atol=1e-12)
    assert abs(float(solution.multipliers)) < 1e-10
    kept = prior > 0
    t = float(0.3 * s[kept].min() + 0.7 * s[kept].max())
    masked = maximum_entropy(backend.array(s), t, prior=backend.array(kept / 4))
    fewer = maximum_entropy(backend.array(s[kept]), t)
    np.testing.assert_allclose(plain(backend, masked.weights)[kept], plain(backend, fewer.weights), rtol=1e-12)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_the_boundary_of_the_hull_is_refused_and_just_inside_is_not(rng):
    for _ in range(40):
        features = rng.normal(size=(2, 9))
        corner, next_corner = features[:, ConvexHull(features.T).simplices[0]].T
        edge, middle = corner + rng.uniform(0.2, 0.8) * (next_corner - corner), features.mean(axis=1)
        solution = maximum_entropy(features, edge + 1e-6 * (middle - edge))
        assert miss(features, solution.weights, edge + 1e-6 * (middle - edge)) <= 1e-10
        for outside in (edge, edge - 1e-6 * (middle - edge), edge - 0.1 * (middle - edge)):
            low, high = features.min(axis=1), features.max(axis=1)
            pattern = "the combination .* of them reaches" if ((low < outside) & (outside < high)).all() else "range of"
            with pytest.raises(ValueError, match=pattern):
                maximum_entropy(features, outside)


S = [0.0, 1.0, 3.0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: entropy(a([0.5, 0.6])), "p must sum to one along axis -1; got a sum of 1.1"),
        (lambda a: entropy(a([1.5, -0.5])), "p must be weights, none of them negative; got -0.5 among its numbers"),
        (lambda a: entropy(a([math.nan, 1.0])), "p must be weights, none of them negative; got nan among its numbers"),
        (lambda a: entropy(a([math.inf, 1.0])), "p must sum to one along axis -1; got a sum of inf"),
        (lambda a: entropy(a([])), "p must sum to one along axis -1; got a sum of 0.0"),
        (lambda a: entropy(a(1.0)), "p must have at least one dimension; got a single number"),
        (lambda a: effective_keys(a([0.5, 0.5]), axis=1), "axis must be a whole number from -1 to 0; got 1"),
        (lambda a: kl_divergence(a([0.5, 0.5]), a([0.5, 0.6])), "q must sum to one along axis -1"),
        (lambda a: kl_divergence(a([0.5, 0.5]), a([1 / 3] * 3)), "p and q must have shapes that broadcast"),
        (lambda a: maximum_entropy(a(S), 3.0), "within the range of the feature, (0.0, 3.0); got 3.0"),
        (lambda a: maximum_entropy(a(S), -1.0), "within the range of the feature, (0.0, 3.0); got -1.0"),
        (lambda a: maximum_entropy(a(S), 2.0, prior=[0.5, 0.5, 0]), "the feature, (0.0, 1.0); got 2.0"),
        (lambda a: maximum_entropy(a([2.0, 2.0]), 1.0), "must be 2.0, the constant value of the feature; got 1.0"),
        (lambda a: maximum_entropy(a([S, S]), a([1.0, 4.0])), "within the range of feature 1, (0.0, 3.0); got 4.0"),
        (lambda a: maximum_entropy(a([S, S]), a([1.0, 1.5])), "the combination ["),
        (lambda a: maximum_entropy(a([S, S]), 1.0), "expectation must have shape (2,) to match features; got ()"),
        (lambda a: maximum_entropy(a([[S]]), 1.0), "features must have shape (n,) or (m, n), with at least one key"),
        (lambda a: maximum_entropy(a([]), 1.0), "features must have shape (n,) or (m, n), with at least one key"),
        (lambda a: maximum_entropy(a([1.0, -math.inf]), 1.0), "features must be finite; got inf"),
        (lambda a: maximum_entropy(a(S), math.nan), "expectation must be finite; got nan"),
        (lambda a: maximum_entropy(a(S), 1.0, prior=a([1.0])), "prior must have shape (3,) to match features; got"),
        (lambda a: maximum_entropy(a(S), 1.0, prior=a([1.0, 1, 1])), "prior must sum to one along axis -1; got"),
        (lambda a: maximum_entropy(a(S), 1.0, prior=a([2.0, -1, 0])), "prior must be weights, none of them negative"),
    ],
)
def test_refused(backend, call, message):
    with pytest.raises(ValueError) as caught:
        call(backend.array)
    assert message in str(caught.value)


def test_refuses_gradients_and_ranges_beyond_floats():
    with pytest.raises(ValueError, match="features must not ask for its gradient"):
        maximum_entropy(torch.tensor(S, requires_grad=True), 1.0)
    with pytest.raises(ValueError, match="features must have ranges that float64 can hold"):
        maximum_entropy([-1.7e308, 1.7e308], 0.0)
