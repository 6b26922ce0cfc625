"""The reader's turn: an exercise in proof, and the answer to each line that a reader writes.

It needs sympy and the prover alone, so the same file answers in the reader's browser and, as `python -m attnlib.turn`,
in a process beside a notebook's kernel.  Requests and answers are JSON.
"""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import sympy as sp

from attnlib.formulas import Weight, n
from attnlib.language import Letters, Line, Unreadable, parse, spelled, written
from attnlib.printing import letter
from attnlib.proof import (
    Answer,
    Index,
    Refuted,
    Undecided,
    follows,
    prove,
    smallest,
)

_ASSUMED = "integer even odd rational positive nonnegative negative nonpositive nonzero real".split()
_BYTES = 2**30  # that the process of a kernel may take
_ZERO = 1e-20  # numbers have 30 digits
UNDECIDED = "Undecided: no proof was found, and no numbers that refute this line. It may be right; try a smaller step."
TOO_LARGE = "Too large a step for the prover: try a smaller one."


@dataclass(frozen=True)
class Shown:
    """A widget that can show the numbers of a refutation: which of its inputs is which letter, and their ranges.

    `inputs` maps a letter's name to the input's, its least and its largest value; arrays have `keys` elements.
    """

    keys: int
    inputs: dict[str, tuple[str, float, float]]


@dataclass(frozen=True)
class Exercise:
    """What is to be proved: the book's own proof of it, start first, goal last.

    Parameters
    ----------
    steps : sequence of expressions or equations
        At least two.
    letters : Letters, optional
        What may be typed; all letters of the steps by default.
    shown : Shown, optional
        The widget that shows refuting numbers.
    """

    steps: tuple[sp.Basic, ...]
    letters: Letters = None  # type: ignore[assignment]
    shown: Shown | None = None
    loose: tuple[str, ...] = field(init=False)  # as much as keeps the goal apart from the other steps
    forms: tuple = field(init=False, repr=False)
    exact: tuple = field(init=False, repr=False)  # their forms when nothing is loose

    def __post_init__(self):
        if len(self.steps) < 2:
            raise ValueError(f"steps must be a start and a goal at least; got {len(self.steps)}")
        object.__setattr__(self, "letters", self.letters or Letters.of(*self.steps))
        goal_is_hidden = len(self.steps) == 2
        for loose in ((("weights", "factors", "products"),) if goal_is_hidden else ()) + LOOSE:
            forms = tuple(form(step, loose) for step in self.steps)
            if forms[-1] not in forms[:-1]:
                break
        object.__setattr__(self, "loose", loose)
        object.__setattr__(self, "forms", forms)
        object.__setattr__(self, "exact", tuple(map(form, self.steps)))

    @property
    def is_about_equations(self) -> bool:
        """Whether its lines are equations."""
        return isinstance(self.steps[0], sp.Eq)

    def packed(self) -> dict:
        """The exercise as JSON holds it: every step as a reader would type it."""
        return {
            "steps": [written(step, self.letters) for step in self.steps],
            "letters": [_described(one) for one in self.letters],
            "free": [spelled(index) for index in self.letters.free],
            "shown": self.shown and {"keys": self.shown.keys, "inputs": self.shown.inputs},
        }

    @classmethod
    def unpacked(cls, packed: dict) -> "Exercise":
        """The exercise that `packed` gave."""
        letters = _letters(packed["letters"], packed["free"])
        steps = tuple(_basic(parse(text, letters)) for text in packed["steps"])
        shown = packed["shown"] and Shown(packed["shown"]["keys"], packed["shown"]["inputs"])
        return cls(steps, letters, shown)


