"""The cheapest plan's promises, against SciPy's optimisers, POT, 50-digit arithmetic, and the identity of its cost."""

import math
import warnings

import mpmath
import numpy as np
import ot
import pytest
import scipy.optimize
import scipy.special
import torch

from attnlib import softmax
from attnlib.maxent import entropy, kl_divergence
from attnlib.transport import objective, plan, sinkhorn

NAN, INF = math.nan, math.inf


def plain(backend, result):
    """Return NumPy's view of a result; a single number of NumPy comes as a scalar."""
    return np.asarray(result) if backend.name == "numpy" else backend.numpy(result)


def cases(count, seed=0):
    """Random problems: 1 to 64 scores of sizes from 1e-3 to 1e3, a temperature, a prior with some zeros, plans."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.integers(1, 65))
        scores = rng.normal(size=n) * 10 ** rng.uniform(-3, 3)
        prior = rng.dirichlet(np.ones(n)) * (rng.uniform(size=n) > 0.2)
        prior = prior / prior.sum() if prior.sum() else np.eye(n)[0]
        yield scores, 10 ** rng.uniform(-2, 2), prior, rng.dirichlet(np.full(n, 0.5), size=4)


def exact_plan(scores, temperature, prior):
    """Return the plan to 50 digits, from the definition with its plain exponentials."""
    with mpmath.workdps(50):
        terms = [
            mpmath.mpf(float(b)) * mpmath.exp(mpmath.mpf(float(s)) / temperature)
            for s, b in zip(scores, prior, strict=True)
        ]
        return np.array([float(t / sum(terms)) for t in terms])


def exact_sinkhorn(scores, row_mass, column_mass, temperature):
    """Return the two-sided plan of POT, run to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ot.sinkhorn(
            row_mass, column_mass, -scores, temperature, method="sinkhorn_log", numItermax=50_000, stopThr=1e-13
        )


# -- the one-sided problem -------------------------------------------------------------------------------------------


def test_cost_is_the_least_cost_plus_temperature_times_divergence(backend):
    for scores, temperature, _, plans in cases(200):
        p = backend.array(np.concatenate([plans, np.eye(scores.size)[:3]]))
        best = plan(backend.array(scores), temperature=temperature)
        cost = plain(backend, objective(p, backend.array(scores), temperature=temperature))
        least = -temperature * scipy.special.logsumexp(scores / temperature)
        # log w from its definition: the weights themselves may be too small for a float
        log_w = (scores + least) / temperature
        apart = scipy.special.xlogy(p := plain(backend, p), p).sum(-1) - p @ log_w
        size = np.abs(scores).max() + temperature
        np.testing.assert_allclose(cost, least + temperature * apart, rtol=0, atol=1e-13 * size * 10)
        assert (cost >= least - 1e-12 * size).all()
        objective_value = float(objective(best, backend.array(scores), temperature=temperature))
        np.testing.assert_allclose(objective_value, least, rtol=0, atol=1e-12 * size)


def test_with_a_prior_the_same(backend):
    for scores, temperature, prior, plans in cases(200, seed=1):
        held = prior > 0
        plans = plans * held + 1e-9 * prior
        plans /= plans.sum(axis=1, keepdims=True)
        s, pi = backend.array(scores), backend.array(prior)
        w = plain(backend, plan(s, temperature=temperature, prior=pi))
        assert (w[~held] == 0).all() and w.sum() == pytest.approx(1, abs=1e-12)
        least = -temperature * scipy.special.logsumexp(scores / temperature, b=prior)
        cost = plain(backend, objective(backend.array(plans), s, temperature=temperature, prior=pi))
        size = np.abs(scores).max() + 30 * temperature
        assert (cost >= least - 1e-12 * size).all()
        objective_value = float(objective(backend.array(w), s, temperature=temperature, prior=pi))
        np.testing.assert_allclose(objective_value, least, rtol=0, atol=1e-12 * size)


