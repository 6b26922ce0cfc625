"""Your turn: a proof that the reader writes, line by line, each of them proved, refuted or left open by the prover."""

import atexit
import contextlib
import html
import json
import os
import queue
import subprocess
import sys
import threading

import sympy as sp
import traitlets

from attnlib.derive import LINES_TYPE, RECORD_TYPE, Derivation
from attnlib.formulas import MEANINGS, Weight
from attnlib.language import FUNCTIONS, parse, spelled, written
from attnlib.printing import letter
from attnlib.proof import Index
from attnlib.turn import TOO_LARGE, Exercise, Shown, form
from attnlib.widgets.base import Island, Widget, linked

SECONDS = 20  # that a check may take


class YourTurn(Island):
    """An exercise in proof: the reader is given a proof's first and last line, and writes those between.

    On a page the prover runs in the reader's browser, once they start it; in a notebook, in a process beside the
    kernel.  Nothing that is typed is run as code, and a check ends after 20 seconds.

    Parameters
    ----------
    name : str
        The exercise's name in links and in the reader's own drafts; one on a page.
    proof : Derivation
        The book's own proof: its start is given, its last line is the goal, which a proof of one step leaves to the
        task to name, and its reasons, which are plain words, are the hints.
    shown : Widget, optional
        The picture that shows the numbers which refute a line.
    inputs : dict, optional
        Which letter is which of its inputs, such as ``{s: "scores"}``; a letter of the same name needs no entry.
    means : dict, optional
        What letters mean that the book does not share.

    Raises
    ------
    ValueError
        If the proof has no steps, if its goal has the form of its start, or if a reason holds LaTeX.

    Examples
    --------
    >>> from attnlib.formulas import alpha, i, s
    >>> slope = Derivation(sp.Derivative(sp.exp(alpha * s[i]), s[i]))
    >>> turn = YourTurn("slope", slope.step(alpha * sp.exp(alpha * s[i]), "the chain rule"))
    >>> turn.goal, turn.lines
    ('alpha*exp(alpha*s_i)', [])
    """

    kind = "proof"

    lines: traitlets.List = traitlets.List(traitlets.Unicode()).tag(sync=True)  # that the reader has proved
    _name = traitlets.Unicode().tag(sync=True)
    _exercise = traitlets.Dict().tag(sync=True)  # what the prover needs of it
    _book: traitlets.List = traitlets.List().tag(sync=True)  # the book's lines: typed, typeset, and why
    _names: traitlets.List = traitlets.List().tag(sync=True)  # what may be typed: the text, and what it means
    _sign = traitlets.Unicode().tag(sync=True)  # between a line and the next
    _picture: traitlets.List = traitlets.List().tag(sync=True)  # the name of what shows numbers, if anything

    def __init__(self, name: str, proof: Derivation, *, shown: Widget | None = None, inputs=None, means=None):
        self.name = linked(name)
        steps = tuple(step for step, _reason in proof.lines)
        if bad := [reason for _step, reason in proof.lines if "\\" in reason]:
            raise ValueError(f"proof must give its reasons in plain words, for they are hints; got {bad[0]!r}")
        self.exercise = Exercise(steps, shown=shown and _shown(shown, inputs or {}))
        if form(steps[0]) == form(steps[-1]):
            raise ValueError(f"proof must lead to a line of another form than its start; got {steps[-1]}")
        self._shows = shown
        packed = self.exercise.packed()
        book = [
            {"text": text, "mathml": parse(text, self.exercise.letters).mathml, "reason": reason}
            for text, (_step, reason) in zip(packed["steps"], proof.lines, strict=True)
        ]
        super().__init__(
            _name=self.name,
            _exercise=packed,
            _book=book,
            _names=_typed(self.exercise, means or {}),
            _sign="⟺" if self.exercise.is_about_equations else "=",
            _picture=[shown.name] if shown else [],
        )
        self.on_msg(self._hear)

    @property
    def goal(self) -> str:
        """The line to arrive at, as it is typed."""
        return self._book[-1]["text"]

    def _hear(self, _widget, content, _buffers):
        if content.get("do") == "show":
            for name, value in content["state"].items():
                setattr(self._shows, name, value)
        else:
            threading.Thread(target=self._answer, args=(content,), daemon=True).start()

    def _answer(self, request):
        self.send(PROVER.ask(request | {"exercise": self._exercise}))

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        start, goal = self._book[0], self._book[-1]
        end = (goal["mathml"], "goal") if len(self._book) > 2 else ("?", "as the task says")
        given = self._table([(start["mathml"], "start"), end])
        proof = self._table([(line["mathml"], html.escape(line["reason"])) for line in self._book])
        solution = f"<details><summary>The book’s proof</summary>{proof}</details>"
        names = {"id": self.name, "data-widget": self.kind, "data-name": self.name}
        traits = ("_name", "_exercise", "_book", "_names", "_picture", "_sign")
        data["text/html"] = self._host(names, traits, f'<div class="attention-widget still">{given}{solution}</div>')
        data[RECORD_TYPE] = [{"kind": "turn", "id": self.name}]
        data[LINES_TYPE] = [self._exercise]
        data["text/plain"] = f"Your turn: from {start['text']} to {goal['text']}."
        return data, metadata

    def _table(self, rows) -> str:
        cells = "".join(
            f'<tr><td class="left">{self._sign if number else ""}</td><td class="formula">{formula}</td>'
            f'<td class="reason">{words}</td></tr>'
            for number, (formula, words) in enumerate(rows)
        )
        return f'<table class="derivation" role="presentation">{cells}</table>'


