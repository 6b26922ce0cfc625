"""Values as noisy readings of one answer: v_ic ~ N(mean_c, 1 / (kappa * exp(alpha * s_i))), all independent.

The exponential precision is put in; what comes out is that the best answer is the softmax-weighted average of the
values, and how sure it is. A score of -inf marks a key that is not read: it counts in nothing.

Precisions are kept as logarithms, which hold what their exponentials cannot. For 16-bit inputs, logarithms and kappa
are float32, since a rounding step of float16 near 10 000 is 8, and a logarithm that is off by 8 is a weight off by a
factor of 3000; means and variances have the inputs' dtype, as everywhere.
"""

import math
from typing import Any, NamedTuple

from array_api_compat import device

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    common_real,
    floats,
    number,
    own_arithmetic,
    require_finite,
    require_scores,
    weigh,
    wide,
)

__all__ = ["Estimate", "estimate", "fit_kappa", "log_likelihood", "log_precision", "pool", "variance"]


class Estimate(NamedTuple):
    """What a set of readings says: a mean of shape (..., dv), and the log of its precision, of shape (...).

    The precision is that of each coordinate. -inf says nothing is known; the mean then has no say in `pool`.
    """

    mean: Array
    log_precision: Array


@own_arithmetic
def log_precision(scores: ArrayLike, *, alpha: float = 1.0, kappa: float = 1.0) -> Array:
    """Give the logarithm of the precision that the model assumes, log(kappa) + alpha * scores.

    Parameters
    ----------
    scores : array, any shape, real
        Finite, or -inf for a key that is not read (then alpha must be above zero).
    alpha : float
        Finite; the inverse temperature. Negative values trust low scores more.
    kappa : float
        Finite, above zero; a precision common to all keys.

    Returns
    -------
    array, shape of `scores`
        Adding 1 to a score adds alpha to its log precision, whatever the score.

    Raises
    ------
    ValueError
        If a score is NaN or +inf, a parameter is outside its range, or alpha * scores outruns the dtype.

    Examples
    --------
    log(1) + 2 * 3 = 6 and log(1) + 2 * 500000 = 1000000, whose exponential no float holds:

    >>> log_precision([3.0, 500000.0], alpha=2)
    array([6.e+00, 1.e+06])

    References
    ----------
    Ma (2025), Eq. 3 and Eq. 12, which assume it; our kappa is the paper's beta.
    """
    xp, dtype, (scores,) = floats(scores=scores)
    return _log_precision(xp, cast(xp, scores, wide(xp, dtype)), alpha, kappa)


@own_arithmetic
def variance(scores: ArrayLike, *, alpha: float = 1.0, kappa: float = 1.0) -> Array:
    """Give the variance that the model assumes for a reading, exp(-alpha * scores) / kappa.

    Parameters
    ----------
    scores, alpha, kappa
        As for `log_precision`.

    Returns
    -------
    array, shape of `scores`
        The reciprocal of the precision: above zero, falling in the score for alpha > 0. Where the dtype cannot hold
        it, 0 or inf; `log_precision` holds it still.

    Raises
    ------
    ValueError
        As `log_precision`.

    Examples
    --------
    exp(-1 * 0) / 4 = 0.25 and exp(-1 * log 2) / 4 = 0.125:

    >>> import numpy
    >>> variance(numpy.log([1, 2]), kappa=4).round(6)
    array([0.25 , 0.125])

    References
    ----------
    Ma (2025), Eq. 12, solved for the variance.
    """
    xp, dtype, (scores,) = floats(scores=scores)
    return cast(xp, xp.exp(-_log_precision(xp, cast(xp, scores, wide(xp, dtype)), alpha, kappa)), dtype)