def test_plan_is_the_softmax_and_ignores_a_uniform_prior(backend):
    for scores, temperature, _, plans in cases(50, seed=2):
        s, n = backend.array(scores), scores.size
        expected = plain(backend, softmax(s, temperature=temperature))
        uniform = backend.array(np.full(n, 1 / n))
        np.testing.assert_array_equal(plain(backend, plan(s, temperature=temperature)), expected)
        weights = plan(s, temperature=temperature, prior=uniform)
        np.testing.assert_allclose(plain(backend, weights), expected, rtol=1e-11, atol=1e-300)
        p = backend.array(plans)
        shift = objective(p, s, temperature=temperature, prior=uniform) - objective(p, s, temperature=temperature)
        size = np.abs(scores).max() + temperature
        np.testing.assert_allclose(plain(backend, shift), temperature * math.log(n), rtol=0, atol=1e-13 * 10 * size)


def test_an_optimiser_finds_the_plan():
    for scores, temperature, prior, _ in cases(30, seed=3):
        scores, prior = scores[:6] / max(1, np.abs(scores[:6]).max()), prior[:6] + 0.05
        prior, temperature = prior / prior.sum(), max(temperature, 0.1)
        optimum = scipy.optimize.minimize(
            lambda p, b=prior, t=temperature, s=scores: (t * p * np.log(p / b)).sum() - p @ s,
            np.full(scores.size, 1 / scores.size),
            method="SLSQP",
            bounds=[(1e-12, 1)] * scores.size,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(optimum.x, plan(scores, temperature=temperature, prior=prior), atol=2e-5)


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_plan_to_fifty_digits(backend, rng, magnitude, temperature):
    scores, prior = magnitude * rng.normal(size=8), rng.dirichlet(np.full(8, 0.2))
    weights = plan(backend.array(scores), temperature=temperature, prior=backend.array(prior))
    expected = exact_plan(scores, temperature, prior)
    tolerance = 10 * np.finfo(float).eps * (1 + magnitude / temperature)
    np.testing.assert_allclose(plain(backend, weights), expected, rtol=tolerance, atol=1e-300)


@pytest.mark.filterwarnings("error")
def test_scores_of_a_million_do_not_drown_the_prior(backend):
    s, prior = backend.array([1e6, 1e6, -1e6]), backend.array([0.75, 0.25, 0.0])
    weights = plan(s, temperature=1e-3, prior=prior)
    np.testing.assert_allclose(plain(backend, weights), [0.75, 0.25, 0], rtol=1e-15)
    cost = float(objective(weights, s, temperature=1e-3, prior=prior))
    assert cost == pytest.approx(-1e6, abs=1e-9)
    top = plan(backend.array([1e6, 5.0]), prior=backend.array([0.0, 1.0]))
    assert plain(backend, top).tolist() == [0, 1]


def test_limits_in_the_temperature(backend):
    s = backend.array([2.0, 2.0, 1.0])
    np.testing.assert_allclose(plain(backend, plan(s, temperature=1e-6)), [0.5, 0.5, 0], atol=1e-300)
    np.testing.assert_allclose(plain(backend, plan(s, temperature=1e9)), [1 / 3] * 3, rtol=1e-8)
    cold = float(objective(plan(s, temperature=0.01), s, temperature=0.01))
    assert cold == pytest.approx(-2 - 0.01 * math.log(2), abs=1e-12)


def test_masked_keys_and_zeros_of_the_plan(backend):
    s = backend.array([1.0, -INF, 0.0])
    p = backend.array([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    cost = plain(backend, objective(p, s))
    np.testing.assert_allclose(cost, [-0.5 - math.log(2), INF, 0.0])
    prior = backend.array([0.5, 0.5, 0.0])
    cost = plain(backend, objective(p, backend.array([0.0] * 3), prior=prior))
    assert cost[0] == INF and cost[2] == INF and cost[1] == 0
    assert plain(backend, plan(s)).tolist()[1] == 0
    assert plain(backend, plan(backend.array([-INF, -INF]))).tolist() == [0, 0]
    assert plain(backend, plan(backend.array([-INF, 0.0]), prior=backend.array([1.0, 0.0]))).tolist() == [0, 0]


def test_batches_views_and_sixteen_bits(backend, rng):
    s, prior = rng.normal(size=(2, 3, 4)), rng.dirichlet(np.ones(4), size=3)
    weights = plan(backend.array(s), prior=backend.array(prior))
    np.testing.assert_allclose(plain(backend, weights)[1, 2], plan(s[1, 2], prior=prior[2]), rtol=1e-14)
    cost = plain(backend, objective(weights, backend.array(s[0]), prior=backend.array(prior)))
    assert cost.shape == (2, 3)
    view = backend.array(s)[:, ::2].swapaxes(0, 1)
    copy = backend.array(np.swapaxes(s[:, ::2], 0, 1).copy())
    np.testing.assert_array_equal(plain(backend, plan(view)), plain(backend, plan(copy)))
    for dtype in backend.dtypes:
        low, even = backend.array([6e4, 6e4, 0.0], dtype), backend.array([0.5, 0.25, 0.25], dtype)
        weights = plan(low, temperature=0.5, prior=even)
        assert backend.dtype(weights) == dtype == backend.dtype(objective(weights, low, temperature=0.5))
        np.testing.assert_allclose(np.float64(plain(backend, weights)), [2 / 3, 1 / 3, 0], atol=4e-3)


@pytest.mark.filterwarnings("error")
def test_plans_in_a_coarser_dtype_and_costs_that_it_cannot_hold(backend):
    for dtype in backend.dtypes:
        thirds = backend.array([1 / 3] * 3, dtype)
        cost = objective(thirds, backend.array([0.0] * 3), prior=thirds)
        assert abs(float(cost)) < 1e-2 and backend.dtype(cost) == "float64"
        assert float(plan(backend.array([0.0] * 3), prior=thirds)[0]) == pytest.approx(1 / 3)
    assert float(objective(backend.array([0.5, 0.5], "float16"), [0, 0], temperature=1e6)) == -INF


def test_gradients(rng):
    s = torch.tensor(rng.normal(size=(2, 5)), requires_grad=True)
    prior = torch.tensor(rng.dirichlet(np.ones(5)), requires_grad=True)
    normal = lambda x: x / x.sum(-1, keepdim=True)  # noqa: E731
    assert torch.autograd.gradcheck(lambda s, q: plan(s, temperature=0.7, prior=normal(q)), (s, prior))
    p = torch.tensor(rng.dirichlet(np.ones(5)), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p, s, q: objective(normal(p), s, temperature=0.7, prior=normal(q)), (p, s, prior)
    )
    # the slope of the least cost is minus the weights: at the minimum, the weights' own change does not count
    least = objective(plan(s, temperature=0.7), s, temperature=0.7).sum()
    (slope,) = torch.autograd.grad(least, s)
    torch.testing.assert_close(slope, -plan(s, temperature=0.7).detach(), rtol=1e-10, atol=1e-12)


# -- two marginals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1e-2, 1e-1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 4), (3, 3), (7, 5), (12, 16)])
def test_sinkhorn_agrees_with_pot(backend, temperature, shape):
    rng = np.random.default_rng(shape[0])
    scores = rng.normal(size=shape)
    row_mass, column_mass = (rng.dirichlet(np.full(size, 2.0)) for size in shape)
    solution = sinkhorn(*map(backend.array, (scores, row_mass, column_mass)), temperature=temperature, tolerance=1e-12)
    expected = exact_sinkhorn(scores, row_mass, column_mass, temperature)
    assert bool(solution.converged) and float(solution.error) <= 1e-12 and solution.iterations <= 100
    np.testing.assert_allclose(plain(backend, solution.plan), expected, rtol=0, atol=1e-8)


def test_sinkhorn_keeps_its_promises(backend):
    rng = np.random.default_rng(5)
    for _ in range(200):
        shape, temperature = rng.integers(1, 17, size=2), 10 ** rng.uniform(-2, 2)
        scores = rng.normal(size=shape) * 10 ** rng.uniform(-3, 1.5)
        row_mass, column_mass = (rng.dirichlet(np.ones(size)) * 7 for size in shape)
        solution = sinkhorn(*map(backend.array, (scores, row_mass, column_mass)), temperature=temperature)
        p, f, g = (plain(backend, x) for x in solution[:3])
        assert bool(solution.converged), (shape, temperature)
        off = np.abs(p.sum(1) - row_mass).sum() + np.abs(p.sum(0) - column_mass).sum()
        np.testing.assert_allclose(float(solution.error), off / 7, rtol=0, atol=1e-14)
        assert off <= 7e-9 and (p >= 0).all()
        # every row is a softmax with one bias a key, and the potentials say all
        rows = row_mass[:, None] * softmax(scores + g, temperature=temperature)
        np.testing.assert_allclose(p, rows, rtol=0, atol=1e-12)
        whole = np.exp((scores + f[:, None] + g) / temperature)
        np.testing.assert_allclose(p, whole, rtol=1e-9 + 1e-13 / temperature * np.abs(scores).max(), atol=1e-300)


@pytest.mark.parametrize("temperature", [1e-2, 3e-2, 0.1])
def test_sinkhorn_with_equal_masses_where_scaling_alone_takes_forever(backend, temperature):
    rng = np.random.default_rng(0)
    for size in (3, 5, 16, 64):
        mass = backend.array(np.full(size, 1 / size))
        scores = rng.normal(size=(size, size))
        solution = sinkhorn(backend.array(scores), mass, mass, temperature=temperature)
        assert bool(solution.converged) and solution.iterations < 300
        # as cheap as the best assignment, up to the entropy
        best = scores[scipy.optimize.linear_sum_assignment(-scores)].mean()
        gain = (plain(backend, solution.plan) * scores).sum()
        assert best - 2 * temperature * math.log(size) <= gain <= best + 1e-8 * np.abs(scores).max()


def test_the_first_half_step_is_the_softmax_and_one_query_has_no_choice(backend, rng):
    scores, column_mass = rng.normal(size=(4, 6)), rng.dirichlet(np.ones(6))
    given = [backend.array(x) for x in (scores, np.full(4, 0.25), column_mass)]
    half = sinkhorn(*given, temperature=0.3, max_iterations=0)
    np.testing.assert_allclose(plain(backend, half.plan), softmax(scores, temperature=0.3) / 4, rtol=1e-13)
    assert half.iterations == 0 and not bool(half.converged)
    alone = sinkhorn(backend.array(scores[:1]), backend.array([1.0]), given[2], temperature=0.3)
    np.testing.assert_allclose(plain(backend, alone.plan)[0], column_mass, rtol=1e-12)


def test_two_by_two_in_closed_form(backend, rng):
    for _ in range(20):
        s, t = rng.normal(size=(2, 2)), 10 ** rng.uniform(-1, 2)
        half = backend.array([0.5, 0.5])
        coupling = plain(backend, sinkhorn(backend.array(s), half, half, temperature=t, tolerance=1e-13).plan)
        expected = scipy.special.expit((s[0, 0] + s[1, 1] - s[0, 1] - s[1, 0]) / (2 * t)) / 2
        np.testing.assert_allclose(coupling[0, 0], expected, rtol=0, atol=1e-12)


def test_sinkhorn_is_the_cheapest_with_its_sums(rng):
    for _ in range(20):
        s = rng.normal(size=(4, 5))
        a, b = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(5))
        p = sinkhorn(s, a, b, temperature=0.5, tolerance=1e-12).plan
        cost = lambda p, s=s: -(p * s).sum() - 0.5 * float(entropy(p.ravel()))  # noqa: E731
        for _ in range(20):
            (i, k), (j, m) = rng.choice(4, 2, replace=False), rng.choice(5, 2, replace=False)
            turn = np.zeros((4, 5))
            turn[i, j] = turn[k, m] = 1
            turn[i, m] = turn[k, j] = -1
            assert cost(p + 0.5 * min(p[i, m], p[k, j]) * turn) > cost(p)


def test_forbidden_pairs_zero_masses_and_what_cannot_be(backend, rng):
    s = np.where(np.tri(4, dtype=bool), rng.normal(size=(4, 4)), -INF)
    ones = np.ones(4)
    solution = sinkhorn(*map(backend.array, (s, ones, ones)))
    np.testing.assert_allclose(plain(backend, solution.plan), np.eye(4), atol=1e-7)  # causal: no other plan
    solution = sinkhorn(*map(backend.array, (s, [1.0, 0, 1, 1], [2.0, 0.5, 0.5, 0])))
    p = plain(backend, solution.plan)
    assert bool(solution.converged) and (p[1] == 0).all() and (p[:, 3] == 0).all() and (p[np.isinf(s)] == 0).all()
    np.testing.assert_allclose(p.sum(0), [2, 0.5, 0.5, 0], atol=1e-8)
    for masses in (([1.0, 1, 1, 1], [0.5, 1, 1, 1.5]), ([2.0, 0, 0, 0], [1.0, 1, 0, 0])):
        solution = sinkhorn(*map(backend.array, (s, *masses)), max_iterations=200)
        assert not bool(solution.converged) and float(solution.error) > 1e-3 and solution.iterations == 200
        assert np.isfinite(plain(backend, solution.plan)).all()


def test_sinkhorn_batches_dtypes_and_nothing_at_all(backend, rng):
    s, b = rng.normal(size=(2, 3, 4, 5)), rng.dirichlet(np.ones(5), size=(3,))
    solution = sinkhorn(backend.array(s), backend.array(np.full(4, 0.25)), backend.array(b), temperature=0.2)
    assert plain(backend, solution.converged).all() and solution.error.shape == (2, 3)
    single = sinkhorn(s[1, 2], np.full(4, 0.25), b[2], temperature=0.2)
    np.testing.assert_allclose(plain(backend, solution.plan)[1, 2], single.plan, atol=1e-8)
    for dtype in backend.dtypes:
        low = sinkhorn(backend.array(s[0, 0], dtype), *(backend.array([1 / k] * k, dtype) for k in (4, 5)))
        assert backend.dtype(low.plan) == dtype and bool(low.converged)
        assert np.abs(np.float64(plain(backend, low.plan)).sum(0) - 0.2).max() < 5e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = sinkhorn(backend.array(np.zeros((2, 0))), backend.array([0.0, 0.0]), backend.array(np.zeros(0)))
        shut = sinkhorn(backend.array([[1.0, 0.0], [-INF, -INF]]), *(backend.array(x) for x in ([1.0, 0], [0.5, 0.5])))
    assert none.plan.shape == (2, 0) and bool(none.converged) and bool(shut.converged)
    assert plain(backend, shut.row_potential)[1] == -INF
    empty = sinkhorn(backend.array(np.zeros((0, 3))), backend.array(np.zeros(0)), backend.array(np.zeros(3)))
    assert empty.plan.shape == (0, 3) and bool(empty.converged)
    nothing = sinkhorn(backend.array(np.ones((2, 2))), backend.array([0.0, 0.0]), backend.array([0.0, 0.0]))
    assert plain(backend, nothing.plan).tolist() == [[0, 0], [0, 0]] and bool(nothing.converged)


@pytest.mark.filterwarnings("error")
def test_sinkhorn_with_scores_of_a_million(backend):
    s = backend.array([[1e6, -1e6, 0.0], [1e6, 3.0, 2.0], [0.0, 0.0, -1e6]])
    mass = backend.array([1.0, 1.0, 1.0])
    solution = sinkhorn(s, mass, mass, max_iterations=50)
    assert np.isfinite(plain(backend, solution.plan)).all() and solution.plan.shape == (3, 3)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: plan(a([NAN])), "scores must be finite or -inf; got nan among its numbers"),
        (lambda a: plan(a([1.0]), temperature=0), "temperature must be a finite number above zero; got 0"),
        (lambda a: plan(a([1.0, 2.0]), prior=a([0.5, 0.6])), "prior must sum to one along axis"),
        (lambda a: plan(a([1.0, 2.0]), prior=a([1.5, -0.5])), "prior must be weights, none of them negative; got -0.5"),
        (lambda a: plan(a([1.0, 2.0]), prior=a([1.0])), "one number of keys; got (2,), (1,)"),
        (lambda a: plan(a([1.0]), prior=a([1.0]), temperature=1e-320), "temperature must be a finite number above"),
        (lambda a: objective(a([0.5, 0.4]), a([1.0, 2.0])), "plan must sum to one along axis"),
        (lambda a: objective(a([1.0]), a([INF])), "scores must be finite or -inf; got inf"),
        (
            lambda a: objective(a(1.0), a([1.0])),
            "plan, scores must have shapes (..., n) with one number of keys; got ()",
        ),
        (lambda a: objective(a([[1.0]] * 2), a([[1.0]] * 3)), "plan, scores must have shapes that broadcast"),
        (lambda a: objective(a([1.0]), a([1.0]), temperature=-1), "temperature must be a finite number above zero"),
        (lambda a: sinkhorn(a([1.0]), a([1.0]), a([1.0])), "scores must have shape (..., rows, columns); got (1,)"),
        (lambda a: sinkhorn(a([[NAN]]), a([1.0]), a([1.0])), "scores must be finite or -inf; got nan"),
        (lambda a: sinkhorn(a([[1.0]]), a([1.0, 2.0]), a([1.0])), "row_mass must have shape (..., 1) to match scores"),
        (
            lambda a: sinkhorn(a([[1.0]]), a([1.0]), a(1.0)),
            "column_mass must have shape (..., 1) to match scores; got ()",
        ),
        (
            lambda a: sinkhorn(a([[1.0]]), a([1.0]), a([2.0])),
            "row_mass and column_mass must have equal totals; got 1 and 2",
        ),
        (lambda a: sinkhorn(a([[1.0]]), a([-1.0]), a([-1.0])), "row_mass must not be negative; got -1"),
        (lambda a: sinkhorn(a([[1.0]]), a([INF]), a([1.0])), "row_mass must be finite; got inf"),
        (
            lambda a: sinkhorn(a([[1.0]]), a([1.0]), a([1.0]), tolerance=0),
            "tolerance must be a finite number above zero",
        ),
        (lambda a: sinkhorn(a([[1.0]]), a([1.0]), a([1.0]), temperature=NAN), "temperature must be a finite number"),
        (
            lambda a: sinkhorn(a([[1.0]]), a([1.0]), a([1.0]), max_iterations=-1),
            "max_iterations must be a whole number of at least 0; got -1",
        ),
        (
            lambda a: sinkhorn(a([[1.0]]), a([1.0]), a([1.0]), max_iterations=2.5),
            "max_iterations must be a whole number",
        ),
        (
            lambda a: sinkhorn(a([[[1.0]]] * 2), a([[1.0]] * 3), a([1.0])),
            "scores, row_mass, column_mass must have shapes that broadcast",
        ),
    ],
)
def test_refused(backend, call, message):
    with pytest.raises(ValueError) as caught:
        call(backend.array)
    assert message in str(caught.value)


def test_sinkhorn_refuses_gradients_that_it_does_not_carry():
    s = torch.zeros(2, 2, requires_grad=True)
    with pytest.raises(ValueError, match=r"scores must not ask for its gradient.* detach it"):
        sinkhorn(s, torch.ones(2), torch.ones(2))
    assert sinkhorn(s.detach(), torch.ones(2), torch.ones(2)).converged


def test_kl_divergence_of_the_plan_is_the_excess():
    s, p = np.array([2.0, 1.0, 0.0]), np.array([0.2, 0.5, 0.3])
    excess = objective(p, s, temperature=2.0) - objective(plan(s, temperature=2.0), s, temperature=2.0)
    assert excess == pytest.approx(2.0 * kl_divergence(p, plan(s, temperature=2.0)), abs=1e-14)
