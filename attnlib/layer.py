"""What the layer computes: scores, their softmax, and the average of the values under it.

One implementation serves NumPy arrays and torch tensors on any device; dtype and device follow the input. 16-bit
inputs are accumulated in float32 and returned in 16 bits. Lists, whole numbers and booleans take the dtype of the real
arrays beside them, or the default (float64 for NumPy); lists alone become NumPy arrays. torch is never imported for a
caller who has not. Neither `numpy.errstate` nor `torch.autocast` around a call changes what it computes.

Masks are boolean, True where a query may attend. A query that may attend nowhere has weights 0 and output 0.

Checks that look at the data (NaN, overflow) make an accelerator wait for its queue. They run everywhere but on the
fused path of `attention` on an accelerator, where NaN in gives NaN out. For the same reason use batch dimensions rather
than `torch.func.vmap`, which cannot follow a check.
"""

import itertools
import math
from typing import Any

import numpy as np
from array_api_compat import device, is_torch_array

from attnlib._arrays import (
    Array,
    ArrayLike,
    boolean,
    cast,
    flag,
    floats,
    in_place,
    number,
    own_arithmetic,
    peak,
    require_finite,
    require_products,
    require_scores_for_weights,
    require_shapes,
    weigh,
    whole,
    wide,
)
from attnlib._cores import each

__all__ = ["attention", "scores", "softmax", "streaming_attention"]

_MANY = 2**22  # scores, from which on NumPy works in tiles on several cores; fewer are made faster by one
_TILE = (128, 2**17)  # queries, and scores, of one of them: they fit in a core's own cache


@own_arithmetic
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
    require_shapes(query, key)
    scale = _scale(scale, query)
    wider = wide(xp, dtype)
    result = cast(xp, _products(xp, cast(xp, query, wider), cast(xp, key, wider), scale), dtype)
    require_products(xp, query, key, result)
    return result


@own_arithmetic
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
    scores, temperature, axis = require_scores_for_weights(xp, dtype, scores, temperature, mask, axis)
    weights, _ = weigh(xp, scores, axis, temperature)
    return cast(xp, weights, dtype)


@own_arithmetic
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

    torch tensors go to `torch.nn.functional.scaled_dot_product_attention`, unless the weights are asked for, or a
    derivative that it lacks: forward, or second. Large NumPy arrays go block by block, as in `streaming_attention`.

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
        Return the weights as well. Then all L * S of them are made, up to 2 L S numbers at a time, and neither blocks
        nor torch's kernel, which keep none, are used: for long sequences that is far slower, and soon more than fits in
        memory. The same goes for torch's second derivatives.

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
    return_weights = flag("return_weights", return_weights)
    checked = _checked(query, key, value, scale, mask, causal)
    xp, dtype, query, key, value, scale, mask, causal, batch, shape = checked

    def both(query: Array, key: Array, value: Array) -> tuple[Array, Array]:
        q, k, v = (cast(xp, x, wide(xp, dtype)) for x in (query, key, value))
        s = _allowed_scores(xp, q, k, scale, mask, causal, check=not _bounded(xp, q, k, scale))
        if not _norm(v) < math.inf:
            require_finite(xp, value=v)
        weights, _ = weigh(xp, s, owned=True)
        return cast(xp, weights @ v, dtype), weights

    if return_weights:
        output, weights = both(query, key, value)
        return output, cast(xp, weights, dtype)
    if is_torch_array(query) and _fits_fused(xp, query, key, value, scale):
        from attnlib import _fused  # which imports torch, as the caller has

        return _fused.attention(query, key, value, lambda *given: both(*given)[0], scale, mask, causal, batch)
    if _goes_in_tiles(query, batch + shape):
        if causal:
            require_finite(xp, key=key[..., shape[0] :, :], value=value[..., shape[0] :, :])  # which no query looks at
        return cast(xp, _estimate(*checked)[0], dtype)
    return both(query, key, value)[0]


@own_arithmetic
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
    the result by rounding alone.

    Some queries go at a time: their scores stay in a processor's cache, and whole blocks are left out by `causal`. Of
    large NumPy arrays 128 queries do, on as many threads as NumPy's BLAS may use, which has one meanwhile; memory
    beside the result is 128 * block_size numbers a thread. Else it is a sixteenth of the queries, 64 at least, and
    some L * block_size / 16 numbers; where torch records gradients, it keeps every block for the backward pass.

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
    block_size = whole("block_size", block_size)
    checked = _checked(query, key, value, scale, mask, causal)
    xp, dtype, *_ = checked
    return cast(xp, _estimate(*checked, block_size=block_size)[0], dtype)


