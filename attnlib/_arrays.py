"""What every module shares: one array namespace per call, checked arguments, and the arithmetic of weights."""

import functools
import math
import operator
import reprlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, is_torch_array

Array = Any  # a NumPy array or a torch tensor: what comes in decides what goes out
ArrayLike = Any  # the same, or anything that NumPy makes an array of

P = ParamSpec("P")
Result = TypeVar("Result")

_seen: dict = {}  # the namespace of arrays by their kind: to find it takes as long as a small kernel


def own_arithmetic(function: Callable[P, Result]) -> Callable[P, Result]:
    """Let neither NumPy's error state nor torch's autocast, which are the caller's, change what a function promises.

    Underflow is harmless here, and what is not is checked, and raised as a ValueError that names the argument.
    """

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> Result:
        torch = sys.modules.get("torch")
        if torch is not None:
            for kind in {x.device.type for x in (*args, *options.values()) if is_torch_array(x)}:
                if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                    with torch.autocast(kind, enabled=False):
                        return call(*args, **options)
            if torch.compiler.is_compiling():  # which knows no error state
                return function(*args, **options)
        with np.errstate(all="ignore"):
            return function(*args, **options)

    return call


def floats(**arguments: ArrayLike) -> tuple[Any, Any, list[Array]]:
    """Return the array namespace of the arguments, their common real dtype, and the arguments in that dtype.

    Arrays of real numbers decide the dtype; what is a list, whole or boolean follows, or takes the default dtype.
    """
    kinds = [
        (
            type(x),
            getattr(x, "dtype", None),
            getattr(x, "device", None),
            getattr(x, "layout", None),
            getattr(x, "is_nested", False),
        )
        for x in arguments.values()
    ]
    alike = kinds.count(kinds[0]) == len(kinds)
    if alike and kinds[0] in _seen:
        return _seen[kinds[0]], kinds[0][1], list(arguments.values())
    given = [argument for argument in arguments.values() if is_array_api_obj(argument)]
    try:
        xp = array_namespace(*(given or [np.empty(0)]))
    except TypeError:
        libraries = " and ".join(sorted({type(argument).__name__ for argument in given}))
        raise ValueError(f"{', '.join(arguments)} must be arrays of one library; got {libraries}") from None
    arrays = []
    for name, argument in arguments.items():
        require_plain(name, argument)
        array = argument
        try:
            if not is_array_api_obj(argument) or isinstance(argument, (np.ndarray, np.generic)):  # no np.matrix either
                array = xp.asarray(np.asarray(argument), device=device(given[0]) if given else None)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{name} must be an array of real numbers; got {reprlib.repr(argument)} ({error})"
            ) from error
        if not xp.isdtype(array.dtype, ("bool", "integral", "real floating")):
            raise ValueError(f"{name} must be an array of real numbers; got dtype {array.dtype}")
        if array.dtype.itemsize < 2 and xp.isdtype(array.dtype, "real floating"):
            raise ValueError(f"{name} must have real numbers of 16 bits or more; got dtype {array.dtype}")
        arrays.append(array)
    devices = {device(array): None for array in given if array.ndim}  # a single number may come from anywhere
    if len(devices) > 1:
        raise ValueError(f"{', '.join(arguments)} must be on one device; got {' and '.join(map(str, devices))}")
    dtype = common_real(xp, given or arrays) or xp.asarray(0.0).dtype
    if alike and type(arrays[0]) is kinds[0][0] and dtype == kinds[0][1]:  # what came can be used as it is
        _seen[kinds[0]] = xp
    return xp, dtype, [cast(xp, array, dtype) for array in arrays]


def require_plain(name: str, argument: Any) -> None:
    """Raise if an array has a mask of its own, or keeps its numbers otherwise than one beside the other, or nowhere."""
    if isinstance(argument, np.ma.MaskedArray):
        raise ValueError(f"{name} must be an array without a mask of its own; got a MaskedArray")
    if is_torch_array(argument):
        import torch  # loaded by the caller, who has tensors

        if argument.layout != torch.strided or argument.is_nested:
            kind = "a nested tensor" if argument.is_nested else f"layout {argument.layout}"
            raise ValueError(f"{name} must be a dense tensor; got {kind}")
        if argument.is_meta:
            raise ValueError(f"{name} must be a tensor that holds numbers; got one on device meta")


def common_real(xp: Any, arguments: Iterable[Any]) -> Any | None:
    """Return the common dtype of the arguments that are arrays of real numbers, None if there are none."""
    dtypes = [x.dtype for x in arguments if is_array_api_obj(x) and xp.isdtype(x.dtype, "real floating")]
    return xp.result_type(*dtypes) if dtypes else None


