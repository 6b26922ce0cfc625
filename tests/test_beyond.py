"""The alternatives' promises, against the package entmax, SciPy's optimisers and densities, 50 digits, plain sums."""

import functools
import itertools
import math
import tracemalloc

import entmax as package
import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.spatial
import scipy.special
import scipy.stats
import torch

from attnlib import beyond, layer, likelihood, softmax
from attnlib.beyond import (
    entmax,
    gaussian_kernel_scores,
    laplace_value,
    linear_attention,
    rotate,
    sink,
    soft_cap,
    sparsemax,
    student_t_value,
)

ALPHAS = (1.0, 1 + 1e-9, 1.001, 1.25, 1.5, 1.9, 2.0, 2.5, 5.0, 50.0)
PACKAGE = {
    1.25: functools.partial(package.entmax_bisect, alpha=1.25, n_iter=100),
    1.5: package.entmax15,
    1.9: functools.partial(package.entmax_bisect, alpha=1.9, n_iter=100),
    2.0: package.sparsemax,
}


def positive(x):
    """Features above zero, in either library."""
    return 1 + x * x


def plain(backend, result):
    """Return NumPy's view of a result; a single number of NumPy comes as a scalar."""
    return np.asarray(result) if backend.name == "numpy" else backend.numpy(result)


def exact_entmax(scores, alpha, temperature=1.0):
    """Return the weights to 50 digits: p_i = (p_max^b + b z_i)_+^(1 / b), b = alpha - 1, by bisection."""
    with mpmath.workdps(120):
        beta = mpmath.mpf(alpha) - 1
        gaps = [(mpmath.mpf(float(s)) - mpmath.mpf(float(max(scores)))) / mpmath.mpf(temperature) for s in scores]

        def weights(log_largest):
            if beta == 0:
                return [mpmath.exp(log_largest + z) for z in gaps]
            bases = [mpmath.exp(beta * log_largest) + beta * z for z in gaps]
            return [base ** (1 / beta) if base > 0 else mpmath.mpf(0) for base in bases]

        low, high = -mpmath.log(len(gaps)) - 1, mpmath.mpf(0)
        for _ in range(390):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(weights(middle)) < 1 else (low, middle)
        return np.array([float(p) for p in weights(high)])


def least(function, starts):
    """Return the least value that SciPy's optimisers find from the starts."""
    tight = {"Nelder-Mead": {"xatol": 1e-12, "fatol": 1e-14, "maxiter": 4000}, "BFGS": {"gtol": 1e-10}}
    runs = itertools.product(starts, tight.items())
    return min(scipy.optimize.minimize(function, x, method=m, options=options).fun for x, (m, options) in runs)


# -- sparse weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", PACKAGE)
def test_sparse_weights_are_those_of_the_package(rng, alpha):
    for _ in range(500):
        scores = 10 ** rng.uniform(-3, 3) * rng.normal(size=rng.integers(2, 201))
        expected = PACKAGE[alpha](torch.tensor(scores)).numpy()
        np.testing.assert_allclose(entmax(scores, alpha=alpha), expected, rtol=0, atol=1e-9 * expected.max())
        if alpha == 2:
            np.testing.assert_array_equal(sparsemax(scores), entmax(scores, alpha=2))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_sparse_weights_to_fifty_digits(rng, alpha):
    for number in range(12):
        scores = 10 ** rng.uniform(-4, 3) * rng.normal(size=rng.integers(2, 12))
        if number % 3 == 0:
            scores[0] = scores[1]
        if number % 4 == 1:  # near the edge of the support, where weights are steep for a large alpha
            scores = -np.abs(rng.normal(size=scores.size)) * float(scores.size) ** (1 - alpha)
        if number == 7:
            scores *= 1e6 / np.abs(scores).max()
        weights = entmax(scores, alpha=alpha, temperature=0.75)
        np.testing.assert_allclose(weights, exact_entmax(scores, alpha, 0.75), rtol=0, atol=1e-15)
        assert abs(weights.sum() - 1) < 1e-15


@pytest.mark.parametrize("alpha", [1.25, 1.5, 2.0, 3.0])
def test_no_weights_have_a_larger_objective(rng, alpha):
    """SciPy's SLSQP on the problem as it is stated, and points of the simplex at random."""
    for _ in range(20):
        scores, temperature = rng.normal(size=rng.integers(2, 7)), rng.uniform(0.3, 2)

        def loss(p, s=scores, t=temperature):
            p = np.maximum(p, 0)
            return -(p @ s / t) - (p - p**alpha).sum() / (alpha * (alpha - 1))

        weights = entmax(scores, alpha=alpha, temperature=temperature)
        optimum = scipy.optimize.minimize(
            loss,
            np.full(scores.size, 1 / scores.size),
            bounds=[(0, 1)] * scores.size,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
            method="SLSQP",
        )
        assert loss(weights) <= optimum.fun + 1e-9 and loss(weights) >= optimum.fun - 1e-6
        assert all(loss(weights) <= loss(p) for p in rng.dirichlet(np.ones(scores.size), size=50))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_what_weights_are(backend, rng, alpha):
    """They sum to one, keep the order, treat equals alike, and do not see a shift."""
    for scale in (1e-6, 1.0, 1e6):
        scores = np.round(scale * rng.normal(size=(4, 30)) * 2**20) / 2**20  # which adding 8 does not round
        scores[:, 3] = scores[:, 5]
        weights = plain(backend, entmax(backend.array(scores), alpha=alpha))
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=0, atol=1e-14)
        ordered = np.take_along_axis(weights, np.argsort(scores, axis=-1), axis=-1)
        assert (np.diff(ordered, axis=-1) >= 0).all() and (weights >= 0).all()
        np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
        np.testing.assert_array_equal(weights, plain(backend, entmax(backend.array(scores + 8), alpha=alpha)))


@pytest.mark.parametrize("alpha", [1.25, 1.5, 2.0, 4.0, 50.0])
def test_all_weight_on_one_key_needs_the_gap_and_no_more(alpha):
    gap = 1 / (alpha - 1)
    for temperature in (1.0, 0.25):
        for others in (1, 7):
            scores = np.r_[temperature * gap, np.zeros(others)]
            one_hot = np.r_[1.0, np.zeros(others)]
            scores[0] = temperature * gap * (1 + 1e-15)
            np.testing.assert_allclose(entmax(scores, alpha=alpha, temperature=temperature), one_hot, atol=1e-14)
            scores[0] = temperature * gap * 0.999
            assert (entmax(scores, alpha=alpha, temperature=temperature) > 0).all()
    np.testing.assert_array_equal(sparsemax([1.0, 0.0]), [1, 0])
    np.testing.assert_array_equal(sparsemax([0.75, 0.0]), [0.875, 0.125])


