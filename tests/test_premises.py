"""The statistics of trained heads against sums written out, their controls, and the record against the weights."""

import json
import math
from functools import cache

import numpy as np
import pytest
import scipy.stats

from attnlib import premises
from attnlib.heads import Encoder, LanguageModel
from attnlib.premises import CONTROLS, STATISTICS, Reading, interval, projection_statistics
from attnlib.recorded import RECORDS
from attnlib.weights import PACKAGES

RECORDED = RECORDS / "heads"


@cache
def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def heads(rng):
    """Queries, keys and values of six heads that share values in pairs, over 62 tokens."""
    query, key = rng.normal(size=(2, 6, 62, 8)) * 1.5
    return query, key, np.repeat(rng.normal(size=(3, 62, 8)), 2, axis=0)


def one_by_one(reading):
    """Each head's queries: the scores, weights and values that a query sees, and its output."""
    for head in range(len(reading.query)):
        yield [
            (s[seen], w[seen], reading.value[head][seen], w @ reading.value[head])
            for s, w, seen in zip(reading.scores[head], reading.weights[head], reading.allowed, strict=True)
        ]


@pytest.mark.parametrize("causal", [True, False])
def test_the_slope_is_that_of_least_squares_on_left_out_residuals(heads, causal):
    reading = Reading(*heads, causal=causal)
    for head, rows in enumerate(one_by_one(reading)):
        x, y = [], []
        for s, w, v, _ in rows:
            logs = []
            for j in range(len(s)):
                rest = np.delete(np.arange(len(s)), j)
                left_out = w[rest] @ v[rest] / w[rest].sum()
                logs.append(math.log(((v[j] - left_out) ** 2).sum() * (1 - w[j])))
            x.extend(s - s.mean())
            y.extend(np.array(logs) - np.mean(logs))
        expected = np.polyfit(x, y, 1)[0]
        assert math.isclose(premises.slope(reading)[head], expected, rel_tol=1e-9)
        off = np.array(y) - expected * np.array(x)
        spread = math.sqrt((off**2).sum() / (len(off) - len(rows)))
        assert math.isclose(premises.spread(reading)[head], spread, rel_tol=1e-9)


def test_each_half_has_a_chi_squared_q(heads):
    reading = Reading(*heads)
    for head, rows in enumerate(one_by_one(reading)):
        far = []
        for s, _, v, _ in rows:
            means = []
            for half in (slice(1, None, 2), slice(0, None, 2)):
                precision = np.exp(s[half])
                answer = precision @ v[half] / precision.sum()
                freedom = (len(precision) - 1) * v.shape[1]
                means.append(((precision[:, None] * (v[half] - answer) ** 2).sum() / freedom, freedom))
            (odd, a), (even, b) = means
            far.append(abs(2 * scipy.stats.f(a, b).cdf(odd / even) - 1))
        assert math.isclose(premises.q_distance(reading)[head], np.mean(far), rel_tol=1e-7)


def test_the_slope_over_weighted_keys_leaves_out_the_others(heads):
    reading = Reading(*heads)
    for head, rows in enumerate(one_by_one(reading)):
        x, y = [], []
        for number, (s, w, _, _) in enumerate(rows):
            use = (w > 1 / len(w)) & (w < 0.5) & (np.arange(len(w)) > 0)
            if use.any():
                logs = reading.log_square[head, number][: len(w)][use]
                x.extend(s[use] - s[use].mean())
                y.extend(logs - logs.mean())
        assert math.isclose(premises.slope_of_weighted(reading)[head], np.polyfit(x, y, 1)[0], rel_tol=1e-9)


def test_overlap_is_the_mean_squared_cosine_of_two_residuals(heads):
    reading = Reading(*heads)
    for head, rows in enumerate(one_by_one(reading)):
        _, _, v, o = rows[-1]
        unit = (v - o) / np.linalg.norm(v - o, axis=1, keepdims=True)
        pairs = (unit @ unit.T)[~np.eye(len(v), dtype=bool)]
        assert len(rows) <= 32, "the last query alone is used"
        assert math.isclose(premises.overlap(reading)[head], 8 * (pairs**2).mean(), rel_tol=1e-9)