@own_arithmetic
def log_likelihood(
    mean: ArrayLike, value: ArrayLike, scores: ArrayLike, *, alpha: float = 1.0, kappa: float = 1.0
) -> Array:
    """Give the log density of all readings, if `mean` were the answer.

    L = sum_i sum_c (log(kappa * theta_i / (2 pi)) - kappa * theta_i * (mean_c - value_ic)^2) / 2,
    theta_i = exp(alpha * scores_i).

    Parameters
    ----------
    mean : array (..., dv), real, finite
    value : array (..., S, dv), real, finite
    scores : array (..., S)
        Finite, or -inf for a key that is not read.
    alpha, kappa : float
        As for `log_precision`.

    Returns
    -------
    array (...)
        Strictly concave in each coordinate of the mean, with second derivative -kappa * sum_i theta_i, and largest at
        `estimate(value, scores, ...).mean`. -inf where the dtype cannot hold it.

    Raises
    ------
    ValueError
        If shapes do not match, or an argument is outside its range.

    Examples
    --------
    Two readings, 1 and -1, of precision 1 each: (2 log(1 / (2 pi)) - 1^2 - 1^2) / 2 = -1.837877 - 1.

    >>> print(f"{log_likelihood([0.0], [[1.0], [-1.0]], [0.0, 0.0]):.6f}")
    -2.837877

    References
    ----------
    Ma (2025), Eq. 2-5 and appendix A.
    """
    xp, dtype, (mean, value, scores) = floats(mean=mean, value=value, scores=scores)
    value, logs = readings(xp, dtype, value, scores, alpha, kappa)
    if mean.ndim < 1 or mean.shape[-1] != value.shape[-1]:
        raise ValueError(f"mean must have shape (..., {value.shape[-1]}) to match value; got {tuple(mean.shape)}")
    broadcast("batch dimensions of mean, value", tuple(mean.shape[:-1]), tuple(logs.shape[:-1]))
    require_finite(xp, mean=mean)
    read = (logs > -math.inf)[..., None]
    logs = xp.where(read, logs[..., None], 0.0)
    # In logarithms, since the product of a precision of inf and a residual of 0 is nan.
    squares = xp.exp(logs + _log_square(xp, value - cast(xp, mean, value.dtype)[..., None, :]))
    return xp.sum(xp.where(read, logs - math.log(2 * math.pi) - squares, 0.0), axis=(-2, -1)) / 2


@own_arithmetic
def estimate(value: ArrayLike, scores: ArrayLike, *, alpha: float = 1.0, kappa: float = 1.0) -> Estimate:
    """Find the answer under which the readings are likeliest: the mean that maximises `log_likelihood`.

    Parameters
    ----------
    value : array (..., S, dv), real, finite
        S may be 0.
    scores : array (..., S)
        Finite, or -inf for a key that is not read.
    alpha, kappa : float
        As for `log_precision`.

    Returns
    -------
    Estimate
        mean, (..., dv): the average of the values under softmax(alpha * scores), whatever kappa.
        log_precision, (...): log(kappa * sum_i exp(alpha * scores_i)). The variance of the mean, in each coordinate,
        is exp(-log_precision) if the model is true, and no linear unbiased estimate has a smaller one. No key read:
        (0, -inf), the identity of `pool`.

    Raises
    ------
    ValueError
        If shapes do not match, or an argument is outside its range.

    Examples
    --------
    Precisions 3 and 1: the mean is (3 * 8 + 1 * 4) / 4 = 7, the precision 3 + 1 = 4.

    >>> import numpy
    >>> answer = estimate([[8.0], [4.0]], numpy.log([3, 1]))
    >>> answer.mean.round(6), float(numpy.exp(answer.log_precision).round(6))
    (array([7.]), 4.0)

    References
    ----------
    Ma (2025), Eq. 7-11. The precision is the Fisher information of the mean.
    """
    xp, dtype, (value, scores) = floats(value=value, scores=scores)
    value, logs = readings(xp, dtype, value, scores, alpha, kappa)
    weights, total = weigh(xp, logs)
    mean = weights[..., None, :] @ value  # (..., 1, dv)
    return Estimate(cast(xp, mean[..., 0, :], dtype), total[..., 0])