def test_entmax_leads_into_softmax(rng):
    scores = np.concatenate([rng.normal(size=(5, 40)), 1e6 * rng.normal(size=(5, 40))])
    np.testing.assert_allclose(entmax(scores, alpha=1), softmax(scores), rtol=1e-13, atol=0)
    for excess in (1e-15, 1e-12, 1e-9, 1e-6):
        np.testing.assert_allclose(entmax(scores, alpha=1 + excess), softmax(scores), rtol=0, atol=30 * excess)


def test_a_row_that_sheds_one_key_a_step_comes_to_an_end():
    scores = -(1 - 2.0 ** -np.arange(60))
    for alpha, slope in itertools.product((1.5, 2.0), (1.0, 0.5)):
        weights = entmax(slope * scores, alpha=alpha)
        np.testing.assert_allclose(weights, exact_entmax(slope * scores, alpha), rtol=0, atol=1e-15)


@pytest.mark.parametrize("alpha", [2.0, 1e6, 1e300])
def test_ties_are_equal_for_every_alpha(backend, alpha):
    weights = entmax(backend.array([[1e6, -1e6, 1e6, 1e6], [1.0, 1.0, 1.0, -np.inf]]), alpha=alpha)
    np.testing.assert_allclose(plain(backend, weights), np.array([[1, 0, 1, 1], [1, 1, 1, 0]]) / 3, rtol=1e-15)


@pytest.mark.parametrize(
    "function", [sparsemax, functools.partial(entmax, alpha=1.3), functools.partial(entmax, alpha=5), sink]
)
def test_masks_axes_and_rows_without_keys(backend, rng, function):
    scores, mask = rng.normal(size=(4, 3, 6)), rng.random((4, 1, 6)) < 0.6
    mask[1] = False
    cut = np.where(np.broadcast_to(mask, scores.shape), scores, -np.inf)
    weights = plain(backend, function(backend.array(scores), mask=mask))
    np.testing.assert_array_equal(weights, plain(backend, function(backend.array(cut))))
    assert (weights[1] == 0).all() and (weights[np.broadcast_to(~mask, weights.shape)] == 0).all()
    for row, kept, given in zip(weights[0], np.broadcast_to(mask[0], (3, 6)), scores[0], strict=True):
        np.testing.assert_allclose(row[kept], function(given[kept]), rtol=0, atol=1e-15)
    for axis in (0, 1, -1, -2, -3):
        moved = np.moveaxis(scores, axis, -1)
        expected = np.moveaxis(plain(backend, function(backend.array(moved))), -1, axis)
        np.testing.assert_allclose(plain(backend, function(backend.array(scores), axis=axis)), expected, atol=1e-15)
    assert tuple(function(backend.array(np.zeros((2, 0)))).shape) == (2, 0)
    assert tuple(function(backend.array(np.zeros((0, 2)))).shape) == (0, 2)
    for strided in (backend.array(scores)[:, ::2, ::2], function(backend.array(scores))[..., ::2]):
        copy = backend.array(plain(backend, strided))
        np.testing.assert_array_equal(plain(backend, function(strided)), plain(backend, function(copy)))


@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0, 8.0])
def test_derivatives_of_every_kind(rng, alpha):
    scores = torch.tensor(rng.normal(size=(3, 5)), requires_grad=True)
    weigh = functools.partial(entmax, alpha=alpha, temperature=0.7, axis=0)
    assert torch.autograd.gradcheck(weigh, scores, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(weigh, scores)
    height = lambda s: (weigh(s) ** 2).sum()  # noqa: E731
    (expected,) = torch.autograd.grad(height(scores), scores)
    torch.testing.assert_close(torch.func.grad(height)(scores.detach()), expected)
    one = scores.detach()[:, 0]
    for every, plainly in (
        (torch.func.jacfwd(weigh)(one), torch.autograd.functional.jacobian(weigh, one)),
        (torch.func.hessian(height)(one), torch.autograd.functional.hessian(height, one)),
    ):
        torch.testing.assert_close(every, plainly)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_torch_compiles_around_the_search(rng):
    scores = torch.tensor(rng.normal(size=(3, 5)), requires_grad=True)
    compiled = torch.compile(sparsemax, backend="eager")
    torch.testing.assert_close(compiled(scores), sparsemax(scores))
    gradients = [torch.autograd.grad((f(scores) ** 2).sum(), scores)[0] for f in (compiled, sparsemax)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 4.0])
def test_the_gradient_is_that_of_the_closed_jacobian(rng, alpha):
    scores = torch.tensor(rng.normal(size=7), requires_grad=True)
    weigh = functools.partial(entmax, alpha=alpha, temperature=0.5)
    p = weigh(scores).detach().numpy()
    r = np.where(p > 0, np.where(p > 0, p, 1) ** (2 - alpha), 0)
    expected = (np.diag(r) - np.outer(r, r) / r.sum()) / 0.5
    np.testing.assert_allclose(torch.autograd.functional.jacobian(weigh, scores), expected, rtol=0, atol=1e-14)
    gone = torch.full((2, 3), -math.inf, dtype=torch.float64, requires_grad=True)
    weigh(gone).sum().backward()
    assert (gone.grad == 0).all()


