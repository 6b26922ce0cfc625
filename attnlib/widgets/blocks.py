"""Block pooling: keys in four blocks, merged in any order that the reader drags; the answer does not move."""

import numpy as np

from attnlib import figures, likelihood
from attnlib.codegen import Law
from attnlib.formulas import length as formulas
from attnlib.formulas import n
from attnlib.widgets.base import Quantity, Widget, show

LETTERS = "ABCD"


class BlockPooling(Widget):
    """Keys in four blocks A to D, each with its own estimate, and the tree in which these are merged.

    The blocks lie on a line, and the two neighbours that are closest merge first, then the next. So every tree is a
    choice of four places.

    Parameters
    ----------
    reach : float in [0, 8]
        Neighbours that are no further apart have merged.
    places : 4 numbers within [0, 8]
        Where each block lies.
    scores, value : n numbers each, n at least 4
        All within [-3, 3]. The blocks take them in order, as equal in number as can be.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> pooling = BlockPooling(scores=[0, 0, 0, 0], value=[0, 2, 0, 3], places=[0, 1, 3, 6])
    >>> pooling.members  # A and B first, then C, then D
    ['A', 'B', 'C', 'D', 'AB', 'ABC', 'ABCD']
    >>> pooling.sums, pooling.averages.round(4)  # four equal keys: plain means
    (array([1., 1., 1., 1., 2., 3., 4.]), array([0.    , 2.    , 0.    , 3.    , 1.    , 0.6667, 1.25  ]))
    """

    kind = "blocks"
    title = "Block pooling"
    laws = (
        Law(
            "merged",
            (n, formulas.top, formulas.tops, formulas.sums, formulas.averages),
            total=formulas.merged_sum,
            weights=formulas.merged_share,
            average=formulas.merged_average,
        ),
        Law("width", (formulas.top, formulas.total), deviation=formulas.merged_deviation),
    )
    shown = (formulas.merged_sum, formulas.merged_share, formulas.merged_average, formulas.merged_deviation)

    reach = Quantity(2.0, low=0, high=8, label="reach")
    places = Quantity([1.0, 2.0, 4.0, 7.5], low=0, high=8)
    scores = Quantity([1.0, -0.5, 2.0, 0.0, -1.0, 0.5, 1.5, -1.5], low=-3, high=3, per_key=True)
    value = Quantity([-2.5, -1.0, 1.0, 2.0, -2.0, 0.0, 2.0, 2.5], low=-3, high=3, per_key=True)

    def __init__(self, **state):
        super().__init__(**state)
        if len(self.scores) < 4:
            raise ValueError(f"scores must hold at least 4 keys, one for each block; got {len(self.scores)}")

    @property
    def tree(self):
        """The three mergers in order: (first, second, how far apart). 0 to 3 are blocks, 4 to 6 the mergers."""
        row = sorted(range(4), key=lambda block: self.places[block])
        gaps = np.diff(np.array(self.places)[row]).tolist()
        mergers = []
        while gaps:
            closest = int(np.argmin(gaps))
            mergers.append((row[closest], row[closest + 1], gaps.pop(closest)))
            row[closest : closest + 2] = [3 + len(mergers)]
        return mergers

    @property
    def heights(self):
        """How far apart the two are that merge, first to last, shape (3,)."""
        return np.array([height for _first, _second, height in self.tree])

    @property
    def members(self):
        """The letters of the blocks in each of the seven estimates: four blocks, three mergers."""
        letters = list(LETTERS)
        for first, second, _height in self.tree:
            letters.append("".join(sorted(letters[first] + letters[second])))
        return letters

    @property
    def standing(self):
        """Which of the seven estimates have not merged into another at this reach."""
        left = {0, 1, 2, 3}
        for number, (first, second, height) in enumerate(self.tree, 4):
            if height <= self.reach:
                left = left - {first, second} | {number}
        return sorted(left)

    @property
    def estimates(self):
        """The seven estimates: of each block by itself, and of each merger by pooling two."""
        scores, value = np.array(self.scores), np.array(self.value)[:, None]
        estimates = [likelihood.estimate(value[part], scores[part]) for part in self._parts]
        for first, second, _height in self.tree:
            estimates.append(likelihood.pool(estimates[first], estimates[second]))
        return estimates

    @property
    def _parts(self):
        return np.array_split(np.arange(len(self.scores)), 4)

    @property
    def tops(self):
        """The largest score in each of the seven, shape (7,)."""
        largest = dict(zip(LETTERS, (max(self.scores[key] for key in part) for part in self._parts), strict=True))
        return np.array([max(largest[letter] for letter in members) for members in self.members])

    @property
    def sums(self):
        """The sum of exponentials in each, relative to its largest score, shape (7,)."""
        return np.exp([estimate.log_precision for estimate in self.estimates] - self.tops)

    @property
    def averages(self):
        """The average of the values in each, shape (7,)."""
        return np.array([estimate.mean[0] for estimate in self.estimates])

    @property
    def weights(self):
        """The share that each has of all precision, shape (7,); the blocks' sum to one, and the standing ones' too."""
        logs = np.array([estimate.log_precision for estimate in self.estimates])
        return np.exp(logs - logs[-1])

    @property
    def deviations(self):
        """The standard deviation of each, shape (7,)."""
        return np.exp([-estimate.log_precision / 2 for estimate in self.estimates])

    @property
    def answer(self):
        """The average that is left when all have merged."""
        return self.averages[-1]

    def results(self):
        """What each of the seven estimates keeps and shares, how high the mergers are, which stand, and the answer."""
        names = ("tops", "sums", "averages", "weights", "deviations", "heights", "answer")
        return {name: getattr(self, name) for name in names} | {"standing": np.array(self.standing)}

    def draw(self, left, right):
        middle = list(self.places)
        floor = [0.0] * 4
        for number, (first, second, height) in enumerate(self.tree, 4):
            x, y = (
                [middle[which] for which in (first, first, second, second)],
                [floor[first], height, height, floor[second]],
            )
            left.plot(x, y, color=figures.KEYS[number], linewidth=2.4 if height <= self.reach else 0.8)
            middle.append((middle[first] + middle[second]) / 2)
            floor.append(height)
        for block, letter in enumerate(LETTERS):
            left.scatter(self.places[block], 0, s=150, marker="s", color=figures.KEYS[block], zorder=3, clip_on=False)
            left.text(self.places[block], 0, letter, color=figures.PAPER, ha="center", va="center", zorder=4)
        left.axhline(self.reach, color=figures.ACCENT, linestyle="--", linewidth=1)
        left.set(xlabel="place", xlim=(-0.4, 8.4), ylim=(-0.35, 8.4), title="Who merges with whom; dashed, the reach")
        for row, (mean, deviation, members) in enumerate(
            zip(self.averages, self.deviations, self.members, strict=True)
        ):
            color = figures.KEYS[row]
            fade = 1 if row in self.standing else 0.25
            right.plot([mean - deviation, mean + deviation], [row, row], color=color, alpha=fade)
            right.plot(mean, row, "s", color=color, alpha=fade)
            right.text(4, row, members, ha="right", va="bottom", fontsize=8)
        right.axvline(self.answer, color=figures.INK, linewidth=0.8)
        right.set(xlabel="value", xlim=(-4, 4), ylim=(6.6, -0.6), yticks=[], title="Each estimate, and the answer")

    def describe(self):
        numbers = zip(self.members, self.tops, self.sums, self.averages, self.weights, strict=True)
        listed = "; ".join(
            f"{members}: largest score {largest:.4g}, sum {show(total)}, average {show(average)}, share {show(weight)}"
            for members, largest, total, average, weight in numbers
        )
        standing = ", ".join(self.members[which] for which in self.standing)
        return (
            f"Blocks and mergers, {listed}. Standing now: {standing}. The answer is {show(self.answer)} in every order."
        )