def _described(one) -> dict:
    """A letter as JSON: its kind, its name, and what is assumed of it."""
    if isinstance(one, Weight):
        return {"kind": "weights", "rate": written(one.args[1], Letters.of(one.args[1]))}
    if isinstance(one, Index):
        ends = [written(end, Letters.of(end)) for end in (one.first, one.last)]
        return {"kind": "index", "name": one.name, "ends": ends}
    if isinstance(one, sp.Indexed):
        name, kind, about = str(one.base.label), "array", one.base
        return {"kind": kind, "name": name, "assumed": _assumed(about), "indices": len(one.indices)}
    if isinstance(one, sp.Symbol):
        return {"kind": "symbol", "name": one.name, "assumed": _assumed(one)}
    return {"kind": "function", "name": one.__name__}


def _assumed(one) -> list[str]:
    return [name for name in _ASSUMED if getattr(one, f"is_{name}")]


def _letters(described: list[dict], free: list[str]) -> Letters:
    """The letters that `_described` gave; ranges and rates, which name others, are read once these are known."""
    made: list = []
    kinds = ("symbol", "array", "function", "index", "weights")
    for one in sorted(described, key=lambda one: kinds.index(one["kind"])):
        assumed = dict.fromkeys(one.get("assumed", ()), True)
        if one["kind"] == "symbol":
            made.append(sp.Symbol(one["name"], **assumed))
        elif one["kind"] == "array":
            index = sp.Symbol("i", integer=True)
            made.append(sp.IndexedBase(one["name"], **assumed)[(index,) * one["indices"]])
        elif one["kind"] == "function":
            made.append(sp.Function(one["name"]))
        elif one["kind"] == "index":
            first, last = (parse(end, Letters(made)).right for end in one["ends"])
            made.append(Index(one["name"], last, first))
        else:
            made.append(Weight(sp.Symbol("i", integer=True, positive=True), parse(one["rate"], Letters(made)).right))
    return Letters(made, [one for one in made if isinstance(one, Index) and spelled(one) in free])


def _basic(line) -> sp.Basic:
    return line.right if line.left is None else sp.Eq(line.left, line.right, evaluate=False)


# --- The form of a line ----------------------------------------------------------------------------------------------

# What two lines of one form may differ in, besides the order of terms, names of bound indices and brackets of signs:
# whether a weight is written out, and on which side of a sum a factor stands; for a goal that no line shows, also
# whether products are multiplied out.
LOOSE = (("weights", "factors"), ("factors",), ())


def form(expr: sp.Basic, loose: tuple[str, ...] = ()) -> sp.Basic:
    """What lines of the same form share.

    Parameters
    ----------
    expr : Expr or Eq
        Of an equation, the sides may be exchanged.
    loose : tuple of str
        What of `LOOSE` makes no difference.

    Examples
    --------
    >>> from attnlib.formulas import i, j, l, over_keys, s
    >>> form(over_keys(s[j] - s[i])) == form(over_keys(-(s[i] - s[j]))) == form(over_keys(s[l] - s[i], l))
    True
    >>> form(over_keys(2 * s[j])) == form(2 * over_keys(s[j]))
    False
    >>> form(over_keys(2 * s[j]), ("factors",)) == form(2 * over_keys(s[j]), ("factors",))
    True
    """
    if isinstance(expr, sp.Eq):
        return sp.Eq(*sorted((form(side, loose) for side in expr.args), key=sp.default_sort_key), evaluate=False)
    if "weights" in loose:
        expr = expr.replace(Weight, lambda *arguments: Weight(*arguments).unfold())
    if "factors" in loose:
        expr = _outside(expr)
    if "products" in loose:
        expr = sp.expand(expr)
    return _standard(expr, 0)


def _outside(expr):
    """The same with every factor before the sum that does not depend on its index."""
    if not expr.args or isinstance(expr, sp.Indexed | sp.Derivative | sp.Product):
        return expr
    if not isinstance(expr, sp.Sum):
        return expr.func(*map(_outside, expr.args))
    result = _outside(expr.function)
    for limit in expr.limits:
        factor, body = result.as_independent(limit[0], as_Add=False)
        result = factor * sp.Sum(body, limit)
    return result


