"""Other rules in a trained model: what they do to the weights, and what the record says against the weights."""

import json
import math

import numpy as np
import pytest
import scipy.special

from attnlib import interventions
from attnlib.heads import LanguageModel, causal_attention
from attnlib.interventions import FACTORS, RULES, best_factor
from attnlib.maxent import kl_divergence
from attnlib.recorded import RECORDS

RECORDED = RECORDS / "heads"


@pytest.fixture
def heads(rng):
    return [array.astype(np.float32) for array in rng.normal(size=(3, 2, 12, 4)) * 2]


def weights_of(attend, query, key, layer=0):
    """The weights that a rule gives, read off by values that are unit vectors."""
    value = np.broadcast_to(np.eye(key.shape[1], dtype=np.float32), (len(key), key.shape[1], key.shape[1]))
    return attend(layer, query, key, value)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_gives_weights_that_look_back_only(heads, name):
    query, key, _ = heads
    weights = weights_of(RULES[name], query, key)
    assert (weights >= 0).all() and (np.triu(weights, 1) == 0).all()
    total = weights.sum(-1)
    less = name in ("softmax-one", "softmax without the first value")
    assert (total < 1 - 1e-5).any() if less else np.allclose(total, 1, atol=1e-5)


def test_rules_that_are_softmax_in_other_words_say_what_it_says(heads):
    for other in (RULES["softmax, block by block"], interventions.scaled(1.0), interventions.scaled(3.0, only=7)):
        np.testing.assert_allclose(other(0, *heads), causal_attention(0, *heads), rtol=1e-5, atol=1e-6)


def test_a_factor_is_on_all_scores_or_on_those_of_one_layer(heads):
    query, key, value = heads
    for layer in (0, 1):
        sharper = causal_attention(layer, 3 * query, key, value)
        np.testing.assert_allclose(interventions.scaled(3.0)(layer, query, key, value), sharper, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(interventions.scaled(3.0, only=1)(1, query, key, value), sharper, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "column"), [("first", 0), ("second", 1)])
def test_a_key_left_out_is_seen_by_nobody_after_it(heads, name, column):
    query, key, _ = heads
    weights = weights_of(RULES[f"softmax without the {name} key"], query, key)
    trained = weights_of(causal_attention, query, key)
    assert (weights[:, column + 1 :, column] == 0).all()
    np.testing.assert_allclose(weights[:, : column + 1], trained[:, : column + 1], atol=1e-6)
    rest = np.delete(trained, column, axis=-1)[:, column + 1 :]
    np.testing.assert_allclose(
        np.delete(weights, column, axis=-1)[:, column + 1 :], rest / rest.sum(-1, keepdims=True), rtol=1e-4, atol=1e-6
    )


def test_the_softplus_link_normalises_softplus(heads):
    query, key, _ = heads
    scores = np.einsum("hid,hjd->hij", query, key) / 2
    precision = np.tril(np.log1p(np.exp(np.float64(scores))))
    expected = precision / precision.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights_of(RULES["softplus link"], query, key), expected, rtol=1e-4)


def test_shuffled_weights_are_those_of_softmax_in_another_order(heads):
    query, key, _ = heads
    shuffled, trained = (weights_of(rule, query, key) for rule in (RULES["softmax, shuffled"], causal_attention))
    np.testing.assert_allclose(np.sort(shuffled), np.sort(trained), atol=1e-6)
    assert not np.allclose(shuffled, trained)


def test_a_fixed_budget_is_spent_by_every_query(heads):
    query, key, _ = heads
    weights = weights_of(interventions.fixed_budget(np.array([[0.2, 0.5]])), query, key)
    for row in range(1, 12):
        spent = kl_divergence(weights[:, row, : row + 1]) / math.log(row + 1)
        np.testing.assert_allclose(spent, [0.2, 0.5], rtol=1e-4)


