"""The backward pass's promises, against torch's autograd, finite differences, 50 digits and linear algebra."""

import itertools

import mpmath
import numpy as np
import pytest
import torch

from attnlib import softmax
from attnlib.backward import advantage, fisher_information, score_gradient, softmax_jacobian

CASES = [(n, scale) for n in (1, 2, 3, 7, 64) for scale in (1e-3, 1.0, 30.0, 1e3)]  # times 12 draws


def draw(rng, count, scale, batch=()):
    """Weights of random scores at a random temperature, utilities, and the temperature."""
    scores, temperature = scale * rng.normal(size=(*batch, count)), float(rng.uniform(0.2, 5))
    return scores, softmax(scores, temperature=temperature), rng.normal(size=(*batch, count)), temperature


def exact_gradient(scores, utility, temperature):
    """dL/ds to 50 digits, by pairs: w_j sum_i w_i (u_j - u_i) / temperature, where nothing cancels in w."""
    with mpmath.workdps(50):
        s, u = ([mpmath.mpf(float(x)) for x in numbers] for numbers in (scores, utility))
        e = [mpmath.exp((x - max(s)) / mpmath.mpf(temperature)) for x in s]
        w = [x / sum(e) for x in e]
        return np.array(
            [
                float(w[j] * sum(w[i] * (u[j] - u[i]) for i in range(len(w))) / mpmath.mpf(temperature))
                for j in range(len(w))
            ]
        )


@pytest.mark.parametrize("count, scale", CASES)
def test_score_gradient_is_autograds(rng, count, scale):
    for _ in range(12):
        scores, p, utility, temperature = draw(rng, count, scale)
        leaf = torch.tensor(scores, requires_grad=True)
        torch.softmax(leaf / temperature, 0).dot(torch.tensor(utility)).backward()
        gradient = score_gradient(p, utility, temperature=temperature)
        size = np.abs(utility).max() / temperature
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=0, atol=1e-14 * size * max(1, scale / temperature))
        np.testing.assert_allclose(
            gradient, exact_gradient(scores, utility, temperature), rtol=0, atol=1e-13 * size * max(1, scale)
        )
        assert abs(gradient.sum()) <= 1e-14 * size
        assert abs(p @ advantage(p, utility)) <= 1e-14 * np.abs(utility).max()


@pytest.mark.parametrize("count, scale", CASES)
def test_jacobian_is_autograds_and_the_gradient_is_its_product(rng, count, scale):
    scores, p, utility, temperature = draw(rng, count, scale)
    jacobian = softmax_jacobian(p, temperature=temperature)
    wanted = torch.autograd.functional.jacobian(lambda x: torch.softmax(x / temperature, 0), torch.tensor(scores))
    np.testing.assert_allclose(jacobian, wanted.numpy(), rtol=0, atol=1e-14 * max(1, scale) / temperature)
    np.testing.assert_array_equal(jacobian, jacobian.T)
    np.testing.assert_allclose(jacobian.sum(axis=-1), 0, atol=1e-14 / temperature)
    np.testing.assert_allclose(
        jacobian @ utility, score_gradient(p, utility, temperature=temperature), atol=1e-13 / temperature
    )
    eigenvalues = np.linalg.eigvalsh(jacobian)
    assert eigenvalues.min() >= -1e-14 / temperature and eigenvalues.max() <= (1 + 1e-12) / (2 * temperature)
    np.testing.assert_allclose(np.trace(jacobian), (1 - (p**2).sum()) / temperature, atol=1e-14 / temperature)


def test_jacobian_is_that_of_finite_differences(rng):
    for count in (1, 2, 5, 9):
        scores, p, _, temperature = draw(rng, count, 1.0)
        step = 1e-6 * np.eye(count)
        slopes = (
            softmax(scores + step, temperature=temperature) - softmax(scores - step, temperature=temperature)
        ) / 2e-6
        np.testing.assert_allclose(softmax_jacobian(p, temperature=temperature), slopes.T, atol=1e-8)


