"""The layer's promises, for NumPy and for torch, against 50-digit arithmetic, scipy and torch's own attention."""

import functools
import itertools
import math
import os
import threading
import tracemalloc

import mpmath
import numpy as np
import pytest
import scipy.special
import threadpoolctl
import torch

from attnlib import _cores, attention, layer, scores, softmax, streaming_attention

EVERY_ATTENTION = {
    "attention": attention,
    "weights": lambda *a, **k: attention(*a, return_weights=True, **k)[0],
    "stream": lambda *a, **k: streaming_attention(*a, block_size=3, **k),
}


@pytest.fixture(autouse=True)
def tiles_from_fewer_scores(monkeypatch):
    """Let NumPy work in tiles on arrays that a test can afford."""
    monkeypatch.setattr(layer, "_MANY", 2**19)


@pytest.fixture(params=EVERY_ATTENTION.values(), ids=EVERY_ATTENTION)
def attend(request):
    return request.param


def loop(query, key, value, *, scale=None, mask=None, causal=False):
    """Attention as scipy and three loops have it, in float64: the independent route."""
    query, key, value = (np.asarray(x, dtype=np.float64) for x in (query, key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    length, keys = query.shape[-2], key.shape[-2]
    query, key, value = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (query, key, value))
    mask = np.broadcast_to(True if mask is None else mask, (*batch, length, keys))
    out = np.zeros((*batch, length, value.shape[-1]))
    for index in itertools.product(*map(range, batch)):
        for i in range(length):
            allowed = [j for j in range(keys) if mask[(*index, i, j)] and (j <= i or not causal)]
            if allowed:
                s = [scale * float(query[index][i] @ key[index][j]) for j in allowed]
                out[(*index, i)] = scipy.special.softmax(s) @ value[index][allowed]
    return out


def problem(rng, *, batch=True, keys=None):
    """Draw shapes, batch dimensions that broadcast, and numbers."""
    length, keys = int(rng.integers(1, 9)), int(rng.integers(1, 9)) if keys is None else keys
    d, dv = (int(n) for n in rng.integers(1, 6, 2))
    full = tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 4))) if batch else ()
    full_of = lambda: tuple(n if rng.random() < 0.7 else 1 for n in full[rng.integers(0, len(full) + 1) :])  # noqa: E731
    shapes = ((*full_of(), length, d), (*full_of(), keys, d), (*full_of(), keys, dv))
    arrays = [rng.normal(size=shape) for shape in shapes]
    common = np.broadcast_shapes(*(s[:-2] for s in shapes))
    masks = [
        None,
        (length, keys),
        (keys,),
        (length, 1),
        (*common, length, keys),
        (*common[:1], *[1] * len(common[1:]), 1, keys),
    ]
    shape = masks[rng.integers(len(masks))]
    return arrays, None if shape is None else rng.random(shape) < 0.6


# -- the same number by other routes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_attention_equals_the_loop_over_random_shapes_and_masks(backend, attend, seed, causal):
    rng = np.random.default_rng(seed)
    arrays, mask = problem(rng)
    expected = loop(*arrays, mask=mask, causal=causal)
    output = attend(
        *map(backend.array, arrays), mask=None if mask is None else backend.array(mask, "bool"), causal=causal
    )
    output = backend.numpy(output)
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3, 1e6])
def test_softmax_to_fifty_digits(backend, rng, magnitude):
    s = rng.normal(size=12) * magnitude
    for temperature in (0.3, 1.0, 7.0):
        with mpmath.workdps(50):
            terms = [mpmath.exp(mpmath.mpf(float(x)) / mpmath.mpf(temperature)) for x in s]
            expected = [float(term / sum(terms)) for term in terms]
        weights = backend.numpy(softmax(backend.array(s), temperature=temperature))
        # 800: an exponent of at most about 700 is rounded once by division before exp.
        np.testing.assert_allclose(weights, expected, rtol=800 * np.finfo(float).eps, atol=1e-300)


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3, 1e6])
def test_attention_to_fifty_digits(backend, attend, rng, magnitude):
    q, k, v = rng.normal(size=(2, 3)) * magnitude, rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    with mpmath.workdps(50):
        exact = mpmath.matrix(2, 2)
        for i in range(2):
            products = [
                sum(mpmath.mpf(float(a)) * mpmath.mpf(float(b)) for a, b in zip(q[i], row, strict=True)) for row in k
            ]
            terms = [mpmath.exp(product / mpmath.sqrt(3)) for product in products]
            for c in range(2):
                exact[i, c] = sum(t * mpmath.mpf(float(x)) for t, x in zip(terms, v[:, c], strict=True)) / sum(terms)
        expected = np.array(exact.tolist(), dtype=float)
    output = backend.numpy(attend(*map(backend.array, (q, k, v))))
    # A score of size m is rounded by about m * eps, and so is the weight, relatively.
    np.testing.assert_allclose(output, expected, rtol=0, atol=20 * (1 + magnitude) * np.finfo(float).eps)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-14), ("float32", 2e-6)])
def test_generic_and_fused_agree_with_torch(rng, dtype, tolerance):
    fused = torch.nn.functional.scaled_dot_product_attention
    for length, keys in ((5, 5), (3, 8), (8, 3)):
        q, k, v = (
            torch.tensor(rng.normal(size=(2, 3, n, 4)), dtype=getattr(torch, dtype)) for n in (length, keys, keys)
        )
        mask = torch.tensor(rng.random((length, keys)) < 0.7)
        mask[:, 0] = True  # torch leaves rows without a key to the release
        for ours, theirs in (
            ({}, {}),
            ({"mask": mask}, {"attn_mask": mask}),
            ({"causal": True}, {"is_causal": True}),
            ({"scale": -0.3}, {"scale": -0.3}),
        ):
            expected = fused(q, k, v, **theirs)
            for attend in EVERY_ATTENTION.values():
                torch.testing.assert_close(attend(q, k, v, **ours), expected, rtol=0, atol=tolerance)
                output = attend(
                    *(x.numpy() for x in (q, k, v)),
                    **{n: getattr(x, "numpy", lambda x=x: x)() for n, x in ours.items()},
                )
                assert output.dtype == expected.numpy().dtype
                np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=tolerance)