@pytest.mark.parametrize("alpha", [5.0, 10.0, 50.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_weight_of_a_large_order_keeps_its_gradient(alpha, dtype):
    """Two keys share one weight, so that of dp_1 / ds_1 = r_1 r_2 / (r_1 + r_2), however large r_2 is."""
    edge = torch.tensor([(1 - 64 * torch.finfo(dtype).eps) / (alpha - 1), 0.0], dtype=dtype, requires_grad=True)
    weights = entmax(edge, alpha=alpha)
    assert 0 < weights[1] < 1e-5
    (found,) = torch.autograd.grad(weights[0], edge)
    torch.testing.assert_close(found, torch.tensor([1.0, -1.0], dtype=dtype), rtol=1e-4, atol=0)


# -- medians ---------------------------------------------------------------------------------------------------------


def layouts(rng, count):
    """Values and scores: scattered, on one line, on a grid with ties, and far from zero."""
    for number in range(count):
        keys, coordinates = rng.integers(1, 9), rng.integers(1, 4)
        value = rng.normal(size=(keys, coordinates))
        if number % 4 == 1:
            value = np.outer(rng.normal(size=keys), rng.normal(size=coordinates)) + 10 * rng.normal(size=coordinates)
        if number % 4 == 2:
            value = np.round(value)
        if number % 4 == 3:
            value += 1e6
        yield value, rng.choice([0.3, 1, 3]) * rng.normal(size=keys)


def test_the_geometric_median_is_no_worse_than_scipys(rng):
    for value, scores in layouts(rng, 60):
        weights = softmax(scores)
        middle = value.mean(0)

        def loss(x, v=value - middle, w=weights):
            return w @ np.linalg.norm(v - x, axis=1)

        best = least(loss, [*(value[:3] - middle), weights @ (value - middle)])
        found = loss(laplace_value(value, scores, euclidean=True) - middle)
        assert found <= best + 1e-8 * best + 1e-9 * np.abs(middle).max() * 1e-6


@pytest.mark.parametrize("share", [1e-2, 1e-3, 1e-4, 1e-5])
def test_a_value_that_is_almost_the_geometric_median_is_left(rng, share):
    """Its own weight almost holds the others' pull: EM is slow there, and at the end all pulls must cancel."""
    for _ in range(100):
        value = np.concatenate([np.zeros((1, 3)), rng.normal(size=(4, 3))])
        pulls = np.exp(rng.normal(size=(4, 1)))
        strength = np.linalg.norm((pulls * value[1:] / np.linalg.norm(value[1:], axis=1, keepdims=True)).sum(0))
        scores = np.log(np.r_[strength * (1 - share), pulls[:, 0]])
        gaps = value - laplace_value(value, scores, euclidean=True)
        weights = softmax(scores) / np.linalg.norm(gaps, axis=1)
        assert np.linalg.norm(weights @ gaps) < 1e-9


def test_weighted_medians_are_those_of_repeated_values(backend, rng):
    for _ in range(100):
        value, counts = rng.normal(size=(rng.integers(1, 8), 3)), None
        counts = rng.integers(1, 5, size=len(value))
        found = laplace_value(backend.array(value), backend.array(np.log(counts) / 2), alpha=2)
        np.testing.assert_allclose(
            plain(backend, found), np.median(np.repeat(value, counts, axis=0), axis=0), rtol=1e-15
        )
    for keys in (6, 7, 1000, 1001):
        value = rng.normal(size=(keys, 2))
        np.testing.assert_allclose(laplace_value(value, np.zeros(keys)), np.median(value, axis=0), rtol=1e-15)


def test_a_weight_just_above_a_half_decides():
    for excess in (1e-12, 1e-9, 1e-7):
        found = laplace_value([[1.0], [2.0]], [0.0, math.log1p(excess)])
        np.testing.assert_array_equal(found, [2])


def test_the_coordinates_median_is_no_worse_than_any_value(rng):
    for value, scores in layouts(rng, 40):
        weights = softmax(scores)
        loss = lambda x, v=value, w=weights: w @ np.abs(v - x)  # noqa: E731
        assert (loss(laplace_value(value, scores)) <= np.min([loss(x) for x in value], axis=0) * (1 + 1e-12)).all()


def test_the_geometric_median_turns_and_moves_with_the_values(backend, rng):
    value, scores = rng.normal(size=(5, 7, 3)), rng.normal(size=(2, 5, 7))
    turn = scipy.stats.ortho_group.rvs(3, random_state=rng)
    found = [
        plain(backend, laplace_value(backend.array(v), backend.array(scores), euclidean=True))
        for v in (value, 1e3 * value @ turn + 5)
    ]
    assert found[0].shape == (2, 5, 3)
    np.testing.assert_allclose(found[1], 1e3 * found[0] @ turn + 5, rtol=1e-11)


@pytest.mark.parametrize("euclidean", [False, True])
def test_less_than_half_of_the_weight_carries_no_median_away(rng, euclidean):
    value = rng.normal(size=(9, 2))
    value[:4] = 1e9 * rng.normal(size=(4, 2))
    assert np.abs(laplace_value(value, np.zeros(9), euclidean=euclidean)).max() < 10
    assert np.abs(value.mean(0)).max() > 1e6


def test_known_medians():
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    np.testing.assert_allclose(laplace_value(corners, [0.0] * 4, euclidean=True), [0.5, 0.5], rtol=1e-15)
    triangle = np.array([[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]])
    np.testing.assert_allclose(laplace_value(triangle, [0.0] * 3, euclidean=True), triangle.mean(0), rtol=1e-14)
    wide = [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.1]]  # an angle above 120 degrees: the median is its corner
    np.testing.assert_array_equal(laplace_value(wide, [0.0] * 3, euclidean=True), wide[2])
    np.testing.assert_array_equal(laplace_value([[1.0], [2.0], [9.0], [4.0]], [0.0] * 4), [3])
    np.testing.assert_array_equal(laplace_value([[1.0], [2.0]], [-1e3, 1e3]), [2])
    huge = np.array([[1e308, -1e308], [-1e308, 1e308], [1e-300, 0.0]])
    np.testing.assert_array_equal(laplace_value(huge, [0.0] * 3), [1e-300, 0])
    np.testing.assert_allclose(laplace_value(huge, [0.0] * 3, euclidean=True), [1e-300, 0], atol=1e-300)


# -- Student-t noise -------------------------------------------------------------------------------------------------


def student_cases(rng, count):
    for _ in range(count):
        keys, coordinates = rng.integers(1, 9), rng.integers(1, 4)
        scores = rng.choice([0.3, 1, 3]) * rng.normal(size=keys)
        options = {"dof": 10 ** rng.uniform(-1, 2), "kappa": 10 ** rng.uniform(-2, 3), "alpha": rng.choice([1, -0.5])}
        yield 3 * rng.normal(size=(keys, coordinates)), scores, options


def student_loss(value, scores, dof, kappa, alpha):
    theta, scale = kappa * np.exp(alpha * scores), (dof + value.shape[-1]) / 2
    return lambda x: scale * np.log1p(theta * ((value - x) ** 2).sum(-1) / dof).sum()


def test_no_answer_that_scipy_finds_is_likelier_under_student_t_noise(rng):
    for value, scores, options in student_cases(rng, 80):
        loss = student_loss(value, scores, **options)
        best = least(loss, [*value, softmax(scores) @ value, *(3 * rng.normal(size=(4, value.shape[-1])))])
        assert loss(student_t_value(value, scores, **options).mean) <= best + 1e-8


def test_the_log_likelihood_is_the_sum_of_scipys_log_densities(backend, rng):
    for value, scores, options in student_cases(rng, 40):
        found = student_t_value(backend.array(value), backend.array(scores), **options)
        mean, eye = plain(backend, found.mean), np.eye(value.shape[-1])
        shapes = [eye / (options["kappa"] * math.exp(options["alpha"] * s)) for s in scores]
        densities = [
            scipy.stats.multivariate_t.logpdf(mean, loc=v, shape=shape, df=options["dof"])
            for v, shape in zip(value, shapes, strict=True)
        ]
        np.testing.assert_allclose(plain(backend, found.log_likelihood), sum(densities), rtol=1e-12, atol=1e-10)


def test_from_a_start_the_likelihood_never_falls_and_the_end_is_stationary(rng):
    ends = set()
    for value, scores, options in student_cases(rng, 60):
        loss = student_loss(value, scores, **options)
        starts = np.concatenate([value, 5 * rng.normal(size=(6, value.shape[-1]))])
        found = student_t_value(value, scores, start=starts, **options)
        best = student_t_value(value, scores, **options)
        assert found.mean.shape == starts.shape and found.log_likelihood.shape == starts.shape[:1]
        assert (found.log_likelihood <= best.log_likelihood + 1e-9).all()
        for start, end in zip(starts, found.mean, strict=True):
            assert loss(end) <= loss(start) + 1e-12
            gaps = value - end
            pulls = 1 / (options["dof"] / options["kappa"] / np.exp(options["alpha"] * scores) + (gaps**2).sum(-1))
            slope = np.linalg.norm(pulls @ gaps)
            assert slope <= 1e-11 * (pulls @ (np.linalg.norm(gaps, axis=-1) + np.abs(end).max())) or slope < 1e-12
        ends.add(len(np.unique(np.round(found.log_likelihood, 6))))
    assert max(ends) > 1  # several local optima are met


def test_a_climb_from_far_away_arrives(rng):
    """It takes more than a score of steps, and ends where all pulls cancel."""
    for _ in range(20):
        value = rng.normal(size=(40, 2)) + 3 * rng.integers(0, 2, size=(40, 1))
        found = student_t_value(value, np.zeros(40), dof=1, kappa=10, start=1e4 * rng.normal(size=(20, 2))).mean
        gaps = value - found[:, None]
        pulls = 1 / (0.1 + (gaps**2).sum(-1))
        assert np.abs((pulls[..., None] * gaps).sum(1)).max() < 1e-9


def test_no_climb_takes_turns_between_two_places(monkeypatch):
    """At this one two places differ by rounding alone, and the lower one has less than half of the slope."""
    calls, weigh = [], beyond.weigh
    monkeypatch.setattr(beyond, "weigh", lambda *given, **options: calls.append(1) or weigh(*given, **options))
    student_t_value([[-1.9, 0.6], [0.4, 0.1], [-0.3, -1.8]], [0.2, -0.1, -1.6], dof=100, kappa=1e-3)
    assert len(calls) < 100


def test_kappa_does_not_cancel_and_many_degrees_are_a_gaussian():
    value, scores = np.array([[0.0], [0.5], [-0.5], [25.0]]), np.zeros(4)
    near, far = (float(student_t_value(value, scores, dof=3, kappa=k).mean[0]) for k in (1, 1e-6))
    assert abs(near) < 0.1 and far == pytest.approx(6.25, rel=1e-3)
    for dof in (1e8, 1e300):
        found = student_t_value(value, [0.0, 1, 2, 0], dof=dof)
        np.testing.assert_allclose(found.mean, softmax([0.0, 1, 2, 0]) @ value, rtol=1e-5)
        gaussian = scipy.stats.norm.logpdf(value[:, 0], found.mean, np.exp([0, -0.5, -1, 0])).sum()
        assert float(found.log_likelihood) == pytest.approx(gaussian, rel=1e-5)


def test_scores_of_a_thousand_overflow_nothing(backend):
    value, scores = np.array([[3.0, 1.0], [0.1, 0.2], [0.7, 7.0]]), np.array([1e3, -1e3, 999.0])
    found = student_t_value(backend.array(value), backend.array(scores), dof=4.0)
    np.testing.assert_array_equal(plain(backend, found.mean), value[0])
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        for v, s in zip(value, scores, strict=True):
            ratio = (
                mpmath.exp(s) * sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(v, value[0], strict=True)) / 4
            )
            constant = mpmath.loggamma(3) - mpmath.loggamma(2) - mpmath.log(4 * mpmath.pi) + mpmath.mpf(s)
            total += constant - 3 * mpmath.log1p(ratio)
    assert float(found.log_likelihood) == pytest.approx(float(total), rel=1e-13)