def _standard(expr, depth):
    """The same with standard names for bound indices, `depth` sums deep, and one way of writing a difference."""
    if not isinstance(expr, sp.Basic) or not expr.args:
        return expr
    if isinstance(expr, sp.UnevaluatedExpr):
        return _standard(expr.args[0], depth)
    if isinstance(expr, sp.Sum | sp.Product):
        *inner, (index, first, last) = expr.limits
        body = expr.func(expr.function, *inner) if inner else expr.function
        bound = sp.Symbol(f"index {depth}", integer=True)
        limits = (bound, _standard(first, depth), _standard(last, depth))
        return expr.func(_standard(body.xreplace({index: bound}), depth + 1), limits)
    args = [_standard(arg, depth) for arg in expr.args]
    if isinstance(expr, sp.exp):
        return sp.exp(sp.expand(args[0]))
    if isinstance(expr, sp.Mul):
        flipped = [arg for arg in args if arg.is_Add and arg.could_extract_minus_sign()]
        return sp.Mul((-1) ** len(flipped), *(-arg if arg in flipped else arg for arg in args))
    if isinstance(expr, sp.Pow) and args[1].is_even and args[0].is_Add and args[0].could_extract_minus_sign():
        return (-args[0]) ** args[1]
    return expr.func(*args)


def _distance(left, right) -> int:
    """How many parts one form has that the other lacks."""
    first, second = (Counter(sp.preorder_traversal(side)) for side in (left, right))
    return ((first - second) + (second - first)).total()


# --- Answers ---------------------------------------------------------------------------------------------------------


def preview(exercise: Exercise, text: str) -> dict:
    """A line as MathML, or what is wrong with it and where."""
    try:
        return {"mathml": _read(exercise, text).mathml}
    except Unreadable as error:
        return _unreadable(error)


def _unreadable(error: Unreadable) -> dict:
    return {"verdict": "unreadable", "words": _sentence(str(error)), "start": error.start, "end": error.end}


def _read(exercise: Exercise, text: str) -> Line:
    line = parse(text, exercise.letters)
    if exercise.is_about_equations and line.left is None:
        raise Unreadable(
            "this proof is about an equation: a line of it has two sides and a = between them", 0, len(text)
        )
    return line


def check(exercise: Exercise, lines: Iterable[str], text: str) -> dict:
    """Answer whether a line follows from the last one.

    Parameters
    ----------
    exercise : Exercise
    lines : sequence of str
        The reader's lines so far, each of them proved.
    text : str
        The next line.

    Returns
    -------
    dict
        `verdict` is "proved", "refuted", "undecided" or "unreadable"; `words` say it.  A line that is proved has also
        `mathml`; `next`, the step of the book's proof that a hint is for; `nearer`, unless it goes back or grows long;
        and `done`.  A refuted line may have `state`, which shows the numbers in the widget.

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, j, over_keys, s
    >>> exercise = Exercise((sp.exp(alpha * s[i]) * sp.exp(-alpha * s[j]), sp.exp(alpha * (s[i] - s[j]))))
    >>> check(exercise, [], "exp(alpha*(s_i - s_j))")["done"], check(exercise, [], "exp(s_i - s_j)")["words"]
    (True, 'Refuted at s = (1, 0), α = 2 (i = 2, j = 1, n = 2): your line gives 0.3679, the line before 0.1353.')
    """
    try:
        line = _read(exercise, text)
    except Unreadable as error:
        return _unreadable(error)
    says = _basic if exercise.is_about_equations else lambda one: one.right
    parsed = [parse(one, exercise.letters) for one in lines]
    earlier, new = [exercise.steps[0], *map(says, parsed)], says(line)
    demands = parsed[-1].demands if parsed else frozenset()
    answer = judge(earlier[-1], line, demands)
    if isinstance(answer, Refuted):
        return _refuted(exercise, answer, new, demands | line.demands)
    if isinstance(answer, Undecided):
        why = f" {_sentence(answer.reason)}" if exercise.is_about_equations and answer.reason else ""
        return {"verdict": "undecided", "words": UNDECIDED + why}
    done = form(new, exercise.loose) == exercise.forms[-1]
    back = form(new) in map(form, earlier)
    longest = max(map(sp.count_ops, (*exercise.steps, *earlier)))
    away = back or (not done and sp.count_ops(new) > 1.5 * longest)
    words = "Proved for every number of keys." if n in exercise.letters.scalars.values() else "Proved."
    if done:
        count, book = len([*lines, text]), len(exercise.steps) - 1
        words += f" This comes to the goal: the proof is complete, in {_lines(count)}; the book’s has {_lines(book)}."
    elif back:
        words += " But you have been here before: it leads no nearer to the goal."
    elif away:
        words += " It is longer than all lines of the book’s proof: it may lead away from the goal."
    return {
        "verdict": "proved",
        "words": words,
        "mathml": line.mathml,
        "next": _next(exercise, earlier, new),
        "nearer": not away,
        "done": done,
    }