def test_residuals_in_a_quarter_of_the_dimensions_overlap_four_times(rng):
    assert premises.overlap(premises.noisy(rng, flat=True)).mean() == pytest.approx(4, rel=0.3)


def test_budgets_entropies_and_peaks_are_those_of_each_row(heads):
    reading = Reading(*heads)
    logs = np.log(reading.count)
    for head, rows in enumerate(one_by_one(reading)):
        entropy = np.array([scipy.stats.entropy(w) for _, w, _, _ in rows])
        peak = [math.log(w.max()) for _, w, _, _ in rows]
        budget = 1 - entropy / logs
        norms = np.linalg.norm(reading.query[head], axis=-1)
        for statistic, expected in (
            (premises.budget, budget.mean()),
            (premises.budget_spread, budget.std() / budget.mean()),
            (premises.norm_spread, norms.std() / norms.mean()),
            (premises.norm_correlation, np.corrcoef(norms, budget)[0, 1]),
            (premises.entropy_slope, np.polyfit(logs, entropy, 1)[0]),
            (premises.peak_slope, np.polyfit(logs, peak, 1)[0]),
            (premises.first_weight, np.mean([w[0] for _, w, _, _ in rows])),
            (premises.distance, np.mean([w @ np.arange(len(w))[::-1] for _, w, _, _ in rows])),
        ):
            assert math.isclose(statistic(reading)[head], expected, rel_tol=1e-9), statistic.__name__


def test_queries_of_one_norm_have_no_norm_to_regulate_with(heads):
    query, key, value = heads
    query = query / np.linalg.norm(query, axis=-1, keepdims=True)
    np.testing.assert_allclose(premises.regulation(Reading(query, key, value)), 1, rtol=1e-9)
    assert (premises.norm_spread(Reading(query, key, value)) < 1e-12).all()


def test_what_the_keys_norms_say_is_a_correlation(heads):
    reading = Reading(*heads)
    norms = (reading.key**2).sum(-1)
    for head, rows in enumerate(one_by_one(reading)):
        correlations = np.array([np.corrcoef(s, norms[head, : len(s)])[0, 1] for s, *_ in rows])
        assert math.isclose(premises.key_share(reading)[head], (correlations**2).mean(), rel_tol=1e-9)
        assert math.isclose(premises.key_correlation(reading)[head], correlations.mean(), rel_tol=1e-9)
        lengths = np.sqrt(norms[head, 1:])
        assert math.isclose(premises.key_spread(reading)[head], lengths.std() / lengths.mean(), rel_tol=1e-9)


def test_own_and_other_slopes_are_those_of_least_squares(heads):
    reading = Reading(*heads, groups=3)
    own, other = premises.own_score(reading), premises.other_score(reading)
    for head in range(6):
        fits = []
        for another in range(6):
            if another // 2 == head // 2:
                continue
            columns, target = [], []
            for row, seen in enumerate(reading.allowed):
                seen = seen & (np.arange(62) > 0)
                regressors = reading.scores[[head, another], row][:, seen]
                columns.append(regressors - regressors.mean(1, keepdims=True))
                logs = reading.log_square[head, row, seen]
                target.append(logs - logs.mean())
            fits.append(np.linalg.lstsq(np.concatenate(columns, axis=1).T, np.concatenate(target))[0])
        np.testing.assert_allclose([own[head], other[head]], np.mean(fits, axis=0), rtol=1e-8)


def test_statistics_use_only_what_a_query_may_see(heads):
    query, key, value = heads
    later = [x.copy() for x in (key, value)]
    for x in later:
        x[:, 60:] *= 3  # the last query that counts sees the first 60 keys
    for name, statistic in STATISTICS.items():
        if name in ("slope_of_shuffled", "first_value", "key_excess", "key_spread"):
            continue  # these look at all keys of the text
        np.testing.assert_allclose(
            statistic(Reading(query, *later, groups=3)), statistic(Reading(query, key, value, groups=3)), rtol=1e-9
        )