def test_torch_calls_the_fused_kernel_unless_the_weights_are_wanted(monkeypatch, rng):
    calls = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(*args, **kwargs):
        calls.append(args[0].shape)
        return kernel(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    for batch, four in (((), (1, 1)), ((3,), (1, 3)), ((2, 3), (2, 3)), ((2, 1, 3), (2, 3))):
        q, k, v = (torch.tensor(rng.normal(size=(*batch, n, 4))) for n in (5, 6, 6))
        attention(q, k, v)
        assert calls.pop() == (*four, 5, 4)
        attention(q, k, v, return_weights=True)
        assert not calls


def test_the_fused_kernel_never_meets_a_row_without_a_key(monkeypatch, rng):
    # Some releases of torch return nan there, and a gradient of nan for everything that the row shares.
    kernel = torch.nn.functional.scaled_dot_product_attention

    def older(query, key, value, *, attn_mask, **kwargs):
        output = kernel(query, key, value, attn_mask=attn_mask, **kwargs)
        return output / attn_mask.any(-1, keepdim=True)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", older)
    q, k, v = (torch.tensor(rng.normal(size=(2, 4, 3)), requires_grad=True) for _ in range(3))
    mask = np.tri(4, k=-1, dtype=bool)[::-1].copy()  # the last row attends nowhere
    output = attention(q, k, v, mask=torch.tensor(mask), causal=True)
    np.testing.assert_allclose(
        output.detach(), loop(*(x.detach() for x in (q, k, v)), mask=mask, causal=True), atol=1e-14
    )
    output.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (q, k, v))


@pytest.mark.parametrize("block_size", [1, 2, 5, 16, 17, 10_000])
def test_any_block_size_gives_the_whole(backend, rng, block_size):
    q, k, v = rng.normal(size=(2, 9, 4)) * 5, rng.normal(size=(17, 4)), rng.normal(size=(2, 17, 3))
    q, k, v = map(backend.array, (q, k, v))
    mask = rng.random((9, 17)) < 0.4
    mask[2] = False
    for options in (
        {},
        {"mask": backend.array(mask, "bool")},
        {"causal": True},
        {"mask": backend.array(mask, "bool"), "causal": True},
    ):
        whole = backend.numpy(attention(q, k, v, return_weights=True, **options)[0])
        blocks = backend.numpy(streaming_attention(q, k, v, block_size=block_size, **options))
        np.testing.assert_allclose(blocks, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("huge", [False, True], ids=["moderate", "scores to 1e4"])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-12)])
def test_every_path_agrees_with_float64_beyond_one_block(backend, rng, huge, dtype, tolerance):
    for _ in range(15):
        heads, length, keys, d, dv = (int(n) for n in rng.integers(1, [4, 140, 90, 33, 9]))
        shapes = (heads, length, d), (heads, keys, d), (heads, keys, dv)
        q, k, v = (rng.normal(size=shape).astype("float32") for shape in shapes)
        scale = d**-0.5
        if huge:  # float32 holds these products exactly, so the weights alone are compared; torch scales by the root
            q, k, scale = np.round(4 * q), np.round(4 * k), 4.0 ** -int(rng.integers(0, 3))
            k = np.round(k * min(1e4 / scale / np.abs(q @ k.mT).max(initial=1), 64))
        causal = bool(rng.random() < 0.4)
        mask = rng.random((heads, length, keys) if rng.random() < 0.5 else (length, keys)) < 0.5
        mask = None if rng.random() < 0.4 else mask
        allowed = np.broadcast_to(True if mask is None else mask, (heads, length, keys))
        allowed = allowed & np.tri(length, keys, dtype=bool) if causal else allowed
        scored = np.where(allowed, scale * (q.astype("float64") @ k.mT.astype("float64")), -np.inf)
        attends = allowed.any(-1, keepdims=True)
        wanted = np.where(attends, scipy.special.softmax(np.where(attends, scored, 0), axis=-1), 0) @ v.astype(
            "float64"
        )
        size = np.abs(v).max()
        options = {"scale": scale, "causal": causal, "mask": None if mask is None else backend.array(mask, "bool")}
        arrays = [backend.array(x, dtype) for x in (q, k, v)]
        outputs = {
            "attention": attention(*arrays, **options),
            "weights": attention(*arrays, return_weights=True, **options)[0],
            "stream": streaming_attention(*arrays, block_size=int(rng.integers(5, 100)), **options),
        }
        for name, output in outputs.items():
            assert np.abs(backend.numpy(output) - wanted).max() <= tolerance * size, name


def test_streaming_never_asks_for_more_than_a_block_of_scores(monkeypatch, rng):
    widths = []
    products = layer._products

    def spy(xp, query, key, scale):
        result = products(xp, query, key, scale)
        widths.append(result.shape[-1])
        return result

    monkeypatch.setattr(layer, "_products", spy)
    q, k, v = rng.normal(size=(4, 2)), rng.normal(size=(23, 2)), rng.normal(size=(23, 2))
    streaming_attention(q, k, v, block_size=8)
    assert widths == [8, 8, 7]
    widths.clear()
    streaming_attention(q, k, v, block_size=3, causal=True)  # no query looks beyond key 3
    assert widths == [3, 1]
    widths.clear()
    q, k, v = rng.normal(size=(3, 200, 2))
    streaming_attention(q, k, v, block_size=64, causal=True)  # 64 queries at a time, the last 8 alone see every key
    assert widths == [64, *[64] * 2, *[64] * 3, *[64] * 3, 8]
    widths.clear()
    q, k, v = rng.normal(size=(3, 1024, 2))
    streaming_attention(q, k, v, block_size=512, causal=True)  # 128 queries at a time, in any order
    assert sorted(widths) == sorted(
        min(512, seen - start) for seen in range(128, 1025, 128) for start in range(0, seen, 512)
    )