def test_fisher_is_the_mean_outer_product_and_the_curvature_of_the_divergence(rng):
    for count in (1, 2, 6, 20):
        scores, p, _, temperature = draw(rng, count, 2.0)
        slopes = (np.eye(count) - p) / temperature  # row J: the derivative of log p_J
        information = fisher_information(p, temperature=temperature)
        np.testing.assert_allclose(information, np.einsum("J,Ji,Jj->ij", p, slopes, slopes), atol=1e-13)
        np.testing.assert_allclose(information, softmax_jacobian(p, temperature=temperature) / temperature, rtol=1e-15)
        hessian = torch.autograd.functional.hessian(
            lambda x, t=temperature: t * torch.logsumexp(x / t, 0), torch.tensor(scores)
        )
        np.testing.assert_allclose(information * temperature, hessian.numpy(), atol=1e-13)


def test_the_natural_gradient_is_the_advantage(rng):
    """The pseudo-inverse of the Fisher matrix takes the gradient to temperature * advantage, up to a constant."""
    for count in (2, 5, 9):
        _, p, utility, temperature = draw(rng, count, 1.0)
        natural = np.linalg.pinv(fisher_information(p, temperature=temperature)) @ score_gradient(
            p, utility, temperature=temperature
        )
        gap = natural - temperature * advantage(p, utility)
        np.testing.assert_allclose(gap, gap[0], atol=1e-9)


def test_gradients_of_a_layer_by_query_key_value_and_temperature(rng):
    """The chapter's formulas against autograd through the whole layer."""
    for count, width in itertools.product((1, 2, 5, 16), (1, 3)):
        leaves = [
            torch.tensor(rng.normal(size=size), requires_grad=True) for size in (width, (count, width), (count, 2))
        ]
        temperature = torch.tensor(float(rng.uniform(0.3, 3)), dtype=torch.float64, requires_grad=True)
        query, key, value = leaves
        out = torch.softmax(key @ query / temperature, 0) @ value
        loss = out.sin().sum() + (out**2).sum()
        (g,) = torch.autograd.grad(loss, out, retain_graph=True)
        loss.backward()
        q, k, v, g, t = (
            query.detach().numpy(),
            key.detach().numpy(),
            value.detach().numpy(),
            g.numpy(),
            temperature.item(),
        )
        p = softmax(k @ q, temperature=t)
        by_score = score_gradient(p, v @ g, temperature=t)
        np.testing.assert_allclose(p @ (v @ g), g @ (p @ v), rtol=1e-12, atol=1e-14)  # the baseline is g . o
        for gradient, leaf in ((by_score @ k, query), (np.outer(by_score, q), key), (np.outer(p, g), value)):
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(-by_score @ (k @ q) / t, temperature.grad.item(), atol=1e-12)


