"""The Gaussian model's promises, against scipy's densities and optimisers, 50-digit arithmetic, and simulation."""

import functools
import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from attnlib import attention, softmax
from attnlib.likelihood import Estimate, estimate, fit_kappa, log_likelihood, log_precision, pool, variance


def draw(rng, keys=6, coordinates=3, batch=()):
    return rng.normal(size=(*batch, keys, coordinates)), rng.normal(size=(*batch, keys))


def plain(backend, result):
    """Return NumPy's view of a result; a single number of NumPy comes as a scalar."""
    return np.asarray(result) if backend.name == "numpy" else backend.numpy(result)


def exact_estimate(value, scores, alpha, kappa):
    """Return mean and log precision to 50 digits, from the definition with its plain exponentials."""
    with mpmath.workdps(50):
        theta = [mpmath.exp(mpmath.mpf(alpha) * mpmath.mpf(float(s))) for s in scores]
        mean = [
            sum(t * mpmath.mpf(float(v)) for t, v in zip(theta, column, strict=True)) / sum(theta) for column in value.T
        ]
        return np.array([float(m) for m in mean]), float(mpmath.log(mpmath.mpf(kappa) * sum(theta)))


def exact_kappa(value, scores, alpha=1.0):
    """Return kappa from pairs, sum_{i<j} theta_i theta_j |v_i - v_j|^2 / sum theta, where nothing cancels."""
    with mpmath.workdps(50):
        theta = [mpmath.exp(mpmath.mpf(alpha) * mpmath.mpf(float(s))) for s in scores]
        rows = [[mpmath.mpf(float(v)) for v in row] for row in value]
        distance = lambda i, j: sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))  # noqa: E731
        pairs = itertools.combinations(range(len(rows)), 2)
        return float(value.size * sum(theta) / sum(theta[i] * theta[j] * distance(i, j) for i, j in pairs))


# -- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha, kappa", [(1.0, 1.0), (0.3, 5.0), (-2.0, 0.1), (0.0, 3.0)])
def test_precision_and_variance_are_reciprocal(backend, rng, alpha, kappa):
    s = rng.normal(size=(2, 5))
    logs = plain(backend, log_precision(backend.array(s), alpha=alpha, kappa=kappa))
    np.testing.assert_allclose(logs, math.log(kappa) + alpha * s, rtol=1e-14, atol=1e-14)
    variances = plain(backend, variance(backend.array(s), alpha=alpha, kappa=kappa))
    np.testing.assert_allclose(variances, np.exp(-alpha * s) / kappa, rtol=1e-13)


@pytest.mark.parametrize("alpha, kappa", [(1.0, 1.0), (0.3, 5.0), (-2.0, 0.1)])
def test_log_likelihood_is_the_sum_of_normal_log_densities(backend, rng, alpha, kappa):
    value, s = draw(rng, batch=(2,))
    mean = rng.normal(size=(4, 1, 3))
    likelihoods = plain(backend, log_likelihood(*map(backend.array, (mean, value, s)), alpha=alpha, kappa=kappa))
    spread = np.sqrt(np.exp(-alpha * s) / kappa)[..., None]
    expected = scipy.stats.norm.logpdf(value, loc=mean[..., None, :], scale=spread).sum((-2, -1))
    assert likelihoods.shape == (4, 2)
    np.testing.assert_allclose(likelihoods, expected, rtol=1e-13)


@pytest.mark.parametrize("alpha, kappa", [(1.0, 1.0), (0.3, 5.0), (-2.0, 0.1)])
def test_estimate_maximises_the_likelihood(backend, rng, alpha, kappa):
    value, s = draw(rng)
    on_backend = backend.array(value), backend.array(s)

    def loss(mean):
        return -float(log_likelihood(backend.array(mean), *on_backend, alpha=alpha, kappa=kappa))

    best = scipy.optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    result = estimate(*on_backend, alpha=alpha, kappa=kappa)
    np.testing.assert_allclose(plain(backend, result.mean), best.x, atol=1e-6)
    # The curvature in each coordinate is minus the precision; L is a parabola, so the difference quotient is exact.
    for c in range(3):
        step, middle = np.eye(3)[c], plain(backend, result.mean)
        curvature = loss(middle + step) - 2 * loss(middle) + loss(middle - step)
        np.testing.assert_allclose(curvature, math.exp(result.log_precision), rtol=1e-11)


