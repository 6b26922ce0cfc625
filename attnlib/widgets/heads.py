"""A trained model's heads: a map of all; what some make of a sentence, from their queries, keys and values."""

import base64
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, ClassVar

import numpy as np
import traitlets

from attnlib import beyond, evidence, figures, heads, layer, maxent
from attnlib.codegen import Law
from attnlib.formulas import beta, d, k, n, nu, o, q, s, tau, transport, v, w
from attnlib.formulas import beyond as alternatives
from attnlib.formulas import evidence as priced
from attnlib.formulas import layer as layer_formulas
from attnlib.formulas import real_heads as formulas
from attnlib.widgets.base import Choice, Quantity, Widget, show
from attnlib.widgets.evidence import KLBudget
from attnlib.widgets.likelihood import VarianceAgainstScore
from attnlib.widgets.temperature import TemperatureSharpening

RECORDED = json.loads(resources.files("attnlib.widgets").joinpath("heads.json").read_text("utf-8"))
RULES = ("softmax", "budget", "sink", "sparsemax")
# Where a token's keys open too: in words, the page, the widget's name there and its class, and how many keys it has.
ELSEWHERE = (
    ("variance against score (02)", "02-likelihood.html", "variance-against-score", VarianceAgainstScore, 4),
    ("KL budget (05)", "05-evidence.html", "kl-budget", KLBudget, 6),
    ("temperature sharpening (08)", "08-temperature.html", "temperature-sharpening", TemperatureSharpening, 3),
)


