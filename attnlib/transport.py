"""Attention as the cheapest plan: minimise -sum_j p_j s_j - temperature * H(p) over the weights p.

One query sends its unit of mass to the keys; sending it to key j costs -s_j, and entropy is paid for at the rate of the
temperature. The one cheapest plan is softmax(s / temperature). With a second marginal, so that every key must also
receive a given mass, the plans of all queries hang together: `sinkhorn`.

A score of -inf is a forbidden pair. Everything has the inputs' dtype, but for the potentials and the error that
`sinkhorn` returns: they are float32 for 16-bit inputs.
"""

import math
import operator
from typing import Any, NamedTuple

from array_api_compat import device

from attnlib._arrays import (
    Array,
    ArrayLike,
    broadcast,
    cast,
    divergence_of,
    entropy_of,
    floats,
    number,
    own_arithmetic,
    peak,
    require_finite,
    require_no_gradient,
    require_scores,
    require_temperature,
    require_weights,
    weigh,
    wide,
)
from attnlib.layer import softmax

__all__ = ["Transport", "objective", "plan", "sinkhorn"]


class Transport(NamedTuple):
    """What `sinkhorn` found: a plan, its potentials, and how far it is from the marginals that were asked for.

    plan, (..., rows, columns), is row_mass_i * softmax_j((s_ij + column_potential_j) / temperature), and equally
    exp((s_ij + row_potential_i + column_potential_j) / temperature). `error`, (...), is the sum of the absolute
    deviations of all row and column sums, as a share of the total mass; `converged`, (...), tells whether it is within
    the tolerance.
    """

    plan: Array
    row_potential: Array
    column_potential: Array
    iterations: int
    error: Array
    converged: Array


@own_arithmetic
def objective(plan: ArrayLike, scores: ArrayLike, *, temperature: float = 1.0, prior: ArrayLike | None = None) -> Array:
    """Give the cost of a plan: J(p) = -sum_j p_j s_j - temperature * H(p).

    With a prior, -sum_j p_j s_j + temperature * KL(p || prior). A uniform prior adds temperature * log(n) to the cost
    of every plan, for KL(p || uniform) = log(n) - H(p), and so moves no minimum.

    Parameters
    ----------
    plan : array (..., n)
        Weights: not negative, with sum one along the last axis.
    scores : array (..., n)
        Finite, or -inf for a key that is left out.
    temperature : float
        Finite, above zero.
    prior : array (..., n), optional
        Weights, as `plan`; zero for a key that is left out. Batch dimensions of all arrays broadcast.

    Returns
    -------
    array (...)
        J(p) = J(p*) + temperature * KL(p || p*), where p* is `attnlib.transport.plan(scores, ...)`: never below J(p*),
        and above it for every other p. inf where p gives weight to a key that is left out. Where the dtype cannot hold
        it, inf or -inf.

    Raises
    ------
    ValueError
        If shapes do not match, or an argument is outside its range.

    Examples
    --------
    Equal scores, temperature 2: J = -(1/2 * 1 + 1/2 * 1) - 2 log 2 = -2.386294 for equal weights, and -1 for one key.

    >>> objective([[0.5, 0.5], [1, 0]], [1, 1], temperature=2).round(6)
    array([-2.386294, -1.      ])

    References
    ----------
    The transport post, section 1; Litman (2025).
    """
    given = {"plan": plan, "scores": scores} | ({} if prior is None else {"prior": prior})
    xp, dtype, (p, s, *rest) = _checked(**given)
    temperature = require_temperature(xp, p.dtype, temperature)
    divergence = divergence_of(xp, p, *rest) if rest else -entropy_of(xp, p)
    return cast(xp, temperature * divergence - xp.sum(p * xp.where(p > 0, s, 0.0), axis=-1), dtype)


@own_arithmetic
def plan(scores: ArrayLike, *, temperature: float = 1.0, prior: ArrayLike | None = None) -> Array:
    """Find the cheapest plan: the weights that minimise `objective` on the simplex.

    Parameters
    ----------
    scores, temperature, prior
        As for `objective`.

    Returns
    -------
    array (..., n)
        softmax(scores / temperature); with a prior, prior_j * exp(scores_j / temperature) over its sum. The only
        minimum: not negative, sums to one, zero where the prior is. All zero where no key is left.

    Raises
    ------
    ValueError
        As `objective`.

    Examples
    --------
    Exponentials 3 and 1 under the prior 1/5, 4/5: 3 * 1/5 = 3/5 against 1 * 4/5 = 4/5, so 3/7 and 4/7.

    >>> import numpy
    >>> (7 * plan(numpy.log([3, 1]), prior=[0.2, 0.8])).round(6)
    array([3., 4.])

    References
    ----------
    The transport post, section 4, where the multiplier method finds it; Litman (2025).
    """
    if prior is None:
        return softmax(scores, temperature=temperature)
    xp, dtype, (s, pi) = _checked(scores=scores, prior=prior)
    temperature = require_temperature(xp, s.dtype, temperature)
    held = pi > 0
    s = xp.where(held, s, -math.inf)
    # The gaps between scores first: temperature * log(prior) would drown in a score of a million.
    logs = (s - peak(xp, s)) / temperature + xp.log(xp.where(held, pi, 1.0))
    return cast(xp, weigh(xp, logs)[0], dtype)


