"""What every public function does about the caller's state, and about arrays that are no plain numbers."""

import functools
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import attnlib
from attnlib import (
    attention,
    backward,
    beyond,
    evidence,
    layer,
    likelihood,
    maxent,
    streaming_attention,
    temperature,
    transport,
)

Q, K, V = [[1.0, -2.0], [0.5, 1.0]], [[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]], [[1.0], [0.5], [-2.0]]
S, P = [2.0, 1.0, -1.0], [0.5, 0.25, 0.25]
MASSES = {"row_mass": [1.0, 2.0], "column_mass": [0.5, 1.5, 1.0]}


def given(function, **options):
    """The function with what it needs beside arrays, under its own name."""
    return functools.wraps(function)(functools.partial(function, **options))


# Every public function that takes arrays, with plain ones.
EVERY = {
    layer.scores: {"query": Q, "key": K},
    layer.softmax: {"scores": S},
    layer.attention: {"query": Q, "key": K, "value": V},
    layer.streaming_attention: {"query": Q, "key": K, "value": V},
    likelihood.log_precision: {"scores": S},
    likelihood.variance: {"scores": S},
    likelihood.log_likelihood: {"mean": [0.5], "value": V, "scores": S},
    likelihood.estimate: {"value": V, "scores": S},
    likelihood.fit_kappa: {"value": V, "scores": S},
    maxent.entropy: {"p": P},
    maxent.effective_keys: {"p": P},
    maxent.kl_divergence: {"p": P, "q": [0.25, 0.5, 0.25]},
    maxent.maximum_entropy: {"features": S, "expectation": 1.2, "prior": P},
    transport.objective: {"plan": P, "scores": S, "prior": P},
    transport.plan: {"scores": S, "prior": P},
    transport.sinkhorn: {"scores": [S, S[::-1]], **MASSES},
    evidence.largest_budget: {"scores": S},
    evidence.inverse_temperature: {"scores": S, "budget": 0.3},
    evidence.route: {"scores": S, "budget": 0.3},
    evidence.samples_to_reject: {"p": P},
    backward.softmax_jacobian: {"p": P},
    backward.advantage: {"p": P, "utility": S},
    backward.score_gradient: {"p": P, "utility": S},
    backward.fisher_information: {"p": P},
    temperature.rest: {"scores": S},
    temperature.score_variance: {"head_dim": [4.0, 8.0], "query_mean": [0.5, 1.0]},
    temperature.critical_deviation: {"keys": [4.0, 8.0]},
    temperature.largest_weight: {"keys": [4.0, 8.0], "score_range": [1.0, 2.0]},
    temperature.least_range: {"keys": [4.0, 8.0], "weight": [0.5, 0.9]},
    beyond.sparsemax: {"scores": S},
    beyond.entmax: {"scores": S},
    beyond.laplace_value: {"value": V, "scores": S},
    given(beyond.student_t_value, dof=3): {"value": V, "scores": S, "start": [0.25]},
    beyond.gaussian_kernel_scores: {"query": Q, "key": K},
    given(beyond.linear_attention, feature_map=abs): {"query": Q, "key": K, "value": V},
    given(beyond.soft_cap, cap=2): {"scores": S},
    beyond.rotate: {"vectors": Q, "positions": [0.25, 3.0]},
    beyond.sink: {"scores": [S, S], "log_precision": [0.25, 1.0]},
}
ELSEWHERE = {"cost", "measure", "measurements", "rates", "pool", "pooled_attention"}  # no arrays, pairs, processes