def _lines(count: int) -> str:
    return f"{count} line{'s' * (count != 1)}"


def _next(exercise, earlier, new) -> int:
    """The book's step that a hint is for: the one after this line; if it is no step, after one that is near it."""
    forms = [form(one) for one in (*earlier, new)]
    places = range(len(exercise.exact))
    reached = max(place for place in places if exercise.exact[place] in forms)
    if forms[-1] != exercise.exact[reached]:
        near = min(places[reached : reached + 2], key=lambda place: _distance(forms[-1], exercise.exact[place]))
        reached = max(reached, near)
    return min(reached + 1, places[-1])


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "." * (words[-1] not in ".?")


def judge(last: sp.Basic, line: Line, demands: Iterable = ()) -> Answer:
    """Whether a line follows from the last one: for an equation, whether both hold in the same places.

    Of a line with two sides that follows an expression, both must be equal to it.  `demands` are those of the last
    line, as it was typed: what only one of two equations divides by, or takes a logarithm or root of, must be proved to
    be nonzero, or positive; and no numbers refute where it is not.
    """
    if isinstance(last, sp.Eq):
        answers = [follows(last, _basic(line), demands=line.demands ^ frozenset(demands))]
    else:
        answers = [prove(last, side) for side in (line.left, line.right) if side is not None]
    found = next((one for kind in (Refuted, Undecided) for one in answers if isinstance(one, kind)), answers[-1])
    return _where_defined(found, line.demands | frozenset(demands)) if isinstance(found, Refuted) else found


def _defined(refuted: Refuted, demands) -> bool:
    """Whether lines have values, as they were typed, at a refutation's numbers."""
    for wanted, part in demands:
        value = refuted.value(part)
        if value is None or (value <= 0 if wanted == "positive" else value == 0):
            return False
    return True


def _where_defined(refuted: Refuted, demands) -> Answer:
    """A refutation at numbers where both lines have values as they were typed."""
    if _defined(refuted, demands):
        return refuted
    found = smallest(refuted.left, refuted.right, where=lambda one: _defined(one, demands))
    return found or Undecided("no numbers were found at which both lines have a value and differ")


def _refuted(exercise, answer, new, demands) -> dict:
    if exercise.is_about_equations:
        left, right = _digits(answer.left_value, answer.right_value)
        if answer.left == new.lhs:
            says = f"the line before holds, and the sides of yours are {left} and {right}"
        else:
            says = f"your line holds, and the sides of the line before are {left} and {right}"
    else:
        keys = (exercise.shown.keys,) if exercise.shown else ()
        found = smallest(answer.left, answer.right, keys=(*keys, 2, 1, 3, 5), where=lambda one: _defined(one, demands))
        answer = found or answer
        last, yours = _digits(answer.left_value, answer.right_value)
        says = f"your line gives {yours}, the line before {last}"
    return {
        "verdict": "refuted",
        "words": f"Refuted{_where(answer.values)}: {says}.",
        "state": _state(exercise, answer),
    }


