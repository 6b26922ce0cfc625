"""The alternatives to softmax attention, one ingredient changed at a time: the regulariser (`sparsemax`, `entmax`), the
noise of the values (`laplace_value`, `student_t_value`), the score (`gaussian_kernel_scores`, `soft_cap`, `rotate`),
the link from scores to weights (`linear_attention`), the prior (`sink`). Arrays and masks are as in `attnlib.layer`; a
score of -inf marks a key that is not read.
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
    common_real,
    flag,
    floats,
    in_place,
    number,
    own_arithmetic,
    peak,
    require_finite,
    require_no_gradient,
    require_products,
    require_scores,
    require_scores_for_weights,
    require_shapes,
    require_temperature,
    weigh,
    wide,
)
from attnlib.likelihood import readings

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
    """What readings with Student-t noise say: the likeliest answer, (..., dv), and their log density, (...)."""

    mean: Array
    log_likelihood: Array


@own_arithmetic
def sparsemax(scores: ArrayLike, *, temperature: float = 1.0, mask: ArrayLike | None = None, axis: int = -1) -> Array:
    """Turn scores into the weights nearest to them, of which those of low scores are zero.

    p is the point of the simplex that minimises -sum_i p_i s_i + temperature / 2 * sum_i p_i^2, and so the one nearest
    to s / temperature: `entmax` with alpha = 2.

    Parameters
    ----------
    scores, temperature, mask, axis
        As for `attnlib.layer.softmax`.

    Returns
    -------
    array, shape of `scores`
        p_i = max(s_i / temperature - t, 0), with the t for which they sum to one along `axis`. The same for scores +
        constant. All weight is on one key if and only if it is ahead of every other by at least one temperature. All
        zero where no key is left. Derivatives in torch as for `entmax`.

    Raises
    ------
    ValueError
        As `attnlib.layer.softmax`.

    Examples
    --------
    t = (1.2 + 1 - 1) / 2 = 0.6, and the third key is below it:

    >>> sparsemax([1.2, 1.0, 0.0]).round(6)
    array([0.6, 0.4, 0. ])

    References
    ----------
    Martins and Astudillo (2016); the search is Michelot's (1986), which sorts nothing.
    """
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
    """Turn scores into weights between those of softmax, alpha = 1, and of sparsemax, alpha = 2, or sparser still.

    p is the point of the simplex that maximises sum_i p_i s_i / temperature + H(p), where
    H(p) = sum_i (p_i - p_i^alpha) / (alpha (alpha - 1)) is Tsallis' entropy, for alpha = 1 Shannon's.

    Parameters
    ----------
    scores, temperature, mask, axis
        As for `attnlib.layer.softmax`.
    alpha : float
        Finite, at least 1.

    Returns
    -------
    array, shape of `scores`
        p_i = max((alpha - 1) s_i / temperature - t, 0)^(1 / (alpha - 1)), with the t for which they sum to one along
        `axis`. The same for scores + constant. All weight is on one key if and only if it is ahead of every other by
        at least temperature / (alpha - 1). All zero where no key is left.

        In torch the Jacobian is the closed one, (diag r - r r' / sum r) / temperature with r = p^(2 - alpha) on the
        support, backward, forward and differentiated in turn; a key at the edge of the support counts as outside.
        `torch.compile` breaks its graph here, as the search looks at the data.

    Raises
    ------
    ValueError
        If `alpha` is below 1, and as `attnlib.layer.softmax`.

    Examples
    --------
    For alpha = 1.5 weights are squares of s / 2 - t. With t = -0.6 they are 0.8^2 and 0.6^2, and the third key, whose
    s / 2 - t is -0.4, has none:

    >>> entmax([0.4, 0.0, -2.0]).round(6)
    array([0.64, 0.36, 0.  ])

    References
    ----------
    Peters, Niculae and Martins (2019); Tsallis (1988).
    """
    alpha = number("alpha", alpha)
    if alpha < 1:
        raise ValueError(f"alpha must be at least 1; got {alpha}")
    return _entmax(scores, alpha, temperature, mask, axis)


@own_arithmetic
def laplace_value(value: ArrayLike, scores: ArrayLike, *, alpha: float = 1.0, euclidean: bool = False) -> Array:
    """Find the answer under which readings with Laplace noise are likeliest: a median of the values, not their mean.

    Value i is a reading of the answer with a density proportional to exp(-kappa theta_i r_i), where
    theta_i = exp(alpha * scores_i), and r_i is its distance from the answer: the sum of the coordinates' own, or the
    Euclidean one. So the answer minimises sum_i p_i r_i with p = softmax(alpha * scores), whatever kappa is.

    Parameters
    ----------
    value : array (..., S, dv), real, finite
        S may be 0. Memory grows with S * dv, and with S^2 if `euclidean`.
    scores : array (..., S)
        Finite, or -inf for a key that is not read. Batch dimensions broadcast.
    alpha : float
        Finite; negative values trust low scores more.
    euclidean : bool
        True for noise without a preferred axis.

    Returns
    -------
    array (..., dv)
        Each coordinate is the weighted median of the values' own, the middle of the interval where several are. If
        `euclidean`, the geometric median: it turns with the values, and where a whole segment of points is optimal it
        is one end. Found in float64; less than half of the weight, wherever its values go, never carries it away. Zero
        where no key is read.

    Raises
    ------
    ValueError
        If shapes do not match, an argument is outside its range, or a tensor asks for its gradient, which is not given.

    Examples
    --------
    Weights 2/7, 2/7, 3/7 reach a half at the second value; the mean is (2 * 0 + 2 * 1 + 3 * 25) / 7 = 11.

    >>> import numpy
    >>> laplace_value([[0.0], [1.0], [25.0]], numpy.log([2, 2, 3]))
    array([1.])

    References
    ----------
    Laplace (1774); for the geometric median Weiszfeld (1937), and Vardi and Zhang (2000).
    """
    euclidean = flag("euclidean", euclidean)
    require_no_gradient(value=value, scores=scores)
    xp, dtype, (value, scores) = floats(value=value, scores=scores)
    value, logs = _noisy(xp, value, scores, alpha, 1.0)
    found = (_geometric_median if euclidean else _median)(xp, value, weigh(xp, logs)[0])
    return cast(xp, xp.where(xp.any(logs > -math.inf, axis=-1)[..., None], found, 0.0), dtype)


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
    """Find the answer under which readings with Student-t noise are likeliest: far values count for less.

    Value i is a reading of the answer with the multivariate t density in dv coordinates, of `dof` degrees of freedom
    and squared scale 1 / (kappa theta_i), theta_i = exp(alpha * scores_i). With r_i its distance from the answer, that
    maximises -(dof + dv) / 2 * sum_i log(1 + kappa theta_i r_i^2 / dof), which may have several local maxima; and kappa
    does not cancel: it says what is far.

    Parameters
    ----------
    value : array (..., S, dv), real, finite
        S may be 0. Without `start`, memory grows with S^2 dv.
    scores : array (..., S)
        Finite, or -inf for a key that is not read. Batch dimensions broadcast.
    dof : float
        Finite, above zero. 1 is Cauchy's noise; as it grows, the answer becomes the softmax average.
    alpha, kappa : float
        As for `attnlib.likelihood.log_precision`.
    start : array (..., dv), finite, optional
        Where to start from, within 1e150 times the largest value. None starts from every value, and from the softmax
        average.

    Returns
    -------
    StudentT
        mean, (..., dv): an average of the values under weights proportional to omega_i theta_i, with
        omega_i = (dof + dv) / (dof + kappa theta_i r_i^2). From one start it is the stationary point that the climb
        ends at, nearly always EM's own, and as likely as the start or more; without, the likeliest of those that all
        starts lead to. That no other is likelier is tested, not proved. Found in float64.
        log_likelihood, (...): the log density of all readings, with its constants. No key read: (0, 0).

    Raises
    ------
    ValueError
        If shapes do not match, an argument is outside its range, or a tensor asks for its gradient, which is not given.

    Examples
    --------
    Readings 1 and -1. The t density with 3 degrees of freedom is 2 / (pi 3^0.5 (1 + 1/3)^2) = 0.206748 at a distance
    of 1, and 2 * log(0.206748) = -3.152506:

    >>> found = student_t_value([[1.0], [-1.0]], [0.0, 0.0], dof=3)
    >>> bool(abs(found.mean[0]) < 1e-12), float(found.log_likelihood.round(6))
    (True, -3.152506)

    References
    ----------
    Lange, Little and Taylor (1989); EM is Dempster, Laird and Rubin's (1980) for this case.
    """
    given = {"value": value, "scores": scores} | ({} if start is None else {"start": start})
    require_no_gradient(**given)
    dof = number("dof", dof, above_zero=True)
    xp, dtype, (value, scores, *rest) = floats(**given)
    value, logs = _noisy(xp, value, scores, alpha, kappa)
    coordinates, batch = value.shape[-1], tuple(logs.shape[:-1])
    if rest:
        (start,) = rest
        if start.ndim < 1 or start.shape[-1] != coordinates:
            raise ValueError(f"start must have shape (..., {coordinates}) to match value; got {tuple(start.shape)}")
        require_finite(xp, start=start)
        batch = broadcast("batch dimensions of value, scores, start", batch, tuple(start.shape[:-1]))
        starts = xp.broadcast_to(cast(xp, start, value.dtype), (*batch, coordinates))[..., None, :]
    else:
        average = weigh(xp, logs)[0][..., None, :] @ value
        starts = xp.concat([xp.broadcast_to(value, (*logs.shape, coordinates)), average], axis=-2)
    unit = _unit(xp, value, starts)
    if xp.any(unit > 1e150 * _unit(xp, value)):  # the squares of what is between the values would vanish
        raise ValueError("start must be within 1e150 times the largest value; got one farther away")
    own = (logs + 2 * xp.log(unit[..., 0]) - math.log(dof))[..., None, :]  # (..., 1, S)

    def noise(square: Array) -> tuple[Array, Array, Array]:
        ratio = own + xp.log(square)
        log1p = xp.logaddexp(ratio, xp.zeros_like(ratio))
        return -xp.sum(log1p, axis=-1), own - log1p, 2 * xp.exp(ratio - log1p)

    means, heights = _climb(xp, value / unit, starts / unit, noise)
    best = xp.argmax(heights, axis=-1, keepdims=True)
    height = xp.take_along_axis(heights, best, axis=-1)[..., 0]
    mean = xp.take_along_axis(means, xp.broadcast_to(best[..., None], (*batch, 1, coordinates)), axis=-2)
    read = logs > -math.inf
    constants = _log_gamma_ratio(dof / 2, coordinates / 2) + coordinates / 2 * (logs - math.log(2 * math.pi))
    likelihood = (dof + coordinates) / 2 * height + xp.sum(xp.where(read, constants, 0.0), axis=-1)
    if xp.any(xp.isnan(likelihood)):
        raise ValueError("scores must give a log likelihood that float64 can hold; got one beyond its range")
    some = xp.any(read, axis=-1)
    mean = xp.where(some[..., None], (unit * mean)[..., 0, :], 0.0)
    return StudentT(cast(xp, mean, dtype), cast(xp, xp.where(some, likelihood, 0.0), wide(xp, dtype)))


@own_arithmetic
def gaussian_kernel_scores(query: ArrayLike, key: ArrayLike) -> Array:
    """Score every key against every query by their distance, -sum_c (query_ic - key_jc)^2 / 2.

    Parameters
    ----------
    query : array (..., L, d), real, finite
        d is at least 1; batch dimensions (...) broadcast with those of `key`.
    key : array (..., S, d), real, finite
        S may be 0.

    Returns
    -------
    array (..., L, S)
        Not positive, and zero for a key equal to the query. Its softmax at temperature tau weighs keys by a Gaussian
        kernel of variance tau, and is that of the dot products if all keys have one norm. It is made from differences,
        with no array (L, S, d), so that vectors near each other and far from zero keep their digits.

    Raises
    ------
    ValueError
        If shapes do not match, an input is NaN or infinite, or a score is too large for the dtype.

    Examples
    --------
    -(0^2 + 0^2) / 2 and -(3^2 + 4^2) / 2:

    >>> gaussian_kernel_scores([[1.0, 0.0]], [[1.0, 0.0], [4.0, 4.0]])
    array([[  0. , -12.5]])

    References
    ----------
    Nadaraya (1964) and Watson (1964): with it, attention is kernel regression.
    """
    xp, dtype, (query, key) = floats(query=query, key=key)
    require_shapes(query, key)
    q, k = (cast(xp, x, wide(xp, dtype)) for x in (query, key))
    zero = 0.0
    if is_torch_array(q):
        # The value comes from differences, and the gradient from the product: differences would keep an array (L, S)
        # for each coordinate. The centre changes rounding alone.
        centre = xp.sum(k.detach() / max(k.shape[-2], 1), axis=-2, keepdims=True)
        a, b = q - centre, k - centre
        product = a @ b.mT - (xp.sum(a * a, axis=-1)[..., :, None] + xp.sum(b * b, axis=-1)[..., None, :]) / 2
        zero, q, k = product - product.detach(), q.detach(), k.detach()
    result = cast(xp, zero - _squares(xp, q, k) / 2, dtype)
    require_products(xp, query, key, result)
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
    """Average the values under weights that are products of features, phi(query_i) . phi(key_j) / (their sum over j).

    The sums over keys, of phi(key_j) and of phi(key_j) value_j', do not know the query: a state of F (dv + 1) numbers,
    however many keys there are.

    Parameters
    ----------
    query : array (..., L, d), real, finite
    key : array (..., S, d), real, finite
        S may be 0.
    value : array (..., S, dv), real, finite
        Batch dimensions of the three broadcast.
    feature_map : function of an array
        Takes queries (..., L, d), and keys, and gives features (..., L, F) of the same library. It gets 16-bit inputs
        in float32.
    mask : boolean array, optional
        True for a key that may be attended; broadcasts to (..., S).
    causal : bool
        Query i may attend key j if and only if j <= i, as in `attnlib.layer.attention`. Queries go in blocks of 128,
        with 128^2 scores at a time.

    Returns
    -------
    array (..., L, dv)
        What the L * S weights would give, up to rounding. Zero where the weights add up to zero. Features that are not
        negative give weights that are not, and rows in the convex hull of the values.

    Raises
    ------
    ValueError
        If shapes do not match, an input is not finite, or the features of a query give a sum that is negative or not
        finite.

    Examples
    --------
    Features are the numbers themselves, so the weights are 3 / (3 + 1) and 1 / (3 + 1), and 3/4 * 8 + 1/4 * 4 = 7:

    >>> linear_attention([[1.0]], [[3.0], [1.0]], [[8.0], [4.0]], feature_map=lambda x: x)
    array([[7.]])

    References
    ----------
    Katharopoulos et al. (2020).
    """
    causal = flag("causal", causal)
    xp, dtype, arrays = floats(query=query, key=key, value=value)
    batch, _ = require_shapes(*arrays)
    query, key, value = (cast(xp, x, wide(xp, dtype)) for x in arrays)
    require_finite(xp, query=query, key=key, value=value)
    queries, keys = (_features(xp, feature_map, x) for x in (query, key))
    if queries.shape[-1] != keys.shape[-1]:
        raise ValueError(
            "feature_map must give queries and keys the same number of features; "
            f"got {queries.shape[-1]} and {keys.shape[-1]}"
        )
    if mask is not None:
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
    """Keep scores between -cap and cap, without a corner: cap * tanh(scores / cap).

    Parameters
    ----------
    scores : array, any shape, real
        Finite, or -inf for a key that is not read.
    cap : float
        Finite, above zero.

    Returns
    -------
    array, shape of `scores`
        Grows with the score, is nearly the score where that is small beside the cap, and stays -inf where it is -inf.
        Two weights of its softmax differ by a factor of at most exp(2 * cap / temperature).

    Raises
    ------
    ValueError
        If a score is NaN or +inf, or the cap is outside its range.

    Examples
    --------
    tanh(0) = 0, tanh(500) = 1:

    >>> soft_cap([0.0, 1000.0, -float("inf")], cap=2)
    array([  0.,   2., -inf])

    References
    ----------
    Bello et al. (2016), Eq. 16; Gemma Team (2024), section 2.
    """
    xp, dtype, (scores,) = floats(scores=scores)
    cap = require_temperature(xp, wide(xp, dtype), cap, "cap")
    require_scores(xp, scores)
    capped = cap * xp.tanh(cast(xp, scores, wide(xp, dtype)) / cap)
    return cast(xp, xp.where(scores == -math.inf, scores, capped), dtype)


@own_arithmetic
def rotate(vectors: ArrayLike, positions: ArrayLike, *, base: float = 10_000.0) -> Array:
    """Turn pairs of coordinates by angles that grow with the position (RoPE): pair c by position * base^(-2c / d).

    Parameters
    ----------
    vectors : array (..., L, d), real, finite
        d is even; pair c = 0, ..., d/2 - 1 is coordinates 2c and 2c + 1.
    positions : array (L,) or (..., L), real, finite
        Not necessarily whole. Angles are float64, whatever the dtype. Batch dimensions broadcast.
    base : float
        Finite, above zero.

    Returns
    -------
    array (..., L, d)
        Each vector keeps its norm, and the product of a query turned by i and a key turned by j depends on the two and
        j - i alone.

    Raises
    ------
    ValueError
        If shapes do not match, or an argument is outside its range.

    Examples
    --------
    d = 2, so the angle is the position, here a quarter turn and a half turn:

    >>> import numpy
    >>> rotate([[1.0, 0.0], [1.0, 0.0]], [numpy.pi / 2, numpy.pi]).round(6)
    array([[ 0.,  1.],
           [-1.,  0.]])

    References
    ----------
    Su et al. (2021), section 3.2.
    """
    base = number("base", base, above_zero=True)
    xp, dtype, (turned, _) = floats(vectors=vectors, positions=positions)
    dtype = common_real(xp, [vectors]) or dtype  # positions have no say in it
    if turned.ndim < 2 or turned.shape[-1] == 0 or turned.shape[-1] % 2:
        raise ValueError(f"vectors must have shape (..., L, d) with d even; got {tuple(turned.shape)}")
    *lead, d = turned.shape
    # In float64 from the start: float32 has no odd whole numbers beyond 2^24, and angles of 1e6 to two digits alone.
    if is_array_api_obj(positions):
        places = cast(xp, positions, xp.float64)
    else:
        places = xp.asarray(positions, dtype=xp.float64, device=device(turned))
    if tuple(places.shape[-1:]) != (lead[-1],):
        raise ValueError(f"positions must have shape (..., {lead[-1]}) to match vectors; got {tuple(places.shape)}")
    shape = broadcast("positions and batch dimensions of vectors", tuple(places.shape), tuple(lead))
    require_finite(xp, vectors=turned, positions=places)
    pairs = xp.arange(d // 2, dtype=xp.float64, device=device(turned))
    angles = places[..., None] * base ** (-2 * pairs / d)
    require_finite(xp, **{"positions * base^(-2c / d)": angles})
    x = cast(xp, turned, wide(xp, dtype))
    first, second = x[..., ::2], x[..., 1::2]
    cosine, sine = (cast(xp, f(angles), x.dtype) for f in (xp.cos, xp.sin))
    both = xp.stack([first * cosine - second * sine, first * sine + second * cosine], axis=-1)
    result = cast(xp, xp.reshape(both, (*shape, d)), dtype)
    if not xp.all(xp.isfinite(result)):
        raise ValueError(f"vectors must have turns that {dtype} can hold; got one beyond its range")
    return result


@own_arithmetic
def sink(
    scores: ArrayLike,
    *,
    log_precision: ArrayLike = 0.0,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    axis: int = -1,
) -> Array:
    """Turn scores into weights beside an absent key of value 0, which takes a share of the weight and gives nothing.

    p_i = exp(s_i / temperature) / (exp(log_precision) + sum_j exp(s_j / temperature)). Averaged under p, values are
    drawn towards 0, as by a prior reading 0 with that precision.

    Parameters
    ----------
    scores, temperature, mask, axis
        As for `attnlib.layer.softmax`.
    log_precision : number or array, real
        Finite, or -inf for no such key; broadcasts to the shape of `scores` without `axis`. 0 adds one to the sum.

    Returns
    -------
    array, shape of `scores`
        The first weights of the softmax with one more score, temperature * log_precision. Not negative, with a sum of
        at most one along `axis`. All zero where no key is left.

    Raises
    ------
    ValueError
        If a log precision is NaN or +inf, or does not broadcast, and as `attnlib.layer.softmax`.

    Examples
    --------
    1 / (1 + 1 + 2) and 2 / (1 + 1 + 2):

    >>> import numpy
    >>> sink(numpy.log([1, 2])).round(6)
    array([0.25, 0.5 ])

    References
    ----------
    Miller (2023), for log_precision = 0; Xiao et al. (2024).
    """
    xp, dtype, (scores, log_precision) = floats(scores=scores, log_precision=log_precision)
    scores, temperature, axis = require_scores_for_weights(xp, dtype, scores, temperature, mask, axis)
    scores = xp.moveaxis(scores, axis, -1)
    require_scores(xp, log_precision, "log_precision")
    batch = tuple(scores.shape[:-1])
    try:
        absent = temperature * xp.broadcast_to(cast(xp, log_precision, scores.dtype), batch)[..., None]
    except (ValueError, RuntimeError):
        raise ValueError(f"log_precision must broadcast to {batch}; got shape {tuple(log_precision.shape)}") from None
    require_scores(xp, absent, "temperature * log_precision")
    weights, _ = weigh(xp, xp.concat([scores, absent], axis=-1), temperature=temperature)
    return cast(xp, xp.moveaxis(weights[..., :-1], -1, axis), dtype)


def _entmax(scores: ArrayLike, alpha: float, temperature: float, mask: ArrayLike | None, axis: int) -> Array:
    xp, dtype, (scores,) = floats(scores=scores)
    scores, temperature, axis = require_scores_for_weights(xp, dtype, scores, temperature, mask, axis)
    scores = xp.moveaxis(scores, axis, -1)
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
    level, room = xp.zeros_like(gaps[..., :1]), in_place(xp.empty_like(gaps))
    rounding = 4 * float(xp.finfo(gaps.dtype).eps)
    while True:
        weights, slopes = _powers(xp, gaps, level, beta, room)
        total, slope = (xp.sum(x, axis=-1, keepdims=True, dtype=gaps.dtype) for x in (weights, slopes))
        total, slope = (xp.where(total > 0, x, 1.0) for x in (total, slope))  # else there is no key
        logs = xp.log(total)
        step = (xp.expm1(beta * logs) / beta if beta else logs) * xp.exp((1 - beta) * logs) / slope
        if not xp.any((step > rounding) & (level + step > level)):
            return xp.divide(weights, total, **in_place(weights))
        level = xp.maximum(level, level + step)


def _powers(xp: Any, gaps: Array, level: Array, beta: float, room: dict) -> tuple[Array, Array]:
    """Return p = (1 + beta (gaps - level))_+^(1 / beta), and p^(1 - beta), minus its derivative by the level."""
    if beta == 0:
        p = xp.exp(gaps - level)
        return p, p
    if beta in (0.5, 1):
        root = xp.subtract(gaps, level - 1 / beta, **room)
        root = xp.clip(root, 0.0, None, **in_place(root))
        return (root, root > 0) if beta == 1 else (root * root / 4, root / 2)
    x = xp.clip(beta * (gaps - level), -1.0, None)
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


def _noisy(xp: Any, value: Array, scores: Array, alpha: float, kappa: float) -> tuple[Array, Array]:
    """Return values (..., S, dv) and log precisions (..., S) in float64; without a key, one that is not read."""
    value, logs = readings(xp, xp.float64, value, scores, alpha, kappa)
    *batch, keys, coordinates = value.shape
    if coordinates == 0:
        raise ValueError(f"value must have at least one coordinate, shape (..., S, dv); got {tuple(value.shape)}")
    if keys == 0:
        like = {"dtype": value.dtype, "device": device(value)}
        value, logs = xp.zeros((*batch, 1, coordinates), **like), xp.full((*logs.shape[:-1], 1), -math.inf, **like)
    return value, logs


def _unit(xp: Any, *points: Array) -> Array:
    """Return a unit (..., 1, 1) in which squares do not overflow: a power of two, so that it rounds nothing."""
    top = functools.reduce(xp.maximum, [xp.max(xp.abs(x), axis=(-2, -1), keepdims=True) for x in points])
    return 2.0 ** xp.floor(xp.log2(xp.where(top > 0, top, 1.0)))


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
    return xp.where(low == high, low, low / 2 + high / 2)[..., 0, :]


def _geometric_median(xp: Any, value: Array, weights: Array) -> Array:
    """Start at the best of the values, and leave it if it is not optimal, by Vardi and Zhang's step: that goes below
    every value's objective, so the climb meets no other value, where the objective has a kink.
    """
    shape, unit = (*weights.shape, value.shape[-1]), _unit(xp, value)
    value = value / unit
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

    return (unit * xp.where(leave, _climb(xp, value, start, noise)[0], home))[..., 0, :]


def _climb(xp: Any, value: Array, mean: Array, noise: Callable) -> tuple[Array, Array]:
    """Climb from means (..., M, dv) to local maxima of a likelihood of distances; return them and their heights.

    `noise` takes the squared distances (..., M, S) and gives the height, (..., M), the logarithm of the weights under
    which the average of the values is the next mean of EM, and how much of each weight's pull along its own residual
    is lost as the residual grows. EM never goes down, but slows down; Newton's step, which is EM's where the height
    is not concave, is taken in its place where it is higher, or as high with less than half of the slope.
    """
    eye = xp.eye(value.shape[-1], dtype=value.dtype, device=device(value))
    rounding = 4 * float(xp.finfo(value.dtype).eps)

    def at(mean: Array) -> list[Array]:
        residuals = value[..., None, :, :] - mean[..., None, :]
        square = xp.sum(residuals * residuals, axis=-1)
        height, logs, bend = noise(square)
        shares, _ = weigh(xp, logs)
        move = (shares[..., None, :] @ residuals)[..., 0, :]
        lost = (shares * bend / xp.where(square > 0, square, 1.0))[..., None]
        curvature = eye - xp.matrix_transpose(residuals) @ (lost * residuals)
        return [mean, height, move, xp.sqrt(xp.sum(move * move, axis=-1)), curvature]

    here = at(mean)
    for _ in range(_ITERATIONS):
        mean, height, move, slope, curvature = here
        rates, directions = xp.linalg.eigh(curvature)
        concave = rates[..., :1] > 0
        along = (xp.matrix_transpose(directions) @ move[..., None])[..., 0] / xp.where(concave, rates, 1.0)
        newton = at(mean + (directions @ along[..., None])[..., 0])
        em = at(mean + move)
        gain, noisy = newton[1] - em[1], rounding * xp.abs(em[1])
        quick = (gain > noisy) | ((gain >= -noisy) & (newton[3] <= em[3] / 2))
        there = [_choose(xp, quick, a, b) for a, b in zip(newton, em, strict=True)]
        gain, noisy = there[1] - height, rounding * xp.abs(height)
        # Where rounding may be all that there is of a gain, the slope must fall too, or two places would take turns.
        small = ((gain > 0) & (there[3] < slope)) | ((gain >= -noisy) & (there[3] < slope / 2))
        climbs = (gain > noisy) | small
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
    rest = [y / 12 - y**3 / 360 + y**5 / 1260 - y**7 / 1680 for y in (1 / (x + more), 1 / x)]  # of Stirling's series
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
    _, _, (_, features) = floats(input=array, feature_map=feature_map(array))
    if tuple(features.shape[:-1]) != tuple(array.shape[:-1]) or features.ndim != array.ndim:
        wanted = ", ".join(map(str, (*array.shape[:-1], "F")))
        raise ValueError(f"feature_map must give shape ({wanted}); got {tuple(features.shape)}")
    return cast(xp, features, array.dtype)


def _running_sums(xp: Any, queries: Array, keys: Array, readings: Array) -> Array:
    """Return what each query sums over the keys up to its own: its block's one by one, earlier ones as a state."""
    state = xp.matrix_transpose(keys[..., :0, :]) @ readings[..., :0, :]
    parts = []
    for start in range(0, max(queries.shape[-2], 1), _BLOCK):
        q, k, v = (x[..., start : start + _BLOCK, :] for x in (queries, keys, readings))
        transposed = xp.matrix_transpose(k)
        parts.append(xp.tril(q @ transposed) @ v + q @ state)
        state = state + transposed @ v
    return xp.concat(parts, axis=-2)
