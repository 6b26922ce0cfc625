"""A field for the number that an exercise asks for; the cell that is the solution gives the value."""

import itertools
import math

import traitlets

from attnlib.widgets.base import Island


class Answer(Island):
    """A field in an exercise: the reader types a number, and is told whether it is right, or which known slip it is.

    It stands at the end of the cell that computes the solution. The static page shows it in the exercise
    (`sphinx_extensions.answers`), and nothing where there are no scripts; a notebook shows it below the cell.

    Parameters
    ----------
    exercise : str
        The exercise's label.
    value : float
        The right answer.
    ask : str
        What is to be typed, in words, and to how many digits.
    tolerance : float above 0
        How far from the value, at most, an answer is right.
    slips : dict of str to float
        Wrong answers that are likely, by what is wrong about them: "the sign" is said as "The sign is wrong.", and what
        begins with "a", such as "a factor of 2", as "Off by a factor of 2."

    Raises
    ------
    ValueError
        If a number is not finite, or if one answer could be within the tolerance of two: the value and a slip, or two
        slips.

    Examples
    --------
    >>> field = Answer("ex-mean", (0 + 10 * 3) / 4, ask="the mean", tolerance=0.01, slips={"a factor of 3": 10 / 4})
    >>> field.value, field.slips
    (7.5, [['Off by a factor of 3.', 2.5]])
    >>> Answer("ex-mean", 0.001, ask="the mean", tolerance=0.01, slips={"the sign": -0.001})
    Traceback (most recent call last):
    ...
    ValueError: answer to 'ex-mean': 'value' and 'the sign' must be more than two tolerances apart; got 0.001 and -0.001
    """

    kind = "answer"

    ask = traitlets.Unicode().tag(sync=True)
    value = traitlets.Float().tag(sync=True)
    tolerance = traitlets.Float().tag(sync=True)
    slips: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(
        self, exercise: str, value: float, *, ask: str, tolerance: float, slips: dict[str, float] | None = None
    ):
        numbers = {"value": float(value)} | {name: float(slip) for name, slip in (slips or {}).items()}
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise ValueError(f"answer to {exercise!r}: {name!r} must be finite; got {number}")
        if not 0 < tolerance < math.inf:
            raise ValueError(f"answer to {exercise!r}: tolerance must be above 0 and finite; got {tolerance}")
        for (one, first), (other, second) in itertools.combinations(numbers.items(), 2):
            if abs(first - second) <= 2 * tolerance:
                raise ValueError(
                    f"answer to {exercise!r}: {one!r} and {other!r} must be more than two tolerances apart; "
                    f"got {first} and {second}"
                )
        self.exercise = exercise
        said = [[_said(name), number] for name, number in numbers.items()]
        super().__init__(ask=ask, value=numbers["value"], tolerance=float(tolerance), slips=said[1:])

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        names = {"data-widget": self.kind, "data-exercise": self.exercise}
        data["text/html"] = self._host(names, ("ask", "value", "tolerance", "slips"))
        data["text/plain"] = f"A field for the answer: {self.ask}."
        return data, metadata


def _said(slip: str) -> str:
    return f"Off by {slip}." if slip.startswith("a ") else f"{slip[0].upper()}{slip[1:]} is wrong."