def test_tiles_cover_every_query_of_every_batch_once():
    for batch, length, width in (((), 1, 1), ((), 1000, 7), ((3, 5), 130, 64), ((2000,), 3, 5), ((7, 1, 300), 20, 9)):
        seen = np.zeros((*batch, length), dtype=int)
        for tile in layer._tiles(batch, length, width):
            part = seen[tile]
            part += 1
            assert part.size * width <= max(2**17, 128 * width)
        assert (seen == 1).all()


@pytest.mark.parametrize("causal", [False, True])
def test_many_scores_are_those_of_few(monkeypatch, rng, causal):
    # The same problems in tiles, on threads, as in one piece.
    for batch, length, keys in (((), 300, 90), ((3,), 140, 50), ((2, 3), 20, 30), ((40, 1), 5, 9), ((2, 0), 3, 4)):
        q, k, v = (rng.normal(size=(*batch, n, 4)) for n in (length, keys, keys))
        k, v = k[..., :1, :, :] if batch else k, np.broadcast_to(v[..., :1, :, :], v.shape) if batch else v
        mask = rng.random((*batch, length, keys)) < 0.6
        for options in ({}, {"mask": mask}, {"mask": mask[..., :1, :]}, {"mask": mask[..., 0, :][..., None, :]}):
            options = options | {"causal": causal, "scale": 0.7}
            whole = attention(q, k, v, **options), streaming_attention(q, k, v, block_size=40, **options)
            with monkeypatch.context() as patch:
                patch.setattr(layer, "_MANY", 1)
                patch.setattr(layer, "_TILE", (16, 500))
                tiled = attention(q, k, v, **options), streaming_attention(q, k, v, block_size=40, **options)
            for first, second in zip(whole, tiled, strict=True):
                np.testing.assert_allclose(second, first, rtol=0, atol=1e-14)


MANY = (900, 6)  # queries enough for several cores, and coordinates


def test_many_scores_are_the_same_numbers_on_any_number_of_threads(rng):
    q, k, v = np.float32(3 * rng.normal(size=(3, *MANY)))
    for attend in (attention, streaming_attention):
        outputs = []
        for threads in (1, 2, 3):
            with threadpoolctl.threadpool_limits(threads, user_api="blas"):
                outputs.append(attend(q, k, v))
        assert all(np.array_equal(output, outputs[0]) for output in outputs)
        np.testing.assert_allclose(outputs[0], loop(q, k, v), rtol=0, atol=3e-5)  # scores to 100


def blas_threads():
    return [library["num_threads"] for library in _cores._libraries().info()]


def at_once(work, count):
    """Call work(0), work(1), ... each in a thread of its own; the results in a list."""
    results = [None] * count

    def keep(number):
        results[number] = work(number)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_callers_in_several_threads_do_not_disturb_each_other(rng):
    arrays = np.float32(rng.normal(size=(4, 3, *MANY)))
    before, wanted = blas_threads(), [attention(*x) for x in arrays]
    results = at_once(lambda number: [attention(*arrays[number]) for _ in range(5)], len(arrays))
    assert blas_threads() == before
    assert all(np.array_equal(output, wanted[n]) for n, outputs in enumerate(results) for output in outputs)


def test_a_limit_that_another_thread_holds_is_respected(rng):
    q, k, v = rng.normal(size=(3, *MANY))
    for threads in (1, 2):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):  # may be this thread's own alone
            for output in at_once(lambda number: attention(q, k, v), 3):
                np.testing.assert_allclose(output, loop(q, k, v), atol=1e-13)
            assert blas_threads() == [threads] * len(blas_threads())


def test_a_process_that_is_forked_while_another_thread_works_goes_on(rng):
    q, k, v = rng.normal(size=(3, *MANY))
    wanted = attention(q, k, v)
    with _cores._lock:  # as held by the other thread
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(attention(q, k, v), wanted) else 1)
    ended, status = os.waitpid(child, 0)
    assert ended == child and os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("attend", [attention, streaming_attention])
def test_an_error_in_a_thread_is_raised_and_leaves_no_trace(rng, attend):
    q, k, v = rng.normal(size=(3, *MANY))
    for bad, message in ((q, "query must be finite; got nan"), (k, "key must be finite; got nan")):
        kept, bad[-1, 0] = bad[-1, 0], NAN
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            with pytest.raises(ValueError, match=message):
                attend(q, k, v)
            assert blas_threads() == before
        bad[-1, 0] = kept
    with pytest.raises(ValueError, match="query and key must have scores that float64 can hold"):
        attend(1e200 * q, 1e200 * k, v)
    np.testing.assert_allclose(attend(q, k, v), loop(q, k, v), atol=1e-13)


def test_it_works_where_no_blas_is_found(monkeypatch, rng):
    q, k, v = rng.normal(size=(3, *MANY))
    none = threadpoolctl.ThreadpoolController().select(user_api="none")
    assert none.info() == []
    monkeypatch.setattr(_cores, "_libraries", lambda: none)
    monkeypatch.setattr(_cores, "_cores_of_process", lambda: 3)
    names = set()
    products = layer._products
    monkeypatch.setattr(layer, "_products", lambda *args: names.add(threading.current_thread().name) or products(*args))
    np.testing.assert_allclose(attention(q, k, v), loop(q, k, v), atol=1e-13)
    assert names and threading.current_thread().name not in names