def test_gradient_of_the_likelihood_is_zero_at_the_estimate_alone(rng):
    value, s = (torch.tensor(x) for x in draw(rng))
    result = estimate(value, s, alpha=0.7, kappa=2.0)
    mean = result.mean.clone().requires_grad_()
    slope = lambda mean: torch.autograd.grad(log_likelihood(mean, value, s, alpha=0.7, kappa=2.0), mean)[0]  # noqa: E731
    torch.testing.assert_close(slope(mean), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-13)
    away = (mean + 0.5).detach().requires_grad_()
    torch.testing.assert_close(slope(away), -0.5 * result.log_precision.exp().expand(3), rtol=1e-12, atol=0)


def test_gradients_match_finite_differences(rng):
    value, s = (torch.tensor(x, requires_grad=True) for x in draw(rng, batch=(2,)))
    mean = torch.tensor(rng.normal(size=3), requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: log_likelihood(*x, alpha=0.7, kappa=2.0), (mean, value, s))
    assert torch.autograd.gradcheck(lambda *x: tuple(estimate(*x, alpha=0.7, kappa=2.0)), (value, s))
    assert torch.autograd.gradcheck(lambda *x: fit_kappa(*x, alpha=0.7), (value, s))
    halves = lambda v, s: tuple(pool(estimate(v[:, :2], s[:, :2]), estimate(v[:, 2:], s[:, 2:])))  # noqa: E731
    assert torch.autograd.gradcheck(halves, (value, s))
    # at a reading that the mean hits, the slope of its square is 0, not 0 * inf
    hit = value.detach()[0, 0].clone().requires_grad_()
    log_likelihood(hit, value[0], s[0]).backward()
    expected = (s[0].exp()[:, None] * (value[0] - hit)).sum(0)
    torch.testing.assert_close(hit.grad, expected, rtol=1e-12, atol=0)


# -- the estimate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("alpha", [1.0, -0.3])
def test_estimate_to_fifty_digits(backend, rng, magnitude, alpha):
    value, s = draw(rng)
    s = s * magnitude
    result = estimate(backend.array(value), backend.array(s), alpha=alpha, kappa=2.5)
    mean, log_of_precision = exact_estimate(value, s, alpha, 2.5)
    np.testing.assert_allclose(
        plain(backend, result.mean), mean, rtol=0, atol=10 * (1 + magnitude) * np.finfo(float).eps
    )
    np.testing.assert_allclose(plain(backend, result.log_precision), log_of_precision, rtol=1e-14)


def test_estimate_is_the_softmax_average_whatever_kappa(backend, rng):
    value, s = (backend.array(x) for x in draw(rng, keys=7, batch=(2, 4)))
    expected = (softmax(s, temperature=1 / 0.6)[..., None] * value).sum(-2)
    for kappa in (1e-300, 1.0, 1e300):
        result = estimate(value, s, alpha=0.6, kappa=kappa)
        np.testing.assert_allclose(plain(backend, result.mean), plain(backend, expected), rtol=0, atol=1e-12)
    shared = estimate(value, s[0, 0])  # one row of scores for every batch of values
    assert shared.mean.shape == (2, 4, 3) and shared.log_precision.shape == (2, 4)
    np.testing.assert_allclose(plain(backend, shared.mean[1, 2]), plain(backend, estimate(value[1, 2], s[0, 0]).mean))


@functools.cache
def simulated(trials=40_000, alpha=0.8, kappa=2.0):
    """Draw readings from the model, and fit each draw: scores, truth, estimates, 1 / kappa, Cochran's Q."""
    rng = np.random.default_rng(7)
    s, truth = 2 * rng.normal(size=6), np.array([1.0, -2.0])
    value = truth + rng.normal(size=(trials, 6, 2)) * np.sqrt(variance(s, alpha=alpha, kappa=kappa))[:, None]
    result = estimate(value, s, alpha=alpha, kappa=kappa)
    fitted = fit_kappa(value, s, alpha=alpha)
    q = kappa * (np.exp(alpha * s)[:, None] * (value - result.mean[:, None]) ** 2).sum(1)
    return s, truth, value, result, fitted, q


