"""Do trained heads do what the four roads suppose?  One statistic a prediction, and controls for each.

A `Reading` is what the heads of one layer do over one stretch of text: scores, weights, values, output.  A statistic
gives one number for each head of a reading; `interval` says how sure its mean over texts is.  For every prediction
`CONTROLS` makes readings in which it holds by construction, and others in which it cannot.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from attnlib.evidence import inverse_temperature
from attnlib.heads import Encoder, LanguageModel, causal_attention, full_attention
from attnlib.layer import scores, softmax
from attnlib.maxent import effective_keys, entropy

__all__ = [
    "CONTROLS",
    "STATISTICS",
    "Control",
    "Reading",
    "found",
    "interval",
    "measure_statistics",
    "noisy",
    "normal_spread",
    "projection_statistics",
    "readings",
    "residual_curve",
    "stretches",
]

_FEWEST = 16  # keys of a query that counts
_STRIDE = 4  # every fourth query counts


class Reading:
    """What the heads of one layer do over one stretch of text, at every fourth query that sees 16 keys or more.

    Parameters
    ----------
    query, key, value : array (h, n, d)
        As `attend` of a model gets them.
    causal : bool
        Whether a query sees itself and what came before, or all.
    groups : int, optional
        The number of different sets of values, if neighbouring heads share them; at least 2.
    seed : int
        For what a statistic shuffles.

    Raises
    ------
    ValueError
        If shapes do not match, there are fewer than 32 tokens, or `groups` does not divide the heads.
    """

    def __init__(
        self,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        *,
        causal: bool = True,
        groups: int | None = None,
        seed: int = 0,
    ) -> None:
        if not query.shape == key.shape or not query.shape[:-1] == value.shape[:-1] or query.ndim != 3:
            shapes = ", ".join(str(array.shape) for array in (query, key, value))
            raise ValueError(f"query, key and value must have shapes (h, n, d), (h, n, d) and (h, n, dv); got {shapes}")
        h, n, _ = query.shape
        if n < 2 * _FEWEST:
            raise ValueError(f"query must hold {2 * _FEWEST} tokens or more; got {n}")
        if groups is not None and (groups < 2 or h % groups):
            raise ValueError(f"groups must be 2 or more, and divide the {h} heads; got {groups}")
        rows = np.arange(_FEWEST - 1 if causal else 0, n, _STRIDE)
        self.query, self.key, self.value = (np.asarray(x, dtype=float) for x in (query[:, rows], key, value))
        self.allowed = np.arange(n) <= rows[:, None] if causal else np.ones((len(rows), n), dtype=bool)
        self.count = self.allowed.sum(-1)  # (queries,)
        self.group = np.arange(h) * (groups or h) // h
        self.seed = seed

    @cached_property
    def scores(self) -> np.ndarray:
        """(h, queries, n), -inf where a query may not look."""
        return np.where(self.allowed, scores(self.query, self.key), -np.inf)

    @cached_property
    def weights(self) -> np.ndarray:
        return softmax(self.scores)

    @cached_property
    def output(self) -> np.ndarray:
        return self.weights @ self.value

    @cached_property
    def square(self) -> np.ndarray:
        """The squared distance of each value from each output, (h, queries, n)."""
        own, mean = ((x * x).sum(-1) for x in (self.value, self.output))
        return own[:, None, :] - 2 * self.output @ self.value.swapaxes(-1, -2) + mean[..., None]

    @property
    def later(self) -> np.ndarray:
        """Whether a key is after the first, (n,)."""
        return np.arange(self.key.shape[1]) > 0

    @cached_property
    def usable(self) -> np.ndarray:
        """Pairs whose residual is not lost in rounding: all but a key that has nearly all the weight."""
        size = (self.value * self.value).sum(-1).mean(-1)[:, None, None]
        return self.allowed & (self.weights < 1 - 1e-6) & (self.square > 1e-9 * size)

    @cached_property
    def log_square(self) -> np.ndarray:
        """The log of `square` / (1 - w_ij), whose mean under the likelihood is a constant less s_ij.

        `square` is the squared distance of v_j from the estimate without key j, times (1 - w_ij)^2; that distance has
        1 / (1 - w_ij) times the variance of v_j.
        """
        return np.log(np.where(self.usable, self.square / (1 - self.weights), 1))

    @cached_property
    def budget(self) -> np.ndarray:
        """KL(w_i, uniform) / log n_i, (h, queries)."""
        return _budget(self.weights, self.count)

    def within(self, numbers: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Numbers (h, queries, n) about their mean over a query's usable keys; 0 elsewhere."""
        where = self.usable if where is None else where
        mean = np.where(where, numbers, 0).sum(-1) / np.maximum(where.sum(-1), 1)
        return np.where(where, numbers - mean[..., None], 0)

    def shuffled(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def _finite(reading: Reading) -> np.ndarray:
    return np.where(reading.allowed, reading.scores, 0)


def _budget(weights: np.ndarray, count: np.ndarray) -> np.ndarray:
    return 1 - entropy(weights) / np.log(count)


def _slope(reading: Reading, where: np.ndarray) -> np.ndarray:
    x, y = reading.within(_finite(reading), where), reading.within(reading.log_square, where)
    with np.errstate(invalid="ignore"):  # no pairs, no slope
        return (x * y).sum((-1, -2)) / (x * x).sum((-1, -2))


def slope(reading: Reading) -> np.ndarray:
    """By how much the log of a squared residual rises with the score, within a query (least squares)."""
    return _slope(reading, reading.usable)


def slope_of_shuffled(reading: Reading) -> np.ndarray:
    """The slope after the values were dealt out to the keys at random.

    Somewhat below 0: the division by 1 - w is right for precisions that rise with the score, not for equal ones.
    """
    other = copy.copy(reading)
    for name in ("output", "square", "usable", "log_square"):
        vars(other).pop(name, None)
    other.value = reading.value[:, reading.shuffled().permutation(reading.value.shape[1])]
    return slope(other)


def slope_after_first(reading: Reading) -> np.ndarray:
    """The slope without the first key, where many heads leave their weight."""
    return _slope(reading, reading.usable & reading.later)


def slope_of_weighted(reading: Reading) -> np.ndarray:
    """The slope over the keys after the first whose weight is above that of equal weights, and below a half.

    NaN for a head that has no such keys.
    """
    above = reading.weights > 1 / reading.count[:, None]
    return _slope(reading, reading.usable & reading.later & above & (reading.weights < 0.5))


def spread(reading: Reading) -> np.ndarray:
    """The standard deviation of that logarithm about the line of `slope`, within a query."""
    x, y = reading.within(_finite(reading)), reading.within(reading.log_square)
    off = y - slope(reading)[:, None, None] * x
    freedom = np.maximum(reading.usable.sum((-1, -2)) - reading.usable.shape[1], 1)
    return np.sqrt((off * off).sum((-1, -2)) / freedom)


def q_distance(reading: Reading) -> np.ndarray:
    """How far in its law's tails the Q of the odd keys by that of the even lies: 1/2 on average, 1 at the very ends.

    Each half's Q, about its own estimate, is chi-squared by kappa, so their ratio follows Fisher's law F.  The number
    is the mean over queries of |2 F(ratio) - 1|.
    """
    from scipy.stats import f as fisher

    d = reading.value.shape[-1]
    odd = np.arange(reading.key.shape[1]) % 2 == 1
    precision = np.exp(reading.scores - reading.scores.max(-1, keepdims=True))
    size = (reading.value * reading.value).sum(-1)[:, None]
    means = []
    for half in (odd, ~odd):
        total = (precision * half).sum(-1)
        mean = (precision * half) @ reading.value
        with np.errstate(divide="ignore", invalid="ignore"):  # a half without any weight says nothing: at the end
            q = (precision * half * size).sum(-1) - (mean * mean).sum(-1) / total
        freedom = d * ((reading.allowed & half).sum(-1) - 1)
        means.append((q / freedom, freedom))
    with np.errstate(divide="ignore", invalid="ignore"):
        at = fisher.cdf(means[0][0] / means[1][0], means[0][1], means[1][1])
    return np.abs(2 * np.nan_to_num(at) - 1).mean(-1)


def overlap(reading: Reading) -> np.ndarray:
    """d times the mean squared cosine between the residuals of two keys, at every 32nd query used.

    1 if all directions are alike, d / m if residuals lie evenly in m of the d dimensions.
    """
    found = []
    for row in range(len(reading.count) - 1, -1, -32):
        off = reading.value[:, reading.allowed[row]] - reading.output[:, row, None]
        unit = off / np.maximum(np.linalg.norm(off, axis=-1, keepdims=True), 1e-30)
        second = unit.swapaxes(-1, -2) @ unit  # its squared norm is the sum of all squared cosines
        count = off.shape[1]
        found.append(((second * second).sum((-1, -2)) - count) / (count * (count - 1)))
    return reading.value.shape[-1] * np.mean(found, axis=0)


def residual_curve(reading: Reading, head: int, *, bins: int = 12) -> np.ndarray:
    """The mean of `Reading.log_square` against the score, about a query's means, in equal bins: (2, bins)."""
    use = reading.usable[head]
    x, y = (reading.within(numbers)[head][use] for numbers in (_finite(reading), reading.log_square))
    order = np.argsort(x)
    return np.array([[part.mean() for part in np.array_split(numbers[order], bins)] for numbers in (x, y)])


def budget(reading: Reading) -> np.ndarray:
    """The mean over queries of KL(w, uniform) / log n."""
    return reading.budget.mean(-1)


def budget_spread(reading: Reading) -> np.ndarray:
    """Its standard deviation over queries, by its mean."""
    return reading.budget.std(-1) / reading.budget.mean(-1)


def norm_spread(reading: Reading) -> np.ndarray:
    """The standard deviation over queries of the norm of q, by its mean."""
    norms = np.linalg.norm(reading.query, axis=-1)
    return norms.std(-1) / norms.mean(-1)


def norm_correlation(reading: Reading) -> np.ndarray:
    """The correlation over queries of the budget with the norm of q."""
    norms = np.linalg.norm(reading.query, axis=-1)
    x, y = (numbers - numbers.mean(-1, keepdims=True) for numbers in (norms, reading.budget))
    return (x * y).mean(-1) / (x.std(-1) * y.std(-1))


def regulation(reading: Reading) -> np.ndarray:
    """The spread of the budget, by what it would be if all queries of the head had the same norm.

    0: the norm keeps the budget fixed.  1: it does nothing for it.  More: it spreads the budget.
    """
    norms = np.linalg.norm(reading.query, axis=-1, keepdims=True)
    equal = np.where(reading.allowed, _finite(reading) / norms * norms.mean(-2, keepdims=True), -np.inf)
    return reading.budget.std(-1) / _budget(softmax(equal), reading.count).std(-1)


def _on_log_count(numbers: np.ndarray, count: np.ndarray) -> np.ndarray:
    x = np.log(count) - np.log(count).mean()
    return (numbers * x).sum(-1) / (x * x).sum()


def entropy_slope(reading: Reading) -> np.ndarray:
    """By how much the entropy of the weights rises with log n, over the queries of a text (causal heads)."""
    return _on_log_count(entropy(reading.weights), reading.count)


def peak_slope(reading: Reading) -> np.ndarray:
    """By how much the log of the largest weight rises with log n."""
    return _on_log_count(np.log(reading.weights.max(-1)), reading.count)


def locality(reading: Reading) -> np.ndarray:
    """How much more the entropy grows with log n than if the keys stood in random order; the first key is left out.

    0 where all keys are alike at any distance.
    """
    rest = reading.scores[..., 1:]
    quarter = len(reading.count) // 4
    least = int(reading.count[-quarter]) - 1
    some = rest[:, -quarter:, reading.shuffled().permutation(least)]
    some = some - some.max(-1, keepdims=True)
    total, moment = (np.cumsum(x, -1) for x in (np.exp(some), np.exp(some) * some))
    counts = reading.count[reading.count <= least] - 1
    total, moment = total[..., counts - 1], moment[..., counts - 1]
    shuffled = _on_log_count((np.log(total) - moment / total).mean(-2), counts)
    return _on_log_count(entropy(softmax(rest)), reading.count - 1) - shuffled


def distance(reading: Reading) -> np.ndarray:
    """How many tokens back a query looks, mean under its weights."""
    back = (reading.count - 1)[:, None] - np.arange(reading.key.shape[1])
    return (reading.weights * back).sum(-1).mean(-1)


def first_weight(reading: Reading) -> np.ndarray:
    """The mean weight of the first key."""
    return reading.weights[..., 0].mean(-1)


def first_excess(reading: Reading) -> np.ndarray:
    """That, less the mean weight of the four keys after it."""
    return first_weight(reading) - reading.weights[..., 1:5].mean((-1, -2))


def first_value(reading: Reading) -> np.ndarray:
    """The norm of the first value, by the median norm of all."""
    norms = np.linalg.norm(reading.value, axis=-1)
    return norms[:, 0] / np.median(norms, axis=-1)


def key_share(reading: Reading) -> np.ndarray:
    """The squared correlation of a query's scores with the squared norms of the keys, mean over queries."""
    return _key_share(reading, _finite(reading))


def key_excess(reading: Reading) -> np.ndarray:
    """That, less the same after half of the keys, by chance, were turned round."""
    signs = reading.shuffled().choice([-1, 1], size=reading.key.shape[:2])
    return _key_share(reading, _finite(reading)) - _key_share(reading, _finite(reading) * signs[:, None])


def key_correlation(reading: Reading) -> np.ndarray:
    """That correlation itself, mean over queries: above 0 if long keys get larger scores."""
    return _key_correlation(reading, _finite(reading)).mean(-1)


def key_spread(reading: Reading) -> np.ndarray:
    """The standard deviation over keys after the first of the norm of k, by its mean."""
    norms = np.linalg.norm(reading.key[:, 1:], axis=-1)
    return norms.std(-1) / norms.mean(-1)


def _key_share(reading: Reading, scored: np.ndarray) -> np.ndarray:
    return (_key_correlation(reading, scored) ** 2).mean(-1)


def _key_correlation(reading: Reading, scored: np.ndarray) -> np.ndarray:
    norms = (reading.key * reading.key).sum(-1)[:, None]
    everywhere = np.broadcast_to(reading.allowed, scored.shape)
    x, y = (reading.within(numbers, everywhere) for numbers in (norms, scored))
    return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def own_score(reading: Reading) -> np.ndarray:
    """The slope on the own score beside that of one head with other values, mean over these; first key left out."""
    return _own_and_other(reading)[0]


def other_score(reading: Reading) -> np.ndarray:
    """The slope on the other head's score in the same fits."""
    return _own_and_other(reading)[1]


def own_less_other(reading: Reading) -> np.ndarray:
    """The first less the second: -1 if a head is a group of directions with a precision of its own, 0 if not."""
    own, other = _own_and_other(reading)
    return own - other


def _own_and_other(reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    where = np.broadcast_to((reading.usable & reading.later).all(0), reading.usable.shape)
    h = len(where)
    x, y = (reading.within(numbers, where).reshape(h, -1) for numbers in (_finite(reading), reading.log_square))
    square, with_y = x @ x.T, x @ y.T  # [a, b]: scores of head a with scores, and with residuals, of head b
    size, own = np.diag(square), np.diag(with_y)
    determinant = size[:, None] * size - square**2  # of head a beside head b
    with np.errstate(divide="ignore", invalid="ignore"):  # a head beside itself, left out below
        first = (size * own[:, None] - square * with_y.T) / determinant
        second = (size[:, None] * with_y.T - square * own[:, None]) / determinant
    others = reading.group[:, None] != reading.group
    return tuple(np.where(others, slopes, 0).sum(1) / others.sum(1) for slopes in (first, second))


Statistic = Callable[[Reading], np.ndarray]
_CAUSAL = (entropy_slope, peak_slope, locality, distance)
STATISTICS: dict[str, Statistic] = {
    statistic.__name__: statistic
    for statistic in (
        slope,
        slope_of_shuffled,
        slope_after_first,
        slope_of_weighted,
        spread,
        q_distance,
        overlap,
        budget,
        budget_spread,
        norm_spread,
        norm_correlation,
        regulation,
        *_CAUSAL,
        first_weight,
        first_excess,
        first_value,
        key_share,
        key_excess,
        key_correlation,
        key_spread,
        own_score,
        other_score,
        own_less_other,
    )
}

LENGTHS = (32, 64, 128, 256)  # at which an encoder, all of whose queries see one number of keys, is read


def stretches(model: LanguageModel | Encoder, text: str) -> list[np.ndarray]:
    """A text in stretches as the model may read them: four of 512 tokens, or of 256 with an encoder's marks."""
    tokens = model.tokens(text)
    if isinstance(model, LanguageModel):
        return [tokens[start : start + 512] for start in range(0, 2048, 512)]
    first, last, inner = tokens[:1], tokens[-1:], tokens[1:-1]
    return [np.concatenate([first, inner[start : start + 254], last]) for start in range(0, 4 * 254, 254)]


def readings(
    model: LanguageModel | Encoder, tokens: np.ndarray, *, seed: int = 0, layers: Iterable[int] | None = None
) -> Iterator[tuple[int, Reading]]:
    """What every layer, or each of some layers, does over a stretch of tokens, layer by layer."""
    causal = isinstance(model, LanguageModel)
    attend = causal_attention if causal else full_attention
    wanted = set(range(model.layers) if layers is None else layers)
    x = model.embed(tokens)
    for layer in range(max(wanted) + 1):
        seen: list[tuple[np.ndarray, ...]] = []

        def watch(number: int, *heads: np.ndarray, seen=seen) -> np.ndarray:
            seen.append(heads)
            return attend(number, *heads)

        x = model.step(layer, x, watch)
        if layer in wanted:
            yield layer, Reading(*seen[0], causal=causal, groups=model.groups, seed=seed + layer)


def measure_statistics(
    model: LanguageModel | Encoder, text: str, *, layers: Iterable[int] | None = None
) -> dict[str, np.ndarray]:
    """Every statistic of every head over one text.

    Parameters
    ----------
    model : LanguageModel or Encoder
    text : str
        Of 2,048 tokens or more for the first, of 1,016 for the second; what goes beyond is not read.
    layers : iterable of int, optional
        None means all.

    Returns
    -------
    dict of str to array (layers, h)
        By the name of the statistic, the mean of the text's `stretches`. An encoder has no `locality` and no
        `distance`, and its `entropy_slope` and `peak_slope` compare the start of the text cut at `LENGTHS`.
    """
    causal = isinstance(model, LanguageModel)
    names = [name for name, statistic in STATISTICS.items() if causal or statistic not in _CAUSAL]
    parts = stretches(model, text)
    by_part = []
    for number, tokens in enumerate(parts):
        some = readings(model, tokens, seed=1000 * number, layers=layers)
        by_part.append([[STATISTICS[name](reading) for name in names] for _, reading in some])
    means = np.mean(by_part, axis=0)  # (layers, names, h)
    found = {name: means[:, number] for number, name in enumerate(names)}
    if not causal:
        found |= _by_length(model, parts[0], layers)
    return found


def _by_length(
    model: LanguageModel | Encoder, tokens: np.ndarray, layers: Iterable[int] | None
) -> dict[str, np.ndarray]:
    """`entropy_slope` and `peak_slope` of an encoder, from the start of a text cut at several lengths."""
    entropies, peaks = [], []
    for length in LENGTHS:
        cut = np.concatenate([tokens[: length - 1], tokens[-1:]])
        some = [reading for _, reading in readings(model, cut, layers=layers)]
        entropies.append([entropy(reading.weights).mean(-1) for reading in some])
        peaks.append([np.log(reading.weights.max(-1)).mean(-1) for reading in some])
    by_length = (np.moveaxis(np.array(numbers), 0, -1) for numbers in (entropies, peaks))
    return {
        statistic.__name__: _on_log_count(numbers, np.array(LENGTHS))
        for statistic, numbers in zip((entropy_slope, peak_slope), by_length, strict=True)
    }


def interval(by_text: np.ndarray, *, axis: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Where the mean over texts lies, 95 of 100 times: a bootstrap over texts.

    Parameters
    ----------
    by_text : array
        One number for each text along `axis`; at least two.

    Returns
    -------
    low, high : array
        Percentiles of the means of 2,000 resamples, taken so far out as makes up for few texts.

    Examples
    --------
    >>> low, high = interval(np.array([1.0, 2.0, 3.0, 4.0]))
    >>> bool(low < 2.5 < high), bool(low > 0)
    (True, True)

    References
    ----------
    Hesterberg (2015), the expanded percentile interval.
    """
    from scipy.stats import norm, t

    by_text = np.moveaxis(np.asarray(by_text, dtype=float), axis, 0)
    n = len(by_text)
    if n < 2:
        raise ValueError(f"by_text must hold two texts or more; got {n}")
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=2000) / n
    means = np.tensordot(drawn, by_text, axes=1)
    tail = norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
    return tuple(np.quantile(means, [tail, 1 - tail], axis=0))


class Control(NamedTuple):
    """How a prediction is tested: on which statistic, what must be true of its interval, and on what to try the test.

    `holds` and `broken` make a reading from a random generator and the precision's exponent: one in which the
    prediction holds, one in which it cannot, whatever else is alike.
    """

    statistic: Statistic
    confirms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    holds: Callable[[np.random.Generator], Reading]
    broken: Callable[[np.random.Generator], Reading]


_HEADS, _KEYS, _WIDTH = 9, 128, 64


def noisy(rng: np.random.Generator, *, exponent: float = 1, broken: bool = False, flat: bool = False) -> Reading:
    """Values whose precision is exp(exponent * score); every query has the same scores, up to those it may not see."""
    h, n, d = _HEADS, _KEYS, _WIDTH
    query = np.repeat(1.5 * math.sqrt(d) * _unit(rng.normal(size=(h, 1, d))), n, axis=1)
    key = rng.normal(size=(h, n, d))
    precision = exponent * scores(query[:, :1], key)[:, 0]
    noise = rng.normal(size=(h, n, d))
    if flat:
        noise = noise[..., : d // 4] @ rng.normal(size=(h, d // 4, d)) / math.sqrt(d // 4)
    value = rng.normal(size=(h, 1, d)) + np.exp(-precision / 2)[..., None] * noise
    if broken:
        value = value[:, rng.permutation(n)]
    return Reading(query, key, value)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _plain(rng: np.random.Generator) -> list[np.ndarray]:
    """Queries, keys and values without any pattern."""
    return list(rng.normal(size=(3, _HEADS, _KEYS, _WIDTH)))


def _rationed(rng: np.random.Generator, broken: bool = False) -> Reading:
    """Queries whose norm makes the budget 0.3; broken, the norms are dealt out again."""
    query, key, value = _plain(rng)
    key *= np.exp(rng.normal(size=(_HEADS, _KEYS, 1)) / 2)
    rows = np.where(np.tri(_KEYS, dtype=bool), scores(query, key), -np.inf)
    counts = np.arange(1, _KEYS + 1)
    factor = inverse_temperature(rows[:, 1:], 0.3 * np.log(counts[1:]))
    query[:, 1:] *= factor[..., None]
    if broken:
        norms = np.linalg.norm(query, axis=-1, keepdims=True)
        query = _unit(query) * norms[:, rng.permutation(_KEYS)]
    return Reading(query, key, value)


def _alike(rng: np.random.Generator, broken: bool = False) -> Reading:
    """Keys that are all alike; broken, each is a tenth better than the one before it."""
    query, key, value = _plain(rng)
    if broken:
        query[..., 0], key[..., 0] = math.sqrt(_WIDTH), np.arange(_KEYS) / 10
    return Reading(query, key, value, seed=int(rng.integers(2**31)))


def _sunk(rng: np.random.Generator, broken: bool = False) -> Reading:
    """A first key that all queries like, of small value; broken, any of the first five is liked, any value small."""
    query, key, value = _plain(rng)
    query[..., 0] = math.sqrt(_WIDTH)
    key[:, :, 0] = 0
    places = rng.integers([[5], [_KEYS]], size=(2, _HEADS)) if broken else np.zeros((2, _HEADS), dtype=int)
    for head, (liked, small) in enumerate(places.T):
        key[head, liked, 0] = 4
        value[head, small] /= 4
    return Reading(query, key, value)


def _lengthy(rng: np.random.Generator, broken: bool = False) -> Reading:
    """Keys of one direction, that differ in norm; broken, in direction and norm."""
    query, key, value = _plain(rng)
    sizes = np.exp(rng.normal(size=(_HEADS, _KEYS, 1)) / 4)
    key = sizes * math.sqrt(_WIDTH) * _unit(key if broken else key[:, :1])
    return Reading(query, key, value, seed=int(rng.integers(2**31)))


def _contains(claim: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda low, high: (low <= claim) & (claim <= high)


def normal_spread(d: int) -> float:
    """What `spread` is if readings are normal in d coordinates: the standard deviation of log chi-squared."""
    from scipy.special import polygamma

    return math.sqrt(polygamma(1, d / 2))


CONTROLS: dict[str, Control] = {
    "precision": Control(slope, _contains(-1), noisy, partial(noisy, broken=True)),
    "precision, first key left out": Control(slope_after_first, _contains(-1), noisy, partial(noisy, broken=True)),
    "size of residuals": Control(spread, _contains(normal_spread(_WIDTH)), noisy, partial(noisy, broken=True)),
    "Q": Control(q_distance, _contains(0.5), noisy, partial(noisy, broken=True)),
    "all directions alike": Control(overlap, _contains(1), noisy, partial(noisy, flat=True)),
    "fixed budget": Control(regulation, lambda low, high: high < 1, _rationed, partial(_rationed, broken=True)),
    "keys alike at any distance": Control(locality, _contains(0), _alike, partial(_alike, broken=True)),
    "first key is a sink": Control(first_excess, lambda low, high: low > 0, _sunk, partial(_sunk, broken=True)),
    "first value is small": Control(first_value, lambda low, high: high < 1, _sunk, partial(_sunk, broken=True)),
    "norm of the key": Control(key_excess, lambda low, high: low > 0, _lengthy, partial(_lengthy, broken=True)),
    "a head's own precision": Control(own_less_other, _contains(-1), noisy, partial(noisy, broken=True)),
}


def found(control: Control, make: Callable[[np.random.Generator], Reading], *, batches: int = 10, texts: int = 12):
    """The share of synthetic heads whose interval confirms a prediction.

    Parameters
    ----------
    control : Control
    make : callable
        Makes a reading of nine heads from a random generator: `control.holds`, `control.broken`, or another.
    batches, texts : int
        Nine heads each, and how many readings each head gets.

    Returns
    -------
    float in [0, 1]
        For a prediction that is an equality, about 0.95 where it holds.

    Examples
    --------
    >>> control = CONTROLS["first key is a sink"]
    >>> found(control, control.holds, batches=1)
    1.0
    """
    confirmed = []
    for batch in range(batches):
        seeds = np.random.SeedSequence(batch).spawn(texts)
        by_text = np.array([control.statistic(make(np.random.default_rng(seed))) for seed in seeds])
        confirmed.append(control.confirms(*interval(by_text)))
    return float(np.mean(confirmed))


def projection_statistics(query: np.ndarray, key: np.ndarray) -> dict[str, np.ndarray]:
    """How W_Q'W_K of each head is made, from W_Q and W_K of shape (h, d, D).

    Returns
    -------
    dict
        `rank`: exp of the entropy of its squared singular values, as shares of their sum; at most d.
        `symmetry`: the share of its squared norm that its symmetric part has; 1 if W_Q = W_K, about 1/2 by chance.

    Examples
    --------
    >>> some = np.random.default_rng(0).normal(size=(1, 4, 9))
    >>> projection_statistics(some, some)["symmetry"].round(6)
    array([1.])
    """
    upper_query, upper_key = (np.linalg.qr(np.asarray(w, dtype=float).swapaxes(-1, -2))[1] for w in (query, key))
    squares = np.linalg.svd(upper_query @ upper_key.swapaxes(-1, -2), compute_uv=False) ** 2
    total = squares.sum(-1)
    product = np.asarray(key, dtype=float) @ np.asarray(query, dtype=float).swapaxes(-1, -2)
    with_transpose = (product * product.swapaxes(-1, -2)).sum((-1, -2))
    return {"rank": effective_keys(squares / total[:, None]), "symmetry": (1 + with_transpose / total) / 2}
