"""The most even weights that reach an expected score: maximise H(p) = -sum_i p_i log p_i, subject to sum_i p_i s_i = t.

The answer is softmax(alpha * s), and alpha is the one number that makes the expectation come out. More generally:
`maximum_entropy` takes several features in place of the score, and a prior in place of equal weights.

Weights p are checked: not negative, and with a sum that is one to within the square root of their dtype's rounding step
(1.5e-8 for float64, 3.5e-4 for float32). 0 log 0 is 0.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device, is_array_api_obj, to_device

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    divergence_of,
    entropy_of,
    floats,
    own_arithmetic,
    require_axis,
    require_finite,
    require_no_gradient,
    require_weights,
    wide,
)

__all__ = ["MaximumEntropy", "effective_keys", "entropy", "kl_divergence", "maximum_entropy"]

_ITERATIONS = 200
_DEPENDENT = 1e-12  # of the largest singular value: features that are combinations of others, up to rounding
_BOUNDARY = 1e-9  # of the range: with several features, this near the boundary of the hull counts as on it ...
_SMALL = 1e-8  # ... and is looked for where a weight is below this, as one is near the boundary
_ACCURACY = 1e-10  # of each feature's range: what the expectations promise


class MaximumEntropy(NamedTuple):
    """Weights of shape (n,), and the multipliers that make them: () for one feature, (m,) for m."""

    weights: Array
    multipliers: Array


@own_arithmetic
def entropy(p: ArrayLike, *, axis: int = -1) -> Array:
    """Give the entropy of weights in nats, H(p) = -sum_i p_i log p_i, with 0 log 0 = 0.

    Parameters
    ----------
    p : array, real, at least one dimension
        Weights: not negative, with sum one along `axis`.
    axis : int
        The axis of the keys, negative ones counted from the end.

    Returns
    -------
    array, shape of `p` without `axis`
        From 0 (one key has all the weight) to log n (equal weights); strictly concave in p. In torch the derivative for
        a weight of 0, which is infinite, is taken as 0: what reaches the scores of a softmax is then right.

    Raises
    ------
    ValueError
        If p holds no weights along `axis`, or `axis` is no axis of p.

    Examples
    --------
    -(1/2 log 1/2 + 2 * 1/4 log 1/4) = (1/2 + 2 * 1/2) log 2 = 1.5 * 0.693147:

    >>> print(f"{entropy([0.5, 0.25, 0.25]):.6f}")
    1.039721

    References
    ----------
    Shannon (1948), section 6; Jaynes (1957) for its use here.
    """
    xp, dtype, p, axis = _weights(p, axis)
    return cast(xp, entropy_of(xp, p, axis), dtype)


@own_arithmetic
def effective_keys(p: ArrayLike, *, axis: int = -1) -> Array:
    """Count the keys that weights are spread over, exp(H(p)).

    Parameters
    ----------
    p, axis
        As for `entropy`.

    Returns
    -------
    array, shape of `p` without `axis`
        From 1 to n; equal weights on m keys, and 0 on all others, give m. inf where 16 bits cannot hold it.

    Raises
    ------
    ValueError
        As `entropy`.

    Examples
    --------
    exp(1.5 log 2) = 2^1.5, between the two and the three keys that one may see in it:

    >>> print(f"{effective_keys([0.5, 0.25, 0.25]):.6f}")
    2.828427
    """
    xp, dtype, p, axis = _weights(p, axis)
    return cast(xp, xp.exp(entropy_of(xp, p, axis)), dtype)


@own_arithmetic
def kl_divergence(p: ArrayLike, q: ArrayLike | None = None, *, axis: int = -1) -> Array:
    """Give the divergence of weights p from weights q in nats, KL(p || q) = sum_i p_i log(p_i / q_i).

    Parameters
    ----------
    p : array, real, at least one dimension
        Weights: not negative, with sum one along `axis`.
    q : array, optional
        Weights of a shape that broadcasts with p; None means equal weights on all n keys.
    axis : int
        The axis of the keys (of the broadcast shape), negative ones counted from the end.

    Returns
    -------
    array, the broadcast shape without `axis`
        Not negative, and 0 only for p = q, up to rounding; inf where q is 0 at a key that has a weight in p. With
        q=None it is log n - H(p), at most log n.

    Raises
    ------
    ValueError
        If p or q holds no weights along `axis`, shapes do not match, or `axis` is no axis.

    Examples
    --------
    1/2 log(1/2 / (1/4)) + 1/2 log(1/2 / (3/4)) = (log 2 + log 2/3) / 2 = log(4/3) / 2:

    >>> print(f"{kl_divergence([0.5, 0.5], [0.25, 0.75]):.6f}")
    0.143841

    References
    ----------
    Kullback and Leibler (1951).
    """
    if q is None:
        xp, dtype, p, axis = _weights(p, axis)
        return cast(xp, math.log(p.shape[axis]) - entropy_of(xp, p, axis), dtype)
    given = {"p": p, "q": q}
    xp, dtype, arrays = floats(**given)
    shape = broadcast("p and q", *(tuple(array.shape) for array in arrays))
    axis = require_axis(axis, len(shape), "p")
    p, q = (
        require_weights(xp, xp.broadcast_to(array, shape), given[name], name, axis)
        for name, array in zip(given, arrays, strict=True)
    )
    return cast(xp, divergence_of(xp, p, q, axis), dtype)


@own_arithmetic
def maximum_entropy(features: ArrayLike, expectation: ArrayLike, *, prior: ArrayLike | None = None) -> MaximumEntropy:
    """Find the weights closest to the prior that give the features the expectations asked for.

    Minimise KL(p || prior) over weights p, subject to sum_i p_i features_i = expectation. With equal prior weights this
    maximises the entropy. The one solution is p_i = prior_i exp(multipliers . features_i) / Z, and the multipliers
    minimise the convex dual log Z(multipliers) - multipliers . expectation, which is done here by damped Newton steps,
    or for one feature by halving an interval.

    Parameters
    ----------
    features : array (n,) or (m, n), real, finite
        One feature of n keys, such as the scores, or m features. Constant and linearly dependent ones are welcome.
    expectation : number, or array (m,), real, finite
        Strictly inside the reachable range: for one feature between its smallest and its largest value, for several in
        the interior of the convex hull of the n points features_i (within the flat that they span; nearer to the
        boundary than 1e-9 of the range counts as on it, and finding that out may import SciPy).
    prior : array (n,), optional
        Weights; None means equal ones. A key with prior weight 0 gets weight 0, and counts in nothing. This is how to
        mask a key.

    Returns
    -------
    MaximumEntropy
        weights, (n,): sum_i p_i features_i is the expectation to 1e-10 of each feature's range, or to the rounding of
        the dtype if that is coarser; every weight with a prior above 0 is above 0, unless the dtype cannot hold it.
        multipliers, () or (m,): for one feature above 0 exactly if the expectation is above the prior's mean. Where
        several make the same weights, those of least Euclidean norm; 0 for a constant feature. In float32 for 16-bit
        features; inf where the dtype cannot hold them.

    Raises
    ------
    ValueError
        If the expectation is on or outside the boundary of what can be reached; the message states the range of the
        feature, or of a combination of the features that separates the expectation from all keys. If shapes do not
        match or an argument is outside its range. If a torch tensor asks for its gradient, which this function does
        not give: by the envelope theorem the derivative of the minimum by the expectation is `multipliers`.

    Examples
    --------
    Scores 0, 1, 2 and x = exp(alpha): (x + 2 x^2) / (1 + x + x^2) = 1.5 means x^2 - x - 3 = 0, so x = (1 + 13^0.5) / 2,
    whose logarithm is 0.834115:

    >>> found = maximum_entropy([0.0, 1.0, 2.0], 1.5)
    >>> found.weights.round(6), float(found.multipliers.round(6))
    (array([0.116204, 0.267592, 0.616204]), 0.834115)

    References
    ----------
    Jaynes (1957); Berger, Della Pietra and Della Pietra (1996), whose parametric form Ma (2025) quotes as Eq. 13-14.
    """
    given = {"features": features, "expectation": expectation} | ({} if prior is None else {"prior": prior})
    require_no_gradient(**given)
    xp, dtype, arrays = floats(**given)
    place = device(arrays[0])
    require_finite(xp, **dict(zip(given, arrays, strict=True)))
    rows, target, *rest = (
        # A plain number keeps its digits, whatever the dtype of the arrays.
        np.asarray(cast(xp, to_device(array, "cpu"), xp.float64) if is_array_api_obj(x) else x, dtype=float)
        for x, array in zip(given.values(), arrays, strict=True)
    )
    single = rows.ndim == 1
    if rows.ndim not in (1, 2) or rows.size == 0:
        raise ValueError(f"features must have shape (n,) or (m, n), with at least one key; got {rows.shape}")
    if target.shape != rows.shape[:-1]:
        raise ValueError(f"expectation must have shape {rows.shape[:-1]} to match features; got {target.shape}")
    weights = np.full(rows.shape[-1:], 1 / rows.shape[-1])
    if rest:
        if rest[0].shape != weights.shape:
            raise ValueError(f"prior must have shape {weights.shape} to match features; got {rest[0].shape}")
        require_weights(xp, arrays[2], prior, "prior")
        weights = rest[0].copy()
    counts = weights > 0
    weights[counts], multipliers = _closest(np.atleast_2d(rows)[:, counts], np.atleast_1d(target), weights[counts])
    results = (xp.asarray(x, device=place) for x in (weights, multipliers[0] if single else multipliers))
    return MaximumEntropy(*(cast(xp, x, kind) for x, kind in zip(results, (dtype, wide(xp, dtype)), strict=True)))


def _weights(p: ArrayLike, axis: int) -> tuple[Any, Any, Array, int]:
    """Return namespace, dtype, checked weights in the dtype to add up in, and the axis."""
    xp, dtype, (array,) = floats(p=p)
    axis = require_axis(axis, array.ndim, "p")
    return xp, dtype, require_weights(xp, array, p, "p", axis), axis


def _closest(features: np.ndarray, target: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve for features (m, n) and a prior without zeros: shift and scale, drop what depends, then solve the dual."""
    low, high = features.min(axis=1), features.max(axis=1)
    scale = high - low
    if not np.isfinite(scale).all():
        raise ValueError("features must have ranges that float64 can hold; got one that overflows")
    outside = (target <= low) | (target >= high)
    close = 8 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(target))
    outside[scale == 0] = (np.abs(target - low) > close)[scale == 0]
    if outside.any():
        worst = int(outside.argmax())
        which = "the feature" if len(features) == 1 else f"feature {worst}"
        if scale[worst] == 0:
            raise ValueError(f"expectation must be {low[worst]}, the constant value of {which}; got {target[worst]}")
        raise ValueError(
            f"expectation must lie strictly within the range of {which}, ({low[worst]}, {high[worst]}); "
            f"got {target[worst]}"
        )
    constant = scale == 0
    scale[constant] = 1
    centred = (features - target[:, None]) / scale[:, None]  # the target is the origin, every range is one
    centred[constant] = 0
    # The left singular vectors, from the small triangle: directions in which the features vary, and those in which not.
    small: Any = np.linalg.qr((centred - centred.mean(axis=1, keepdims=True)).T, mode="r")
    left, sizes, _ = np.linalg.svd(small.T)
    rank = int((sizes > _DEPENDENT * max(sizes.max(), 1e-300)).sum())
    vary, fixed = left[:, :rank], left[:, rank:]
    missed = np.abs(fixed.T @ centred).max(axis=1)
    if (missed > _ACCURACY).any():
        raise _separated(fixed[:, missed.argmax()] / scale, features, target)
    inside = vary.T @ centred
    solution, weights = (_tilt if rank == 1 else _newton)(inside, np.log(prior))
    reached = (np.abs(centred @ weights) <= _ACCURACY).all()  # false for NaN too
    if not reached or (rank > 1 and weights.min() < _SMALL):
        face = _face(inside)
        if not reached or (face @ inside).max() < _BOUNDARY * np.ptp(face @ inside):
            raise _separated(vary @ face / scale, features, target)
    multipliers = vary @ solution / scale
    same = fixed / scale[:, None]  # adding any of these changes no weight
    return weights, multipliers - same @ np.linalg.lstsq(same, multipliers, rcond=None)[0]