@own_arithmetic
def sinkhorn(
    scores: ArrayLike,
    row_mass: ArrayLike,
    column_mass: ArrayLike,
    *,
    temperature: float = 1.0,
    tolerance: float = 1e-9,
    max_iterations: int = 10_000,
) -> Transport:
    """Find the cheapest plan between two sets of masses: minimise -sum_ij P_ij s_ij - temperature * H(P).

    Rows of P sum to row_mass, columns to column_mass. Without the second condition the minimum is
    row_mass_i * softmax_j(s_ij / temperature), which is where the search starts: `max_iterations=0` returns it.

    An iteration is Sinkhorn's, a column step and a row step on logarithms, and then one Newton step on the same dual
    problem, damped so that the dual never falls. Sinkhorn's steps alone need more steps the lower the temperature, and
    with equal masses can need hundreds of thousands; together they take tens. Scores up to some thousand temperatures
    apart are no trouble. Memory and time of a Newton step grow with columns^2 and columns^3: for many columns and few
    rows, transpose the problem.

    Parameters
    ----------
    scores : array (..., rows, columns)
        Finite, or -inf for a pair that is forbidden.
    row_mass : array (..., rows)
    column_mass : array (..., columns)
        Finite, not negative, with equal totals (up to rounding; the columns' are scaled to the rows' total).
    temperature : float
        Finite, above zero.
    tolerance : float
        Above zero; a sum of deviations, as a share of the total mass. Below 64 rounding steps of the dtype it counts
        as 64.
    max_iterations : int
        At least 0.

    Returns
    -------
    Transport
        Its plan has the row sums asked for, and column sums up to `error`; no other plan with its row and column sums
        is cheaper. It is returned whether or not the error is within the tolerance: `converged` tells. Where forbidden
        pairs leave no plan with these masses, nothing converges.

    Raises
    ------
    ValueError
        If shapes do not match, totals differ, an argument is outside its range, or a tensor asks for its gradient,
        which is not carried through the iterations.

    Examples
    --------
    Scores log 4 on the diagonal, log 1 off it. A row alone: 4/5 and 1/5. The columns agree already, by symmetry:

    >>> import numpy
    >>> found = sinkhorn(numpy.log([[4, 1], [1, 4]]), [1, 1], [1, 1])
    >>> found.plan.round(6), found.iterations, bool(found.converged)
    (array([[0.8, 0.2],
           [0.2, 0.8]]), 0, True)

    References
    ----------
    Sinkhorn and Knopp (1967); Cuturi (2013); the steps on logarithms are Peyré and Cuturi (2019), section 4.4.
    """
    given = {"scores": scores, "row_mass": row_mass, "column_mass": column_mass}
    require_no_gradient(**given)
    xp, dtype, arrays = floats(**given)
    s, a, b = (cast(xp, x, wide(xp, dtype)) for x in arrays)
    s, a, b, total = _masses(xp, s, a, b, 1e-6 + 4 * float(xp.finfo(dtype).eps))
    temperature = require_temperature(xp, s.dtype, temperature)
    rounding = float(xp.finfo(s.dtype).eps)
    tolerance = max(number("tolerance", tolerance, above_zero=True), 64 * rounding)
    last = _count(max_iterations)
    log_a, log_b = (xp.where(x > 0, xp.log(xp.where(x > 0, x, 1.0)), -math.inf) for x in (a, b))

    def row_step(g):
        rows, log_sum = weigh(xp, s + g[..., None, :], temperature=temperature)
        reached = (log_sum := log_sum[..., 0]) > -math.inf
        f = xp.where(reached, temperature * (log_a - xp.where(reached, log_sum, 0.0)), -math.inf)
        return rows, a[..., None] * rows, f

    def column_step(f):
        log_sum = weigh(xp, s + f[..., None], axis=-2, temperature=temperature)[1][..., 0, :]
        reached = log_sum > -math.inf
        return xp.where(reached, temperature * (log_b - xp.where(reached, log_sum, 0.0)), -math.inf)

    g = xp.zeros_like(b)
    rows, p, f = row_step(g)
    for iterations in range(last + 1):
        error = xp.sum(xp.abs(xp.sum(p, axis=-1) - a), axis=-1) + xp.sum(xp.abs(xp.sum(p, axis=-2) - b), axis=-1)
        if iterations == last or xp.all(error <= tolerance):
            break
        g = column_step(f)
        rows, p, f = row_step(g)
        g = g + _newton(xp, rows, p, b, temperature, 1e4 * rounding)
        rows, p, f = row_step(g)
    log_total = temperature * xp.log(xp.where(total > 0, total, 1.0))
    return Transport(cast(xp, total[..., None] * p, dtype), f + log_total, g, iterations, error, error <= tolerance)


