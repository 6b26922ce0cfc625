"""What the loss says when the rule of every head, or of one layer, is changed without training.

A loss is that of `attnlib.heads.LanguageModel` on a text, in nats a token.  What a model was trained with is not what
it can be run with: a larger loss says how much is at stake in a rule, not which rule is better.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from attnlib.beyond import entmax, sink, sparsemax
from attnlib.evidence import largest_budget, route
from attnlib.heads import Attend, LanguageModel, causal_attention, losses
from attnlib.layer import attention, scores, softmax, streaming_attention

__all__ = [
    "FACTORS",
    "LAYER_FACTORS",
    "RULES",
    "best_factor",
    "factor_losses",
    "fixed_budget",
    "layer_losses",
    "rule_losses",
    "scaled",
]

FACTORS = (0.25, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0, 4.0)  # on all scores
LAYER_FACTORS = (0.5, 0.8, 1.25, 2.0)

Weighting = Callable[[np.ndarray], np.ndarray]  # of scores (h, n, n), -inf where a query may not look


def _scores(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """(h, n, n), -inf where a query may not look."""
    earlier: np.ndarray = np.tri(query.shape[1], dtype=bool)
    return np.where(earlier, scores(query, key), np.float32(-np.inf))


def _by(weights: Weighting) -> Attend:
    """Attention with other weights."""
    return lambda layer, query, key, value: weights(_scores(query, key)) @ value


def _without(column: int, start: int = 0) -> Weighting:
    """Softmax when one key may be attended by no later query, or by none from `start` on."""

    def weights(s: np.ndarray) -> np.ndarray:
        s = s.copy()
        s[:, max(start, column + 1) :, column] = -np.inf
        return softmax(s)

    return weights


def _softplus(s: np.ndarray) -> np.ndarray:
    precision = np.logaddexp(0, s)  # 0 where s is -inf
    return precision / precision.sum(-1, keepdims=True)


def _even(s: np.ndarray) -> np.ndarray:
    return softmax(np.where(s > -np.inf, 0, s))


def _shuffled(s: np.ndarray) -> np.ndarray:
    """Softmax weights, those of each query dealt out again among the keys that it may attend."""
    rng = np.random.default_rng(0)
    weights = softmax(s)
    for row in range(1, s.shape[1]):
        weights[:, row, : row + 1] = rng.permuted(weights[:, row, : row + 1], axis=-1)
    return weights


def fixed_budget(budgets: np.ndarray) -> Attend:
    """Every head spends one share of log n, (layers, h), whatever its query: the budget in place of the price."""

    def attend(layer: int, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        s: np.ndarray = _scores(query, key).astype(float)
        wanted = budgets[layer][:, None] * np.log(np.arange(1, query.shape[1] + 1))
        return (route(s, np.minimum(wanted, largest_budget(s))) @ value).astype(value.dtype)

    return attend


def _without_first_value(layer: int, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Softmax's weights, but the first value is 0 for all queries after the first."""
    dropped = causal_attention(layer, query, key, np.concatenate([np.zeros_like(value[:, :1]), value[:, 1:]], axis=1))
    dropped[:, 0] = value[:, 0]
    return dropped