def _tilted(exponents: np.ndarray) -> np.ndarray:
    unnormalised = np.exp(exponents - exponents.max())
    return unnormalised / unnormalised.sum()


def _tilt(points: np.ndarray, log_prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the x, (1,), that gives points (1, n) the mean zero, by halving an interval of log |x|."""
    sign = -np.sign(points[0] @ _tilted(log_prior))
    low, high = -709.0, 709.0
    for _ in range(64):
        middle = (low + high) / 2
        short = sign * (points[0] @ _tilted(log_prior + sign * math.exp(middle) * points[0])) < 0
        low, high = (middle, high) if short else (low, middle)
    x = sign * np.exp([high])
    return x, _tilted(log_prior + x @ points)


def _newton(points: np.ndarray, log_prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimise log sum_j prior_j exp(x . points_j), which exists if the origin is inside their hull; else weights NaN.

    A step that changes no exponent by more than 1 relative to another always descends (the third derivative of the dual
    is at most that change times the second), so a line search need not go below it.
    """

    def dual(x):
        exponents = x @ points + log_prior
        top = exponents.max()
        unnormalised = np.exp(exponents - top)
        total = unnormalised.sum()
        return top + math.log(total), unnormalised / total

    x = np.zeros(len(points))
    height, weights = dual(x)
    before = math.inf
    for _ in range(_ITERATIONS):
        slope = points @ weights
        spread = points - slope[:, None]
        curvature = (spread * weights) @ spread.T
        try:
            step = -np.linalg.solve(curvature, slope)
        except np.linalg.LinAlgError:
            step = -np.linalg.lstsq(curvature, slope, rcond=None)[0]
        change = np.ptp(step @ points) if np.isfinite(step).all() else math.inf
        if not math.isfinite(change):
            break
        # Near the minimum steps shrink quadratically, until they are the rounding of the exponents.
        if change == 0 or (change < 1e-6 and change >= before / 2):
            return x, weights
        length, descent = 1.0, slope @ step
        while length * change > 1 and dual(x + length * step)[0] > height + 1e-4 * length * descent:
            length /= 2
        x = x + length * step
        height, weights = dual(x)
        before = change
    return x, weights * math.nan


def _face(points: np.ndarray) -> np.ndarray:
    """Return a direction in which no point lies ahead of the origin, and as many as can be lie behind."""
    from scipy.optimize import linprog

    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return linprog(points.sum(axis=1), points.T, np.zeros(points.shape[1]), bounds=(-1, 1), options=exact).x


def _separated(combination: np.ndarray, features: np.ndarray, target: np.ndarray) -> ValueError:
    combination = combination / (np.abs(combination).max() or 1.0)
    reach, got = combination @ features, combination @ target
    each = ", ".join(f"({a}, {b})" for a, b in zip(features.min(axis=1), features.max(axis=1), strict=True))
    text = ", ".join(f"{part:.6g}" for part in combination)
    return ValueError(
        "expectation must lie inside the convex hull of the keys' features; the combination "
        f"[{text}] of them reaches ({reach.min():.6g}, {reach.max():.6g}), got {got:.6g}; "
        f"each feature alone reaches {each}"
    )