@own_arithmetic
def pool(first: Estimate, second: Estimate) -> Estimate:
    """Combine two estimates of the same answer from separate readings into the estimate from all of them.

    Precisions add, means average by precision. An estimate is a reading of known precision, so this is `estimate` for
    two readings.

    Parameters
    ----------
    first, second : Estimate, or a pair (mean, log_precision)
        Means (..., dv), finite; log precisions (...), finite or -inf. Shapes broadcast.

    Returns
    -------
    Estimate
        Commutative; associative up to rounding; Estimate(0, -inf) changes nothing. So readings split into blocks in
        any way, and pooled in any order, give the estimate from the whole.

    Raises
    ------
    ValueError
        If shapes do not match, a mean is not finite, or a log precision is NaN or +inf.

    Examples
    --------
    Precisions 3 and 1: (3 * 8 + 1 * 4) / 4 = 7, and log(3 + 1) = 1.386294.

    >>> import numpy
    >>> both = pool(Estimate(numpy.array([8.0]), numpy.log(3)), Estimate(numpy.array([4.0]), numpy.log(1)))
    >>> both.mean.round(6), float(both.log_precision.round(6))
    (array([7.]), 1.386294)

    References
    ----------
    Milakov and Gimelshein (2018), section 3.1, the same operation for the online softmax.
    """
    names = ("first.mean", "second.mean", "first.log_precision", "second.log_precision")
    given = (first[0], second[0], first[1], second[1])
    xp, dtype, arrays = floats(**dict(zip(names, given, strict=True)))
    mean_dtype = common_real(xp, given[:2]) or dtype
    first_mean, second_mean, first_log, second_log = (cast(xp, x, wide(xp, dtype)) for x in arrays)
    require_finite(xp, **dict(zip(names, (first_mean, second_mean), strict=False)))
    require_scores(xp, first_log, "first.log_precision")
    require_scores(xp, second_log, "second.log_precision")
    batch = broadcast("first and second", tuple(first_log.shape), tuple(second_log.shape))
    broadcast("first and second", (*batch, 1), tuple(first_mean.shape), tuple(second_mean.shape))
    logs = xp.stack([xp.broadcast_to(x, batch) for x in (first_log, second_log)], axis=-1)
    weights, total = weigh(xp, logs)
    return Estimate(cast(xp, weights[..., :1] * first_mean + weights[..., 1:] * second_mean, mean_dtype), total[..., 0])


