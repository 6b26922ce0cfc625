"""How far weights may leave ignorance: maximise sum_i p_i s_i, subject to KL(p || equal weights) <= budget, in nats.

The answer is softmax(beta * s), and beta is what the budget pays for. A score of -inf marks a key that is not
admissible: it gets no weight, and ignorance is equal weights on the others.
"""

import math
from typing import Any

import numpy as np
from array_api_compat import device, is_array_api_obj

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    floats,
    number,
    own_arithmetic,
    require_axis,
    require_no_gradient,
    require_scores,
    require_weights,
    weigh,
    wide,
)

__all__ = ["inverse_temperature", "largest_budget", "route", "samples_to_reject"]


@own_arithmetic
def largest_budget(scores: ArrayLike) -> Array:
    """Give the largest divergence from equal weights that can raise the expected score, log(n) - log(m).

    Parameters
    ----------
    scores : array (..., n), real
        Finite, or -inf for a key that is not admissible.

    Returns
    -------
    array (...)
        n counts the admissible keys, m those among them that share the largest score. 0 if all scores are equal, or if
        no key is admissible. In float32 for 16-bit scores.

    Raises
    ------
    ValueError
        If a score is NaN or +inf, or if there is no axis of keys.

    Examples
    --------
    log(4) - log(2) = log(2) = 0.693147:

    >>> print(f"{largest_budget([3.0, 3.0, 1.0, 0.0]):.6f}")
    0.693147

    References
    ----------
    The divergence of equal weights on the m best keys from equal weights on all.
    """
    xp, dtype, scores = _scores(scores)
    return cast(xp, _cap(xp, scores), wide(xp, dtype))


@own_arithmetic
def inverse_temperature(scores: ArrayLike, budget: ArrayLike) -> Array:
    """Find the beta for which softmax(beta * scores) spends the budget exactly.

    Parameters
    ----------
    scores : array (..., n), real
        Finite, or -inf for a key that is not admissible.
    budget : number or array (...), real
        In nats, from 0 to `largest_budget(scores)`. Batch shapes broadcast.

    Returns
    -------
    array (...)
        Not negative, and growing with the budget: 0 for none, inf for the largest, or beyond the dtype.
        KL(softmax(beta * scores) || equal weights) is the budget to 1e-12. 1 / beta is the price: what a little
        more budget adds to the expected score, for each nat. Scores times c need beta / c. In float32 for scores of 16
        bits.

    Raises
    ------
    ValueError
        If a budget is negative or above the largest, which the message states; if a score is NaN or +inf; if shapes do
        not match; if a torch tensor asks for its gradient, which this function does not give.

    Examples
    --------
    The weights (0.9, 0.1) of two keys one apart are the softmax at beta = log 9 = 2.197225, and they spend
    log 2 + 0.9 log 0.9 + 0.1 log 0.1 = 0.368064:

    >>> import math
    >>> budget = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    >>> print(f"{inverse_temperature([1.0, 0.0], budget):.6f}")
    2.197225

    References
    ----------
    The multiplier of the constraint that the testing post leaves out; Cover and Thomas (2006), section 11.8.
    """
    xp, dtype, scores, budget = _given(scores, budget)
    beta, unit, _ = _solve(xp, scores, budget)
    return cast(xp, (beta / unit)[...], wide(xp, dtype))


@own_arithmetic
def route(scores: ArrayLike, budget: ArrayLike) -> Array:
    """Find the weights with the largest expected score among those within the budget.

    Parameters
    ----------
    scores, budget
        As for `inverse_temperature`.

    Returns
    -------
    array (..., n)
        softmax(beta * scores) with beta = `inverse_temperature(scores, budget)`; equal weights on the best keys for the
        largest budget. Unchanged when a number is added to all scores, or all are multiplied by one above zero. A row
        without an admissible key is all zero.

    Raises
    ------
    ValueError
        As `inverse_temperature`.

    Examples
    --------
    >>> import math
    >>> route([1.0, 0.0], math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)).round(6)
    array([0.9, 0.1])

    References
    ----------
    As for `inverse_temperature`.
    """
    xp, dtype, scores, budget = _given(scores, budget)
    beta, _, scaled = _solve(xp, scores, budget)
    unchanged = (scaled == 0) | (scaled == -math.inf)  # whatever beta, which may be 0 or inf
    return cast(xp, weigh(xp, xp.where(unchanged, scaled, beta[..., None] * scaled))[0], dtype)


@own_arithmetic
def samples_to_reject(p: ArrayLike, *, error: float = 0.05) -> Array:
    """Give the least mean wait, in draws from p, for evidence against equal weights, log(1 / error) / KL(p || equal).

    The observer stops once p is 1 / error times as likely as equal weights, which under equal weights ever happens with
    a probability of at most error.

    Parameters
    ----------
    p : array (..., n), real
        Weights: none negative, with the sum 1.
    error : float
        Above 0 and below 1: the largest probability of rejecting equal weights although they hold.

    Returns
    -------
    array (...)
        Not rounded; inf for equal weights. The mean wait is no shorter, and longer by at most log(max(n p)) / KL.
        It is no sample size of a test of fixed length, for which the divergence is an exponent alone (Stein's lemma).
        In float32 for 16-bit weights.

    Raises
    ------
    ValueError
        If p holds no weights, or error is not between 0 and 1.

    Examples
    --------
    All weight on one of 20 keys: log(20) / log(20) = 1 draw.

    >>> print(f"{samples_to_reject([1.0] + 19 * [0.0]):.6f}")
    1.000000

    References
    ----------
    Wald (1945); Cover and Thomas (2006), Theorem 11.8.3.
    """
    error = number("error", error, above_zero=True)
    if error >= 1:
        raise ValueError(f"error must be above 0 and below 1; got {error}")
    xp, dtype, (array,) = floats(p=p)
    require_axis(-1, array.ndim, "p")
    weights = require_weights(xp, array, p)
    count = xp.sum(xp.ones_like(weights), axis=-1, keepdims=True)
    divergence = _divergence(xp, weights, count, float(xp.finfo(dtype).eps))  # 1/n, rounded, is 1/n
    counted = divergence > 0
    return xp.where(counted, -math.log(error) / xp.where(counted, divergence, 1.0), math.inf)