# At the ends of what the dtype holds, where something underflows, overflows or vanishes on the way.
AT_THE_ENDS = [
    (layer.attention, {"query": [[1.0]], "key": [[0.0], [-740.0]], "value": [[1.0], [0.5]], "scale": 1}),
    (layer.streaming_attention, {"query": [[1.0]], "key": [[0.0], [-740.0]], "value": [[1.0], [0.5]], "scale": 1}),
    (layer.attention, {"query": [[1e-200]], "key": [[1e-200], [0.0]], "value": [[1e-310], [1e-310]]}),
    (layer.scores, {"query": [[1e-200]], "key": [[1e-200]]}),
    (layer.softmax, {"scores": [0.0, -740.0, -1e308, -np.inf], "temperature": 1e-300}),
    (likelihood.log_precision, {"scores": [1e-300, -np.inf], "alpha": 1e-300}),
    (likelihood.variance, {"scores": [740.0, -740.0, 800.0, -800.0]}),
    (likelihood.log_likelihood, {"mean": [1e-200], "value": [[0.0], [1e200]], "scores": [-740.0, -np.inf]}),
    (likelihood.estimate, {"value": [[1.0], [1e-300]], "scores": [0.0, -740.0]}),
    (likelihood.fit_kappa, {"value": [[1e-20], [0.0], [1e-250]], "scores": [-600.0, 0.0, -700.0]}),
    (likelihood.pool, {"first": ([1e-300], 0.0), "second": ([1.0], -740.0)}),
    (maxent.entropy, {"p": [1.0, 1e-310, 0.0]}),
    (maxent.effective_keys, {"p": [1.0, 1e-310, 0.0]}),
    (maxent.kl_divergence, {"p": [1.0, 1e-310, 0.0], "q": [1.0, 0.0, 0.0]}),
    (maxent.kl_divergence, {"p": [1.0, 1e-310, 0.0]}),
    (maxent.maximum_entropy, {"features": [0.0, 1.0, 1e-300], "expectation": 1e-6, "prior": [1.0, 1e-310, 1e-310]}),
    (transport.objective, {"plan": [1.0, 1e-310], "scores": [1e-300, -np.inf], "prior": [1.0, 0.0]}),
    (transport.plan, {"scores": [0.0, -740.0, -np.inf], "prior": [1.0, 1e-310, 0.0]}),
    (transport.sinkhorn, {"scores": [[0.0, -740.0], [-740.0, 0.0]], "row_mass": [1.0, 1.0], "column_mass": [1.0, 1.0]}),
    (evidence.largest_budget, {"scores": [0.0, -1e-310, -np.inf]}),
    (evidence.inverse_temperature, {"scores": [0.0, -1e-310], "budget": 1e-300}),
    (evidence.route, {"scores": [0.0, -740.0, -1e-310], "budget": 1.0}),
    (evidence.samples_to_reject, {"p": [1.0, 1e-310, 0.0], "error": 1e-320}),
    (backward.softmax_jacobian, {"p": [1.0, 1e-310, 1e-200]}),
    (backward.advantage, {"p": [1.0, 1e-310], "utility": [1e-300, 1e-300]}),
    (backward.score_gradient, {"p": [1.0, 1e-310], "utility": [1e-300, 1e-10], "temperature": 1e300}),
    (backward.fisher_information, {"p": [1.0, 1e-200], "temperature": 1e300}),
    (temperature.rest, {"scores": [0.0, -740.0, -np.inf]}),
    (temperature.score_variance, {"head_dim": 2, "query_mean": 1e-200, "key_mean": 1e-200, "key_variance": 1e-300}),
    (temperature.critical_deviation, {"keys": 1}),
    (temperature.largest_weight, {"keys": 3, "score_range": [740.0, 1e308, np.inf]}),
    (temperature.least_range, {"keys": [1, 1e300], "weight": [1e-310, 0.9]}),
    (beyond.sparsemax, {"scores": [0.0, -1e-310, -1e308, -np.inf], "temperature": 1e300}),
    (beyond.entmax, {"scores": [0.0, -1e-310, -1e308, -np.inf], "alpha": 1 + 2**-52, "temperature": 1e-300}),
    (beyond.entmax, {"scores": [0.0, -1e-310, -1e308, -np.inf], "alpha": 1e300}),
    (beyond.laplace_value, {"value": [[1e308], [-1e308], [1e-310]], "scores": [0.0, -740.0, -np.inf]}),
    (
        beyond.laplace_value,
        {"value": [[1e308, 1.0], [-1e308, 2.0], [1e-310, 0.0]], "scores": [0.0, 1e-9, -np.inf], "euclidean": True},
    ),
    (beyond.student_t_value, {"value": [[1e308], [-1e308], [1e-310]], "scores": [740.0, 1e4, -1e4], "dof": 1e-300}),
    (beyond.student_t_value, {"value": [[1e-200], [0.0]], "scores": [0.0, -np.inf], "dof": 1e300, "start": [1e-60]}),
    (beyond.gaussian_kernel_scores, {"query": [[1e-200]], "key": [[0.0], [1e154]]}),
    (beyond.linear_attention, {"query": [[-740.0]], "key": [[0.0], [-740.0]], "value": V[:2], "feature_map": np.exp}),
    (beyond.soft_cap, {"scores": [1e308, -1e308, 1e-310, -np.inf], "cap": 1e-300}),
    (beyond.rotate, {"vectors": [[1e308, 1e-310]], "positions": [1e-310], "base": 1e-300}),
    (beyond.sink, {"scores": [1e308, -1e308, -np.inf], "log_precision": -1e308, "temperature": 1e-3}),
]


def name(function):
    return function.__name__ if callable(function) else None


def flat(result):
    """The arrays of a result, be it one or several."""
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


def test_every_public_function_is_here():
    modules = [importlib.import_module(f"attnlib.{m.name}") for m in pkgutil.iter_modules(attnlib.__path__)]
    takes_arrays = [m for m in modules if hasattr(m, "__all__") and hasattr(m, "floats")]
    public = {item for m in takes_arrays for item in m.__all__ if item[0].islower()}
    assert {f.__name__ for f in EVERY} == public - ELSEWHERE
    assert {f.__name__ for f, _ in AT_THE_ENDS} == public - {"pooled_attention"}


@pytest.mark.parametrize("function, arguments", AT_THE_ENDS, ids=name)
def test_the_callers_error_state_changes_nothing(function, arguments):
    quiet = flat(function(**arguments))
    with np.errstate(all="raise"):
        raised = flat(function(**arguments))
        assert np.geterr() == dict.fromkeys(np.geterr(), "raise")
    for first, second in zip(quiet, raised, strict=True):
        assert not np.isnan(first).any()
        np.testing.assert_array_equal(first, second)