def test_a_large_number_of_degrees_keeps_the_constants_digits():
    for dof in (0.1, 39.0, 41.0, 1e4, 1e12):
        for coordinates in (1, 2, 7):
            found = student_t_value(np.zeros((1, coordinates)), [0.0], dof=dof)
            with mpmath.workdps(60):
                half = mpmath.mpf(dof) / 2
                exact = mpmath.loggamma(half + mpmath.mpf(coordinates) / 2) - mpmath.loggamma(half)
                exact -= coordinates * mpmath.log(mpmath.pi * mpmath.mpf(dof)) / 2
            assert float(found.log_likelihood) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("keys", [0, 2])
def test_no_key_read_says_nothing(backend, keys):
    value, scores = backend.array(np.ones((3, keys, 2))), backend.array(np.full((3, keys), -np.inf))
    for euclidean in (False, True):
        np.testing.assert_array_equal(
            plain(backend, laplace_value(value, scores, euclidean=euclidean)), np.zeros((3, 2))
        )
    for start in (None, backend.array([5.0, 5.0])):
        found = student_t_value(value, scores, dof=3, start=start)
        np.testing.assert_array_equal(plain(backend, found.mean), np.zeros((3, 2)))
        np.testing.assert_array_equal(plain(backend, found.log_likelihood), np.zeros(3))


def test_a_key_that_is_not_read_counts_in_nothing(backend, rng):
    value, scores = rng.normal(size=(5, 6, 2)), rng.normal(size=(5, 6))
    scores[:, 4] = -np.inf
    for function in (
        laplace_value,
        functools.partial(laplace_value, euclidean=True),
        lambda *given: student_t_value(*given, dof=2)[0],
        lambda *given: student_t_value(*given, dof=2)[1],
    ):
        whole, part = (
            plain(backend, function(backend.array(v), backend.array(s)))
            for v, s in ((value, scores), (np.delete(value, 4, 1), np.delete(scores, 4, 1)))
        )
        np.testing.assert_allclose(whole, part, rtol=1e-12, atol=1e-13)


