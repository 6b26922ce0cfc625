"""What the layer computes: scores, their softmax, and the average of the values under it.

One implementation serves NumPy arrays and torch tensors on any device; dtype and device follow the input. 16-bit
inputs are accumulated in float32 and returned in 16 bits. Lists, whole numbers and booleans take the dtype of the real
arrays beside them, or the default (float64 for NumPy); lists alone become NumPy arrays. torch is never imported for a
caller who has not.

Masks are boolean, True where a query may attend. A query that may attend nowhere has weights 0 and output 0.

Checks that look at the data (NaN, overflow) make an accelerator wait for its queue. They run everywhere but on the
fused path of `attention` on an accelerator, where NaN in gives NaN out. For the same reason use batch dimensions rather
than `torch.func.vmap`, which cannot follow a check.
"""

import math
from typing import Any

import numpy as np
from array_api_compat import device, is_torch_array

from attnlib._arrays import (
    Array,
    ArrayLike,
    boolean,
    broadcast,
    cast,
    floats,
    number,
    peak,
    require_axis,
    require_finite,
    require_scores,
    require_temperature,
    weigh,
    whole,
    wide,
)

__all__ = ["attention", "scores", "softmax", "streaming_attention"]


@np.errstate(over="ignore", invalid="ignore")  # reported below as a ValueError that says which argument
def scores(query: ArrayLike, key: ArrayLike, *, scale: float | None = None) -> Array:
    """Score every key against every query by their scaled dot product, scale * sum_c query_ic key_jc.

    Parameters
    ----------
    query : array (..., L, d), real
        d is at least 1; batch dimensions (...) broadcast with those of `key`.
    key : array (..., S, d), real
        S may be 0.
    scale : float, optional
        Any finite number; None means 1/sqrt(d), as in torch.

    Returns
    -------
    array (..., L, S)
        Linear in each query and in each key: doubling a query doubles its row.

    Raises
    ------
    ValueError
        If shapes do not match, an input is NaN or infinite, or a score is too large for the dtype.

    Examples
    --------
    d = 4, so the scale is 1/2, and the rows are (2, 0, 1, 0) . (4, 0, 0, 0) / 2 = 4 and (2, 0, 1, 0) . (0, 3, 2, 0) / 2
    = 1:

    >>> scores([[2, 0, 1, 0]], [[4, 0, 0, 0], [0, 3, 2, 0]])
    array([[4., 1.]])

    References
    ----------
    Vaswani et al. (2017), section 3.2.1; Ma (2025), the exponent of Eq. 1.
    """
    xp, dtype, (query, key) = floats(query=query, key=key)
    _shapes(query, key)
    scale = _scale(scale, query)
    wider = wide(xp, dtype)
    result = cast(xp, _products(xp, cast(xp, query, wider), cast(xp, key, wider), scale), dtype)
    _require_products(xp, query, key, result)
    return result


def softmax(scores: ArrayLike, *, temperature: float = 1.0, mask: ArrayLike | None = None, axis: int = -1) -> Array:
    """Turn scores into weights, p_i = exp(s_i / temperature) / sum_j exp(s_j / temperature).

    p is the probability vector that maximises sum_i p_i s_i + temperature * entropy(p).

    Parameters
    ----------
    scores : array, real, at least one dimension
        Finite, or -inf for a key that is left out.
    temperature : float
        Finite, above zero. Low is sharp, high is even.
    mask : boolean array, optional
        Broadcasts to the shape of `scores`; False leaves the key out.
    axis : int
        The axis of the keys, negative ones counted from the end.

    Returns
    -------
    array, shape of `scores`
        Not negative, sums to one along `axis`, the same for scores + constant. All zero where no key is left.

    Raises
    ------
    ValueError
        If a score is NaN or +inf (masked or not), or another argument is outside its range.

    Examples
    --------
    Scores log 1, log 2, log 5 have exponentials 1, 2, 5, which add to 8:

    >>> import numpy
    >>> softmax(numpy.log([1, 2, 5])).round(3)  # 1/8, 2/8, 5/8
    array([0.125, 0.25 , 0.625])
    >>> softmax(numpy.log([1, 2, 5]), mask=[True, True, False]).round(3)  # 1/3, 2/3
    array([0.333, 0.667, 0.   ])

    References
    ----------
    Ma (2025), Eq. 1 and Eq. 10-11, where 1/temperature is called alpha.
    """
    xp, dtype, (scores,) = floats(scores=scores)
    axis = require_axis(axis, scores.ndim)
    temperature = require_temperature(xp, wide(xp, dtype), temperature)
    require_scores(xp, scores)
    if mask is not None:
        scores = xp.where(boolean(xp, mask, tuple(scores.shape), scores), scores, -math.inf)
    weights, _ = weigh(xp, cast(xp, scores, wide(xp, dtype)), axis, temperature)
    return cast(xp, weights, dtype)


def attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    scale: float | None = None,
    mask: ArrayLike | None = None,
    causal: bool = False,
    return_weights: bool = False,
) -> Array | tuple[Array, Array]:
    """Average the values under the softmax of the scores, output_i = sum_j p_ij value_j.

    output_i is the vector v that minimises sum_j p_ij (v - value_j)^2, p_i being the softmax of row i of the scores.

    torch tensors go to `torch.nn.functional.scaled_dot_product_attention`, unless the weights are asked for.

    Parameters
    ----------
    query : array (..., L, d), real, finite
    key : array (..., S, d), real, finite
        S may be 0: every output is then zero.
    value : array (..., S, dv), real, finite
        Finite even where masked, for 0 * nan is nan. Batch dimensions of the three broadcast.
    scale : float, optional
        Factor on the dot products; None means 1/sqrt(d).
    mask : boolean array, optional
        True where a query may attend; broadcasts to (..., L, S).
    causal : bool
        Query i may attend key j if and only if j <= i. For L != S this is aligned at the top left, as torch's
        `is_causal` is: the first query sees the first key alone. Given with `mask`, both must allow.
    return_weights : bool
        Return the weights as well. Then all L * S of them are made, 2 L S numbers at a time, and torch's kernel, which
        makes none, is not used: for long sequences that is far slower, and soon more than fits in memory.

    Returns
    -------
    output : array (..., L, dv)
        Each row lies in the convex hull of the values that it may attend; zero where it may attend none.
    weights : array (..., L, S), only if `return_weights`
        Rows sum to one, or to zero where a query may attend nowhere.

    Raises
    ------
    ValueError
        If shapes do not match, the mask is not boolean, or the data is not finite (see the module's note on
        accelerators).

    Examples
    --------
    Scale 1 and key (log 3, 0) give the scores log 3 and 0, so the weights 3/4 and 1/4, and 3/4 * 8 + 1/4 * 4 = 7:

    >>> import numpy
    >>> attention([[1.0]], [[numpy.log(3)], [0.0]], [[8.0], [4.0]], scale=1).round(6)
    array([[7.]])

    References
    ----------
    Vaswani et al. (2017), Eq. 1; Ma (2025), Eq. 1.
    """
    xp, dtype, (query, key, value) = floats(query=query, key=key, value=value)
    batch, shape = _shapes(query, key, value)
    scale = _scale(scale, query)
    mask = None if mask is None else boolean(xp, mask, batch + shape, query)
    if is_torch_array(query) and not return_weights and _fits_fused(xp, query, key, value, scale):
        return _fused(query, key, value, scale, mask, causal, batch)

    q, k, v = (cast(xp, x, wide(xp, dtype)) for x in (query, key, value))
    weights, _ = weigh(xp, _allowed_scores(xp, q, k, scale, mask, causal))
    output = _average(xp, weights, v)
    return (cast(xp, output, dtype), cast(xp, weights, dtype)) if return_weights else cast(xp, output, dtype)


def streaming_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    scale: float | None = None,
    mask: ArrayLike | None = None,
    causal: bool = False,
    block_size: int = 1024,
) -> Array:
    """Compute what `attention` computes, block by block of keys, without ever holding all L * S scores.

    Each query keeps three running numbers over the keys read so far: the largest score, the sum of exponentials
    relative to it, and the average of the values. A further block is pooled into them, as two estimates are by
    `attnlib.likelihood.pool`: sums add, averages average by their sums. The order and the size of the blocks change
    the result by rounding alone. A sixteenth of the queries goes at a time, 64 at least: fewer scores to hold, which
    stay in a processor's cache for longer, and whole blocks that `causal` leaves out. So memory beside the result is
    some L * block_size / 16 scores; where torch records gradients, it keeps every block for the backward pass.

    Parameters
    ----------
    query, key, value, scale, mask, causal
        As for `attention`. A mask is sliced, never expanded.
    block_size : int
        Keys a block, at least 1.

    Returns
    -------
    array (..., L, dv)
        Equal to `attention(query, key, value, ...)` up to rounding, for every block size.

    Raises
    ------
    ValueError
        As `attention`, and if `block_size` is not a whole number of at least 1. Keys and values that `causal` leaves
        out of every row are not read, and so not checked.

    Examples
    --------
    Weights 1/2, 1/4, 1/4. The first block of two has average (2 * 8 + 1 * 4) / 3 = 20/3 with sum 3; the second has
    average 0 with sum 1; pooled, (3 * 20/3 + 1 * 0) / 4 = 5:

    >>> import numpy
    >>> streaming_attention([[1.0]], numpy.log([[2], [1], [1]]), [[8], [4], [0]], block_size=2).round(6)
    array([[5.]])

    References
    ----------
    Milakov and Gimelshein (2018), "Online normalizer calculation for softmax", Algorithm 3; Dao et al. (2022),
    "FlashAttention", Algorithm 1.
    """
    estimate = running_estimate(query, key, value, scale=scale, mask=mask, causal=causal, block_size=block_size)
    xp, dtype, _ = floats(query=query, key=key, value=value)
    return cast(xp, estimate[0], dtype)