def test_a_sum_of_large_values_does_not_overflow(attend):
    for length in (2, 1100):  # in one piece, and in tiles
        for dtype in ("float32", "float64"):
            value = np.full((length, 2), np.finfo(dtype).max / 2, dtype=dtype)
            output = attend(np.zeros((length, 1), dtype), np.zeros((length, 1), dtype), value)
            np.testing.assert_allclose(output, value, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_attention_checks_what_causality_hides(rng):
    q, k, v = rng.normal(size=(800, 2)), rng.normal(size=(900, 2)), rng.normal(size=(900, 2))
    np.testing.assert_allclose(attention(q, k, v, causal=True), loop(q, k, v, causal=True), atol=1e-13)
    v[-1, 0] = NAN
    with pytest.raises(ValueError, match="value must be finite; got nan"):
        attention(q, k, v, causal=True)


def test_memory_of_many_scores_is_that_of_tiles(rng):
    arrays = np.float32(rng.normal(size=(3, 4096, 16)))
    attention(*arrays)
    tracemalloc.start()
    attention(*arrays)
    attention(*arrays, causal=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096**2  # bytes: a quarter of all scores


def test_streaming_reads_no_key_beyond_the_last_query(rng):
    q, k, v = rng.normal(size=(4, 2)), rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    k[4:], v[4:] = NAN, NAN
    np.testing.assert_allclose(streaming_attention(q, k, v, causal=True), loop(q, k[:4], v[:4], causal=True))


def test_a_key_for_all_heads_is_not_copied(rng):
    query, key = rng.normal(size=(1, 16)), np.broadcast_to(rng.normal(size=(2000, 16)), (64, 2000, 16))
    for x in (key, key[:, ::-1], key[:, :0]):
        plain = np.ascontiguousarray(x)
        tracemalloc.start()
        output = streaming_attention(query, x, x[..., :1], block_size=100)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert held < key.nbytes / 8
        np.testing.assert_allclose(output, attention(query, plain, plain[..., :1]), rtol=1e-12)


def test_streaming_keeps_the_digits_of_a_sum_beside_a_large_score(backend):
    # A float32 near 1e6 moves in steps of 0.06: a running log-sum would be wrong by up to 3 % for each block.
    v = np.arange(10.0)[:, None]
    k = np.full((10, 1), 1e6)
    output = streaming_attention(*(backend.array(x, "float32") for x in (np.ones((1, 1)), k, v)), block_size=3)
    np.testing.assert_allclose(backend.numpy(output), [[4.5]], rtol=1e-6)


# -- properties ------------------------------------------------------------------------------------------------------


def test_scores_are_linear_and_scaled(backend, rng):
    q, k = rng.normal(size=(2, 3, 16)), rng.normal(size=(5, 16))
    products = backend.numpy(scores(backend.array(q), backend.array(k)))
    np.testing.assert_allclose(products, np.einsum("blc,sc->bls", q, k) / 4, atol=1e-14)
    np.testing.assert_allclose(
        backend.numpy(scores(backend.array(2 * q), backend.array(k), scale=3)), 24 * products, atol=1e-12
    )


@pytest.mark.parametrize("axis", [-1, -2, -3, 0, 1, 2])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_softmax_sums_to_one_keeps_order_and_forgets_a_constant(backend, rng, axis, temperature):
    s = rng.normal(size=(2, 3, 4))
    p = backend.numpy(softmax(backend.array(s), temperature=temperature, axis=axis))
    assert p.shape == s.shape and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=axis), 1, rtol=1e-14)
    np.testing.assert_allclose(p, scipy.special.softmax(s / temperature, axis=axis), rtol=1e-11, atol=1e-300)
    np.testing.assert_array_equal(backend.numpy(softmax(backend.array(s + 0.0), temperature=temperature, axis=axis)), p)
    shifted = backend.numpy(softmax(backend.array(s + 1024), temperature=temperature, axis=axis))
    np.testing.assert_allclose(shifted, p, rtol=1e-12 * 1e3 / min(temperature, 1), atol=1e-300)
    with_order = np.take_along_axis(p, np.argsort(s, axis=axis), axis=axis)
    assert (np.diff(with_order, axis=axis) >= 0).all()


def test_softmax_maximises_score_plus_temperature_times_entropy(backend, rng):
    s, temperature = rng.normal(size=6), 0.7
    p = backend.numpy(softmax(backend.array(s), temperature=temperature))
    objective = lambda p: p @ s + temperature * scipy.special.entr(p).sum(-1)  # noqa: E731
    others = rng.dirichlet(np.ones(6), size=2000)
    assert (others @ s + temperature * scipy.special.entr(others).sum(-1) < objective(p)).all()
    # and the maximum is temperature * log Z
    np.testing.assert_allclose(objective(p), temperature * scipy.special.logsumexp(s / temperature), rtol=1e-14)


def test_softmax_mask_is_the_softmax_of_what_is_left(backend, rng):
    s, mask = rng.normal(size=(5, 8)), rng.random((5, 8)) < 0.5
    mask[0], mask[1] = False, True
    p = backend.numpy(softmax(backend.array(s), mask=backend.array(mask, "bool")))
    assert (p[0] == 0).all() and (p[~mask] == 0).all()
    for row, weights, left in zip(s[1:], p[1:], mask[1:], strict=True):
        np.testing.assert_allclose(weights[left], scipy.special.softmax(row[left]), rtol=1e-14)
    infinite = backend.numpy(softmax(backend.array(np.where(mask, s, -np.inf))))
    np.testing.assert_array_equal(infinite, p)
    column = backend.numpy(softmax(backend.array(s), mask=backend.array(mask[:, :1], "bool"), axis=0))
    np.testing.assert_allclose(column[mask[:, 0]].sum(0), 1, rtol=1e-14)


def test_returned_weights_are_the_softmax_of_the_scores_and_make_the_output(backend, rng):
    q, k, v = map(backend.array, (rng.normal(size=(3, 4, 5)), rng.normal(size=(6, 5)), rng.normal(size=(3, 6, 2))))
    mask = rng.random((4, 6)) < 0.5
    mask[1] = False
    both = mask & np.tri(4, 6, dtype=bool)
    output, weights = attention(q, k, v, mask=backend.array(mask, "bool"), causal=True, return_weights=True)
    expected = backend.numpy(softmax(scores(q, k), mask=backend.array(both, "bool")))
    np.testing.assert_allclose(backend.numpy(weights), expected, rtol=1e-14)
    np.testing.assert_allclose(backend.numpy(weights).sum(-1), np.broadcast_to(both.any(-1), (3, 4)), rtol=1e-14)
    np.testing.assert_allclose(backend.numpy(weights) @ backend.numpy(v), backend.numpy(output), atol=1e-15)