FUNCTIONS = {
    "softmax_jacobian": lambda p, u, **o: softmax_jacobian(p, **o),
    "advantage": lambda p, u, **o: advantage(p, u),
    "score_gradient": score_gradient,
    "fisher_information": lambda p, u, **o: fisher_information(p, **o),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_backends_and_dtypes_agree(backend, rng, name):
    _, p, utility, _ = draw(rng, 6, 2.0, batch=(3, 2))
    reference = FUNCTIONS[name](p, utility, temperature=0.5)
    for dtype in backend.dtypes:
        result = FUNCTIONS[name](backend.array(p, dtype), backend.array(utility, dtype), temperature=0.5)
        assert backend.dtype(result) == dtype
        tolerance = {"float64": 1e-15, "float32": 3e-6, "float16": 2e-2, "bfloat16": 2e-1}[dtype]
        np.testing.assert_allclose(backend.numpy(result), reference, atol=tolerance)
    strided = backend.array(np.repeat(p, 2, axis=-1))[..., ::2]
    np.testing.assert_array_equal(
        backend.numpy(FUNCTIONS[name](strided, backend.array(utility), temperature=0.5)),
        backend.numpy(FUNCTIONS[name](backend.array(p), backend.array(utility), temperature=0.5)),
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_torch_differentiates_through_every_function(rng, name):
    scores = torch.tensor(rng.normal(size=5), requires_grad=True)
    use = torch.tensor(rng.normal(size=5), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, u: FUNCTIONS[name](torch.softmax(s / 0.7, -1), u, temperature=0.7), (scores, use)
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(backend, name):
    for p, utility in (
        ([1.0], [7.0]),
        ([1.0, 0.0], [1e300, -1e300]),
        ([0.0, 0.0], [1.0, 2.0]),
        ([0.0, 1.0, 0.0], [1.0, 2.0, 3.0]),
    ):
        result = backend.numpy(FUNCTIONS[name](backend.array(p), backend.array(utility), temperature=1e-200))
        if name != "advantage":
            assert not result.any(), "a sure choice moves no weight, and no row without keys does"
        assert np.isfinite(result).all()
    empty = FUNCTIONS[name](backend.array(np.zeros((2, 0))), backend.array(np.zeros((2, 0))), temperature=1.0)
    assert 0 in tuple(empty.shape)
    np.testing.assert_array_equal(backend.numpy(advantage(backend.array([0.5, 0.5]), backend.array([1e15, 1e15]))), 0)


def test_batches_broadcast(backend, rng):
    p = softmax(rng.normal(size=(4, 1, 5)))
    utility = rng.normal(size=(3, 5))
    gradients = backend.numpy(score_gradient(backend.array(p), backend.array(utility)))
    assert gradients.shape == (4, 3, 5)
    for batch, other in itertools.product(range(4), range(3)):
        np.testing.assert_allclose(gradients[batch, other], score_gradient(p[batch, 0], utility[other]), atol=1e-15)


@pytest.mark.parametrize(
    "p, utility, temperature, message",
    [
        ([0.5, 0.6], [1.0, 2.0], 1.0, r"p must sum to one along axis -1; got a sum of 1\.1"),
        ([1.5, -0.5], [1.0, 2.0], 1.0, r"p must be weights, none of them negative; got -0\.5 among its numbers"),
        ([np.nan, 1.0], [1.0, 2.0], 1.0, "p must be weights, none of them negative; got nan"),
        ([0.5, 0.5], [1.0, np.inf], 1.0, "utility must be finite; got inf"),
        ([0.5, 0.5], [1.0, 2.0, 3.0], 1.0, r"shapes \(\.\.\., n\) of one n; got \(2,\) and \(3,\)"),
        (1.0, 1.0, 1.0, r"shapes \(\.\.\., n\) of one n; got \(\) and \(\)"),
        ([0.5, 0.5], [1.0, 2.0], 0.0, r"temperature must be a finite number above zero; got 0\.0"),
        ([0.5, 0.5], [1.0, 2.0], "hot", "temperature must be a finite number above zero; got 'hot'"),
        ([[0.5, 0.5]] * 2, [[1.0, 2.0]] * 3, 1.0, "batch dimensions of p, utility must have shapes that broadcast"),
        (["a", "b"], [1.0, 2.0], 1.0, "p must be an array of real numbers"),
    ],
)
def test_bad_input_is_named(p, utility, temperature, message):
    with pytest.raises(ValueError, match=message):
        score_gradient(p, utility, temperature=temperature)


@pytest.mark.filterwarnings("error")
def test_what_the_dtype_cannot_hold_is_refused_and_nothing_becomes_nan(backend):
    """0 * inf, from a sure choice and utilities too far apart, is nan; and gradients over a small temperature, inf."""
    half, sure, wild = (backend.array(x) for x in ([0.5, 0.5], [1.0, 0.0], [1.7e308, -1.7e308]))
    for call, names in (
        (lambda: advantage(sure, wild), "utility"),
        (lambda: score_gradient(sure, wild), "utility and temperature"),
        (lambda: score_gradient(half, wild, temperature=0.01), "utility and temperature"),
        (lambda: softmax_jacobian(backend.array([0.5, 0.5], "float16"), temperature=1e-7), "temperature"),
        (lambda: fisher_information(half, temperature=1e-200), "temperature"),
    ):
        with pytest.raises(ValueError, match=rf"^{names} must give numbers that .*float\d\d can hold; got larger ones"):
            call()
    assert not backend.numpy(fisher_information(half, temperature=1e200)).any()


def test_weights_are_checked_in_the_dtype_that_they_came_in(backend):
    thirds = [1 / 3 + 1e-8] * 3
    score_gradient(backend.array(thirds, "float32"), backend.array([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="p must sum to one"):
        score_gradient(backend.array(thirds), backend.array([0.0, 1.0, 2.0]))


def test_bad_weights_are_refused_everywhere():
    for function in (softmax_jacobian, fisher_information):
        with pytest.raises(ValueError, match=r"p must have shape \(\.\.\., n\); got \(\)"):
            function(1.0)
        with pytest.raises(ValueError, match="p must sum to one"):
            function([0.2, 0.2])
        with pytest.raises(ValueError, match="temperature must be a finite number above zero"):
            function([0.5, 0.5], temperature=-1)