def test_variance_of_the_estimate_is_the_reciprocal_of_its_precision():
    s, truth, value, result, _, _ = simulated()
    expected = math.exp(-result.log_precision[0])
    # Bounds are 5 standard errors: sqrt(variance / n) of a mean, variance * sqrt(2 / n) of a variance.
    n = len(value)
    np.testing.assert_allclose(result.mean.mean(0), truth, rtol=0, atol=5 * math.sqrt(expected / n))
    np.testing.assert_allclose(result.mean.var(0), expected, rtol=5 * math.sqrt(2 / n))
    for other in (np.full(6, 1 / 6), softmax(0.4 * s), softmax(1.6 * s)):  # any other weights do worse
        assert (np.einsum("k,nkc->nc", other, value).var(0) > expected * (1 + 5 * math.sqrt(2 / n))).all()


def test_disagreement_follows_chi_squared():
    # Cochran: kappa * sum theta (v - mean)^2 has T - 1 degrees of freedom a coordinate: mean 5, variance 10.
    *_, q = simulated()
    n = len(q)
    np.testing.assert_allclose(q.mean(0), 5, rtol=0, atol=5 * math.sqrt(10 / n))
    np.testing.assert_allclose(q.var(0), 10, rtol=5 * math.sqrt(12 / 5 / n + 2 / n))
    assert scipy.stats.kstest(q[:, 0], "chi2", args=(5,)).pvalue > 1e-3


def test_fit_kappa_has_the_bias_that_it_states():
    *_, fitted, _ = simulated()
    n, expected = len(fitted), (1 / 2.0) * 5 / 6
    # 1 / fitted is a chi-squared of 10 degrees over 12 kappa: relative standard deviation sqrt(2 / 10).
    np.testing.assert_allclose((1 / fitted).mean(), expected, rtol=5 * math.sqrt(0.2 / n))
    assert abs((1 / fitted).mean() - 1 / 2.0) > 0.05


# -- pooling ---------------------------------------------------------------------------------------------------------


def assert_same(backend, result, expected, rtol=1e-12):
    np.testing.assert_allclose(plain(backend, result.mean), plain(backend, expected.mean), rtol=rtol, atol=1e-14)
    np.testing.assert_allclose(plain(backend, result.log_precision), plain(backend, expected.log_precision), rtol=rtol)