def _newton(xp: Any, rows: Array, p: Array, b: Array, temperature: float, least: float) -> Array:
    """Return a damped Newton step for the column potentials, on the dual of which b - (column sums) is the gradient.

    Its curvature is (diag(column sums) - rows' p) / temperature, here with both sides scaled by sqrt(b). A step of
    log(1 + size) / size of its length never lowers the dual, whose third derivative along it is at most size times the
    second: size is the range of the step in units of the temperature.
    """
    columns = xp.sum(p, axis=-2)
    used = (b > 0) & (columns > 0)
    root = xp.where(used, xp.sqrt(xp.where(used, b, 1.0)), 1.0)
    identity = xp.eye(b.shape[-1], dtype=b.dtype, device=device(b))
    curvature = columns[..., None] * identity - xp.matrix_transpose(rows) @ p
    both = root[..., None] * root[..., None, :]
    # The potentials' common constant is free: the second term fixes it, and the third what rounding leaves open.
    scaled = curvature / both + both + least * identity
    slope = xp.where(used, b - columns, 0.0) / root
    step = xp.linalg.solve(scaled, slope[..., None])[..., 0] / root
    size = xp.max(step, axis=-1, keepdims=True) - xp.min(step, axis=-1, keepdims=True)
    return temperature * step * xp.where(size > 0, xp.log1p(size) / xp.where(size > 0, size, 1.0), 1.0)


def _checked(**given: ArrayLike) -> tuple[Any, Any, list[Array]]:
    """Return namespace, dtype, and arrays in the dtype to add up in, once scores are scores, and all else weights."""
    xp, dtype, arrays = floats(**given)
    keys = {array.shape[-1] if array.ndim else None for array in arrays}
    if None in keys or len(keys) > 1:
        shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
        raise ValueError(f"{', '.join(given)} must have shapes (..., n) with one number of keys; got {shapes}")
    broadcast(", ".join(given), *(tuple(array.shape) for array in arrays))
    for name, array in zip(given, arrays, strict=True):
        require_scores(xp, array) if name == "scores" else require_weights(xp, array, given[name], name)
    return xp, dtype, [cast(xp, array, wide(xp, dtype)) for array in arrays]


def _masses(xp: Any, s: Array, a: Array, b: Array, slack: float) -> tuple[Array, Array, Array, Array]:
    """Return checked arrays in a common batch shape, masses as shares of their total, and the total, (..., 1)."""
    if s.ndim < 2:
        raise ValueError(f"scores must have shape (..., rows, columns); got {tuple(s.shape)}")
    require_scores(xp, s)
    for name, mass, count in (("row_mass", a, s.shape[-2]), ("column_mass", b, s.shape[-1])):
        if mass.ndim < 1 or mass.shape[-1] != count:
            raise ValueError(f"{name} must have shape (..., {count}) to match scores; got {tuple(mass.shape)}")
        require_finite(xp, **{name: mass})
        if not xp.all(mass >= 0):
            raise ValueError(f"{name} must not be negative; got {float(xp.min(mass)):.6g}")
    shapes = s.shape[:-2], a.shape[:-1], b.shape[:-1]
    batch = broadcast("batch dimensions of scores, row_mass, column_mass", *map(tuple, shapes))
    s = xp.broadcast_to(s, (*batch, *s.shape[-2:]))
    a, b = (xp.broadcast_to(x, (*batch, x.shape[-1])) for x in (a, b))
    total, other = (xp.sum(x, axis=-1, keepdims=True) for x in (a, b))
    wrong = ~(xp.abs(total - other) <= slack * total)
    if xp.any(wrong):
        pair = float(total[wrong][0]), float(other[wrong][0])
        raise ValueError(f"row_mass and column_mass must have equal totals; got {pair[0]:.6g} and {pair[1]:.6g}")
    divisors = xp.where(total > 0, total, 1.0), xp.where(other > 0, other, 1.0)
    return s, a / divisors[0], b / divisors[1], total


def _count(value: Any) -> int:
    try:
        whole = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = -1
    if whole < 0:
        raise ValueError(f"max_iterations must be a whole number of at least 0; got {value!r}")
    return whole