def _digits(*values) -> list[str]:
    """Two numbers to as many digits as tell them apart; what is zero but for the 30th digit is 0."""
    values = tuple(value if abs(value) > _ZERO else sp.Integer(0) for value in values)
    texts = ([f"{float(value):.{digits}g}" for value in values] for digits in range(4, 17))
    apart = next((pair for pair in texts if len(set(pair)) == 2), list(map(str, values)))
    return [text.replace("-", "−") for text in apart]


def _where(values: dict) -> str:
    """The place of a refutation in words: arrays whole where all their elements were asked for."""
    arrays: dict[str, dict] = {}
    words = []
    for symbol, value in values.items():
        name, bracket, place = symbol.name.partition("[")
        if bracket:
            arrays.setdefault(name, {})[place.rstrip("]")] = _number(value)
    for name, elements in arrays.items():
        if len(elements) > 1 and list(map(str, range(1, len(elements) + 1))) == sorted(elements):
            words.append(f"{letter(name)} = ({', '.join(elements[place] for place in sorted(elements))})")
        else:
            words += [f"{letter(name + '_' + place.replace(', ', ''))} = {value}" for place, value in elements.items()]
    symbols = sorted((symbol for symbol in values if "[" not in symbol.name), key=str)
    words += [_is(symbol, values) for symbol in symbols if not symbol.is_integer]
    whole = ", ".join(_is(symbol, values) for symbol in symbols if symbol.is_integer)
    return f" at {', '.join(words)}" * bool(words) + f" ({whole})" * bool(whole)


def _is(symbol, values) -> str:
    return f"{letter(symbol)} = {_number(values[symbol])}"


def _number(value) -> str:
    return (str(value) if value.is_Rational else f"{float(value):.4g}").replace("-", "−")


def _state(exercise, answer) -> dict | None:
    """The widget's inputs at a refutation, if it has all of them and they are within its ranges."""
    shown = exercise.shown
    if shown is None:
        return None
    state: dict = {}
    for symbol, value in answer.values.items():
        name, bracket, place = symbol.name.partition("[")
        if symbol.is_integer and not bracket:
            continue
        if name not in shown.inputs or "," in place:
            return None
        entry, low, high = shown.inputs[name]
        if not low <= value <= high:
            return None
        if bracket:
            position = int(place.rstrip("]"))
            if position > shown.keys:
                return None
            state.setdefault(entry, [0.0] * shown.keys)[position - 1] = float(value)
        else:
            state[entry] = float(value)
    return state or None


# --- Requests --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _exercise(packed: str) -> Exercise:
    return Exercise.unpacked(json.loads(packed))


def respond(request: str) -> str:
    """Answer a request, both as JSON text: what the worker of a page, and the process beside a kernel, are for.

    Parameters
    ----------
    request : str
        An object with `id`, `do` ("preview" or "check"), `exercise` (as `Exercise.packed` gives it), `text` and, to
        check, `lines`.

    Returns
    -------
    str
        The answer of `preview` or `check`, with the request's `id`.
    """
    asked = json.loads(request)
    try:
        exercise = _exercise(json.dumps(asked["exercise"]))
        if asked["do"] == "preview":
            answer = preview(exercise, asked["text"])
        else:
            answer = check(exercise, asked["lines"], asked["text"])
    except (MemoryError, RecursionError):
        answer = {"verdict": "undecided", "words": TOO_LARGE}
    except Exception as error:  # a fault of the prover's own, which the reader is told of, and may tell
        answer = {"verdict": "undecided", "words": f"The prover failed on this line: {type(error).__name__}: {error}"}
    return json.dumps({"id": asked["id"], **answer})


def main() -> None:
    """Answer requests from the standard input, a line each, until it ends; in a bounded memory, where systems can."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_BYTES, _BYTES))
    for request in sys.stdin:
        print(respond(request), flush=True)


if __name__ == "__main__":
    main()