def test_one_key_is_the_answer(backend):
    value, scores = backend.array([[[2.0, -3.0]]]), backend.array([[7.0]])
    for euclidean in (False, True):
        np.testing.assert_array_equal(plain(backend, laplace_value(value, scores, euclidean=euclidean)), [[2, -3]])
    np.testing.assert_array_equal(plain(backend, student_t_value(value, scores, dof=1).mean), [[2, -3]])


# -- a kernel's scores -----------------------------------------------------------------------------------------------


def test_kernel_scores_are_half_of_the_squared_distances(backend, rng):
    query, key = rng.normal(size=(2, 4, 3)), rng.normal(size=(5, 3))
    found = plain(backend, gaussian_kernel_scores(backend.array(query), backend.array(key)))
    for row, part in zip(query, found, strict=True):
        np.testing.assert_allclose(part, -scipy.spatial.distance.cdist(row, key, "sqeuclidean") / 2, rtol=1e-13)
    norms = np.linalg.norm(key, axis=-1, keepdims=True)
    equal = plain(backend, gaussian_kernel_scores(backend.array(query), backend.array(key / norms)))
    np.testing.assert_allclose(softmax(equal), softmax(query @ (key / norms).T), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_near_vectors_far_from_zero_keep_their_digits(backend, rng, dtype):
    query = (1e6 + rng.normal(size=(4, 3))).astype(dtype)
    key = np.concatenate([query[:2] + query[:2] * 2 * np.finfo(dtype).eps, -query]).astype(dtype)  # two clusters
    found = plain(backend, gaussian_kernel_scores(backend.array(query, dtype), backend.array(key, dtype)))
    exact = -((query.astype(np.longdouble)[:, None] - key.astype(np.longdouble)) ** 2).sum(-1) / 2
    np.testing.assert_allclose(found, exact, rtol=8 * np.finfo(dtype).eps)


def test_kernel_scores_keep_no_array_for_each_coordinate(rng):
    query, key = rng.normal(size=(2, 300, 64))
    tracemalloc.start()
    found = gaussian_kernel_scores(query, key)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * found.nbytes
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x.numel()) or x, lambda x: x):
        gaussian_kernel_scores(torch.tensor(query, requires_grad=True), torch.tensor(key))
    assert 0 < sum(held) < 2 * found.size