@pytest.mark.parametrize("seed", range(10))
def test_pool_is_commutative_associative_and_has_an_identity(backend, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (
        Estimate(backend.array(rng.normal(size=(2, 3))), backend.array(rng.normal(size=2) * 10**seed % 20))
        for _ in range(3)
    )
    assert_same(backend, pool(a, b), pool(b, a), rtol=1e-15)
    assert_same(backend, pool(pool(a, b), c), pool(a, pool(b, c)))
    nothing = estimate(backend.array(np.zeros((2, 0, 3))), backend.array(np.zeros((2, 0))))
    assert plain(backend, nothing.mean).tolist() == [[0] * 3] * 2
    assert plain(backend, nothing.log_precision).tolist() == [-math.inf] * 2
    for identity in (nothing, Estimate(0, -math.inf)):
        for pooled in (pool(a, identity), pool(identity, a)):
            np.testing.assert_array_equal(plain(backend, pooled.mean), plain(backend, a.mean))
            np.testing.assert_array_equal(plain(backend, pooled.log_precision), plain(backend, a.log_precision))
            assert backend.dtype(pooled.mean) == "float64"
    both = pool(nothing, nothing)
    assert (plain(backend, both.mean) == 0).all() and (plain(backend, both.log_precision) == -math.inf).all()


def test_pool_adds_precisions_and_averages_by_precision(backend, rng):
    (m1, m2), (p1, p2) = rng.normal(size=(2, 3)), rng.uniform(0.1, 9, size=2)
    result = pool(*(Estimate(backend.array(m), backend.array(np.log(p))) for m, p in ((m1, p1), (m2, p2))))
    np.testing.assert_allclose(plain(backend, result.mean), (p1 * m1 + p2 * m2) / (p1 + p2), rtol=1e-13)
    np.testing.assert_allclose(math.exp(result.log_precision), p1 + p2, rtol=1e-13)


@pytest.mark.parametrize("seed", range(10))
def test_blocks_pooled_in_any_order_are_the_whole_and_the_attention(backend, seed):
    rng = np.random.default_rng(seed)
    query, key, value = rng.normal(size=(1, 4)), rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    s = (key @ query[0]) * rng.choice([0.01, 1.0, 5.0])
    whole = estimate(backend.array(value), backend.array(s), kappa=3.0)
    order, cuts = rng.permutation(20), np.sort(rng.integers(0, 21, 4))
    parts = [
        estimate(backend.array(value[block]), backend.array(s[block]), kappa=3.0) for block in np.split(order, cuts)
    ]
    assert_same(backend, functools.reduce(pool, parts), whole)
    while len(parts) > 1:  # a tree of random shape
        i, j = rng.choice(len(parts), 2, replace=False)
        parts = [p for n, p in enumerate(parts) if n not in (i, j)] + [pool(parts[i], parts[j])]
    assert_same(backend, parts[0], whole)
    scale = float(s[0] / (key @ query[0])[0])
    output = attention(*map(backend.array, (query, key, value)), scale=scale)
    np.testing.assert_allclose(plain(backend, whole.mean), plain(backend, output)[0], rtol=0, atol=1e-13)


# -- kappa -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.0, 0.3, -2.0])
def test_fit_kappa_maximises_the_likelihood(backend, rng, alpha):
    value, s = draw(rng)
    on_backend = backend.array(value), backend.array(s)
    mean = estimate(*on_backend, alpha=alpha).mean
    best = scipy.optimize.minimize_scalar(
        lambda x: -float(log_likelihood(mean, *on_backend, alpha=alpha, kappa=math.exp(x))), bracket=(-1, 1), tol=1e-10
    )
    fitted = float(fit_kappa(*on_backend, alpha=alpha))
    np.testing.assert_allclose(math.log(fitted), best.x, atol=1e-6)
    np.testing.assert_allclose(fitted, exact_kappa(value, s, alpha), rtol=1e-13)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("alpha, top", [(1.0, 1e6), (1e3, 1e3), (-1e3, -1e3), (1.0, 60.0), (1.0, 30.0), (1.0, 100.0)])
def test_fit_kappa_where_one_precision_outruns_all_floats(backend, alpha, top):
    # One key far ahead, or three that agree: their readings lie on the mean, and the others settle kappa.
    for ahead in (1, 3):
        value = np.array([[0.1, -7.3]] * ahead + [[1.3, 2.0], [0.7, -1.0]])
        s = np.array([top] * ahead + [0.0, 0.3 / alpha])
        fitted = float(fit_kappa(backend.array(value), backend.array(s), alpha=alpha))
        assert fitted > 0
        np.testing.assert_allclose(fitted, exact_kappa(value, s, alpha), rtol=1e-12)


def test_fit_kappa_of_batches_and_shifted_scores(backend, rng):
    value, s = draw(rng, batch=(2, 3))
    fitted = plain(backend, fit_kappa(backend.array(value), backend.array(s), alpha=0.5))
    assert fitted.shape == (2, 3)
    np.testing.assert_allclose(fitted[1, 2], exact_kappa(value[1, 2], s[1, 2], 0.5), rtol=1e-13)
    shifted = plain(backend, fit_kappa(backend.array(value), backend.array(s + 3), alpha=0.5))
    np.testing.assert_allclose(shifted, fitted * math.exp(-1.5), rtol=1e-12)


# -- extremes --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_a_million(backend, dtype):
    value, s = backend.array([[1.0], [5.0], [3.0]], dtype), backend.array([1e6, -1e6, 1e6], dtype)
    result = estimate(value, s)
    assert plain(backend, result.mean).tolist() == [2.0]
    np.testing.assert_allclose(float(result.log_precision), 1e6 + math.log(2), rtol=1e-6)
    low = estimate(value, s, alpha=-1)
    assert plain(backend, low.mean).tolist() == [5.0] and float(low.log_precision) == 1e6
    assert plain(backend, pool(result, low).mean).tolist()[0] == pytest.approx(
        (2 * 2 + 5) / 3, abs=0.1
    )  # 1e6 in float32
    assert plain(backend, variance(s)).tolist() == [0, math.inf, 0]
    # A mean on the reading: half of log(precision / 2 pi), twice. Off it: precision * 16 is beyond any float.
    single_value, single_score = value[:1], s[:1]
    np.testing.assert_allclose(
        float(log_likelihood(value[0], single_value, single_score)), (1e6 - math.log(2 * math.pi)) / 2, rtol=1e-6
    )
    assert float(log_likelihood(value[1], single_value, single_score)) == -math.inf
    np.testing.assert_allclose(
        float(log_likelihood(value[0], single_value, -single_score)), (-1e6 - math.log(2 * math.pi)) / 2, rtol=1e-6
    )


@pytest.mark.filterwarnings("error")
def test_huge_alpha_and_one_key(backend):
    result = estimate(backend.array([[1.0], [2.0]]), backend.array([1e6, -1e6]), alpha=1e300)
    assert (float(result.mean[0]), float(result.log_precision)) == (1.0, 1e306)
    single = estimate(backend.array([[4.0, 5.0]]), backend.array([-1e6]), alpha=1e300, kappa=7.0)
    assert plain(backend, single.mean).tolist() == [4.0, 5.0] and float(single.log_precision) == -1e306


@pytest.mark.filterwarnings("error")
def test_sixteen_bits_keep_their_dtype_and_the_logarithms_have_more(backend):
    for dtype in ("float16", "bfloat16")[: 2 if backend.name == "torch" else 1]:
        value, s = backend.array([[1.0], [5.0]], dtype), backend.array([10240.0, 10240.0], dtype)
        result = estimate(value, s, alpha=100.0)  # 1 024 000, beyond float16
        assert backend.dtype(result.mean) == dtype and plain(backend, result.mean).tolist() == [3.0]
        assert backend.dtype(result.log_precision) == "float32"
        np.testing.assert_allclose(float(result.log_precision), 1024000 + math.log(2), rtol=1e-6)
        assert backend.dtype(pool(result, result).mean) == dtype
        assert backend.dtype(variance(s)) == dtype
        assert backend.dtype(log_precision(s)) == backend.dtype(log_likelihood(value[0], value, s)) == "float32"
        assert backend.dtype(fit_kappa(value, backend.array([0.0, 0.0], dtype))) == "float32"
        whole = functools.reduce(pool, [estimate(value, s)] * 3)
        np.testing.assert_allclose(float(whole.log_precision), 10240 + math.log(6), rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_score_of_minus_infinity_is_a_key_that_is_not_read(backend, rng):
    value, s = draw(rng)
    more, holes = np.concatenate([value, rng.normal(size=(2, 3))]), np.concatenate([s, [-np.inf] * 2])
    few, many = (backend.array(value), backend.array(s)), (backend.array(more), backend.array(holes))
    mean = backend.array([0.1, 0.2, 0.3])
    assert_same(backend, estimate(*many, alpha=0.7), estimate(*few, alpha=0.7), rtol=1e-14)
    np.testing.assert_allclose(float(log_likelihood(mean, *many)), float(log_likelihood(mean, *few)), rtol=1e-14)
    np.testing.assert_allclose(float(fit_kappa(*many)), float(fit_kappa(*few)), rtol=1e-13)
    assert float(log_precision(backend.array([-np.inf]))[0]) == -math.inf
    assert float(variance(backend.array([-np.inf]))[0]) == math.inf
    unread = estimate(few[0], backend.array([-np.inf] * 6))
    assert plain(backend, unread.mean).tolist() == [0, 0, 0] and float(unread.log_precision) == -math.inf


def test_no_keys_and_not_contiguous(backend, rng):
    empty = backend.array(np.zeros((0, 3))), backend.array(np.zeros(0))
    assert float(log_likelihood(backend.array(np.ones(3)), *empty)) == 0  # the density of no reading is 1
    value, s = rng.normal(size=(3, 8, 4)), rng.normal(size=(6, 8))
    view = estimate(backend.array(value).swapaxes(0, 1)[::2], backend.array(s)[::2].swapaxes(0, 1)[::2])
    copy = estimate(backend.array(np.swapaxes(value, 0, 1)[::2].copy()), backend.array(s[::2].T[::2].copy()))
    assert_same(backend, view, copy)


# -- what is refused -------------------------------------------------------------------------------------------------

V, S = [[1.0, 2.0], [3.0, 5.0]], [0.0, 1.0]
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: log_precision(a([NAN])), "scores must be finite or -inf; got nan among its numbers"),
        (lambda a: variance(a([INF])), "scores must be finite or -inf; got inf among its numbers"),
        (lambda a: variance(a(S), kappa=0.0), "kappa must be a finite number above zero; got 0.0"),
        (lambda a: variance(a(S), kappa=-2), "kappa must be a finite number above zero; got -2"),
        (lambda a: log_precision(a(S), kappa=INF), "kappa must be a finite number above zero; got inf"),
        (lambda a: log_precision(a(S), alpha=NAN), "alpha must be a finite number; got nan"),
        (lambda a: log_precision(a([1e10]), alpha=1e300), "alpha * scores must be within"),
        (lambda a: log_precision(a([-1e10]), alpha=1e300), "alpha * scores must be within"),
        (lambda a: log_precision(a([-INF]), alpha=0), "alpha above zero where a score is -inf; got alpha 0.0"),
        (lambda a: estimate(a(V), a([-INF, 0]), alpha=-1), "alpha above zero where a score is -inf; got alpha -1.0"),
        (lambda a: estimate(a(S), a(S)), "value must have shape (..., S, dv); got (2,)"),
        (lambda a: estimate(a(V), a([1.0])), "scores must have shape (..., 2) to match value; got (1,)"),
        (lambda a: estimate(a(V), a(1.0)), "scores must have shape (..., 2) to match value; got ()"),
        (
            lambda a: estimate(a([V] * 2), a([S] * 3)),
            "value, scores must have shapes that broadcast; got (2,) and (3,)",
        ),
        (lambda a: estimate(a([[NAN]]), a([1.0])), "value must be finite; got nan among its numbers"),
        (lambda a: log_likelihood(a([1.0]), a(V), a(S)), "mean must have shape (..., 2) to match value; got (1,)"),
        (lambda a: log_likelihood(a([1.0, INF]), a(V), a(S)), "mean must be finite; got inf among its numbers"),
        (
            lambda a: log_likelihood(a([[1.0, 2.0]] * 3), a([V] * 2), a(S)),
            "mean, value must have shapes that broadcast",
        ),
        (lambda a: pool((a([1.0]), a(NAN)), (a([1.0]), a(0.0))), "first.log_precision must be finite or -inf; got nan"),
        (
            lambda a: pool((a([1.0]), a(0.0)), (a([1.0]), a(INF))),
            "second.log_precision must be finite or -inf; got inf",
        ),
        (lambda a: pool((a([1.0]), a(0.0)), (a([NAN]), a(0.0))), "second.mean must be finite; got nan"),
        (
            lambda a: pool((a([1.0] * 2), a(0.0)), (a([1.0] * 3), a(0.0))),
            "first and second must have shapes that broadcast",
        ),
        (
            lambda a: fit_kappa(a([[0.1, 2.0]] * 3), a([1.0, 2.0, 3.0])),
            "value must differ between keys that are read; got",
        ),
        (lambda a: fit_kappa(a([[1.0]]), a([0.0])), "value must differ between keys that are read; got"),
        (lambda a: fit_kappa(a(np.zeros((0, 1))), a([])), "value must differ between keys that are read; got"),
        (lambda a: fit_kappa(a(V), a([0.0, -INF])), "value must differ between keys that are read; got"),
        (lambda a: fit_kappa(a([V, [[1.0, 1.0]] * 2]), a(S)), "value must differ between keys that are read; got"),
        (lambda a: fit_kappa(a(V), a([1e6, 1e6])), "scores must give a kappa that"),
    ],
)
def test_refused(backend, call, message):
    with pytest.raises(ValueError) as caught:
        call(backend.array)
    assert message in str(caught.value)


def test_fit_kappa_refuses_differences_that_overflow():
    with pytest.raises(ValueError, match="value must have differences that float64 can hold"):
        fit_kappa([[1.7e308], [-1.7e308]], [0.0, -800.0])
