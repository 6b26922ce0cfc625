"""What the softmax tells the backward pass: its Jacobian, each key's advantage, and the geometry of the scores.

Throughout, p = softmax(s / temperature), and `utility` is the derivative of the loss by each weight, u_j = dL/dp_j. For
an attention layer with the gradient g = dL/do that is u_j = g . v_j.
"""

from typing import Any

from array_api_compat import device

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    floats,
    own_arithmetic,
    require_finite,
    require_temperature,
    require_weights,
    wide,
)

__all__ = ["advantage", "fisher_information", "score_gradient", "softmax_jacobian"]


@own_arithmetic
def softmax_jacobian(p: ArrayLike, *, temperature: float = 1.0) -> Array:
    """Give the derivatives of every softmax weight by every score, (diag(p) - p p') / temperature.

    Parameters
    ----------
    p : array (..., n), real
        Softmax weights: none negative, with the sum 1. A row of zeros attends nowhere.
    temperature : float
        Finite, above zero: the one that made the weights.

    Returns
    -------
    array (..., n, n)
        Symmetric and positive semidefinite; every row sums to zero, since adding a number to all scores changes no
        weight. No eigenvalue exceeds 1 / (2 temperature).

    Raises
    ------
    ValueError
        If p holds no weights, or the temperature is not above zero, or so low that the dtype cannot hold the result.

    Examples
    --------
    1/2 - 1/4 = 1/4 on the diagonal, -1/2 * 1/2 = -1/4 beside it:

    >>> softmax_jacobian([0.5, 0.5])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])

    References
    ----------
    Litman (2025), from the derivative of its one-sided transport plan.
    """
    xp, dtype, temperature, covariance = _covariance(p, temperature)
    return _held(xp, "temperature", covariance / temperature, dtype)


@own_arithmetic
def advantage(p: ArrayLike, utility: ArrayLike) -> Array:
    """Give how far each key's utility is from the mean utility under the weights, u_j - sum_i p_i u_i.

    Parameters
    ----------
    p : array (..., n), real
        Weights: none negative, with the sum 1. A row of zeros attends nowhere.
    utility : array (..., n), real, finite
        dL/dp_j. Batch shapes of both broadcast.

    Returns
    -------
    array (..., n)
        Its mean under the weights is zero. Adding a number to all utilities changes nothing.

    Raises
    ------
    ValueError
        If p holds no weights, a utility is not finite, shapes do not match, or the dtype cannot hold the result.

    Examples
    --------
    The mean is 0.75 * 4 + 0.25 * 0 = 3:

    >>> advantage([0.75, 0.25], [4.0, 0.0])
    array([ 1., -3.])

    References
    ----------
    Litman (2025). For an attention layer the mean is g . o, the rows' statistic of FlashAttention's backward pass (Dao
    et al. 2022).
    """
    xp, dtype, p, utility = _weighted(p, utility)
    return _held(xp, "utility", _advantage(xp, p, utility), dtype)


@own_arithmetic
def score_gradient(p: ArrayLike, utility: ArrayLike, *, temperature: float = 1.0) -> Array:
    """Give the derivative of the loss by every score, p_j * advantage_j / temperature.

    Parameters
    ----------
    p, utility
        As for `advantage`.
    temperature : float
        Finite, above zero: the one that made the weights.

    Returns
    -------
    array (..., n)
        Sums to zero. It is `softmax_jacobian(p) @ utility` in n steps and not in n^2.

    Raises
    ------
    ValueError
        As `advantage`, or if the temperature is not above zero.

    Examples
    --------
    0.75 * 1 / 2 = 0.375 and 0.25 * -3 / 2 = -0.375:

    >>> score_gradient([0.75, 0.25], [4.0, 0.0], temperature=2)
    array([ 0.375, -0.375])

    References
    ----------
    Litman (2025), which calls it an advantage-based policy gradient.
    """
    xp, dtype, p, utility = _weighted(p, utility)
    temperature = require_temperature(xp, p.dtype, temperature)
    return _held(xp, "utility and temperature", p * _advantage(xp, p, utility) / temperature, dtype)


@own_arithmetic
def fisher_information(p: ArrayLike, *, temperature: float = 1.0) -> Array:
    """Give the Fisher information matrix of the scores, if one key is drawn by the weights.

    Parameters
    ----------
    p, temperature
        As for `softmax_jacobian`.

    Returns
    -------
    array (..., n, n)
        (diag(p) - p p') / temperature^2: the mean, under p, of the outer product of the derivative of log p_J by the
        scores. It is the softmax's Jacobian over the temperature, and 1 / temperature times the Hessian of
        temperature * log(sum(exp(s / temperature))).

    Raises
    ------
    ValueError
        As `softmax_jacobian`.

    Examples
    --------
    (1/2 - 1/4) / 2^2 = 0.0625:

    >>> fisher_information([0.5, 0.5], temperature=2)
    array([[ 0.0625, -0.0625],
           [-0.0625,  0.0625]])

    References
    ----------
    Litman (2025); Amari (1998).
    """
    xp, dtype, temperature, covariance = _covariance(p, temperature)
    return _held(xp, "temperature", covariance / temperature / temperature, dtype)


def _weighted(p: ArrayLike, utility: ArrayLike) -> tuple[Any, Any, Array, Array]:
    """Return namespace, dtype, and both arguments checked, in a dtype that can be summed in."""
    xp, dtype, (weights, use) = floats(p=p, utility=utility)
    if weights.ndim < 1 or use.ndim < 1 or weights.shape[-1] != use.shape[-1]:
        raise ValueError(
            f"p and utility must have shapes (..., n) of one n; got {tuple(weights.shape)} and {tuple(use.shape)}"
        )
    broadcast("batch dimensions of p, utility", tuple(weights.shape[:-1]), tuple(use.shape[:-1]))
    weights = require_weights(xp, weights, p, nowhere=True)
    require_finite(xp, utility=use)
    return xp, dtype, weights, cast(xp, use, wide(xp, dtype))


def _covariance(p: ArrayLike, temperature: float) -> tuple[Any, Any, float, Array]:
    """Return namespace, dtype, the temperature, and diag(p) - p p' in a dtype that can be summed in."""
    xp, dtype, (weights,) = floats(p=p)
    temperature = require_temperature(xp, wide(xp, dtype), temperature)
    if weights.ndim < 1:
        raise ValueError(f"p must have shape (..., n); got {tuple(weights.shape)}")
    weights = require_weights(xp, weights, p, nowhere=True)
    diagonal = xp.eye(weights.shape[-1], dtype=weights.dtype, device=device(weights)) * weights[..., None, :]
    return xp, dtype, temperature, diagonal - weights[..., :, None] * weights[..., None, :]


def _held(xp: Any, names: str, result: Array, dtype: Any) -> Array:
    """Return the result in the dtype, once it is known to be finite there."""
    result = cast(xp, result, dtype)
    if not xp.all(xp.isfinite(result)):
        raise ValueError(f"{names} must give numbers that {dtype} can hold; got larger ones")
    return result


def _advantage(xp: Any, p: Array, utility: Array) -> Array:
    return utility - xp.sum(p * utility, axis=-1, keepdims=True)
