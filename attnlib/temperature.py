"""How sharp softmax weights are: what they leave to the keys that are not best, and how large scores are by chance.

Throughout, weights are softmax(scores / temperature). The variance of a score grows with the number of coordinates of
query and key, which is why layers divide scores by its square root; how large is too large depends on the number of
keys.
"""

import math
from typing import Any, NamedTuple

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    floats,
    own_arithmetic,
    require_axis,
    require_finite,
    require_scores,
    require_temperature,
    wide,
)

__all__ = ["Rest", "critical_deviation", "largest_weight", "least_range", "rest", "score_variance"]


class Rest(NamedTuple):
    """The weight of all keys that are not best, and two numbers between which it lies, each of shape (...)."""

    weight: Array
    lower: Array
    upper: Array


@own_arithmetic
def rest(scores: ArrayLike, *, temperature: float = 1.0) -> Rest:
    """Give the weight that is left to keys below the best, with the rate at which it vanishes.

    Parameters
    ----------
    scores : array (..., n), real
        Finite, or -inf for a key that is not admissible.
    temperature : float
        Finite, above zero.

    Returns
    -------
    Rest
        weight: the sum of the softmax weights of the keys whose score is not the largest, with all its digits where
        1 - max(softmax(...)) has none left. lower, upper: x / (1 + x) for x = (count / m) exp(-gap / temperature),
        with m the number of best keys, gap the distance to the next score, and count the number of keys there (lower)
        or of all keys that are not best (upper). Both are reached if these counts are the same. All are 0 if no key is
        below the best. In float32 for 16-bit scores.

    Raises
    ------
    ValueError
        If a score is NaN or +inf, the temperature is not above zero, or there is no axis of keys.

    Examples
    --------
    One best key, and two keys log 3 below it: (1/3 + 1/3) / (1 + 2/3) = 0.4, and so are both bounds.

    >>> import math
    >>> left = rest([math.log(3), 0.0, 0.0])
    >>> print(f"{left.lower:.6f} {left.weight:.6f} {left.upper:.6f}")
    0.400000 0.400000 0.400000

    References
    ----------
    The limit of low temperatures, with its rate; it follows from the definition of the softmax.
    """
    xp, dtype, (scores,) = floats(scores=scores)
    require_axis(-1, scores.ndim)
    temperature = require_temperature(xp, wide(xp, dtype), temperature)
    require_scores(xp, scores)
    scores = cast(xp, scores, wide(xp, dtype))
    if scores.shape[-1] == 0:
        nothing = xp.sum(scores, axis=-1)
        return Rest(nothing, nothing, nothing)
    top = xp.max(scores, axis=-1, keepdims=True)
    best = scores == top
    below = ~best & (scores > -math.inf)
    second = xp.max(xp.where(below, scores, -math.inf), axis=-1, keepdims=True)
    best_count, below_count, second_count = (
        xp.sum(cast(xp, which, scores.dtype), axis=-1) for which in (best, below, below & (scores == second))
    )

    def share(logs: Array, count: Array) -> Array:
        """Return x / (1 + x) for x = count * sum(exp(logs)) / m."""
        exponentials = xp.where(logs > -math.inf, xp.exp(xp.where(logs > -math.inf, logs, 0.0)), 0.0)
        odds = count * xp.sum(exponentials, axis=-1) / best_count
        return odds / (1 + odds)

    # Subtract first, as `weigh` does: dividing first rounds the small gaps between large scores.
    logs = xp.where(below, (scores - top) / temperature, -math.inf)
    gap = xp.max(logs, axis=-1, keepdims=True)
    return Rest(share(logs, xp.ones_like(best_count)), share(gap, second_count), share(gap, below_count))


@own_arithmetic
def score_variance(
    head_dim: ArrayLike,
    *,
    query_mean: ArrayLike = 0.0,
    query_variance: ArrayLike = 1.0,
    key_mean: ArrayLike = 0.0,
    key_variance: ArrayLike = 1.0,
) -> Array:
    """Give the variance of the inner product of a query and a key whose coordinates are all independent.

    Var(q . k) = d (query_variance * key_variance + query_mean^2 * key_variance + key_mean^2 * query_variance).

    Parameters
    ----------
    head_dim : whole number of at least 1, or array of such
        The number d of coordinates.
    query_mean, key_mean : number or array, finite
        Means of each coordinate of query and key; shapes of all arguments broadcast.
    query_variance, key_variance : number or array, finite, not negative
        Their variances. Nothing else of the coordinates' laws matters.

    Returns
    -------
    array, the broadcast shape
        Proportional to head_dim; head_dim itself for means 0 and variances 1. For one query q that is known, take
        query_variance 0 and query_mean sqrt(q . q / d): the result is q . q key_variance.

    Raises
    ------
    ValueError
        If an argument is outside its range, shapes do not match, or the dtype cannot hold the result.

    Examples
    --------
    64 (1 * 1 + 0 * 1 + 0 * 1) = 64, and 10 (2 * 3 + 1^2 * 3 + 2^2 * 2) = 170:

    >>> print(float(score_variance(64)))
    64.0
    >>> print(float(score_variance(10, query_mean=1, query_variance=2, key_mean=2, key_variance=3)))
    170.0

    References
    ----------
    Vaswani et al. (2017), section 3.2.1, for means 0 and variances 1.
    """
    given = {
        "head_dim": head_dim,
        "query_mean": query_mean,
        "query_variance": query_variance,
        "key_mean": key_mean,
        "key_variance": key_variance,
    }
    xp, dtype, arrays = floats(**given)
    _require_count(xp, "head_dim", arrays[0])
    require_finite(xp, **dict(zip(given, arrays, strict=True)))
    for name, variance in (("query_variance", arrays[2]), ("key_variance", arrays[4])):
        if not xp.all(variance >= 0):
            raise ValueError(f"{name} must not be negative; got {float(xp.min(variance))}")
    broadcast(", ".join(given), *(tuple(array.shape) for array in arrays))
    d, mq, vq, mk, vk = (cast(xp, array, wide(xp, dtype)) for array in arrays)
    variance = cast(xp, d * (vq * vk + mq**2 * vk + mk**2 * vq), dtype)
    if not xp.all(xp.isfinite(variance)):
        raise ValueError(f"the variance must be a number that {variance.dtype} can hold; got a larger one")
    return variance