def _with_norms(change: Callable[[np.ndarray], np.ndarray], *, of_keys: bool = False) -> Attend:
    """Attention when the norms of a head's queries, or of its keys after the first, are changed, (h, n, 1)."""

    def attend(layer: int, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        vectors = key[:, 1:] if of_keys else query
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        changed = vectors / norms * change(norms)
        if of_keys:
            return causal_attention(layer, query, np.concatenate([key[:, :1], changed], axis=1), value)
        return causal_attention(layer, changed, key, value)

    return attend


def _mean(norms: np.ndarray) -> np.ndarray:
    return np.broadcast_to(norms.mean(1, keepdims=True), norms.shape)


def _dealt(norms: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permuted(norms, axis=1)


def scaled(factor: float, only: int | None = None) -> Attend:
    """The book's attention with all scores, or those of one layer, times a factor."""

    def attend(layer: int, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        own = factor if only in (None, layer) else 1
        return np.asarray(attention(query, key, value, scale=own / math.sqrt(query.shape[-1]), causal=True))

    return attend


RULES: dict[str, Attend] = {
    "softmax": causal_attention,
    "softmax, block by block": lambda layer, *heads: streaming_attention(*heads, causal=True, block_size=64),
    "softmax without the first key": _by(_without(0)),
    "softmax without the second key": _by(_without(1)),
    "softmax without the first key, from token 64 on": _by(_without(0, 64)),
    "softmax without the second key, from token 64 on": _by(_without(1, 64)),
    "softmax without the first value": _without_first_value,
    "queries of one norm": _with_norms(_mean),
    "queries’ norms dealt out": _with_norms(_dealt),
    "keys of one norm": _with_norms(_mean, of_keys=True),
    "softmax-one": _by(sink),
    "entmax 1.5": _by(entmax),
    "sparsemax": _by(sparsemax),
    "softplus link": _by(_softplus),
    "even weights": _by(_even),
    "softmax, shuffled": _by(_shuffled),
}


def rule_losses(model: LanguageModel, tokens: np.ndarray, rules: dict[str, Attend]) -> dict[str, float]:
    """The mean loss on a stretch of tokens, with each rule in every head.

    Parameters
    ----------
    model : LanguageModel
    tokens : int array (n,)
    rules : dict of str to callable
        By name, what `LanguageModel.logits` takes as `attend`; as those of `RULES`.

    Returns
    -------
    dict of str to float
        Nats a token.
    """
    return {name: float(losses(model.logits(tokens, attend), tokens).mean()) for name, attend in rules.items()}


def factor_losses(
    model: LanguageModel, tokens: np.ndarray, factors: Sequence[float] = FACTORS
) -> dict[str, list[float]]:
    """The mean loss at each factor on all scores: of the text, and of two controls.

    Returns
    -------
    dict
        `text`: of what comes next.  `drawn`: of a token drawn from what the model itself expects there, for which no
        other prediction can be better on average.  `shuffled`: of the text's tokens in random order.
    """
    rng = np.random.default_rng(0)
    trained = np.float64(model.logits(tokens))
    gumbel = rng.gumbel(size=trained.shape)  # the largest of scores with such noise is a draw from their softmax
    drawn = np.concatenate([tokens[:1], (trained + gumbel).argmax(-1)[:-1]])
    targets = {"text": tokens, "drawn": drawn, "shuffled": np.concatenate([tokens[:1], rng.permutation(tokens[1:])])}
    found: dict[str, list[float]] = {name: [] for name in targets}
    for factor in factors:
        logits = model.logits(tokens, scaled(factor))
        for name, target in targets.items():
            found[name].append(float(losses(logits, target).mean()))
    return found


def layer_losses(model: LanguageModel, tokens: np.ndarray) -> list[list[float]]:
    """The mean loss with the scores of one layer times a factor.

    Returns
    -------
    list of list of float
        A row for each layer, a column for each of `LAYER_FACTORS`; nats a token.
    """
    x = model.embed(tokens)
    found = []
    for layer in range(model.layers):
        row = []
        for factor in LAYER_FACTORS:
            changed = model.step(layer, x, scaled(factor))
            for later in range(layer + 1, model.layers):
                changed = model.step(later, changed)
            row.append(float(losses(model.unembed(changed), tokens).mean()))
        found.append(row)
        x = model.step(layer, x)
    return found


def best_factor(by_text: np.ndarray, factors: Sequence[float] = FACTORS) -> np.ndarray:
    """The factor at which the loss is least, by a cubic in its logarithm through the five factors about 1.

    Parameters
    ----------
    by_text : array (texts, factors)

    Returns
    -------
    array (texts,)
        NaN where the cubic has no minimum.

    Examples
    --------
    >>> curve = np.log(np.array(FACTORS) / 1.1) ** 2
    >>> best_factor(curve[None]).round(6)
    array([1.1])
    """
    near = [number for number, factor in enumerate(factors) if 0.8 <= factor <= 1.25]
    third, second, first, _ = np.polyfit(np.log(np.array(factors)[near]), np.asarray(by_text)[:, near].T, 3)
    # The root of 3 third x^2 + 2 second x + first at which the curve bends upwards, in the form that third = 0 allows.
    return np.exp(-first / (second + np.sqrt(second**2 - 3 * third * first)))