def boolean(xp: Any, mask: ArrayLike, shape: tuple[int, ...], like: Array) -> Array:
    """Return the mask as an array beside `like`, once it is known to be boolean and to broadcast to `shape`."""
    require_plain("mask", mask)
    try:
        if not is_array_api_obj(mask) or isinstance(mask, (np.ndarray, np.generic)):
            mask = np.asarray(mask)
            if is_torch_array(like):
                mask = np.require(mask, requirements=["C", "W"])  # no other can become a tensor
        mask = xp.asarray(mask, device=device(like))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"mask must be a boolean array; got {reprlib.repr(mask)} ({error})") from error
    if not xp.isdtype(mask.dtype, "bool"):
        raise ValueError(f"mask must be boolean, True where attending is allowed; got dtype {mask.dtype}")
    try:
        fits = np.broadcast_shapes(tuple(mask.shape), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask must broadcast to {shape}; got shape {tuple(mask.shape)}")
    return mask


def broadcast(names: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that all shapes broadcast to."""
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{names} must have shapes that broadcast; got {' and '.join(map(str, shapes))}") from None


def number(name: str, value: Any, *, above_zero: bool = False) -> float:
    """Return a plain finite number; a tensor that asks for its gradient would lose it here, so it is refused."""
    wanted = f"{name} must be a finite number{' above zero' if above_zero else ''}; got {value!r}"
    if isinstance(value, (str, bool)) or getattr(value, "requires_grad", False):
        raise ValueError(wanted)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(wanted) from None
    if not math.isfinite(result) or (above_zero and result <= 0):
        raise ValueError(wanted)
    return result


def flag(name: str, value: Any) -> bool:
    """Return a plain True or False: any text counts as true elsewhere, "False" too."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def whole(name: str, value: Any) -> int:
    """Return a plain whole number of at least 1."""
    try:
        result = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        result = 0
    if result < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
    return result


def require_temperature(xp: Any, dtype: Any, temperature: Any, name: str = "temperature") -> float:
    """Return the temperature as a number, once it is known to be above zero in the dtype that divides by it."""
    temperature, limits = number(name, temperature, above_zero=True), xp.finfo(dtype)
    if not float(limits.smallest_normal) <= temperature <= float(limits.max):
        raise ValueError(f"{name} must be a finite number above zero in {limits.dtype}; got {temperature}")
    return temperature


def require_no_gradient(**arguments: ArrayLike) -> None:
    """Raise if a tensor asks for its gradient, which would be lost in a function that searches for its result."""
    for name, argument in arguments.items():
        if getattr(argument, "requires_grad", False):
            raise ValueError(f"{name} must not ask for its gradient, which is not given here; got one: detach it")


def require_finite(xp: Any, **arrays: Array) -> None:
    """Raise if any number of any array is infinite or NaN."""
    for name, array in arrays.items():
        if not xp.all(xp.isfinite(array)):
            bad = "nan" if xp.any(xp.isnan(array)) else "inf"
            raise ValueError(f"{name} must be finite; got {bad} among its numbers")


def require_scores(xp: Any, scores: Array, name: str = "scores") -> None:
    """Raise unless every score is finite or -inf."""
    if not xp.all(scores < math.inf):  # false for NaN too
        bad = "nan" if xp.any(xp.isnan(scores)) else "inf"
        raise ValueError(f"{name} must be finite or -inf; got {bad} among its numbers")


def require_axis(axis: Any, ndim: int, name: str = "scores") -> int:
    """Return the axis as a plain number, once it is known to be one of an array of so many dimensions."""
    if ndim == 0:
        raise ValueError(f"{name} must have at least one dimension; got a single number")
    try:
        position = None if isinstance(axis, bool) else operator.index(axis)
    except TypeError:
        position = None
    if position is None or not -ndim <= position < ndim:
        raise ValueError(f"axis must be a whole number from {-ndim} to {ndim - 1}; got {axis!r}")
    return position


def require_scores_for_weights(
    xp: Any, dtype: Any, scores: Array, temperature: Any, mask: ArrayLike | None, axis: Any
) -> tuple[Array, float, int]:
    """Return what softmax and its alternatives start from: scores in the dtype to add up in, -inf where masked.

    And the temperature and the axis, all of them checked.
    """
    axis = require_axis(axis, scores.ndim)
    temperature = require_temperature(xp, wide(xp, dtype), temperature)
    require_scores(xp, scores)
    if mask is not None:
        scores = xp.where(boolean(xp, mask, tuple(scores.shape), scores), scores, -math.inf)
    return cast(xp, scores, wide(xp, dtype)), temperature, axis


def require_shapes(query: Array, key: Array, value: Array | None = None) -> tuple[tuple[int, ...], tuple[int, int]]:
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


def require_products(xp: Any, query: Array, key: Array, products: Array) -> None:
    """Raise unless all scores are finite. NaN or inf in a factor always shows there, so they are looked at first."""
    if not xp.all(xp.isfinite(products)):
        require_finite(xp, query=query, key=key)
        raise ValueError(f"query and key must have scores that {products.dtype} can hold; got one beyond its range")


def require_weights(
    xp: Any, weights: Array, given: Any, name: str = "p", axis: int = -1, *, nowhere: bool = False
) -> Array:
    """Return the numbers in the dtype to add up in, once they are known to be weights along the axis.

    None is negative, and they sum to one up to the square root of the rounding step of the dtype in which they were
    `given`, which may be coarser than that of `weights`. With `nowhere`, a row may be all zero too: it attends nowhere.
    """
    if not xp.all(weights >= 0):  # false for NaN too
        bad = "nan" if xp.any(xp.isnan(weights)) else f"{float(xp.min(weights))}"
        raise ValueError(f"{name} must be weights, none of them negative; got {bad} among its numbers")
    slack = math.sqrt(float(xp.finfo(common_real(xp, [given]) or weights.dtype).eps))
    weights = cast(xp, weights, wide(xp, weights.dtype))
    total = xp.sum(weights, axis=axis)
    wrong = ~(xp.abs(total - 1) <= slack)  # true for NaN too
    if nowhere:
        wrong = wrong & (total != 0)
    if xp.any(wrong):
        raise ValueError(f"{name} must sum to one along axis {axis}; got a sum of {float(total[wrong][0])}")
    return weights


def cast(xp: Any, array: Array, dtype: Any) -> Array:
    """Return the array in the dtype, without a copy when it has it already."""
    return array if array.dtype == dtype else xp.astype(array[...], dtype)  # [...]: a NumPy scalar becomes an array


def wide(xp: Any, dtype: Any) -> Any:
    """Return the dtype to accumulate in: 16 bits are too few to add up in."""
    return xp.float32 if xp.finfo(dtype).bits == 16 else dtype


def entropy_of(xp: Any, p: Array, axis: int = -1) -> Array:
    """Return -sum_i p_i log p_i, with 0 log 0 = 0."""
    positive = p > 0
    return xp.sum(xp.where(positive, -p * xp.log(xp.where(positive, p, 1.0)), 0.0), axis=axis) + 0.0  # +0.0: not -0.0


def divergence_of(xp: Any, p: Array, q: Array, axis: int = -1) -> Array:
    """Return sum_i p_i log(p_i / q_i), with 0 log 0 = 0."""
    positive = p > 0
    ratio = xp.log(xp.where(positive, p, 1.0)) - xp.log(xp.where(positive, q, 1.0))
    return xp.sum(p * ratio, axis=axis)


def peak(xp: Any, scores: Array, axis: int = -1) -> Array:
    """Return the largest score along the axis, kept as an axis of one, and never below the lowest finite number.

    So `scores - peak` is never inf - inf, not even where every score is -inf or where there is none.
    """
    lowest = xp.finfo(scores.dtype).min  # no float: NumPy's longdouble has lower ones
    if scores.shape[axis] == 0:
        return xp.sum(scores, axis=axis, keepdims=True) + lowest
    largest = xp.max(scores, axis=axis, keepdims=True)
    return xp.where(largest < lowest, lowest, largest)


def weigh(
    xp: Any, scores: Array, axis: int = -1, temperature: float = 1.0, *, owned: bool = False
) -> tuple[Array, Array]:
    """Return softmax(scores / temperature) and log(sum(exp(scores / temperature))), the latter kept as an axis of one.

    Where every score is -inf, or where there is none, the weights are 0 and the logarithm is -inf. Scores that are
    `owned` may be overwritten.
    """
    top = peak(xp, scores, axis)
    # Subtract first: dividing first can overflow, and it rounds the small gaps between large scores. A gap too wide for
    # the dtype is -inf, and its weight 0, as it should be.
    gaps = xp.subtract(scores, top, **(in_place(scores) if owned else {}))
    if temperature != 1:
        gaps /= temperature
    reused = in_place(gaps)
    exponentials = xp.exp(gaps, **reused)
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    positive = total > 0
    total = xp.where(positive, total, 1.0)
    logs = xp.where(positive, top / temperature + xp.log(total), -math.inf)
    return xp.divide(exponentials, total, **reused), logs


def in_place(array: Array) -> dict:
    """Return the options by which NumPy writes a result over the array; torch may need it for the backward pass."""
    return {"out": array} if isinstance(array, np.ndarray) else {}