@own_arithmetic
def critical_deviation(keys: ArrayLike) -> Array:
    """Give the standard deviation of Gaussian scores / temperature beyond which few keys hold the weight.

    It is sqrt(2 log n). As n grows, the entropy over log n of n independent Gaussian scores of deviation sigma tends
    to 1 - (sigma / critical_deviation)^2 below it, and to 0 above it.

    Parameters
    ----------
    keys : whole number of at least 1, or array of such
        The number n of keys.

    Returns
    -------
    array, shape of `keys`
        Growing with the number of keys, from 0 for one key. It is about the largest of n standard Gaussian numbers.

    Raises
    ------
    ValueError
        If `keys` is not a whole number of at least 1.

    Examples
    --------
    sqrt(2 log 1024) = sqrt(20 log 2) = sqrt(13.862944):

    >>> print(f"{critical_deviation(1024):.6f}")
    3.723297

    References
    ----------
    Derrida (1981), the random energy model.
    """
    xp, dtype, (keys,) = floats(keys=keys)
    _require_count(xp, "keys", keys)
    return cast(xp, xp.sqrt(2 * xp.log(cast(xp, keys, wide(xp, dtype)))), dtype)


@own_arithmetic
def largest_weight(keys: ArrayLike, score_range: ArrayLike) -> Array:
    """Give the largest softmax weight that any key can have, if scores / temperature differ by no more than a range.

    It is 1 / (1 + (n - 1) exp(-score_range)): one key at the top of the range, all others at its bottom.

    Parameters
    ----------
    keys : whole number of at least 1, or array of such
        The number n of keys.
    score_range : number or array, not negative; inf is allowed
        The largest score less the smallest, over the temperature. Cosines times a gain c have a range of 2 c. Shapes
        broadcast.

    Returns
    -------
    array, the broadcast shape
        From 1 / n, for a range of 0, to 1; growing with the range, falling with the number of keys. It is the weight
        itself if one key is `score_range` above all others, which are equal.

    Raises
    ------
    ValueError
        If an argument is outside its range, or shapes do not match.

    Examples
    --------
    1 / (1 + 2 * 1/2) = 1/2 for three keys, and a top score log 2 above the others:

    >>> import math
    >>> print(f"{largest_weight(3, math.log(2)):.6f}")
    0.500000

    References
    ----------
    Henry et al. (2020), whose query-key normalisation bounds scores.
    """
    xp, dtype, (keys, score_range) = floats(keys=keys, score_range=score_range)
    _require_count(xp, "keys", keys)
    if not xp.all(score_range >= 0):  # false for NaN too
        raise ValueError(f"score_range must not be negative; got {_first(xp, score_range, ~(score_range >= 0))}")
    broadcast("keys, score_range", tuple(keys.shape), tuple(score_range.shape))
    n, width = (cast(xp, array, wide(xp, dtype)) for array in (keys, score_range))
    return cast(xp, 1 / (1 + (n - 1) * xp.exp(-width)), dtype)


@own_arithmetic
def least_range(keys: ArrayLike, weight: ArrayLike) -> Array:
    """Give the least range of scores / temperature that lets one key have a weight: the inverse of `largest_weight`.

    It is log((n - 1) weight / (1 - weight)), or 0 if equal weights are enough.

    Parameters
    ----------
    keys : whole number of at least 1, or array of such
        The number n of keys.
    weight : number or array, above 0 and below 1
        Shapes broadcast.

    Returns
    -------
    array, the broadcast shape
        Growing with the number of keys like log n: what a gap between two scores has to grow by, or the inverse
        temperature that multiplies it, to keep a weight while keys are added.

    Raises
    ------
    ValueError
        If an argument is outside its range, or shapes do not match.

    Examples
    --------
    log(2 * (1/2) / (1/2)) = log 2 = 0.693147:

    >>> print(f"{least_range(3, 0.5):.6f}")
    0.693147

    References
    ----------
    As for `largest_weight`.
    """
    xp, dtype, (keys, weight) = floats(keys=keys, weight=weight)
    _require_count(xp, "keys", keys)
    wrong = ~((weight > 0) & (weight < 1))  # true for NaN too
    if xp.any(wrong):
        raise ValueError(f"weight must be above 0 and below 1; got {_first(xp, weight, wrong)}")
    broadcast("keys, weight", tuple(keys.shape), tuple(weight.shape))
    n, share = (cast(xp, array, wide(xp, dtype)) for array in (keys, weight))
    odds = (n - 1) * share / (1 - share)
    return cast(xp, xp.where(odds > 1, xp.log(xp.where(odds > 1, odds, 1.0)), 0.0), dtype)


def _require_count(xp: Any, name: str, count: Array) -> None:
    wrong = ~(xp.isfinite(count) & (count >= 1) & (count == xp.floor(count)))
    if xp.any(wrong):
        raise ValueError(f"{name} must be a whole number of at least 1; got {_first(xp, count, wrong)}")


def _first(xp: Any, array: Array, which: Array) -> float:
    return float(array[which][0])