@own_arithmetic
def fit_kappa(value: ArrayLike, scores: ArrayLike, *, alpha: float = 1.0) -> Array:
    """Find the kappa under which the readings are likeliest, with the mean at its own best value.

    kappa = T * dv / sum_i theta_i (value_i - mean)^2, where theta_i = exp(alpha * scores_i), T is the number of keys
    read, and mean is `estimate(value, scores, alpha=alpha).mean`.

    Parameters
    ----------
    value : array (..., S, dv), real, finite
    scores : array (..., S)
        Finite, or -inf for a key that is not read.
    alpha : float
        As for `log_precision`.

    Returns
    -------
    array (...)
        1 / kappa is the mean squared disagreement of the readings, each weighted by theta. It is biased low: if the
        model is true, 1 / fit_kappa is (T - 1) / T times 1 / kappa on average, since the mean was fitted to the same
        readings. Multiply by (T - 1) / T for the kappa whose reciprocal is right on average.

    Raises
    ------
    ValueError
        If the readings all agree (fewer than two always do), for the likelihood then grows without bound in kappa; if
        the estimate is beyond the dtype; if shapes do not match, or an argument is outside its range.

    Examples
    --------
    Precisions 3 and 1, values 8 and 4, so the mean is 7: kappa = 2 * 1 / (3 * 1^2 + 1 * 3^2) = 1/6.

    >>> import numpy
    >>> print(f"{fit_kappa([[8.0], [4.0]], numpy.log([3, 1])):.6f}")
    0.166667

    References
    ----------
    The maximum over the paper's beta of the log-likelihood of Ma (2025), Eq. 5; the sum is Cochran's Q over kappa.
    """
    xp, dtype, (value, scores) = floats(value=value, scores=scores)
    value, logs = readings(xp, dtype, value, scores, alpha, 1.0)
    keys, coordinates = value.shape[-2:]
    count = xp.sum(cast(xp, logs > -math.inf, value.dtype), axis=-1)
    _require_disagreement(xp, count > 1)
    # Measured from the value of the most precise key, the residuals keep their digits: that key's is otherwise lost in
    # rounding, and the rounding error is multiplied by the largest theta of all.
    best = xp.arange(keys, device=device(logs)) == xp.argmax(logs, axis=-1, keepdims=True)
    gaps = value - xp.sum(xp.where(best[..., None], value, 0.0), axis=-2, keepdims=True)
    if not xp.all(xp.isfinite(gaps)):
        raise ValueError(f"value must have differences that {gaps.dtype} can hold; got larger ones")
    residuals = gaps - weigh(xp, logs)[0][..., None, :] @ gaps
    terms = logs[..., None] + _log_square(xp, residuals)
    total = weigh(xp, xp.reshape(terms, (*terms.shape[:-2], keys * coordinates)))[1][..., 0]
    _require_disagreement(xp, total > -math.inf)
    log_kappa = xp.log(count * coordinates) - total
    kappa = xp.exp(log_kappa)
    if not xp.all((kappa > 0) & (kappa < math.inf)):
        raise ValueError(
            f"scores must give a kappa that {kappa.dtype} can hold; got one beyond its range. "
            "Subtract a constant c from the scores: kappa is then exp(alpha * c) times as large"
        )
    return kappa


def _log_precision(xp: Any, scores: Array, alpha: float, kappa: float) -> Array:
    alpha, kappa = number("alpha", alpha), number("kappa", kappa, above_zero=True)
    require_scores(xp, scores)
    logs = alpha * scores + math.log(kappa)
    if not xp.all(xp.isfinite(logs) | ((logs == -math.inf) & (scores == -math.inf))):
        raise ValueError(
            f"alpha * scores must be within {logs.dtype}, and alpha above zero where a score is -inf; got alpha {alpha}"
        )
    return logs


def readings(xp: Any, dtype: Any, value: Array, scores: Array, alpha: float, kappa: float) -> tuple[Array, Array]:
    """Return checked values (..., S, dv) and their log precisions (..., S), the latter with the batch shape of both."""
    if value.ndim < 2:
        raise ValueError(f"value must have shape (..., S, dv); got {tuple(value.shape)}")
    if scores.ndim < 1 or scores.shape[-1] != value.shape[-2]:
        raise ValueError(f"scores must have shape (..., {value.shape[-2]}) to match value; got {tuple(scores.shape)}")
    batch = broadcast("batch dimensions of value, scores", tuple(value.shape[:-2]), tuple(scores.shape[:-1]))
    require_finite(xp, value=value)
    value, scores = (cast(xp, x, wide(xp, dtype)) for x in (value, scores))
    return value, xp.broadcast_to(_log_precision(xp, scores, alpha, kappa), (*batch, scores.shape[-1]))


def _log_square(xp: Any, residuals: Array) -> Array:
    """Return log(residuals^2), -inf at zero, with the gradient of what it is the exponent of: zero, not 0 * inf."""
    zero = residuals == 0
    return xp.where(zero, -math.inf, 2 * xp.log(xp.abs(xp.where(zero, 1.0, residuals))))


def _require_disagreement(xp: Any, fact: Array) -> None:
    if not xp.all(fact):
        raise ValueError(
            "value must differ between keys that are read; got readings that all agree, so kappa has no finite estimate"
        )