def _scores(scores: ArrayLike) -> tuple[Any, Any, Array]:
    """Return namespace, dtype, and the scores in float64, where a budget can be held to 1e-12."""
    xp, dtype, (scores,) = floats(scores=scores)
    if scores.ndim < 1:
        raise ValueError(f"scores must have shape (..., n); got {tuple(scores.shape)}")
    require_scores(xp, scores)
    return xp, dtype, cast(xp, scores, xp.float64)


def _given(scores: ArrayLike, budget: ArrayLike) -> tuple[Any, Any, Array, Array]:
    require_no_gradient(scores=scores, budget=budget)
    xp, dtype, wide_scores = _scores(scores)
    if is_array_api_obj(budget) and not isinstance(budget, np.generic):
        floats(scores=scores, budget=budget)  # of one library
    library, own, (budget,) = floats(budget=budget)  # a plain number keeps its digits, whatever the scores' dtype
    scores, budget = wide_scores, xp.asarray(budget, dtype=xp.float64, device=device(wide_scores))
    broadcast("batch dimensions of scores, and budget,", tuple(scores.shape[:-1]), tuple(budget.shape))
    cap = _cap(xp, scores)
    # The largest budget, rounded to the budget's dtype or to that of `largest_budget`, is the largest budget.
    step = float(library.finfo(own).eps)
    wrong = ~((budget >= 0) & (budget <= cap * (1 + 4 * max(step, float(xp.finfo(wide(xp, dtype)).eps)))))  # NaN too
    if xp.any(wrong):
        got, largest = (float(x[wrong][0]) for x in xp.broadcast_arrays(budget, cap))
        raise ValueError(f"budget must be from 0 to the largest that buys score, {largest:.12g}; got {got:.12g}")
    return xp, dtype, scores, xp.where(budget < cap * (1 - step), budget, cap)


def _below_best(xp: Any, scores: Array) -> Array:
    """Return how far each score is above the best one: 0 or less, and -inf where the key is not admissible."""
    if scores.shape[-1] == 0:
        return scores
    best = xp.max(scores, axis=-1, keepdims=True)
    below = xp.where(scores == best, 0.0, scores - best)
    if xp.any((below == -math.inf) & (scores > -math.inf)):
        raise ValueError("scores must have differences that float64 can hold; got larger ones")
    return xp.where(best > -math.inf, below, -math.inf)


def _cap(xp: Any, scores: Array) -> Array:
    below = _below_best(xp, scores)
    count, best = (xp.sum(cast(xp, which, xp.float64), axis=-1) for which in (below > -math.inf, below == 0))
    counted = best > 0
    return xp.where(counted, xp.log(xp.where(counted, count, 1.0)) - xp.log(xp.where(counted, best, 1.0)), 0.0)


def _solve(xp: Any, scores: Array, budget: Array) -> tuple[Array, Array, Array]:
    """Return beta times the scores' range, by halving an interval of its logarithm: the divergence grows with it.

    And the range, and the scores below the best one in units of it: beta itself may be more than a float can hold.
    """
    below, cap = _below_best(xp, scores), _cap(xp, scores)
    admissible = below > -math.inf
    span = -xp.min(xp.where(admissible, below, 0.0), axis=-1) if scores.shape[-1] else cap
    unit = xp.where(span > 0, span, 1.0)
    scaled = below / unit[..., None]  # from -1 to 0: scores of any size are alike
    known = xp.where(admissible, scaled, 0.0)
    count = xp.sum(cast(xp, admissible, xp.float64), axis=-1, keepdims=True)
    low, high = (xp.zeros_like(budget + cap) + end for end in (-720.0, 720.0))
    for _ in range(64):
        middle = (low + high) / 2
        masses = xp.where(admissible, xp.exp(xp.exp(middle)[..., None] * known), 0.0)
        weights = xp.where(admissible, masses / xp.sum(masses, axis=-1, keepdims=True), 1 / count)
        spent = _divergence(xp, weights, count)  # to which an equal weight adds nothing
        low, high = xp.where(spent < budget, middle, low), xp.where(spent < budget, high, middle)
    beta = xp.where(budget == 0, 0.0, xp.where(budget >= cap, math.inf, xp.exp(high)))
    return beta, unit, scaled


def _divergence(xp: Any, weights: Array, count: Array, rounding: float = 0.0) -> Array:
    """Return the divergence from equal weights on `count` keys; what is within `rounding` of equal counts as equal.

    It is the mean of x log x - (x - 1) with x = count * weight, in which nothing cancels near equal weights.
    """
    excess = count * weights - 1
    excess = xp.where(xp.abs(excess) > rounding, excess, 0.0)
    counted = excess > -1
    terms = xp.where(counted, (1 + excess) * xp.log1p(xp.where(counted, excess, 0.0)), 0.0) - excess
    return xp.sum(terms, axis=-1) / count[..., 0]
