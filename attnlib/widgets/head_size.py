"""Head size: a fresh query and many fresh keys of d coordinates, and how the layer's weights are spread over them."""

import functools
from typing import ClassVar

import numpy as np

from attnlib import figures, maxent
from attnlib.codegen import Law
from attnlib.formulas import d, k, n, q, tau
from attnlib.formulas import s as any_scores
from attnlib.formulas import temperature as formulas
from attnlib.layer import softmax
from attnlib.widgets.base import Quantity, Switch, Widget, show

KEYS = 64


@functools.cache
def standard_scores(head_dim: int, draw: int) -> np.ndarray:
    """Scores over √d of `KEYS` fresh keys with a fresh query: the numbers that the front end draws, shape (KEYS,).

    Uniform numbers are hashes of a counter (Mueller's 32-bit mixer), the same in either language; the law of Box and
    Muller makes normal ones of them.
    """
    count = head_dim * (KEYS + 1)
    number = np.arange(2 * count, dtype=np.uint32) + np.uint32(draw * 0x9E3779B9 % 2**32)
    for _ in range(2):
        number = (number ^ (number >> np.uint32(16))) * np.uint32(0x45D9F3B)
    uniform = ((number ^ (number >> np.uint32(16))) + 0.5) / 2**32
    normal = np.sqrt(-2 * np.log(uniform[0::2])) * np.cos(2 * np.pi * uniform[1::2])
    vectors = normal.reshape(KEYS + 1, head_dim)
    return vectors[1:] @ vectors[0] / np.sqrt(head_dim)


class HeadSize(Widget):
    """The weights over 64 fresh keys, largest first, in a layer that divides scores by √d and in one that does not.

    Queries and keys have independent standard normal coordinates.

    Parameters
    ----------
    head_dim : float in [1, 256]
        The number d of coordinates of query and keys; rounded.
    scaled : 0 or 1
        Whether the layer divides scores by √d.
    draw_number : float in [1, 20]
        Which fresh query and keys; rounded.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> divided, plain = HeadSize(head_dim=256), HeadSize(head_dim=256, scaled=0)
    >>> print(f"{divided.effective:.0f} against {plain.effective:.1f} effective keys of 64")
    37 against 1.0 effective keys of 64
    """

    kind = "head_size"
    constants: ClassVar = {"keys": KEYS}
    title = "Head size"
    laws = (
        Law("scaling", (d, formulas.scaled), factor=formulas.scaling),
        Law("normal", (formulas.chance, formulas.turn), number=formulas.gaussian),
        Law("drawn", (d, n, q, k), scores=formulas.standard_score),
        Law("softmax", (formulas.factor, n, formulas.standard_scores), weights=formulas.fresh_weight),
        Law("evenness", (tau, n, any_scores, formulas.top), effective=formulas.effective_keys),
    )
    shown = (formulas.standard_score, formulas.scaling, formulas.fresh_weight)

    head_dim = Quantity(64.0, low=1, high=256, step=1, logarithmic=True, label="d", symbol="d")
    scaled = Switch(1, label="divide scores by √d")
    draw_number = Quantity(1.0, low=1, high=20, step=1, label="draw")

    @property
    def factor(self):
        """What scores over √d are multiplied by: 1 if the layer divides, √d if not."""
        return self._size ** ((1 - self.scaled) / 2)

    @property
    def _size(self):
        return int(np.floor(self.head_dim + 0.5))

    def _sorted(self, factor):
        scores = standard_scores(self._size, int(np.floor(self.draw_number + 0.5)))
        return np.sort(softmax(factor * scores))[::-1]

    @property
    def weights(self):
        """The weights, largest first, shape (64,)."""
        return self._sorted(self.factor)

    @property
    def effective(self):
        """Over how many of the keys they are spread."""
        return float(maxent.effective_keys(self.weights))

    def results(self):
        """The factor, the weights and the effective number of keys."""
        return {"factor": self.factor, "weights": self.weights, "effective": self.effective}

    def draw(self, left, right):
        for axes, factor, title in ((left, 1.0, "Divided by √d"), (right, self._size**0.5, "Not divided")):
            weights = self._sorted(factor)
            axes.bar(np.arange(KEYS) + 1, weights, color=figures.INK)
            effective = float(maxent.effective_keys(weights))
            axes.set(xlabel="key, by weight", ylabel="weight", ylim=(0, 1.05), title=f"{title}: {effective:.3g} keys")

    def describe(self):
        how = "divided by √d" if self.scaled else "not divided"
        return (
            f"64 fresh keys at d = {self._size}, scores {how}: the largest weight is {show(self.weights[0])}, and the "
            f"weights are spread over {show(self.effective)} effective keys."
        )