def _shown(picture: Widget, inputs: dict) -> Shown:
    """What a picture can show: its inputs by the names of letters, each with its range."""
    quantities = picture.traits(quantity=lambda metadata: metadata is not None)
    ranges = {
        name: (trait.metadata["quantity"]["low"], trait.metadata["quantity"]["high"])
        for name, trait in quantities.items()
    }
    scalars = {name: name for name in ranges if not isinstance(getattr(picture, name), tuple)}
    named = scalars | {str(getattr(one, "label", one)): name for one, name in inputs.items()}
    if unknown := {name for name in named.values() if name not in ranges}:
        raise ValueError(f"inputs must be of {', '.join(ranges)}; got {', '.join(sorted(unknown))}")
    sizes = [len(value) for name in named.values() if isinstance(value := getattr(picture, name), tuple)]
    return Shown(sizes[0] if sizes else 1, {one: (name, *ranges[name]) for one, name in named.items()})


def _typed(exercise: Exercise, means: dict) -> list[list[str]]:
    """What may be typed: the text that a button inserts, and what it means."""
    letters, steps = exercise.letters, exercise.steps
    weights = sorted(spelled(part.args[0]) for step in steps for part in step.atoms(Weight))
    sums = {limit[0] for step in steps for part in step.atoms(sp.Sum, sp.Product) for limit in part.limits}
    kinds = [name for name, kind in (("sum", sp.Sum), ("prod", sp.Product)) if any(step.has(kind) for step in steps)]
    listed, indices = [], []
    for one in letters:
        if isinstance(one, Index):
            ends = f"from {written(one.first, letters)} to {written(one.last, letters)}"
            if one in letters.free:
                listed.append([spelled(one), f"one of the whole numbers {ends}"])
            if one in sums:
                indices += [[f"{kind}_{spelled(one)} ", f"{kind} over {letter(one)} {ends}"] for kind in kinds]
        elif isinstance(one, Weight):
            listed.append([f"w_{weights[0]}", "softmax weights"])
        elif isinstance(one, sp.Indexed):
            listed.append([written(one, letters), means.get(one.base, MEANINGS.get(one.base, ""))])
        elif isinstance(one, sp.Symbol):
            listed.append([spelled(one), means.get(one, MEANINGS.get(one, ""))])
    used = {name for name, (kind, _) in FUNCTIONS.items() if any(step.has(kind) for step in steps)}
    functions = [[f"{name}(", ""] for name in FUNCTIONS if name in used]
    slopes = [["d/d ", "derivative by"]] if any(step.has(sp.Derivative) for step in steps) else []
    signs = [[sign, ""] for sign in ("(", ")", "^", "/", "=")]  # which a phone's keyboard hides
    return [*listed, *indices, *functions, *slopes, *signs]


# --- The prover of a kernel ------------------------------------------------------------------------------------------


class Prover:
    """A process of its own that answers for all exercises of a kernel, one after another; a slow one is ended.

    So a line that takes too long, or too much memory, harms neither the kernel nor its variables.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._process = None
        self._answers: queue.Queue[str] = queue.Queue()

    def ask(self, request: dict, seconds: float = SECONDS) -> dict:
        """Answer a request of `attnlib.turn.respond`, or say that it took too long."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                while text := self._answers.get(timeout=seconds):
                    with contextlib.suppress(json.JSONDecodeError):  # nothing but an answer to this request is one
                        if (answer := json.loads(text)).get("id") == request["id"]:
                            return answer
            except (queue.Empty, BrokenPipeError):
                pass  # it takes too long, or has ended
            self.stop()
            return {"id": request["id"], "verdict": "undecided", "words": TOO_LARGE}

    def _start(self):
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attnlib.turn"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )
        self._answers = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._answers), daemon=True).start()

    @staticmethod
    def _listen(process, answers):
        for line in process.stdout:
            answers.put(line)
        answers.put("")  # it has ended

    def stop(self):
        """End the process; the next request starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


PROVER = Prover()
atexit.register(PROVER.stop)