def test_neither_does_it_where_several_threads_work(rng):
    arrays = np.float32(30 * rng.normal(size=(3, 1024, 2)))
    with np.errstate(all="raise"):
        for function in (attention, streaming_attention):
            np.testing.assert_array_equal(function(*arrays), function(*arrays))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("given", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("function", EVERY, ids=name)
def test_autocast_changes_nothing(function, given, device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    arrays = {key: torch.tensor(x, dtype=getattr(torch, given), device=device) for key, x in EVERY[function].items()}
    plain = function(**arrays)
    with torch.autocast(device, dtype=getattr(torch, dtype)):
        cast = function(**arrays)
        assert torch.is_autocast_enabled(device)
    for first, second in zip(*(x if isinstance(x, tuple) else (x,) for x in (plain, cast)), strict=True):
        if isinstance(first, torch.Tensor):
            assert first.dtype == second.dtype and torch.equal(first, second)
        else:
            assert first == second


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_neither_overflows_nor_rounds_weights(rng, dtype):
    q, v = torch.full((3, 4), 400.0), torch.tensor(rng.normal(size=(3, 2)), dtype=torch.float32)
    scattered = torch.tensor(rng.normal(size=(3, 4)), dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        for output in (streaming_attention(q, q, v), attention(q, q, v), attention(q, q, v, return_weights=True)[0]):
            torch.testing.assert_close(output, v.mean(0).expand(3, 2))
        weights = attention(scattered, scattered, v, return_weights=True)[1]
        torch.testing.assert_close(weights.sum(-1), torch.ones(3), rtol=0, atol=1e-6)


def other_kinds():
    plain = torch.ones(2, 2)
    return {
        "must be a dense tensor; got layout torch.sparse_coo": lambda x: x.to_sparse(),
        "must be a dense tensor; got a nested tensor": lambda x: torch.nested.nested_tensor([plain, plain]),
        "must be a tensor that holds numbers; got one on device meta": lambda x: x.to("meta"),
        "must have real numbers of 16 bits or more; got dtype torch.float8": lambda x: x.to(torch.float8_e4m3fn),
        "must be an array of real numbers; got dtype torch.complex64": lambda x: x.to(torch.complex64),
    }


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("message", other_kinds())
@pytest.mark.parametrize("function", EVERY, ids=name)
def test_a_tensor_of_another_kind_is_refused_by_name(function, message):
    for bad in EVERY[function]:
        arrays = {key: torch.tensor(x) for key, x in EVERY[function].items()}
        for _ in range(2):  # what one call has seen does not decide the next
            function(**arrays)
            with pytest.raises(ValueError, match=f"^{bad} {message}"):
                function(**arrays | {bad: other_kinds()[message](arrays[bad])})


@pytest.mark.parametrize("function", EVERY, ids=name)
def test_a_masked_array_is_refused_by_name(function):
    for bad in EVERY[function]:
        masked = np.ma.masked_less(EVERY[function][bad], 0.3)
        with pytest.raises(ValueError, match=f"^{bad} must be an array without a mask of its own; got a MaskedArray"):
            function(**EVERY[function] | {bad: masked})


def test_masks_of_another_kind_are_refused():
    lower = torch.ones(2, 2, dtype=torch.bool).tril()
    for function in (attention, streaming_attention):
        for mask, message in (
            (np.ma.masked_array(np.ones((2, 2), bool), [[False, True]] * 2), "an array without a mask of its own"),
            (lower.to_sparse(), "a dense tensor; got layout torch.sparse_coo"),
            (lower.to("meta"), "a tensor that holds numbers; got one on device meta"),
        ):
            with pytest.raises(ValueError, match=f"^mask must be {message}"):
                function(*[torch.ones(2, 2)] * 3, mask=mask)
    with pytest.raises(ValueError, match=r"^mask must be an array without a mask of its own; got a MaskedArray"):
        layer.softmax([1.0, 2.0], mask=np.ma.masked_array([True, True], [False, True]))


@pytest.mark.parametrize("value", ["False", "", 0, 1, None, [], np.array([True])])
def test_a_flag_is_true_or_false(value):
    for function, flags in ((attention, ("causal", "return_weights")), (streaming_attention, ("causal",))):
        for flag in flags:
            with pytest.raises(ValueError, match=f"^{flag} must be True or False; got "):
                function(Q, K, V, **{flag: value})


def test_a_number_is_no_truth_value():
    for function, arguments in ((layer.scores, {"scale": True}), (likelihood.variance, {"alpha": False})):
        with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must be a finite number"):
            function(**EVERY[function] | arguments)


def test_tensors_of_two_devices_are_refused_unless_one_is_a_single_number():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    here, there = torch.ones(2, 2), torch.ones(2, 2, device="cuda")
    with pytest.raises(ValueError, match=r"^query, key, value must be on one device; got cpu and cuda:0"):
        attention(here, there, there)
    assert temperature.score_variance(there, key_variance=torch.tensor(3.0)).sum() == 12