def test_kernel_scores_differentiate_twice_and_forward(rng):
    query, key = (torch.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 3, 2), (4, 2)))
    assert torch.autograd.gradcheck(gaussian_kernel_scores, (query, key), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(gaussian_kernel_scores, (query, key))


# -- linear attention ------------------------------------------------------------------------------------------------


def quadratic(query, key, value, mask=None, causal=False):
    """All weights at once."""
    weights = positive(query) @ np.swapaxes(positive(key), -1, -2)
    if causal:
        weights = np.tril(weights)
    if mask is not None:
        weights = weights * mask[..., None, :]
    total = weights.sum(-1, keepdims=True)
    return weights @ value / np.where(total > 0, total, 1)


@pytest.mark.parametrize(
    "length, keys", [(5, 5), (300, 300), (300, 130), (130, 300), (256, 256), (3, 0), (0, 3), (1, 1)]
)
@pytest.mark.parametrize("causal", [False, True])
def test_the_running_state_gives_what_all_weights_give(backend, rng, length, keys, causal):
    query, key = rng.normal(size=(2, 1, length, 3)), rng.normal(size=(4, keys, 3))
    value, mask = rng.normal(size=(keys, 2)), rng.random((4, keys)) < 0.5
    arrays = [backend.array(x) for x in (query, key, value)]
    for given in (None, mask):
        found = plain(backend, linear_attention(*arrays, feature_map=positive, mask=given, causal=causal))
        assert found.shape == (2, 4, length, 2)
        np.testing.assert_allclose(found, quadratic(query, key, value, given, causal), rtol=0, atol=1e-12)


def test_a_causal_query_sees_the_keys_that_attention_lets_it_see(rng):
    query, key, value = rng.normal(size=(7, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    weights = layer.attention(query, key, value, causal=True, return_weights=True)[1]
    seen = linear_attention(query, key, np.eye(4), feature_map=positive, causal=True)
    np.testing.assert_array_equal(seen > 0, weights > 0)


def test_causal_linear_attention_holds_no_square(rng):
    arrays = rng.normal(size=(3, 8192, 4))
    tracemalloc.start()
    linear_attention(*arrays, feature_map=positive, causal=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8192**2 * 8 / 50


def test_linear_attention_has_derivatives(rng):
    arrays = [torch.tensor(rng.normal(size=(5, 2)), requires_grad=True) for _ in range(3)]
    for causal in (False, True):
        attend = functools.partial(linear_attention, feature_map=positive, causal=causal, mask=[True] * 3 + [False] * 2)
        assert torch.autograd.gradcheck(attend, arrays)


def test_queries_without_weight_have_no_answer(backend):
    one = backend.array(np.ones((2, 1)))
    for options in ({"mask": [False, False]}, {"mask": [False, False], "causal": True}):
        found = linear_attention(one, one, one, feature_map=positive, **options)
        np.testing.assert_array_equal(plain(backend, found), [[0], [0]])
    cancelled = linear_attention(
        one, backend.array([[1.0], [-1.0]]), backend.array([[1.0], [3.0]]), feature_map=lambda x: x
    )
    np.testing.assert_array_equal(plain(backend, cancelled), [[0], [0]])


# -- other scores, and a sink ----------------------------------------------------------------------------------------


def test_capped_weights_differ_by_a_factor_that_is_reached(backend):
    for cap, temperature in ((3.0, 1.0), (2.0, 0.5)):
        capped = soft_cap(backend.array([1e6, -1e6, 0.25, -np.inf]), cap)
        weights = softmax(plain(backend, capped), temperature=temperature)
        assert weights[0] / weights[1] == pytest.approx(math.exp(2 * cap / temperature), rel=1e-14) and weights[3] == 0
        assert plain(backend, capped)[2] == pytest.approx(cap * math.tanh(0.25 / cap), rel=1e-15)
    scores = torch.tensor([0.5, -2.0, 1e6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: soft_cap(s, 1.5), scores[:2])
    torch.autograd.grad(soft_cap(torch.cat([scores, torch.tensor([-math.inf])]), 1.5).exp().sum(), scores)
    np.testing.assert_allclose(soft_cap([1e-9, 1e-300], 1e8), [1e-9, 1e-300], rtol=1e-15)


def test_rotation_is_multiplication_by_a_complex_number(backend, rng):
    vectors, positions = rng.normal(size=(2, 4, 6)), 100 * rng.normal(size=(2, 4))
    found = plain(backend, rotate(backend.array(vectors), backend.array(positions), base=50.0))
    angles = positions[..., None] * 50.0 ** (-np.arange(3) / 3)
    turned = vectors.view(complex) * np.exp(1j * angles)
    np.testing.assert_allclose(found.copy().view(complex), turned, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), np.linalg.norm(vectors, axis=-1), rtol=1e-14)


def test_differences_of_positions_alone_enter(backend, rng):
    query, key = rng.normal(size=(2, 1, 8))
    turn = lambda x, place: plain(backend, rotate(backend.array(x), backend.array([place])))[0]  # noqa: E731
    for i, j, shift in rng.integers(0, 1000, size=(50, 3)).astype(float):
        first, second = (turn(query, i + t) @ turn(key, j + t) for t in (0, shift))
        assert abs(first - second) < 1e-12


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_angles_are_exact_whatever_the_dtype(backend, dtype):
    positions = [10**6 + 1, 2**24 + 1, 12345.678]
    vectors = backend.array(np.tile([1.0, 0.0, 0.0, 1.0], (3, 1)), dtype)
    expected = rotate(np.tile([1.0, 0.0, 0.0, 1.0], (3, 1)), positions)
    for given in (positions, backend.array(positions, "float64")):
        found = rotate(vectors, given)
        assert backend.dtype(found) == dtype
        np.testing.assert_allclose(plain(backend, found), expected, rtol=0, atol=np.finfo(dtype).eps)


def test_rotations_have_derivatives_by_vectors_and_positions(rng):
    given = [torch.tensor(rng.normal(size=size), requires_grad=True) for size in ((2, 3, 4), (3,))]
    assert torch.autograd.gradcheck(rotate, given)


def test_a_step_of_a_hopfield_memory_lowers_its_energy_by_half_the_squared_step(rng):
    for _ in range(200):
        patterns, state, temperature = 3 * rng.normal(size=(6, 4)), 5 * rng.normal(size=4), rng.uniform(0.05, 3)

        def energy(x, patterns=patterns, temperature=temperature):
            return x @ x / 2 - temperature * scipy.special.logsumexp(patterns @ x / temperature)

        step = layer.attention(state[None], patterns, patterns, scale=1 / temperature)[0]
        assert energy(step) - energy(state) <= -((step - state) ** 2).sum() / 2 + 1e-12 * (1 + state @ state)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_heads_are_the_estimate_from_precisions_with_a_common_basis(rng, orthogonal):
    tokens, heads, width = 7, 3, 4
    size = heads * width
    basis = rng.normal(size=(size, size)) / size**0.5
    basis = np.linalg.qr(basis)[0] if orthogonal else basis + 2 * np.eye(size)
    inverse = np.linalg.inv(basis)
    torch_layer = torch.nn.MultiheadAttention(size, heads, bias=False, batch_first=True, dtype=torch.float64)
    x = rng.normal(size=(tokens, size))
    with torch.no_grad():
        weights = torch.from_numpy(np.concatenate([rng.normal(size=(2 * size, size)) / size**0.5, basis]))
        torch_layer.in_proj_weight.copy_(weights)
        torch_layer.out_proj.weight.copy_(torch.from_numpy(inverse))
        batch = torch.from_numpy(x)[None]
        theirs = torch_layer(batch, batch, batch)[0][0].numpy()
    query, key, value = (
        (x @ part.T).reshape(tokens, heads, width).swapaxes(0, 1) for part in weights.numpy().reshape(3, size, size)
    )
    scores = layer.scores(query, key)  # (heads, tokens, tokens)
    blocks = likelihood.estimate(value[:, None], scores).mean.swapaxes(0, 1).reshape(tokens, size)
    np.testing.assert_allclose(blocks @ inverse.T, theirs, rtol=0, atol=1e-12)
    precisions = np.repeat(np.exp(scores), width, axis=0)  # (size, tokens, tokens), of each direction
    matrices = np.einsum("ca,cqk,cb->qkab", basis, precisions, basis)
    directly = np.linalg.solve(matrices.sum(axis=1), np.einsum("qkab,kb->qa", matrices, x)[..., None])[..., 0]
    np.testing.assert_allclose(directly, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_a_sink_is_one_more_key_of_which_nothing_is_read(backend, rng, temperature):
    for scale in (1.0, 1e6):
        scores, logs = scale * rng.normal(size=(3, 4, 5)), scale * rng.normal(size=(3, 1))
        for axis in (-1, 1, 0):
            moved = np.moveaxis(scores, -1, axis)
            more = temperature * np.broadcast_to(logs, (3, 4))[..., None]
            expected = softmax(np.concatenate([scores, more], -1), temperature=temperature)[..., :-1]
            options = {"log_precision": backend.array(logs), "temperature": temperature, "axis": axis}
            found = plain(backend, sink(backend.array(moved), **options))
            np.testing.assert_allclose(np.moveaxis(found, axis, -1), expected, rtol=1e-14, atol=0)
            assert (found.sum(axis) <= 1 + 1e-15).all()
        alone = plain(backend, sink(backend.array(scores), log_precision=-math.inf, temperature=temperature))
        np.testing.assert_allclose(alone, softmax(scores, temperature=temperature), rtol=1e-14)


def test_a_sink_is_a_prior_at_zero(rng):
    """The answer under it maximises the likelihood with one more reading, 0, of that precision."""
    scores, value = rng.normal(size=5), rng.normal(size=5)
    loss = lambda m: (np.exp(scores) * (value - m) ** 2).sum() + math.exp(0.7) * m**2  # noqa: E731
    best = scipy.optimize.minimize_scalar(loss, tol=1e-12).x
    assert sink(scores, log_precision=0.7) @ value == pytest.approx(best, abs=1e-7)


def test_a_sink_can_be_learned(rng):
    scores, logs = (torch.tensor(rng.normal(size=size), requires_grad=True) for size in ((2, 3), (2,)))
    assert torch.autograd.gradcheck(lambda s, z: sink(s, log_precision=z, temperature=0.5), (scores, logs))
    gone = torch.full((2,), -math.inf, dtype=torch.float64, requires_grad=True)
    for given in (logs[0], torch.tensor(-math.inf)):
        sink(gone, log_precision=given).sum().backward()
    assert (gone.grad == 0).all() and not logs.grad[0]


def test_a_huge_sink_takes_all_and_a_tiny_one_nothing(backend):
    scores = backend.array([1e6, -1e6])
    np.testing.assert_array_equal(plain(backend, sink(scores, log_precision=2e6)), [0, 0])
    np.testing.assert_array_equal(plain(backend, sink(scores, log_precision=-2e6)), [1, 0])
    np.testing.assert_array_equal(plain(backend, sink(scores, log_precision=1e6)), [0.5, 0])


# -- dtypes, libraries, errors ---------------------------------------------------------------------------------------

Q, K, V = np.arange(6.0).reshape(3, 2) / 4, np.arange(8.0).reshape(4, 2) / -8, np.arange(12.0).reshape(4, 3) / 2 - 1
S = np.array([1.5, -0.5, 0.25, -np.inf])
# Every function, with arrays that 16 bits hold exactly.
CALLS = {
    "sparsemax": (sparsemax, {"scores": S}, {}),
    "entmax": (entmax, {"scores": S}, {}),
    "entmax 1.3": (entmax, {"scores": S}, {"alpha": 1.3}),
    "entmax 5": (entmax, {"scores": S}, {"alpha": 5}),
    "laplace_value": (laplace_value, {"value": V, "scores": S}, {}),
    "laplace_value euclidean": (laplace_value, {"value": V**2, "scores": S}, {"euclidean": True}),
    "student_t_value": (student_t_value, {"value": V**2, "scores": S, "start": V[1]}, {"dof": 3}),
    "student_t_value best": (student_t_value, {"value": V**2, "scores": S}, {"dof": 3}),
    "gaussian_kernel_scores": (gaussian_kernel_scores, {"query": Q, "key": K}, {}),
    "linear_attention": (linear_attention, {"query": Q, "key": K, "value": V}, {"feature_map": positive}),
    "soft_cap": (soft_cap, {"scores": S}, {"cap": 2}),
    "rotate": (rotate, {"vectors": Q, "positions": Q[:, 0]}, {}),
    "sink": (sink, {"scores": S, "log_precision": np.array(0.5)}, {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_dtype_of_every_library_gives_what_numpy_gives(backend, name):
    function, arrays, options = CALLS[name]
    expected = function(**arrays, **options)
    for dtype in backend.dtypes:
        found = function(**{key: backend.array(x, dtype) for key, x in arrays.items()}, **options)
        eps = {"bfloat16": 2**-7}.get(dtype) or np.finfo(dtype).eps
        parts = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        for part, (result, wanted) in enumerate(parts):
            logarithm = name.startswith("student") and part
            assert backend.dtype(result) == ("float32" if logarithm and "16" in dtype else dtype)
            np.testing.assert_allclose(plain(backend, result), wanted, rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("name", CALLS)
def test_lists_are_numpys_arrays_of_the_default_dtype(name):
    function, arrays, options = CALLS[name]
    listed = function(**{key: x.tolist() for key, x in arrays.items()}, **options)
    given = function(**arrays, **options)
    for first, second in zip(*(x if isinstance(x, tuple) else (x,) for x in (listed, given)), strict=True):
        assert first.dtype == np.float64
        np.testing.assert_array_equal(first, second)


BAD_SCORES = [
    ({"scores": [1.0, np.nan]}, "scores must be finite or -inf; got nan"),
    ({"scores": [1.0, np.inf]}, "scores must be finite or -inf; got inf"),
    ({"scores": 1.0}, "scores must have at least one dimension; got a single number"),
    ({"scores": [1.0, 2.0], "mask": [1, 0]}, "mask must be boolean"),
    ({"scores": [1.0, 2.0], "mask": [True] * 3}, r"mask must broadcast to \(2,\); got shape \(3,\)"),
    ({"scores": [1.0, 2.0], "axis": 1}, "axis must be a whole number from -1 to 0; got 1"),
    ({"scores": [1.0, 2.0], "temperature": 0}, "temperature must be a finite number above zero; got 0"),
]
ERRORS = [
    *((function, *case) for function in (sparsemax, entmax, sink) for case in BAD_SCORES),
    (entmax, {"scores": [1.0], "alpha": 0.999}, "alpha must be at least 1; got 0.999"),
    (entmax, {"scores": [1.0], "alpha": math.inf}, "alpha must be a finite number; got inf"),
    (sink, {"scores": [1.0], "log_precision": [1.0, 2.0]}, r"log_precision must broadcast to \(\); got shape \(2,\)"),
    (
        sink,
        {"scores": np.ones((2, 3)), "log_precision": np.ones(3)},
        r"log_precision must broadcast to \(2,\); got shape \(3,\)",
    ),
    (sink, {"scores": [1.0], "log_precision": math.nan}, "log_precision must be finite or -inf; got nan"),
    (
        sink,
        {"scores": [1.0], "log_precision": 1e308, "temperature": 100},
        r"temperature \* log_precision must be finite or -inf; got inf",
    ),
    (soft_cap, {"scores": [1.0, np.nan], "cap": 1}, "scores must be finite or -inf; got nan"),
    (soft_cap, {"scores": [1.0], "cap": 0}, "cap must be a finite number above zero; got 0"),
    (
        soft_cap,
        {"scores": np.float32([1.0]), "cap": 1e300},
        "cap must be a finite number above zero in float32; got 1e",
    ),
    (
        rotate,
        {"vectors": np.ones((2, 3)), "positions": [0, 1]},
        r"vectors must have shape \(..., L, d\) with d even; got",
    ),
    (
        rotate,
        {"vectors": np.ones(2), "positions": [0]},
        r"vectors must have shape \(..., L, d\) with d even; got \(2,\)",
    ),
    (
        rotate,
        {"vectors": np.ones((2, 4)), "positions": [0, 1, 2]},
        r"positions must have shape \(..., 2\) to match vect",
    ),
    (
        rotate,
        {"vectors": np.ones((2, 4)), "positions": 1.0},
        r"positions must have shape \(..., 2\) to match vectors; got",
    ),
    (
        rotate,
        {"vectors": np.ones((3, 2, 4)), "positions": np.ones((2, 2))},
        "positions and batch dimensions of vectors mu",
    ),
    (rotate, {"vectors": np.ones((2, 4)), "positions": [0, np.nan]}, "positions must be finite; got nan"),
    (rotate, {"vectors": [[np.inf, 1.0]], "positions": [0]}, "vectors must be finite; got inf"),
    (
        rotate,
        {"vectors": np.full((1, 2), 65504, "float16"), "positions": [0.8]},
        "vectors must have turns that float16 can hold; got one",
    ),
    (
        rotate,
        {"vectors": np.ones((1, 4)), "positions": [0], "base": 0},
        "base must be a finite number above zero; got 0",
    ),
    (
        rotate,
        {"vectors": np.ones((1, 4)), "positions": [1e300], "base": 1e-300},
        r"positions \* base\^\(-2c / d\) must be finite; got inf",
    ),
    (laplace_value, {"value": [[1.0]], "scores": [0.0, 1.0]}, r"scores must have shape \(..., 1\) to match value; got"),
    (laplace_value, {"value": [1.0], "scores": [0.0]}, r"value must have shape \(..., S, dv\); got \(1,\)"),
    (laplace_value, {"value": np.ones((1, 0)), "scores": [0.0]}, "value must have at least one coordinate, shape"),
    (laplace_value, {"value": [[np.nan]], "scores": [0.0]}, "value must be finite; got nan"),
    (laplace_value, {"value": [[1.0]], "scores": [0.0], "euclidean": 1}, "euclidean must be True or False; got 1"),
    (laplace_value, {"value": [[1.0]], "scores": [0.0], "alpha": math.nan}, "alpha must be a finite number; got nan"),
    (student_t_value, {"value": [[1.0]], "scores": [0.0], "dof": 0}, "dof must be a finite number above zero; got 0"),
    (student_t_value, {"value": [[1.0]], "scores": [0.0], "dof": 1, "kappa": 0}, "kappa must be a finite number above"),
    (
        student_t_value,
        {"value": [[1.0]], "scores": [0.0], "dof": 1, "start": [1.0, 2.0]},
        r"start must have shape \(..., 1\)",
    ),
    (
        student_t_value,
        {"value": [[1.0]], "scores": [0.0], "dof": 1, "start": [np.inf]},
        "start must be finite; got inf",
    ),
    (
        student_t_value,
        {"value": [[1.0], [3.0]], "scores": [0.0, 0.0], "dof": 3, "start": [1e300]},
        "start must be within 1e150 times the largest value",
    ),
    (
        student_t_value,
        {"value": np.ones((2, 1, 1)), "scores": np.zeros((2, 1)), "dof": 1, "start": np.ones((3, 1))},
        r"batch dimensions of value, scores, start must have shapes that broadcast; got \(2,\) and \(3,\)",
    ),
    (
        student_t_value,
        {"value": [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "scores": [1.7e308] * 3, "dof": 1},
        "scores must give a log likelihood that float64 can hold",
    ),
    (
        gaussian_kernel_scores,
        {"query": [[1.0]], "key": [[1.0, 2.0]]},
        r"key must have shape \(..., S, 1\) to match query",
    ),
    (gaussian_kernel_scores, {"query": [[np.nan]], "key": [[1.0]]}, "query must be finite; got nan"),
    (
        gaussian_kernel_scores,
        {"query": [[1e200]], "key": [[-1e200]]},
        "query and key must have scores that float64 can",
    ),
]


@pytest.mark.parametrize("function, arguments, message", ERRORS)
def test_errors_say_what_was_expected_and_what_came(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        function(**arguments)


FEATURE_MAPS = {
    "feature_map must be a function of an array; got 'relu'": "relu",
    r"feature_map must give shape \(3, F\); got \(3,\)": lambda x: x[..., 0],
    "input, feature_map must be arrays of one library; got Tensor and ndarray|"
    "input, feature_map must be arrays of one library; got ndarray and Tensor": lambda x: torch.tensor(x),
    "feature_map must be an array of real numbers; got dtype complex128": lambda x: x * 1j,
    "feature_map must give queries and keys the same number of features; got 3 and 4": lambda x: np.ones(
        (len(x), len(x))
    ),
    "feature_map must give every query a normaliser, .*, that is finite and not negative; got -[14]": lambda x: (
        np.where(np.arange(2) < 1, np.sign(len(x) - 3.5), 0) * np.ones((len(x), 1))
    ),
    "feature_map must give every query a normaliser, .*, that is finite and not negative; got nan": lambda x: (
        x * np.nan
    ),
    "feature_map must give every query a normaliser, .*, that is finite and not negative; got inf": lambda x: (
        x * 0 + 1e300
    ),
}


@pytest.mark.parametrize("message", FEATURE_MAPS)
@pytest.mark.parametrize("causal", [False, True])
def test_a_feature_map_that_gives_no_weights_is_named(message, causal):
    with pytest.raises(ValueError, match=f"^({message})"):
        linear_attention(Q, K, V, feature_map=FEATURE_MAPS[message], causal=causal)


def test_features_may_be_a_list():
    listed = linear_attention(Q, K, V, feature_map=lambda x: positive(x).tolist())
    np.testing.assert_array_equal(listed, linear_attention(Q, K, V, feature_map=positive))


def test_other_errors_of_linear_attention():
    for arguments, message in (
        ({"query": Q[:, :1]}, r"key must have shape \(..., S, 1\) to match query"),
        ({"value": V[:2]}, r"value must have shape \(..., 4, dv\) to match key"),
        ({"key": K * np.nan}, "key must be finite; got nan"),
        ({"mask": [True] * 3}, r"mask must broadcast to \(4,\); got shape \(3,\)"),
        ({"causal": 1}, "causal must be True or False; got 1"),
        ({"value": V * 3e307, "query": Q + 1e3}, "value and feature_map must give weighted sums that float64 can hold"),
    ):
        with pytest.raises(ValueError, match=f"^({message})"):
            linear_attention(**{"query": Q, "key": K, "value": V, "feature_map": positive} | arguments)


def test_a_gradient_that_would_be_lost_is_refused():
    arrays = {"value": torch.tensor(V), "scores": torch.tensor(S), "start": torch.tensor(V[0])}
    for function, names in (
        (laplace_value, ("value", "scores")),
        (functools.partial(student_t_value, dof=3), ("value", "scores", "start")),
    ):
        for name in names:
            given = {key: arrays[key].clone().requires_grad_(key == name) for key in names}
            with pytest.raises(ValueError, match=f"^{name} must not ask for its gradient, which is not given here"):
                function(**given)