@np.errstate(over="ignore", under="ignore")
def running_estimate(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    scale: float | None = None,
    mask: ArrayLike | None = None,
    causal: bool = False,
    block_size: int = 1024,
) -> tuple[Array, Array, Array]:
    """Return what `streaming_attention` keeps of the keys, so that it can be pooled with what other keys gave.

    Arguments as there.

    Returns
    -------
    average : array (..., L, dv)
    top : array (..., L, 1)
        The largest score of each query; the lowest finite number where it may attend nowhere.
    total : array (..., L, 1)
        The sum of exp(score - top); 0 where it may attend nowhere. 16-bit inputs give all three in float32.
    """
    xp, dtype, (query, key, value) = floats(query=query, key=key, value=value)
    batch, shape = _shapes(query, key, value)
    scale = _scale(scale, query)
    block_size = whole("block_size", block_size)
    length, keys = shape
    if causal:
        keys = min(keys, length)  # no query looks beyond key L - 1
    q, k, v = (cast(xp, x, wide(xp, dtype)) for x in (query, key[..., :keys, :], value[..., :keys, :]))
    if not _norm(v) < math.inf:
        require_finite(xp, value=v)
    check = not _bound(q, k, scale) < float(xp.finfo(q.dtype).max)  # not <: NaN, too, is looked for
    if mask is not None:
        mask = xp.broadcast_to(boolean(xp, mask, batch + shape, query), batch + shape)  # a view

    like = {"dtype": q.dtype, "device": device(q)}
    rows = max(64, -(-length // 16))
    tiles = []
    for first in range(0, max(length, 1), rows):  # max: no rows, too, have a result
        tile = slice(first, min(first + rows, length))
        queries = q[..., tile, :]
        top = xp.full((*batch, queries.shape[-2], 1), xp.finfo(q.dtype).min, **like)
        total = xp.zeros(top.shape, **like)
        average = xp.zeros((*top.shape[:-1], v.shape[-1]), **like)
        seen = min(keys, tile.stop) if causal else keys
        for start in range(0, max(seen, 1), block_size):  # max: an empty block ties the result to the inputs
            block = slice(start, min(start + block_size, seen))
            part = None if mask is None else mask[..., tile, block]
            s = _allowed_scores(xp, queries, k[..., block, :], scale, part, causal, first, start, check=check)
            old_top, top = top, xp.maximum(top, peak(xp, s))
            exponentials = xp.exp(s - top)
            old_total = total * xp.exp(old_top - top)
            total = old_total + xp.sum(exponentials, axis=-1, keepdims=True)
            share = xp.where(total > 0, total, 1.0)
            average = average * (old_total / share) + (exponentials / share) @ v[..., block, :]
        tiles.append((average, top, total))
    return tuple(xp.concat(parts, axis=-2) for parts in zip(*tiles, strict=True))


def _products(xp: Any, query: Array, key: Array, scale: float) -> Array:
    return (query * scale) @ xp.matrix_transpose(key)  # scale the smaller factor, (L, d) rather than (L, S)


def _allowed_scores(
    xp: Any,
    query: Array,
    key: Array,
    scale: float,
    mask: Array | None,
    causal: bool,
    first: int = 0,
    start: int = 0,
    *,
    check: bool = True,
) -> Array:
    """Return the scores of keys start, start + 1, ... by queries first, ..., -inf where mask or causality forbids."""
    with np.errstate(over="ignore", invalid="ignore"):
        s = _products(xp, query, key, scale)
    if check:
        _require_products(xp, query, key, s)
    if causal and start + s.shape[-1] > first + 1:
        rows = xp.arange(first, first + s.shape[-2], device=device(s))[:, None]
        columns = xp.arange(start, start + s.shape[-1], device=device(s))
        s = xp.where(columns <= rows, s, -math.inf)
    return s if mask is None else xp.where(mask, s, -math.inf)


def _average(xp: Any, weights: Array, value: Array) -> Array:
    with np.errstate(invalid="ignore"):
        result = weights @ value
    if not xp.all(xp.isfinite(result)):
        require_finite(xp, value=value)
    return result


def _require_products(xp: Any, query: Array, key: Array, products: Array) -> None:
    # The happy path looks at the products alone: NaN or inf in a factor always shows there.
    if not xp.all(xp.isfinite(products)):
        require_finite(xp, query=query, key=key)
        raise ValueError(f"query and key must have scores that {products.dtype} can hold; got one beyond its range")


def _norm(array: Array) -> float:
    """Return the root of the sum of all squares, repeated rows left out: inf if they overflow, NaN if there is one."""
    if is_torch_array(array):
        array = array.detach()
        if array.device.type != "cpu" or array.dtype.itemsize < 4:
            return float(array.float().norm())
        try:
            array = array.numpy()  # torch would wake its team of threads, which may take longer than the sum
        except RuntimeError:  # what torch.func hands on has no memory of its own
            return float(array.norm())
    if not array.flags.c_contiguous:  # count what broadcasting repeats once, and copy nothing that is only transposed
        array = array[tuple(slice(None if step else 1) for step in array.strides[:-1])].ravel("K")
    return math.sqrt(np.vdot(array, array))


def _bound(query: Array, key: Array, scale: float) -> float:
    """Return what every partial sum of a score is at most, by Cauchy and Schwarz; inf or NaN if that is not known."""
    # No factor counts as less than one: a small key does not mend an overflow of query * scale, and the squares of
    # small numbers vanish. The norms come first, for max(nan, 1) is nan and max(1, nan) is 1.
    return max(_norm(query), 1.0) * max(_norm(key), 1.0) * max(abs(scale), 1.0)


def _fits_fused(xp: Any, query: Array, key: Array, value: Array, scale: float) -> bool:
    """Tell whether the fused kernel gives the answer that this module promises."""
    if 0 in (*query.shape, *key.shape, *value.shape):
        return False
    if query.device.type != "cpu":
        return True  # looking at the data would stall the accelerator
    # NaN fails both comparisons, and the other path then names it.
    return _bound(query, key, scale) < xp.finfo(wide(xp, query.dtype)).max and _norm(value) < math.inf


def _fused(
    query: Array, key: Array, value: Array, scale: float, mask: Array | None, causal: bool, batch: tuple[int, ...]
) -> Array:
    import torch  # loaded by the caller, who has tensors

    kernel = torch.nn.functional.scaled_dot_product_attention
    length, keys = query.shape[-2], key.shape[-2]
    if scale <= 0:  # the kernel puts -inf where causality forbids, then scales: inf or nan
        query, scale = (-query, -scale) if scale else (0 * query, 1.0)
    # Fused kernels take four dimensions; these are views unless there are more.
    lead = (math.prod(batch[:-1]), math.prod(batch[-1:]))
    query, key, value = (
        x if x.shape[:-2] == lead else x.expand(*batch, *x.shape[-2:]).reshape(*lead, *x.shape[-2:])
        for x in (query, key, value)
    )
    if mask is None:
        return kernel(query, key, value, is_causal=bool(causal), scale=scale).reshape(*batch, length, value.shape[-1])
    if causal:
        mask = mask & torch.ones(length, keys, dtype=torch.bool, device=query.device).tril()
    if mask.shape != (length, keys):  # a mask for all heads alike is read faster as it is
        mask = mask.expand(*batch, length, keys).reshape(*lead, length, keys)
    # A row that may attend nowhere is nan in some releases, forward or backward. Let it attend everywhere, then
    # replace it: its gradient is exactly zero.
    alive = mask.view(torch.uint8).amax(-1, keepdim=True).bool()
    if query.device.type == "cpu" and alive.all():  # elsewhere, looking would stall the accelerator
        output = kernel(query, key, value, attn_mask=mask, scale=scale)
    else:
        output = torch.where(alive, kernel(query, key, value, attn_mask=mask | ~alive, scale=scale), 0.0)
    return output.reshape(*batch, length, value.shape[-1])


def _shapes(query: Array, key: Array, value: Array | None = None) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Return the common batch shape and (L, S)."""
    arrays = {"query": query, "key": key} | ({} if value is None else {"value": value})
    for (name, array), letters in zip(arrays.items(), ("L, d", "S, d", "S, dv"), strict=False):
        if array.ndim < 2:
            raise ValueError(f"{name} must have shape (..., {letters}); got {tuple(array.shape)}")
    (length, d), keys = query.shape[-2:], key.shape[-2]
    if d == 0:
        raise ValueError(f"query must have at least one coordinate, shape (..., L, d); got {tuple(query.shape)}")
    if key.shape[-1] != d:
        raise ValueError(f"key must have shape (..., S, {d}) to match query; got {tuple(key.shape)}")
    if value is not None and value.shape[-2] != keys:
        raise ValueError(f"value must have shape (..., {keys}, dv) to match key; got {tuple(value.shape)}")
    batch = broadcast("batch dimensions of " + ", ".join(arrays), *(tuple(x.shape[:-2]) for x in arrays.values()))
    return batch, (length, keys)


def _scale(scale: float | None, query: Array) -> float:
    return 1 / math.sqrt(query.shape[-1]) if scale is None else number("scale", scale)