def test_norms_are_made_equal_or_dealt_out(heads):
    query, key, value = heads
    size = np.linalg.norm(query, axis=-1, keepdims=True)
    expected = causal_attention(0, query / size * size.mean(1, keepdims=True), key, value)
    np.testing.assert_allclose(RULES["queries of one norm"](0, query, key, value), expected, rtol=1e-5, atol=1e-6)
    even = query / size
    for name in ("queries of one norm", "queries’ norms dealt out"):
        np.testing.assert_allclose(
            RULES[name](0, even, key, value), causal_attention(0, even, key, value), rtol=1e-5, atol=1e-6
        )
    size = np.linalg.norm(key[:, 1:], axis=-1, keepdims=True)
    level = np.concatenate([key[:, :1], key[:, 1:] / size * size.mean(1, keepdims=True)], axis=1)
    expected = causal_attention(0, query, level, value)
    np.testing.assert_allclose(RULES["keys of one norm"](0, query, key, value), expected, rtol=1e-5, atol=1e-6)


def test_a_key_may_be_forbidden_late(rng):
    query, key = rng.normal(size=(2, 1, 70, 4)).astype(np.float32)
    weights = weights_of(RULES["softmax without the first key, from token 64 on"], query, key)
    assert (weights[:, 64:, 0] == 0).all() and (weights[:, :64, 0] > 0).all()


def test_without_its_first_word_a_text_is_what_the_rest_of_it_is_alone(rng):
    """As forbidden from the start, with positions that count from each other alone."""
    query, key, value = rng.normal(size=(3, 2, 12, 4)).astype(np.float32)
    forbidden = RULES["softmax without the first key"](0, query, key, value)
    alone = causal_attention(0, query[:, 1:], key[:, 1:], value[:, 1:])
    np.testing.assert_allclose(forbidden[:, 1:], alone, rtol=1e-4, atol=1e-6)


def test_without_the_first_value_its_weight_gives_nothing(heads):
    query, key, value = heads
    weights = weights_of(causal_attention, query, key)
    expected = causal_attention(0, query, key, value) - weights[..., :1] * value[:, :1]
    found = RULES["softmax without the first value"](0, query, key, value)
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 0], value[:, 0], rtol=1e-6)  # the first token has nothing else to see


def test_the_best_factor_is_where_a_cubic_is_least():
    x = np.log(np.array(FACTORS))
    for least in (0.9, 1.0, 1.07):
        curve = (x - math.log(least)) ** 2 * (3 + 0.2 * (x - math.log(least)))
        np.testing.assert_allclose(best_factor(np.array([curve])), least, rtol=1e-9)


def test_drawn_tokens_are_drawn_from_what_the_model_expects(monkeypatch, rng):
    logits = rng.normal(size=(4000, 5)) * 0 + np.array([0.0, 1.0, 2.0, -1.0, 0.5])
    seen = []

    class Model:
        def logits(self, tokens, attend=None):
            return logits

    monkeypatch.setattr(interventions, "losses", lambda logits, target: seen.append(target) or np.zeros(1))
    interventions.factor_losses(Model(), np.zeros(4000, dtype=int), factors=(1.0,))
    _, drawn, _ = seen
    shares = np.bincount(drawn[1:], minlength=5) / 3999
    np.testing.assert_allclose(shares, scipy.special.softmax(logits[0]), atol=0.03)


def test_what_is_recorded_is_what_the_weights_say():
    try:
        model = LanguageModel()
    except FileNotFoundError:
        pytest.skip("the weights are not here: make weights")
    texts = json.loads((RECORDED / "texts.json").read_text("utf-8"))
    kept = json.loads((RECORDED / "losses.json").read_text("utf-8"))["result"]
    tokens = model.tokens(texts[7]["text"])[:512]
    some = {
        name: RULES[name]
        for name in ("softmax", "softmax-one", "sparsemax", "softmax without the first key, from token 64 on")
    }
    for name, loss in interventions.rule_losses(model, tokens, some).items():
        assert math.isclose(loss, kept["rules"][name][7], rel_tol=1e-3), name
    for name, found in interventions.factor_losses(model, tokens, FACTORS[1:2]).items():
        assert math.isclose(found[0], kept["factors"][name][7][1], rel_tol=1e-3), name
    x = model.embed(tokens[:256])
    for layer in range(model.layers):
        x = model.step(layer, x, interventions.scaled(interventions.LAYER_FACTORS[-1], only=12))
    loss = interventions.losses(model.unembed(x), tokens[:256]).mean()
    assert math.isclose(loss, kept["layers"][7][12][-1], rel_tol=1e-3)