@pytest.mark.parametrize("scale", [0, -0.3, -1.0])
def test_a_scale_that_is_not_above_zero(backend, attend, rng, scale):
    # torch's kernel puts -inf where causality forbids, and then scales it.
    for length, keys in ((5, 5), (1, 8), (40, 40)):
        q, k, v = (rng.normal(size=(2, 1, n, 4)) for n in (length, keys, keys))
        for causal in (False, True):
            output = backend.numpy(attend(*map(backend.array, (q, k, v)), scale=scale, causal=causal))
            np.testing.assert_allclose(output, loop(q, k, v, scale=scale, causal=causal), atol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("scale", [1e-46, -1e-46, 1e-40, 5e-324])
def test_a_scale_too_small_for_the_dtype(backend, attend, rng, scale, dtype):
    if dtype not in backend.dtypes:
        pytest.skip("NumPy has no bfloat16")
    q, k, v = (backend.array(rng.normal(size=(2, 5, 3)), dtype) for _ in range(3))
    for causal in (False, True):
        output = backend.numpy(attend(q, k, v, scale=scale, causal=causal))
        even = loop(*map(backend.numpy, (q, k, v)), scale=0, causal=causal)
        np.testing.assert_allclose(output, even, atol={"float16": 1e-3, "bfloat16": 1e-2}.get(dtype, 1e-6))


def test_a_small_scale_of_large_products(backend, attend):
    # 1e38 * 1e10 * 1e-46 = 100, though float32 holds neither the product nor the scale.
    q, k, v = (backend.array(x, "float32") for x in ([[1e38]], [[1e10], [9.9e9]], [[1.0], [0.0]]))
    for scale, wanted in ((1e-46, 100 - 99), (-1e-46, 99 - 100)):
        output = backend.numpy(attend(q, k, v, scale=scale))
        np.testing.assert_allclose(output, [[1 / (1 + math.exp(-wanted))]], rtol=1e-4)


def test_causal_is_aligned_at_the_top_left(backend, attend):
    # Identical keys: the weights are even, so the output counts the keys that each query sees.
    v = np.eye(5)
    output = backend.numpy(attend(*map(backend.array, (np.ones((3, 2)), np.ones((5, 2)), v)), causal=True))
    expected = np.zeros((3, 5))
    expected[0, :1], expected[1, :2], expected[2, :3] = 1, 1 / 2, 1 / 3
    np.testing.assert_allclose(output, expected, atol=1e-15)
    tall = backend.numpy(attend(*map(backend.array, (np.ones((5, 2)), np.ones((2, 2)), v[:2])), causal=True))
    np.testing.assert_allclose(tall[:, 0], [1, 1 / 2, 1 / 2, 1 / 2, 1 / 2], atol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_row_that_may_attend_nowhere_is_zero(backend, attend, rng, dtype):
    q, k, v = (backend.array(rng.normal(size=(2, 4, 3)), dtype) for _ in range(3))
    mask = np.ones((2, 4, 4), dtype=bool)
    mask[0, 2] = False
    mask[1, 0, 0] = False  # empty together with causal alone
    for causal, dead in ((False, {(0, 2)}), (True, {(0, 2), (1, 0)})):
        output = backend.numpy(attend(q, k, v, mask=backend.array(mask, "bool"), causal=causal))
        assert {(int(b), int(i)) for b, i in np.argwhere((output == 0).all(-1))} == dead
        assert np.isfinite(output).all()
    for shape in ((), (1,), (4, 1), (2, 1, 1)):
        assert (backend.numpy(attend(q, k, v, mask=backend.array(np.zeros(shape), "bool"))) == 0).all()
        everywhere = backend.numpy(attend(q, k, v, mask=backend.array(np.ones(shape), "bool")))
        np.testing.assert_allclose(
            everywhere, backend.numpy(attend(q, k, v)), **({"rtol": 1e-6} if dtype != "float16" else {"atol": 1e-3})
        )


# -- extremes --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_scores_of_a_million(backend, attend):
    for dtype in ("float32", "float64"):
        q, k = backend.array([[1e3], [-1e3]], dtype), backend.array([[1e3], [-1e3], [1e3]], dtype)
        v = backend.array([[1.0], [5.0], [3.0]], dtype)
        np.testing.assert_allclose(backend.numpy(attend(q, k, v, scale=1)), [[2.0], [5.0]], rtol=1e-6)
        p = backend.numpy(softmax(backend.array([1e6, -1e6, 1e6 - 1], dtype)))
        np.testing.assert_allclose(p, [1 / (1 + math.exp(-1)), 0, 1 / (1 + math.e)], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_softmax_where_a_difference_or_a_quotient_overflows(backend):
    np.testing.assert_array_equal(backend.numpy(softmax(backend.array([1e308, -1e308]))), [1, 0])
    np.testing.assert_array_equal(
        backend.numpy(softmax(backend.array([1e6, 1e6, 0]), temperature=1e-305)), [0.5, 0.5, 0]
    )
    lowest = float(np.finfo(np.float64).min)
    np.testing.assert_array_equal(backend.numpy(softmax(backend.array([lowest, lowest]))), [0.5, 0.5])
    np.testing.assert_array_equal(backend.numpy(softmax(backend.array([-np.inf, -np.inf]))), [0, 0])
    np.testing.assert_array_equal(backend.numpy(softmax(backend.array([-np.inf, 3.0]))), [0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keys", [0, 1])
def test_no_key_and_one_key(backend, attend, rng, keys):
    q, k, v = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, keys, 4)), rng.normal(size=(2, keys, 5))
    output = backend.numpy(attend(*map(backend.array, (q, k, v))))
    np.testing.assert_array_equal(output, np.broadcast_to(v, (2, 3, 5)) if keys else np.zeros((2, 3, 5)))
    masked = attend(*map(backend.array, (q, k, v)), mask=backend.array(np.ones((3, keys)), "bool"), causal=True)
    np.testing.assert_array_equal(backend.numpy(masked), output)
    p = backend.numpy(softmax(backend.array(np.zeros((3, keys)))))
    np.testing.assert_array_equal(p, np.ones((3, keys)))


def test_no_query_no_batch_no_value_coordinate(backend, attend, rng):
    for q, k, v in (((0, 4), (3, 4), (3, 2)), ((0, 5, 4), (0, 3, 4), (0, 3, 2)), ((5, 4), (3, 4), (3, 0))):
        output = backend.numpy(attend(*(backend.array(rng.normal(size=shape)) for shape in (q, k, v))))
        assert output.shape == (*q[:-1], v[-1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_is_kept_and_sixteen_bits_are_added_up_in_thirty_two(backend, attend, rng, dtype):
    dtype = dtype if dtype in backend.dtypes else "float16"  # NumPy has no bfloat16
    q, k, v = (backend.array(rng.normal(size=(2, n, 64)), dtype) for n in (4, 50, 50))
    output = attend(q, k, v)
    assert backend.dtype(output) == dtype
    exact = loop(*(backend.numpy(x) for x in (q, k, v)))
    # Half a unit in the last place of the result, and what float32 adds. torch's fused kernel on a CPU also rounds the
    # weights to 16 bits, which costs as much again for values of size one.
    half = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 1e-6, "float64": 1e-14}[dtype]
    fused = backend.name == "torch" and attend is attention
    np.testing.assert_allclose(backend.numpy(output), exact, rtol=1.01 * half, atol=half if fused else min(half, 1e-6))
    assert backend.dtype(softmax(q)) == backend.dtype(scores(q, k)) == dtype
    assert backend.dtype(attention(q, k, v, return_weights=True)[1]) == dtype


def test_float16_scores_may_pass_what_float16_holds(backend, attend):
    # 256 coordinates of 100 * 100 / 16 give a score of 160 000; float16 ends at 65 504.
    q, k = np.full((1, 256), 100.0), np.stack([np.full(256, 100.0), np.full(256, -100.0)])
    output = attend(*(backend.array(x, "float16") for x in (q, k, [[3.0], [4.0]])))
    np.testing.assert_array_equal(backend.numpy(output), [[3.0]])


def test_many_coordinates(backend, attend, rng):
    d = 200_000
    q, k, v = rng.normal(size=(2, d)), rng.normal(size=(3, d)), rng.normal(size=(3, 2))
    output = backend.numpy(attend(*(backend.array(x, "float32") for x in (q, k, v))))
    np.testing.assert_allclose(output, loop(q, k, v), atol=1e-4)


def test_not_contiguous(backend, attend, rng):
    base = rng.normal(size=(3, 5, 2, 8))
    q, k, v = (backend.array(base * c) for c in (1, 2, 3))
    views = [x[::2].swapaxes(1, 2)[..., 1::2] for x in (q, k, v)]
    plain = [np.ascontiguousarray(backend.numpy(x)) for x in views]
    np.testing.assert_allclose(backend.numpy(attend(*views)), loop(*plain), atol=1e-13)
    flipped = backend.numpy(softmax(backend.array(base).swapaxes(0, 3), axis=-4))
    np.testing.assert_allclose(flipped, scipy.special.softmax(np.swapaxes(base, 0, 3), axis=0), rtol=1e-13)


def test_inputs_are_left_as_they_were(backend, attend, rng):
    arrays = [backend.array(rng.normal(size=(4, 3))) for _ in range(3)]
    mask = backend.array(np.zeros((4, 4)), "bool")
    before = [backend.numpy(x).copy() for x in (*arrays, mask)]
    attend(*arrays, mask=mask, causal=True)
    for x, old in zip((*arrays, mask), before, strict=True):
        np.testing.assert_array_equal(backend.numpy(x), old)


def test_lists_whole_numbers_and_booleans_become_real(attend):
    output = attend([[1, 0]], [[1, 2], [3, 4]], [[True], [False]])
    assert output.dtype == np.float64
    np.testing.assert_allclose(output, loop([[1, 0]], [[1, 2], [3, 4]], [[1], [0]]), rtol=1e-14)
    follows = attend(np.ones((1, 2), dtype=np.float32), [[0.1, 0.2]], np.ones((1, 1), dtype=np.int64))
    assert follows.dtype == np.float32
    assert softmax([1, 2]).dtype == np.float64
    whole = torch.ones(2, 3, dtype=torch.int64)
    assert attend(whole, whole, whole).dtype == torch.get_default_dtype()
    assert attend(whole, whole.double(), [[1.0], [2.0]]).dtype == torch.float64
    with_numpy_mask = attend(whole.double(), whole.double(), whole.double(), mask=np.array([[True, False]]))
    torch.testing.assert_close(with_numpy_mask, torch.ones(2, 3, dtype=torch.float64))


def test_the_library_the_dtype_and_the_kind_of_an_array_are_those_of_each_call(attend):
    whole = torch.ones(2, 3, dtype=torch.int64)
    for _ in range(2):  # what one call has seen of its arguments does not decide the next
        assert attend(*[np.ones((2, 3), dtype=np.int8)] * 3).dtype == np.float64
        assert attend(*[np.ones((2, 3), dtype=np.float32)] * 3).dtype == np.float32
        assert attend(np.ones((2, 3), dtype=np.float32), *[np.ones((2, 3))] * 2).dtype == np.float64
        assert attend(*[whole.float()] * 3).dtype == torch.float32
        assert attend(whole.float(), *[whole.double()] * 2).dtype == torch.float64
        assert attend(whole, [[0.5] * 3] * 2, whole).dtype == torch.get_default_dtype()
        assert type(attend(*[np.ones((2, 3)).view(np.memmap)] * 3)) is np.ndarray
        assert isinstance(attend(*[torch.nn.Parameter(torch.ones(2, 3))] * 3), torch.Tensor)
        with pytest.raises(ValueError, match="query must have shape"):
            attend(*[np.float64(1)] * 3)
        with pytest.raises(ValueError, match="query must be an array without a mask of its own; got a MaskedArray"):
            attend(*[np.ma.masked_invalid([[NAN, 1.0]])] * 3)


def test_longdouble(attend):
    q, k, v = (np.ones((2, 2), dtype=np.longdouble) for _ in range(3))
    output = attend(q, k, v, mask=[[True, False], [False, False]])
    np.testing.assert_array_equal(output, [[1, 1], [0, 0]])
    assert output.dtype == np.longdouble


@pytest.mark.filterwarnings("error")
def test_any_kind_of_mask_and_flag(backend, attend):
    q, k, v = (backend.array(x) for x in (np.zeros((2, 1)), np.zeros((2, 1)), [[1.0], [3.0]]))
    lower = np.tri(2, dtype=bool)
    frozen = np.broadcast_to(np.array([True, False]), (2, 2))
    for mask, wanted in (
        ([[True, False], [True, True]], [[1], [2]]),
        ([np.array([True, False]), np.array([True, True])], [[1], [2]]),
        (lower[::-1], [[2], [1]]),
        (lower.T, [[2], [3]]),
        (frozen, [[1], [1]]),
        (np.True_, [[2], [2]]),
        (False, [[0], [0]]),
    ):
        np.testing.assert_array_equal(backend.numpy(attend(q, k, v, mask=mask)), wanted)
    np.testing.assert_array_equal(backend.numpy(attend(q, k, v, causal=np.True_)), [[1], [2]])
    for mask in ([[True], [True, False]], "causal", object()):
        with pytest.raises(ValueError, match=r"^mask must be"):
            attend(q, k, v, mask=mask)


# -- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_match_finite_differences(attend, rng, causal):
    q, k, v = (torch.tensor(rng.normal(size=(2, n, 3)), requires_grad=True) for n in (4, 5, 5))
    mask = torch.tensor(rng.random((4, 5)) < 0.7)
    mask[1] = False  # a row without a key must not spoil the others' gradient
    assert torch.autograd.gradcheck(lambda *x: attend(*x, mask=mask, causal=causal), (q, k, v))
    assert torch.autograd.gradcheck(lambda *x: attend(*x, causal=causal), (q, k, v))
    attend(q, k, v, mask=mask).sum().backward()
    assert (q.grad[:, 1] == 0).all() and q.grad[:, 0].abs().min() > 0


def test_gradients_by_torch_func(attend, rng):
    q, k, v = (torch.tensor(rng.normal(size=(4, 3)), requires_grad=True) for _ in range(3))
    attend(q, k, v).sin().sum().backward()
    gradient = torch.func.grad(lambda q: attend(q, k.detach(), v.detach()).sin().sum())(q.detach())
    torch.testing.assert_close(gradient, q.grad)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": [[True, False, True]] * 2 + [[False] * 3]}])
def test_every_derivative_of_attention(attend, rng, options):
    shapes = (2, 3, 2), (3, 2), (2, 3, 2)  # the key broadcasts
    q, k, v = given = [torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *x: attend(*x, **options), given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda *x: attend(*x, **options), given)

    def height(q):
        return attend(q, k.detach(), v.detach(), **options).sin().sum()

    direction, point = torch.tensor(rng.normal(size=(2, 3, 2))), q.detach()
    (slope,) = torch.autograd.grad(height(q), q, create_graph=True)
    _, along = torch.func.jvp(height, (point,), (direction,))
    torch.testing.assert_close(along, (slope * direction).sum())
    (twice,) = torch.autograd.grad((slope * direction).sum(), q)
    torch.testing.assert_close(torch.func.jvp(torch.func.grad(height), (point,), (direction,))[1], twice)
    torch.testing.assert_close(torch.func.grad(lambda q: (torch.func.grad(height)(q) * direction).sum())(point), twice)


def test_the_kernel_gives_what_it_can(monkeypatch, rng):
    unfused = []
    weigh = layer.weigh
    monkeypatch.setattr(layer, "weigh", lambda *args, **options: unfused.append(1) or weigh(*args, **options))
    q, k, v = (torch.tensor(rng.normal(size=(3, 2)), requires_grad=True) for _ in range(3))
    output = attention(q, k, v)
    output.sum().backward(retain_graph=True)
    torch.func.grad(lambda q: attention(q, k.detach(), v.detach()).sum())(q.detach())
    assert not unfused
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a backward pass under autocast, too
        (slope,) = torch.autograd.grad(output.sum(), q, create_graph=True)
    assert unfused
    torch.testing.assert_close(slope, q.grad)


def test_torch_compiles_the_fused_path_into_one_graph(monkeypatch, rng):
    monkeypatch.setattr(layer, "_fits_fused", lambda *arguments: True)  # as where looking at data stalls the queue
    q, k, v = (torch.tensor(rng.normal(size=(4, 3))) for _ in range(3))
    for options in ({}, {"causal": True}):
        plain = functools.partial(attention, key=k, value=v, **options)
        torch.testing.assert_close(torch.compile(plain, backend="eager", fullgraph=True)(q), plain(q))
        torch._dynamo.reset()


def test_softmax_gradient_is_the_jacobian(rng):
    s = torch.tensor(rng.normal(size=6), requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: softmax(s, temperature=0.6), s)
    assert torch.autograd.gradgradcheck(lambda s: softmax(s, temperature=0.6), s)
    p = softmax(s, temperature=0.6).detach()
    jacobian = torch.autograd.functional.jacobian(lambda s: softmax(s, temperature=0.6), s)
    torch.testing.assert_close(jacobian, (torch.diag(p) - torch.outer(p, p)) / 0.6, rtol=0, atol=1e-15)


def test_gradients_are_finite_at_extremes(attend):
    q, k, v = (torch.tensor(x, requires_grad=True) for x in ([[1e3]], [[1e3], [-1e3]], [[1.0], [2.0]]))
    attend(q, k, v).sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (q, k, v))
    torch.testing.assert_close(v.grad, torch.tensor([[1.0], [0.0]]))
    none = torch.zeros(2, 3, requires_grad=True)
    attend(none, torch.zeros(0, 3), torch.zeros(0, 1)).sum().backward()
    assert (none.grad == 0).all()


# -- what is refused -------------------------------------------------------------------------------------------------

NAN = float("nan")
Q, K, V = [[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], [[1.0], [2.0]]
REFUSED_BY_ATTENTION = [
    ((Q, [[1.0, 2.0, 3.0]], [[1.0]]), {}, "key must have shape (..., S, 2) to match query; got (1, 3)"),
    ((Q, K, [[1.0]]), {}, "value must have shape (..., 2, dv) to match key; got (1, 1)"),
    (([1.0], K, V), {}, "query must have shape (..., L, d); got (1,)"),
    ((Q, [1.0], V), {}, "key must have shape (..., S, d); got (1,)"),
    ((Q, K, [1.0]), {}, "value must have shape (..., S, dv); got (1,)"),
    (([[]], [[]], [[1.0]]), {}, "query must have at least one coordinate, shape (..., L, d); got (1, 0)"),
    (
        ([Q] * 2, [K] * 3, V),
        {},
        "batch dimensions of query, key, value must have shapes that broadcast; got (2,) and (3,)",
    ),
    (([[NAN, 1.0]], K, V), {}, "query must be finite; got nan among its numbers"),
    ((Q, [[1.0, math.inf], [1.0, 1.0]], V), {}, "key must be finite; got inf among its numbers"),
    ((Q, K, [[NAN], [1.0]]), {}, "value must be finite; got nan among its numbers"),
    (([[1e200, 1.0]], [[1e200, 0.0]] * 2, V), {}, "query and key must have scores that"),
    (([[1e200, 1.0]], [[-1e200, 0.0]] * 2, V), {}, "query and key must have scores that"),
    ((Q, K, V), {"scale": NAN}, "scale must be a finite number; got nan"),
    ((Q, K, V), {"scale": "1"}, "scale must be a finite number; got '1'"),
    ((Q, K, V), {"mask": [[1.0, 0.0]]}, "mask must be boolean, True where attending is allowed; got dtype"),
    ((Q, K, V), {"mask": [[True] * 3]}, "mask must broadcast to (1, 2); got shape (1, 3)"),
    ((Q, K, V), {"mask": [[[True] * 2]] * 2}, "mask must broadcast to (1, 2); got shape (2, 1, 2)"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("arrays, options, message", REFUSED_BY_ATTENTION, ids=[m for *_, m in REFUSED_BY_ATTENTION])
def test_attention_refuses(backend, attend, arrays, options, message):
    looks_at_data = "among its numbers" in message or "scores that" in message
    if getattr(backend, "device", "cpu") == "cuda" and attend is attention and looks_at_data:
        pytest.skip("looking at the data would stall the accelerator")
    with pytest.raises(ValueError) as caught:
        attend(*map(backend.array, arrays), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": -1.0}, "temperature must be a finite number above zero; got -1.0"),
        ({"temperature": 0}, "temperature must be a finite number above zero; got 0"),
        ({"temperature": math.inf}, "temperature must be a finite number above zero; got inf"),
        ({"temperature": NAN}, "temperature must be a finite number above zero; got nan"),
        ({"temperature": 1e-320}, "temperature must be a finite number above zero in"),
        ({"temperature": [1, 2]}, "temperature must be a finite number above zero; got [1, 2]"),
        ({"axis": 2}, "axis must be a whole number from -2 to 1; got 2"),
        ({"axis": -3}, "axis must be a whole number from -2 to 1; got -3"),
        ({"axis": (0, 1)}, "axis must be a whole number from -2 to 1; got (0, 1)"),
        ({"mask": [0, 1]}, "mask must be boolean, True where attending is allowed; got dtype"),
    ],
)
def test_softmax_refuses(backend, options, message):
    with pytest.raises(ValueError) as caught:
        softmax(backend.array(np.zeros((3, 2))), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_softmax_refuses_scores(backend, bad):
    for mask in (None, [True, False]):
        with pytest.raises(ValueError, match=f"^scores must be finite or -inf; got {bad} among its numbers$"):
            softmax(backend.array([1.0, float(bad)]), mask=mask)


def test_products_that_pass_the_range_on_their_way_are_refused(backend, attend):
    for query, key, scale in ((1e15, 1e-15, 1e30), (1e-30, 1.0, 1e300), (0.0, 1.0, 1e39)):
        q, k, v = (backend.array(x, "float32") for x in ([[query]], [[key], [2 * key]], V))
        if getattr(backend, "device", "cpu") == "cuda" and attend is attention:
            continue  # looking at the data would stall the accelerator
        with pytest.raises(ValueError, match=r"query and key must have scores that .*float32 can hold"):
            attend(q, k, v, scale=scale)


def test_refused_kinds():
    with pytest.raises(ValueError, match=r"scores must be an array of real numbers; got \[tensor.*requires grad"):
        softmax([torch.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="scores must have at least one dimension; got a single number"):
        softmax(1.0)
    with pytest.raises(ValueError, match="scores must be an array of real numbers; got dtype complex128"):
        softmax([1j])
    with pytest.raises(ValueError, match=r"scores must be an array of real numbers; got \[\[1\], \[2, 3\]\]"):
        softmax([[1], [2, 3]])
    with pytest.raises(ValueError, match="query and key must have scores that float16 can hold"):
        scores(np.float16([[300]]), np.float16([[300]]))
    with pytest.raises(ValueError, match="query, key must be arrays of one library; got Tensor and ndarray"):
        scores(np.ones((1, 1)), torch.ones(1, 1))
    with pytest.raises(ValueError, match="temperature must be a finite number above zero; got tensor"):
        softmax(torch.ones(2), temperature=torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("block_size", [0, -1, 1.5, None])
def test_streaming_refuses_block_size(block_size):
    with pytest.raises(ValueError, match=f"block_size must be a whole number of at least 1; got {block_size}"):
        streaming_attention(Q, K, V, block_size=block_size)