def test_nearly_all_weight_on_a_key_and_equal_values_do_no_harm(rng):
    query, key, value = rng.normal(size=(3, 2, 40, 4))
    query *= 1000  # softmax is one key
    value[1] = 1.0  # all values of a head are equal
    with np.errstate(divide="ignore", invalid="ignore"):  # no pair is usable: the slope of that head is nothing
        found = {name: statistic(Reading(query, key, value)) for name, statistic in STATISTICS.items()}
    assert np.isfinite(found["budget"]).all() and np.isclose(found["budget"], 1, atol=0.05).all()
    assert np.isfinite(found["q_distance"]).all()


@pytest.mark.parametrize(
    ("shapes", "groups", "words"),
    [
        (((2, 40, 4), (2, 40, 4), (2, 39, 4)), None, r"query, key and value must have shapes .* got \(2, 40, 4\)"),
        (((2, 31, 4), (2, 31, 4), (2, 31, 4)), None, "query must hold 32 tokens or more; got 31"),
        (((6, 40, 4), (6, 40, 4), (6, 40, 4)), 4, "groups must be 2 or more, and divide the 6 heads; got 4"),
    ],
)
def test_a_reading_says_what_is_wrong_with_it(shapes, groups, words):
    with pytest.raises(ValueError, match=words):
        Reading(*map(np.ones, shapes), groups=groups)


def test_one_in_twenty_intervals_misses(rng):
    low, high = interval(rng.normal(size=(12, 4000)))
    assert 0.93 < ((low < 0) & (high > 0)).mean() < 0.97


def test_an_interval_needs_two_texts():
    with pytest.raises(ValueError, match="by_text must hold two texts or more; got 1"):
        interval(np.ones((1, 3)))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_prediction_is_found_where_it_holds_and_not_where_it_cannot(name):
    control = CONTROLS[name]
    holds, broken = (premises.found(control, make) for make in (control.holds, control.broken))
    assert holds >= 0.9 and broken <= 0.05, (holds, broken)
    np.testing.assert_allclose(recorded("controls")["result"]["shares"][name], [holds, broken], rtol=1e-3)


def test_projections_are_those_of_the_whole_matrix(rng):
    query, key = rng.normal(size=(2, 3, 5, 12))
    found = projection_statistics(query, key)
    for head in range(3):
        whole = query[head].T @ key[head]
        shares = np.linalg.svd(whole, compute_uv=False)[:5] ** 2
        shares /= shares.sum()
        assert math.isclose(found["rank"][head], math.exp(scipy.stats.entropy(shares)), rel_tol=1e-9)
        symmetric = ((whole + whole.T) / 2) ** 2
        assert math.isclose(found["symmetry"][head], symmetric.sum() / (whole**2).sum(), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("name", "model", "layers"), [("language-model", LanguageModel, (0, 13)), ("encoder", Encoder, (0, 5))]
)
def test_what_is_recorded_is_what_the_weights_say(name, model, layers):
    try:
        model = model()
    except FileNotFoundError:
        pytest.skip("the weights are not here: make weights")
    record = recorded(name)["result"]
    text = json.loads((RECORDED / "texts.json").read_text("utf-8"))[4]["text"]
    fresh = premises.measure_statistics(model, text, layers=layers)
    assert fresh.keys() == record["statistics"].keys()
    for statistic, numbers in fresh.items():
        kept = np.array(record["statistics"][statistic])[4, list(layers)]
        np.testing.assert_allclose(numbers, kept, rtol=1e-3, atol=1e-4, err_msg=statistic)
    for layer in layers:
        for statistic, numbers in projection_statistics(*model.projections(layer)).items():
            np.testing.assert_allclose(numbers, record["projections"][statistic][layer], rtol=1e-3)


def test_the_record_is_small_and_says_where_it_comes_from():
    assert sum(path.stat().st_size for path in RECORDED.iterdir()) <= 1e6
    texts = json.loads((RECORDED / "texts.json").read_text("utf-8"))
    assert len(texts) >= 8 and all(text["source"] for text in texts)
    assert recorded("language-model")["result"]["tokens"] >= 20_000
    for name in ("language-model", "encoder", "losses", "controls"):
        record = recorded(name)
        assert record["texts"] == [text["name"] for text in texts] and record["date"] and record["versions"]
    for name in ("language-model", "encoder"):
        assert recorded(name)["sha256"] == PACKAGES[recorded(name)["package"]].sha256