def sentence(model: heads.LanguageModel, text: str, says: Mapping[tuple[int, int], str]) -> dict:
    """Record what some heads make of a sentence: queries, keys and values as integers of eight bits, with their scales.

    Parameters
    ----------
    model : LanguageModel
    text : str
        Of 2 to 64 tokens.
    says : mapping
        From (layer, head), counted from 0, to a few words about the head.

    Returns
    -------
    dict
        "model", "tokens", as text; "shared", a list of {"key", "value"}, and "heads", a list of {"layer", "head",
        "says", "query", "shared"}, the last the place in "shared" of what the head reads. Each array is {"scale",
        "integers"}: rows of 64 in base64, within half a step of the model's numbers, up to 2^-10 of the largest. A
        scale has 11 bits, so scores computed from these are exact in double precision but for the root of 64.
        "rounding" is the largest change of a weight by that, of any of the heads from any token, to three digits.

    Raises
    ------
    ValueError
        If the text has another number of tokens, or if the model has no such head.
    """
    tokens = model.tokens(text)
    if not 2 <= len(tokens) <= 64:
        raise ValueError(f"text must have 2 to 64 tokens; got {len(tokens)}")
    if strange := [place for place in says if not (0 <= place[0] < model.layers and 0 <= place[1] < model.heads)]:
        raise ValueError(f"says must name heads of {model.layers} layers of {model.heads}; got also {strange}")
    seen = {}

    def attend(number, query, key, value):
        seen[number] = query, key, value
        return heads.causal_attention(number, query, key, value)

    model.logits(tokens, attend)
    pairs = sorted({(number, head * model.groups // model.heads) for number, head in says})
    first = model.heads // model.groups  # of the heads that share a pair, the first
    shared = [
        {"key": _packed(seen[number][1][first * pair]), "value": _packed(seen[number][2][first * pair])}
        for number, pair in pairs
    ]
    records: list[dict[str, Any]] = [
        {
            **{"layer": number, "head": head, "says": words},
            **{"query": _packed(seen[number][0][head]), "shared": pairs.index((number, head // first))},
        }
        for (number, head), words in sorted(says.items())
    ]
    changes = [
        _weights(seen[record["layer"]][0][record["head"]], seen[record["layer"]][1][record["head"]])
        - _weights(_unpacked(record["query"]), _unpacked(shared[record["shared"]]["key"]))
        for record in records
    ]
    return {
        **{"model": model.name, "tokens": model.pieces(tokens), "shared": shared, "heads": records},
        "rounding": float(f"{np.abs(changes).max():.3g}"),
    }


def _weights(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """What each token gives to itself and to those before it, (n, n)."""
    return layer.attention(query, key, key, causal=True, return_weights=True)[1]


def _packed(array: np.ndarray) -> dict:
    """An array as integers from -127 to 127 and the scale that they are multiplied by."""
    scale = float(np.float16(max(np.abs(array).max() / 127, 2**-14)))
    integers = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
    return {"scale": scale, "integers": base64.b64encode(integers.tobytes()).decode()}


def _first_rows(packed: Mapping, count: int) -> dict:
    """The first rows of what `_packed` packed, packed too."""
    rows = base64.b64decode(packed["integers"])[: 64 * count]
    return {**packed, "integers": base64.b64encode(rows).decode()}


def _unpacked(packed: Mapping) -> np.ndarray:
    """What `_packed` packed, (n, 64), in double precision."""
    return packed["scale"] * np.frombuffer(base64.b64decode(packed["integers"]), np.int8).reshape(-1, 64).astype(float)


class Heads(Widget):
    """Every head of a trained model on a map, and what some of them make of a sentence, by a rule of your choice.

    Parameters
    ----------
    layer, head : float in [0, 29] and [0, 8]
        Where the map is read; rounded. The heads whose queries, keys and values are recorded have weights too.
    token : float in [0, n - 1]
        From which token the head looks back, at itself and what came before; rounded.
    statistic : float
        The number of the statistic that the map shows.
    rule : 0, 1, 2 or 3
        Softmax at a temperature, the best weights within a budget, an absent key, or sparsemax at a temperature.
    tau : float in [1/16, 16]
        The temperature; the head was trained at 1. Sparsemax is at 1/2 what most papers call so.
    budget : float in [0, 1]
        A share of the largest divergence from equal weights that buys score.
    absent : float in [-16, 16]
        The score of the absent key.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> heads = Heads(layer=13, head=8, token=10)
    >>> [heads.tokens[place] for place in (10, heads.weights.argmax())]
    [' it', ' trophy']
    >>> even = Heads(layer=13, head=8, token=3, rule=1, budget=0)  # no budget, no preference
    >>> even.weights
    array([0.25, 0.25, 0.25, 0.25])
    """

    kind = "heads"
    title = "The heads of a trained model"
    page_data = ("_tokens", "_statistics", "_recorded", "_elsewhere", "_first")
    data_file = "heads.json"
    laws = (
        Law("scored", (d, n, q, k), scores=formulas.score),
        Law("softmax", (tau, n, s), weights=transport.plan),
        Law("priced", (beta, n, s), weights=priced.weight),
        Law("bought", (beta, n, s, priced.top), spent=priced.spent),
        Law("beside", (alternatives.absent, n, s), weights=alternatives.weight_beside_sink),
        Law("sparse", (nu, tau, n, s), weights=transport.gini_plan, mass=transport.gini_mass),
        Law("averaged", (d, n, w, v), output=layer_formulas.output),
        Law("relative", (n, w), spent=formulas.relative_budget),
        Law("strayed", (d, o, formulas.trained), change=formulas.change),
    )
    shown = (
        formulas.score,
        transport.plan,
        priced.weight,
        alternatives.weight_beside_sink,
        transport.gini_plan,
        layer_formulas.output,
        formulas.relative_budget,
        formulas.change,
    )
    precise = ()  # a weight near a threshold has few digits of its own; each is right to 1e-12 of the whole

    layer = Quantity(13.0, low=0, high=29, step=1, label="layer", slider=False)
    head = Quantity(8.0, low=0, high=8, step=1, label="head", slider=False)
    token = Quantity(10.0, low=0, high=len(RECORDED["tokens"]) - 1, step=1, label="token", slider=False)
    statistic = Quantity(0.0, low=0, high=len(RECORDED["statistics"]) - 1, step=1, label="statistic", slider=False)
    rule = Choice("softmax", "budget", "sink", "sparsemax", label="Weights by")
    tau = Quantity(1.0, low=1 / 16, high=16, step=1 / 16, logarithmic=True, label="τ")
    budget = Quantity(0.5, low=0, high=1, label="share of the budget", symbol="rho_rel")
    absent = Quantity(0.0, low=-16, high=16, step=0.1, label="s₀", symbol="s0")

    _tokens: traitlets.List = traitlets.List(RECORDED["tokens"]).tag(sync=True)
    _statistics: traitlets.List = traitlets.List(RECORDED["statistics"]).tag(sync=True)
    _recorded: traitlets.List = traitlets.List(
        [[record[part] for part in ("layer", "head", "says")] for record in RECORDED["heads"]]
    ).tag(sync=True)
    _elsewhere: traitlets.List = traitlets.List(
        [
            [words, page, name, cls.kind, count, cls.scores.metadata["quantity"]["high"]]  # type: ignore[attr-defined]
            for words, page, name, cls, count in ELSEWHERE
        ]
    ).tag(sync=True)
    _first = traitlets.Dict().tag(sync=True)

    tokens: ClassVar[list[str]] = RECORDED["tokens"]

    def __init__(self, **options):
        super().__init__(**options)
        self._first = self._shown_first()
        self.on_msg(self._hear)

    def _hear(self, _widget, content, _buffers):
        if content.get("do") == "load":
            self.send(RECORDED)

    def _shown_first(self):
        """Of the recorded data what the first state needs, so that it is seen before they are loaded."""
        if self.record is None:
            return {"heads": [], "shared": []}
        count, shared = self._whole("token") + 1, RECORDED["shared"][self.record["shared"]]
        query = {"query": _first_rows(self.record["query"], count), "shared": 0}
        pair = {part: _first_rows(packed, count) for part, packed in shared.items()}
        return {"heads": [self.record | query], "shared": [pair]}

    def _whole(self, name):
        return int(np.floor(getattr(self, name) + 0.5))

    @property
    def value(self):
        """The statistic of the head where the map is read."""
        return RECORDED["statistics"][self._whole("statistic")]["values"][self._whole("layer")][self._whole("head")]

    @property
    def record(self):
        """What is recorded of that head, or None."""
        here = self._whole("layer"), self._whole("head")
        return next((record for record in RECORDED["heads"] if (record["layer"], record["head"]) == here), None)

    def _arrays(self):
        """The token's query, (64,), and the keys and values that it reads, (n, 64)."""
        place, shared = self._whole("token"), RECORDED["shared"][self.record["shared"]]
        key, value = (_unpacked(shared[part])[: place + 1] for part in ("key", "value"))
        return _unpacked(self.record["query"])[place], key, value

    @property
    def scores(self):
        """Score of each key that the token reads, (n,)."""
        query, key, _ = self._arrays()
        return key @ query / np.sqrt(len(query))

    @property
    def trained(self):
        """The weights as the head was trained, (n,)."""
        return layer.softmax(self.scores)

    @property
    def weights(self):
        """The weights by the rule that is chosen, (n,); beside an absent key they sum to less than one."""
        scores, rule = self.scores, RULES[int(self.rule)]
        if rule == "budget":
            return evidence.route(scores, self.budget * evidence.largest_budget(scores))
        if rule == "sink":
            return beyond.sink(scores, log_precision=self.absent)
        if rule == "sparsemax":
            return beyond.sparsemax(scores, temperature=2 * self.tau)
        return layer.softmax(scores, temperature=self.tau)

    def _relative(self, weights):
        return float(maxent.kl_divergence(weights)) / np.log(len(weights)) if len(weights) > 1 else 0.0

    def results(self) -> dict[str, Any]:
        """The map's number; of a head that is recorded also scores, weights, and what the rule does to its output."""
        results: dict[str, Any] = {"value": self.value}
        if self.record is None:
            return results
        value = self._arrays()[2]
        output, before = self.weights @ value, self.trained @ value
        results |= {"scores": self.scores, "trained": self.trained, "weights": self.weights, "output": output}
        results |= {"change": np.linalg.norm(output - before) / np.linalg.norm(before)}
        results |= {"before": self._relative(self.trained)}
        return results if RULES[int(self.rule)] == "sink" else results | {"spent": self._relative(self.weights)}

    def draw(self, left, right):
        statistic = RECORDED["statistics"][self._whole("statistic")]
        values = np.array(statistic["values"])
        place = np.indices(values.shape)
        low, high = statistic["low"], statistic["high"]
        share = np.clip(values / max(-low, high), -1, 1) if low < 0 else np.clip((values - low) / (high - low), 0, 1)
        for sign, color in ((1, figures.ACCENT), (-1, figures.KEYS[1])):
            for level in np.linspace(0.1, 1, 10):  # as many shades as paper can tell apart
                part = np.ceil(10 * sign * share) == round(10 * level)
                left.bar(place[0][part], 1, 1, place[1][part] - 0.5, color=color, alpha=level, linewidth=0)
        recorded = np.array([[record["layer"], record["head"]] for record in RECORDED["heads"]])
        left.scatter(*recorded.T, s=18, color=figures.INK, edgecolor=figures.PAPER, linewidth=1, zorder=3)
        here = self._whole("layer"), self._whole("head")
        left.scatter(*here, s=110, marker="s", facecolor="none", edgecolor=figures.INK, zorder=3)
        left.set(xlabel="layer", ylabel="head", title=f"Heads: {statistic['name']}", yticks=range(9))
        if self.record is None:
            right.set_axis_off()
            return
        index = np.arange(len(self.weights))
        right.bar(index, self.weights, color=figures.ACCENT)
        right.plot(index, self.trained, "o", markersize=4, markerfacecolor="none", color=figures.INK)
        right.set_xticks(index, [token.strip() for token in self.tokens[: len(index)]], rotation=90, fontsize=6)
        right.set(title=f"Weights from “{self.tokens[index[-1]].strip()}” (rings: trained)", ylim=(0, 1.05))

    def describe(self):
        statistic = RECORDED["statistics"][self._whole("statistic")]["name"]
        said = f"Layer {self._whole('layer')}, head {self._whole('head')}: {statistic} {show(self.value)}."
        if self.record is None:
            return f"{said} Its queries, keys and values are not recorded."
        here = self._whole("token")
        by = {
            "softmax": f"softmax at τ = {self.tau:.4g}",
            "budget": f"the share {self.budget:.4g} of the budget",
            "sink": f"softmax beside an absent key of score {self.absent:.4g}",
            "sparsemax": f"sparsemax at τ = {self.tau:.4g}",
        }[RULES[int(self.rule)]]
        order = np.argsort(-self.weights, kind="stable")[:3]
        most = ", ".join(
            f"“{self.tokens[place].strip()}” {show(self.weights[place])}" for place in order if self.weights[place]
        )
        return (
            f"{said} As trained, it {self.record['says']}. "
            f"From “{self.tokens[here].strip()}”, token {here}, by {by}: {most}."
        )