@own_arithmetic
def running_estimate(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, scale: float | None = None
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
    return _estimate(*_checked(query, key, value, scale, None, False))


def _checked(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, scale: float | None, mask: ArrayLike | None, causal: bool
) -> tuple:
    """Return namespace, dtype, the arguments once they are known to be right, batch shape and (L, S)."""
    causal = flag("causal", causal)
    xp, dtype, (query, key, value) = floats(query=query, key=key, value=value)
    batch, shape = require_shapes(query, key, value)
    scale = _scale(scale, query)
    mask = None if mask is None else boolean(xp, mask, batch + shape, query)
    return xp, dtype, query, key, value, scale, mask, causal, batch, shape


def _estimate(
    xp: Any,
    dtype: Any,
    query: Array,
    key: Array,
    value: Array,
    scale: float,
    mask: Array | None,
    causal: bool,
    batch: tuple[int, ...],
    shape: tuple[int, int],
    *,
    block_size: int = 1024,
) -> tuple[Array, Array, Array]:
    length, keys = shape
    if causal:
        keys = min(keys, length)  # no query looks beyond key L - 1
    q, k, v = (cast(xp, x, wide(xp, dtype)) for x in (query, key[..., :keys, :], value[..., :keys, :]))
    largest, size = float(xp.finfo(q.dtype).max), _norm(v)
    if not size < math.inf:
        require_finite(xp, value=v)
    check = not _bounded(xp, q, k, scale)
    summable = size * block_size < largest
    tiled = _goes_in_tiles(q, batch + shape)
    if tiled:
        q, k, v = (xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (q, k, v))  # views, like the mask's
    if mask is not None:
        mask = xp.broadcast_to(mask, batch + shape)
    like = {"dtype": q.dtype, "device": device(q)}

    def read(tile: tuple) -> tuple[Array, Array, Array]:
        """Let some queries read all their keys: tile indexes the batch dimensions, and last the queries."""
        *heads, rows = tile
        queries = q[(*tile, slice(None))]
        top = xp.full((*(queries.shape[:-2] if tiled else batch), queries.shape[-2], 1), xp.finfo(q.dtype).min, **like)
        total = xp.zeros(top.shape, **like)
        average = xp.zeros((*top.shape[:-1], v.shape[-1]), **like)
        seen = min(keys, rows.stop) if causal else keys
        for start in range(0, max(seen, 1), block_size):  # max: an empty block ties the result to the inputs
            block = slice(start, min(start + block_size, seen))
            part = None if mask is None else mask[(*tile, block)]
            keys_here, values = (x[(*heads, block, slice(None))] for x in (k, v))
            s = _allowed_scores(xp, queries, keys_here, scale, part, causal, rows.start, start, check=check)
            old_top, top = top, xp.maximum(top, peak(xp, s))
            gaps = xp.subtract(s, top, **in_place(s))
            exponentials = xp.exp(gaps, **in_place(gaps))
            old_total = total * xp.exp(old_top - top)
            total = old_total + xp.sum(exponentials, axis=-1, keepdims=True)
            share = xp.where(total > 0, total, 1.0)
            # Divided after the product it takes fewer divisions, but the sum of large values may overflow.
            recent = (exponentials @ values) / share if summable else (exponentials / share) @ values
            average = average * (old_total / share) + recent
            del s, gaps, exponentials  # or the next block is made beside this one
        return average, top, total

    if not tiled:
        step = max(64, -(-length // 16))
        rows = (slice(first, min(first + step, length)) for first in range(0, max(length, 1), step))
        parts = [read((..., part)) for part in rows]
        return tuple(xp.concat(part, axis=-2) for part in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    results = tuple(xp.empty((*batch, length, width), dtype=q.dtype) for width in (v.shape[-1], 1, 1))

    @own_arithmetic  # a thread has its own error state
    def keep(tile: tuple) -> None:
        for result, part in zip(results, read(tile), strict=True):
            result[tile] = part

    each(keep, _tiles(batch, length, min(keys, block_size)))
    return results


def _goes_in_tiles(query: Array, shape: tuple[int, ...]) -> bool:
    return isinstance(query, np.ndarray) and math.prod(shape) >= _MANY


def _tiles(batch: tuple[int, ...], length: int, width: int) -> list[tuple[slice, ...]]:
    """Cut the queries and the batch dimensions so that a tile has few scores, a block of keys being so wide."""
    most, left = _TILE
    steps = [min(length, most)]
    left //= steps[0] * width
    for size in reversed(batch):
        steps.insert(0, min(size, max(left, 1)))
        left //= steps[0]
    cuts = (
        [slice(first, min(first + step, size)) for first in range(0, size, step)]
        for size, step in zip((*batch, length), steps, strict=True)
    )
    return list(itertools.product(*cuts))


def _products(xp: Any, query: Array, key: Array, scale: float) -> Array:
    if 0 < abs(scale) < xp.finfo(query.dtype).smallest_normal:  # few digits or none: half to each factor
        root = math.sqrt(abs(scale))
        key, scale = key * root, math.copysign(root, scale)
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
    s = _products(xp, query, key, scale)
    if check:
        require_products(xp, query, key, s)
    if causal and start + s.shape[-1] > first + 1:
        rows = xp.arange(first, first + s.shape[-2], device=device(s))[:, None]
        columns = xp.arange(start, start + s.shape[-1], device=device(s))
        s = xp.where(columns <= rows, s, -math.inf)
    return s if mask is None else xp.where(mask, s, -math.inf)


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


def _bounded(xp: Any, query: Array, key: Array, scale: float) -> bool:
    """Tell whether no score can pass the range on its way; false for what is not finite, which the scores then show."""
    return _bound(query, key, scale) < float(xp.finfo(wide(xp, query.dtype)).max)


def _fits_fused(xp: Any, query: Array, key: Array, value: Array, scale: float) -> bool:
    """Tell whether the fused kernel gives the answer that this module promises."""
    if 0 in (*query.shape, *key.shape, *value.shape) or 0 < abs(scale) < xp.finfo(xp.float32).smallest_normal:
        return False  # the kernel has its scale in float32
    if query.device.type != "cpu":
        return True  # looking at the data would stall the accelerator
    # NaN fails both comparisons, and the other path then names it.
    return _bounded(xp, query, key, scale) and _norm(value) < math.inf


def _scale(scale: float | None, query: Array) -> float:
    return 1 / math.sqrt(query.shape[-1]) if scale is None else number("scale", scale)
