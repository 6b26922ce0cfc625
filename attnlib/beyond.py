"""The alternatives to softmax attention, one ingredient changed at a time: the regulariser (`sparsemax`, `entmax`), the
noise of the values (`laplace_value`, `student_t_value`), the score (`gaussian_kernel_scores`, `soft_cap`, `rotate`), the
link from scores to weights (`linear_attention`), the prior (`sink`).

Masks, dtypes and devices are as in `attnlib.layer`; a score of -inf marks a key that is not read, as a mask does.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from array_api_compat import device, is_array_api_obj, is_torch_array

from attnlib._arrays import (
    Array,
    ArrayLike,
    boolean,
    broadcast,
    cast,
    flag,
    floats,
    in_place,
    number,
    own_arithmetic,
    peak,
    require_axis,
    require_finite,
    require_no_gradient,
    require_scores,
    require_temperature,
    weigh,
    wide,
)
from attnlib.layer import _require_products, _shapes
from attnlib.likelihood import _readings

__all__ = [
    "StudentT",
    "entmax",
    "gaussian_kernel_scores",
    "laplace_value",
    "linear_attention",
    "rotate",
    "sink",
    "soft_cap",
    "sparsemax",
    "student_t_value",
]

_BLOCK = 128  # queries that causal linear attention compares with their own keys pair by pair
_ITERATIONS = 1000


class StudentT(NamedTuple):
    """The likeliest answer under Student-t noise, of shape (..., dv), and the log density of all readings, (...)."""

    mean: Array
    log_likelihood: Array


@own_arithmetic
def sparsemax(scores: ArrayLike, *, temperature: float = 1.0, mask: ArrayLike | None = None, axis: int = -1) -> Array:
    """Turn scores into weights, of which those of low scores are zero: `entmax` with alpha = 2."""
    return _entmax(scores, 2.0, temperature, mask, axis)


@own_arithmetic
def entmax(
    scores: ArrayLike,
    *,
    alpha: float = 1.5,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    axis: int = -1,
) -> Array:
    """Turn scores into weights that may be zero."""
    alpha = number("alpha", alpha)
    if alpha < 1:
        raise ValueError(f"alpha must be at least 1; got {alpha}")
    return _entmax(scores, alpha, temperature, mask, axis)


@own_arithmetic
def laplace_value(value: ArrayLike, scores: ArrayLike, *, alpha: float = 1.0, euclidean: bool = False) -> Array:
    """Find the answer under which readings with Laplace noise are likeliest, a median of the values."""
    euclidean = flag("euclidean", euclidean)
    require_no_gradient(value=value, scores=scores)
    xp, dtype, (value, scores) = floats(value=value, scores=scores)
    value, logs, unit, read = _noisy(xp, value, scores, alpha, 1.0)
    found = (_geometric_median if euclidean else _median)(xp, value, weigh(xp, logs)[0])
    return cast(xp, xp.where(read, unit * found, 0.0), dtype)


@own_arithmetic
def student_t_value(
    value: ArrayLike,
    scores: ArrayLike,
    *,
    dof: float,
    alpha: float = 1.0,
    kappa: float = 1.0,
    start: ArrayLike | None = None,
) -> StudentT:
    """Find the answer under which readings with Student-t noise are likeliest."""
    given = {"value": value, "scores": scores} | ({} if start is None else {"start": start})
    require_no_gradient(**given)
    dof = number("dof", dof, above_zero=True)
    xp, dtype, (value, scores, *rest) = floats(**given)
    value, logs, unit, read = _noisy(xp, value, scores, alpha, kappa)
    coordinates = value.shape[-1]
    if rest:
        (start,) = rest
        if start.ndim < 1 or start.shape[-1] != coordinates:
            raise ValueError(f"start must have shape (..., {coordinates}) to match value; got {tuple(start.shape)}")
        batch = broadcast("batch dimensions of value, scores, start", tuple(logs.shape[:-1]), tuple(start.shape[:-1]))
        require_finite(xp, start=start)
        starts = xp.broadcast_to(cast(xp, start, value.dtype) / unit, (*batch, coordinates))[..., None, :]
    else:
        mean = weigh(xp, logs)[0][..., None, :] @ value
        starts = xp.concat([xp.broadcast_to(value, (*logs.shape, coordinates)), mean], axis=-2)
    own = (logs + 2 * xp.log(unit) - math.log(dof))[..., None, :]  # (..., 1, S)

    def noise(square: Array) -> tuple[Array, Array, Array]:
        ratio = own + xp.log(square)
        log1p = xp.logaddexp(ratio, xp.zeros_like(ratio))
        return -xp.sum(log1p, axis=-1), own - log1p, 2 * xp.exp(ratio - log1p)

    means, heights = _climb(xp, value, starts, noise)
    best = xp.argmax(heights, axis=-1, keepdims=True)
    height = xp.take_along_axis(heights, best, axis=-1)
    mean = xp.take_along_axis(means, xp.broadcast_to(best[..., None], (*best.shape, coordinates)), axis=-2)[..., 0, :]
    half = coordinates / 2
    constants = _log_gamma_ratio(dof / 2, half) + half * xp.where(logs > -math.inf, logs - math.log(2 * math.pi), 0.0)
    constants = xp.sum(xp.where(logs > -math.inf, constants, 0.0), axis=-1)
    likelihood = (dof / 2 + half) * height[..., 0] + constants
    return StudentT(
        cast(xp, xp.where(read, unit * mean, 0.0), dtype),
        cast(xp, xp.where(read[..., 0], likelihood, 0.0), wide(xp, dtype)),
    )


@own_arithmetic
def gaussian_kernel_scores(query: ArrayLike, key: ArrayLike) -> Array:
    """Score every key against every query by their distance, -|query_i - key_j|^2 / 2."""
    xp, dtype, (query, key) = floats(query=query, key=key)
    _shapes(query, key)
    q, k = (cast(xp, x, wide(xp, dtype)) for x in (query, key))
    if is_torch_array(q):
        # The value from the differences, and the gradient from the product, which keeps no array (L, S) for each
        # coordinate. The centre changes rounding alone.
        centre = xp.sum(k.detach() / max(k.shape[-2], 1), axis=-2, keepdims=True)
        a, b = q - centre, k - centre
        product = a @ b.mT - (xp.sum(a * a, axis=-1)[..., :, None] + xp.sum(b * b, axis=-1)[..., None, :]) / 2
        result = product - product.detach() - _squares(xp, q.detach(), k.detach()) / 2
    else:
        result = _squares(xp, q, k) / -2
    result = cast(xp, result, dtype)
    _require_products(xp, query, key, result)
    return result


@own_arithmetic
def linear_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    feature_map: Callable[[Array], Array],
    mask: ArrayLike | None = None,
    causal: bool = False,
) -> Array:
    """Average the values under weights that are products of features, phi(query_i) . phi(key_j) / sum."""
    causal = flag("causal", causal)
    xp, dtype, arrays = floats(query=query, key=key, value=value)
    _, (length, _) = _shapes(*arrays)
    query, key, value = (cast(xp, x, wide(xp, dtype)) for x in arrays)
    require_finite(xp, query=query, key=key, value=value)
    queries, keys = (_features(xp, feature_map, x) for x in (query, key))
    if queries.shape[-1] != keys.shape[-1]:
        raise ValueError(
            "feature_map must give queries and keys the same number of features; "
            f"got {queries.shape[-1]} and {keys.shape[-1]}"
        )
    if mask is not None:
        batch = broadcast("batch dimensions of query, key, value", *(tuple(x.shape[:-2]) for x in arrays))
        mask = boolean(xp, mask, (*batch, key.shape[-2]), keys)
        keys = xp.where(mask[..., None], keys, 0.0)
    readings = xp.concat([value, xp.ones_like(value[..., :1])], axis=-1)
    if causal:
        sums = _running_sums(xp, queries, keys, readings)
    else:
        sums = queries @ (xp.matrix_transpose(keys) @ readings)
    total = sums[..., -1:]
    wrong = ~((total >= 0) & (total < math.inf))
    if xp.any(wrong):
        raise ValueError(
            "feature_map must give every query a normaliser, its features times the sum of the keys', "
            f"that is finite and not negative; got {float(total[wrong][0])}"
        )
    some = total > 0
    result = cast(xp, xp.where(some, sums[..., :-1] / xp.where(some, total, 1.0), 0.0), dtype)
    if not xp.all(xp.isfinite(result)):
        raise ValueError(f"value and feature_map must give weighted sums that {dtype} can hold; got larger ones")
    return result


@own_arithmetic
def soft_cap(scores: ArrayLike, cap: float) -> Array:
    """Keep scores within a range, smoothly: cap * tanh(scores / cap)."""
    xp, dtype, (scores,) = floats(scores=scores)
    cap = require_temperature(xp, wide(xp, dtype), cap, "cap")
    require_scores(xp, scores)
    capped = cap * xp.tanh(cast(xp, scores, wide(xp, dtype)) / cap)
    return cast(xp, xp.where(scores == -math.inf, scores, capped), dtype)


@own_arithmetic
def rotate(vectors: ArrayLike, positions: ArrayLike, *, base: float = 10_000.0) -> Array:
    """Turn each pair of coordinates by an angle that grows with the position."""
    base = number("base", base, above_zero=True)
    xp, dtype, (turned, _) = floats(vectors=vectors, positions=positions)
    if turned.ndim < 2 or turned.shape[-1] == 0 or turned.shape[-1] % 2:
        raise ValueError(f"vectors must have shape (..., L, d) with d even; got {tuple(turned.shape)}")
    *lead, d = turned.shape
    # In float64 from the start: float32 has no odd whole numbers beyond 2^24, and angles of 1e6 to two digits alone.
    if is_array_api_obj(positions):
        places = cast(xp, xp.asarray(positions, device=device(turned)), xp.float64)
    else:
        places = xp.asarray(positions, dtype=xp.float64, device=device(turned))
    shape = broadcast("positions and batch dimensions of vectors", tuple(places.shape), tuple(lead))
    if shape[-1] != lead[-1]:
        raise ValueError(f"positions must have shape (..., {lead[-1]}) to match vectors; got {tuple(places.shape)}")
    require_finite(xp, vectors=turned, positions=places)
    pairs = xp.arange(d // 2, dtype=xp.float64, device=device(turned))
    angles = places[..., None] * base ** (-2 * pairs / d)
    require_finite(xp, **{"positions * base^(-2c / d)": angles})
    x = cast(xp, turned, wide(xp, dtype))
    first, second = x[..., ::2], x[..., 1::2]
    cosine, sine = (cast(xp, f(angles), x.dtype) for f in (xp.cos, xp.sin))
    both = xp.stack([first * cosine - second * sine, first * sine + second * cosine], axis=-1)
    return cast(xp, xp.reshape(both, (*shape, d)), dtype)


@own_arithmetic
def sink(
    scores: ArrayLike,
    *,
    log_precision: ArrayLike = 0.0,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    axis: int = -1,
) -> Array:
    """Turn scores into weights that leave some to an absent key of value 0."""
    xp, dtype, (scores, log_precision) = floats(scores=scores, log_precision=log_precision)
    scores, temperature, axis = _last_axis(xp, dtype, scores, temperature, mask, axis)
    require_scores(xp, log_precision, "log_precision")
    batch = tuple(scores.shape[:-1])
    if broadcast("scores and log_precision", tuple(log_precision.shape), batch) != batch:
        raise ValueError(f"log_precision must broadcast to {batch}; got shape {tuple(log_precision.shape)}")
    absent = temperature * xp.broadcast_to(cast(xp, log_precision, scores.dtype), batch)[..., None]
    require_scores(xp, absent, "temperature * log_precision")
    weights, _ = weigh(xp, xp.concat([scores, absent], axis=-1), temperature=temperature)
    return cast(xp, xp.moveaxis(weights[..., :-1], -1, axis), dtype)


def _last_axis(
    xp: Any, dtype: Any, scores: Array, temperature: float, mask: ArrayLike | None, axis: int
) -> tuple[Array, float, int]:
    """Return checked scores in the dtype to add up in, their keys in the last axis, the temperature, and the axis."""
    axis = require_axis(axis, scores.ndim)
    temperature = require_temperature(xp, wide(xp, dtype), temperature)
    require_scores(xp, scores)
    if mask is not None:
        scores = xp.where(boolean(xp, mask, tuple(scores.shape), scores), scores, -math.inf)
    return xp.moveaxis(cast(xp, scores, wide(xp, dtype)), axis, -1), temperature, axis


def _entmax(scores: ArrayLike, alpha: float, temperature: float, mask: ArrayLike | None, axis: int) -> Array:
    xp, dtype, (scores,) = floats(scores=scores)
    scores, temperature, axis = _last_axis(xp, dtype, scores, temperature, mask, axis)
    search = functools.partial(_threshold if alpha <= 2 else _smallest, xp, alpha - 1, temperature)
    if scores.shape[-1] == 0:
        weights = scores
    elif is_torch_array(scores):
        from attnlib import _sparse  # which imports torch, as the caller has

        weights = _sparse.Weights.apply(scores, search, alpha, temperature)
    else:
        weights = search(scores)
    return cast(xp, xp.moveaxis(weights, -1, axis), dtype)


def _threshold(xp: Any, beta: float, temperature: float, scores: Array) -> Array:
    """Return (1 + beta (z - level))_+^(1 / beta), z being how far scores are above the best, in temperatures.

    Newton's steps find the level at which they sum to one, from 0, where the sum is at least one. They are taken on
    (sum^beta - 1) / beta, which is convex in the level for beta up to 1, for it is made of a norm: so no step passes
    the root, and each but rounding goes up. beta = 0 is softmax, whose first step is exact.
    """
    gaps = scores - peak(xp, scores)
    gaps = xp.divide(gaps, temperature, **in_place(gaps))
    level = xp.zeros_like(gaps[..., :1])
    rounding = 4 * float(xp.finfo(gaps.dtype).eps)
    while True:
        weights, slopes = _powers(xp, gaps - level, beta)
        total, slope = (xp.sum(x, axis=-1, keepdims=True, dtype=gaps.dtype) for x in (weights, slopes))
        total, slope = (xp.where(total > 0, x, 1.0) for x in (total, slope))  # else there is no key
        logs = xp.log(total)
        step = (xp.expm1(beta * logs) / beta if beta else logs) * xp.exp((1 - beta) * logs) / slope
        if not xp.any((step > rounding) & (level + step > level)):
            return xp.divide(weights, total, **in_place(weights))
        level = xp.maximum(level, level + step)


def _powers(xp: Any, x: Array, beta: float) -> tuple[Array, Array]:
    """Return p = (1 + beta x)_+^(1 / beta), and p^(1 - beta), minus its derivative by the level."""
    if beta == 0:
        p = xp.exp(x, **in_place(x))
        return p, p
    x = xp.multiply(x, beta, **in_place(x))
    if beta in (0.5, 1):
        root = xp.add(x, 1.0, **in_place(x))
        root = xp.clip(root, 0.0, None, **in_place(root))
        return (root, root > 0) if beta == 1 else (root * root, root)
    x = xp.clip(x, -1.0, None)
    p = xp.exp(xp.log1p(x) / beta)
    return p, xp.where(x > -1, p / xp.where(x > -1, 1 + x, 1.0), 0.0)


def _smallest(xp: Any, beta: float, temperature: float, scores: Array) -> Array:
    """Return the weights for beta above 1, where a weight near zero is a steep function of the level.

    So the smallest weight is searched for itself: p_i = (least^beta + beta z_i)^(1 / beta), z_i being how far key i is
    above the key that has it. That key is the last, in order of scores, with which the z alone sum to less than one.
    The sum is convex in `least`, a sum of norms, and at least one where all are equal: Newton's steps from there go
    down to the root.
    """
    dtype, scores = scores.dtype, cast(xp, scores, xp.float64)
    tiny, rounding = (float(getattr(xp.finfo(xp.float64), name)) for name in ("smallest_normal", "eps"))
    log_rate = math.log(beta) - math.log(temperature)
    ordered = xp.sort(scores, axis=-1, descending=True)

    def above(key: Array) -> Array:
        gaps = scores - key
        higher = gaps > 0
        return xp.where(higher, xp.exp((xp.log(xp.where(higher, gaps, 1.0)) + log_rate) / beta), 0.0)

    first = xp.zeros_like(scores[..., :1], dtype=xp.int64)
    last = first + scores.shape[-1]
    while xp.any(last - first > 1):
        middle = (first + last) // 2
        key = xp.take_along_axis(ordered, middle, axis=-1)
        counts = (key > -math.inf) & (xp.sum(above(key), axis=-1, keepdims=True) < 1)
        first, last = xp.where(counts, middle, first), xp.where(counts, last, middle)
    key = xp.take_along_axis(ordered, first, axis=-1)
    support = (scores >= key) & (scores > -math.inf)
    bases = above(key)
    count = xp.sum(support, axis=-1, keepdims=True, dtype=scores.dtype)
    least = 1 / xp.where(count > 0, count, 1.0)
    while True:
        large, small = xp.maximum(bases, least), xp.minimum(bases, least)
        weights = xp.where(support, large * xp.exp(xp.log1p((small / large) ** beta) / beta), 0.0)
        slopes = xp.where(support, (least / xp.where(support, weights, 1.0)) ** (beta - 1), 0.0)
        total, slope = (xp.sum(x, axis=-1, keepdims=True) for x in (weights, slopes))
        total, slope = (xp.where(count > 0, x, 1.0) for x in (total, slope))
        step = (total - 1) / slope
        if not xp.any((step > 4 * rounding) & (least - step < least)):
            return cast(xp, weights / total, dtype)
        least = xp.where(step > 0, xp.clip(least - step, tiny, None), least)


def _noisy(
    xp: Any, value: Array, scores: Array, alpha: float, kappa: float
) -> tuple[Array, Array, Array, Array]:
    """Return values (..., S, dv) in a unit of their own, log precisions (..., S), the unit, and whether a key is read.

    All in float64, the last two of shape (..., 1). The unit is a power of two, so that it rounds nothing, and squares of
    values neither overflow nor vanish. Where there is no key, one is put in that is not read.
    """
    value, logs = _readings(xp, xp.float64, value, scores, alpha, kappa)
    if value.shape[-1] == 0:
        raise ValueError(f"value must have at least one coordinate, shape (..., S, dv); got {tuple(value.shape)}")
    if value.shape[-2] == 0:
        like = {"dtype": value.dtype, "device": device(value)}
        value = xp.zeros((*value.shape[:-2], 1, value.shape[-1]), **like)
        logs = xp.full((*logs.shape[:-1], 1), -math.inf, **like)
    top = xp.max(xp.abs(value), axis=(-2, -1))[..., None]
    unit = 2.0 ** xp.floor(xp.log2(xp.where(top > 0, top, 1.0)))
    return value / unit[..., None], logs, unit, xp.any(logs > -math.inf, axis=-1, keepdims=True)


def _median(xp: Any, value: Array, weights: Array) -> Array:
    shape = (*weights.shape, value.shape[-1])
    order = xp.argsort(value, axis=-2)
    ordered, order = (xp.broadcast_to(x, shape) for x in (xp.take_along_axis(value, order, axis=-2), order))
    masses = xp.take_along_axis(xp.broadcast_to(weights[..., None], shape), order, axis=-2)
    reached = xp.cumulative_sum(masses, axis=-2)
    half = reached[..., -1:, :] / 2
    slack = shape[-2] * float(xp.finfo(half.dtype).eps) * half  # half, but for rounding, is half
    first = xp.sum(reached < half - slack, axis=-2, keepdims=True, dtype=xp.int64)
    last = xp.sum(reached <= half + slack, axis=-2, keepdims=True, dtype=xp.int64)
    low, high = (xp.take_along_axis(ordered, xp.clip(x, 0, shape[-2] - 1), axis=-2) for x in (first, last))
    return ((low + high) / 2)[..., 0, :]


def _geometric_median(xp: Any, value: Array, weights: Array) -> Array:
    """Start at the best of the values, and leave it if it is not optimal, by Vardi and Zhang's step: that goes below
    every value's objective, so the climb meets no other value, where the objective has a kink.
    """
    shape = (*weights.shape, value.shape[-1])
    objective = (weights[..., None, :] @ xp.sqrt(_squares(xp, value, value)))[..., 0, :]
    best = xp.argmin(objective, axis=-1, keepdims=True)[..., None]
    value = xp.broadcast_to(value, shape)
    home = xp.take_along_axis(value, xp.broadcast_to(best, (*shape[:-2], 1, shape[-1])), axis=-2)
    residuals = value - home
    distance = xp.sqrt(xp.sum(residuals * residuals, axis=-1, keepdims=True))
    away = distance > 0
    pulls = xp.where(away, weights[..., None] / xp.where(away, distance, 1.0), 0.0)
    pull = xp.sum(pulls * residuals, axis=-2, keepdims=True)
    strength = xp.sqrt(xp.sum(pull * pull, axis=-1, keepdims=True))
    own = xp.sum(xp.where(away, 0.0, weights[..., None]), axis=-2, keepdims=True)
    leave = strength > own * (1 + 4 * float(xp.finfo(value.dtype).eps))
    share = xp.where(leave, 1 - own / xp.where(leave, strength, 1.0), 0.0)
    total = xp.sum(pulls, axis=-2, keepdims=True)
    start = home + share * pull / xp.where(total > 0, total, 1.0)

    def noise(square: Array) -> tuple[Array, Array, Array]:
        distance = xp.sqrt(square)
        logs = xp.log(xp.where(square > 0, weights[..., None, :] / xp.where(square > 0, distance, 1.0), 0.0))
        return -xp.sum(weights[..., None, :] * distance, axis=-1), logs, xp.ones_like(square)

    return xp.where(leave, _climb(xp, value, start, noise)[0], home)[..., 0, :]


def _climb(xp: Any, value: Array, mean: Array, noise: Callable) -> tuple[Array, Array]:
    """Climb from means (..., M, dv) to local maxima of a likelihood of distances; return them and their heights.

    `noise` takes the squared distances (..., M, S) and gives the height, (..., M), the logarithm of the weights under
    which the average of the values is the next mean of EM, and how much of each weight's pull along its own residual
    is lost as the residual grows. EM never goes down, but slows down; Newton's step is taken in its place where the
    height is concave, and it is as high, and the slope is less than half of that after EM's.
    """
    eye = xp.eye(value.shape[-1], dtype=value.dtype, device=device(value))
    rounding = 4 * float(xp.finfo(value.dtype).eps)

    def at(mean: Array) -> tuple[Array, Array, Array, Array, Array]:
        residuals = value[..., None, :, :] - mean[..., None, :]
        square = xp.sum(residuals * residuals, axis=-1)
        height, logs, bend = noise(square)
        shares, _ = weigh(xp, logs)
        move = (shares[..., None, :] @ residuals)[..., 0, :]
        lost = (shares * bend / xp.where(square > 0, square, 1.0))[..., None]
        curvature = eye - xp.matrix_transpose(residuals) @ (lost * residuals)
        return mean, height, move, xp.sqrt(xp.sum(move * move, axis=-1)), curvature

    here = at(mean)
    for _ in range(_ITERATIONS):
        mean, height, move, slope, curvature = here
        rates, directions = xp.linalg.eigh(curvature)
        concave = rates[..., :1] > 0
        along = (xp.matrix_transpose(directions) @ move[..., None])[..., 0] / xp.where(concave, rates, 1.0)
        newton = at(mean + (directions @ along[..., None])[..., 0])
        em = at(mean + move)
        quick = (newton[1] >= em[1] - rounding * xp.abs(em[1])) & (newton[3] <= em[3] / 2)
        there = [_choose(xp, quick, a, b) for a, b in zip(newton, em, strict=True)]
        climbs = (there[1] > height) | ((there[1] >= height - rounding * xp.abs(height)) & (there[3] < slope / 2))
        if not xp.any(climbs):
            break
        here = [_choose(xp, climbs, a, b) for a, b in zip(there, here, strict=True)]
    return here[0], here[1]


def _choose(xp: Any, which: Array, first: Array, second: Array) -> Array:
    return xp.where(xp.reshape(which, which.shape + (1,) * (first.ndim - which.ndim)), first, second)


def _log_gamma_ratio(x: float, more: float) -> float:
    """Return log(Gamma(x + more) / Gamma(x) / x^more), which for large x is the small difference of large numbers."""
    if x < 20:
        return math.lgamma(x + more) - math.lgamma(x) - more * math.log(x)
    rest = [1 / z / 12 - 1 / z**3 / 360 + 1 / z**5 / 1260 - 1 / z**7 / 1680 for z in (x + more, x)]  # of Stirling's
    return (x + more - 0.5) * math.log1p(more / x) - more + rest[0] - rest[1]


def _squares(xp: Any, first: Array, second: Array) -> Array:
    """Return the squared distances of all pairs, (..., L, S), from differences, coordinate by coordinate."""
    total = 0.0
    for c in range(first.shape[-1]):
        gaps = first[..., :, None, c] - second[..., None, :, c]
        total = total + gaps * gaps
    return total


def _features(xp: Any, feature_map: Callable, array: Array) -> Array:
    if not callable(feature_map):
        raise ValueError(f"feature_map must be a function of an array; got {feature_map!r}")
    features = feature_map(array)
    floats(input=array, feature_map=features)
    if tuple(features.shape[:-1]) != tuple(array.shape[:-1]) or features.ndim != array.ndim:
        wanted = ", ".join(map(str, (*array.shape[:-1], "F")))
        raise ValueError(f"feature_map must give shape ({wanted}); got {tuple(features.shape)}")
    return cast(xp, features, array.dtype)


def _running_sums(xp: Any, queries: Array, keys: Array, readings: Array) -> Array:
    """Return what each query sums over the keys up to its own: those of its block one by one, earlier ones as a state."""
    state = xp.matrix_transpose(keys[..., :0, :]) @ readings[..., :0, :]
    parts = []
    for start in range(0, max(queries.shape[-2], 1), _BLOCK):
        q, k, v = (x[..., start : start + _BLOCK, :] for x in (queries, keys, readings))
        transposed = xp.matrix_transpose(k)
        parts.append(xp.tril(q @ transposed) @ v + q @ state)
        state = state + transposed @ v
    return xp.concat(parts, axis=-2)
