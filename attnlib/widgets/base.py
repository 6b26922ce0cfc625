"""What every widget is made of: traits with ranges, laws printed from sympy, and one MIME bundle for every medium."""

import base64
import html
import json
import re
from collections.abc import Iterable
from importlib import resources
from typing import ClassVar

import anywidget
import numpy as np
import sympy as sp
import traitlets
from matplotlib.figure import Figure

from attnlib import figures
from attnlib.codegen import JAVASCRIPT_LOOPS, Law, declared_names
from attnlib.derive import RECORD_TYPE
from attnlib.formulas import MEANINGS, Formula, Weight, n, one_formula, pi0, w
from attnlib.printing import letter, mathml
from attnlib.proof import Index
from attnlib.widgets.fonts import embedded

# How far a guess of the weights misses them, in all and key by key; for widgets in which the reader guesses first.
MISSED = Law("missed", (n, w, pi0), nats=one_formula.budget, parts=one_formula.part)


def _source(name: str) -> str:
    return resources.files("attnlib.widgets").joinpath(name).read_text("utf-8")


_COMMENT = re.compile(r'^ *(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/)\n|(?<=[;,{}()]) // [^\n"`]*$', re.MULTILINE)
_DECLARATION = re.compile(r"^(?=(?:export )?(?:async )?(?:const|let|function|class) )", re.MULTILINE)
_IMPORT = re.compile(r'^import\s+\{([^}]*)\}\s+from\s+"([^"]+)";\n', re.MULTILINE)


def compact(script: str) -> str:
    """A script without comments and indents: a page loads the code alone.

    >>> compact("// What it does.\\n  f(1);")
    'f(1);'
    """
    return re.sub(r"^\s+", "", _COMMENT.sub("", script), flags=re.MULTILINE)


def _script(kind: str, laws: tuple[Law, ...], starter: str = "awaken") -> str:
    """One script from the laws, what widgets share, and the widget's own part: live widgets cannot import files.

    Raises
    ------
    ValueError
        If an import is not one of a law or of what widgets share, or if two parts declare one name.
    """
    parts = {"laws": "\n".join([JAVASCRIPT_LOOPS, *(law.javascript() for law in laws)])}
    parts |= {"./shared.js": _source("shared.js"), f"./{kind}.js": _source(f"{kind}.js")}
    asked: dict[str, set[str]] = {}
    for file, text in parts.items():
        for listed, origin in _IMPORT.findall(text):
            known = declared_names(parts[origin]) if origin in parts else set()
            asked[origin] = {name.strip() for name in listed.split(",")} - {""}
            if unknown := asked[origin] - known:
                raise ValueError(
                    f"{file} imports {', '.join(sorted(unknown))} from {origin!r}, which cannot be bundled"
                )
    scripts = [_COMMENT.sub("", _IMPORT.sub("", text)) for text in parts.values()]
    for number, text in enumerate(scripts):
        if left := re.search(r"^import\b.*", text, re.MULTILINE):
            raise ValueError(f"{list(parts)[number]} has an import that cannot be bundled: {left[0]}")
        if twice := declared_names(text) & frozenset().union(*map(declared_names, scripts[:number])):
            raise ValueError(f"{list(parts)[number]} declares again {', '.join(sorted(twice))}")
    scripts[1] = _reached(scripts[1], {starter} | asked.get("./shared.js", set()))
    return compact(re.sub(r"^export (?=(?:async )?(?:const|function)\b)", "", "\n".join(scripts), flags=re.MULTILINE))


def _reached(script: str, names: set[str]) -> str:
    """What a script declares under some names, and what that needs."""
    parts = {name: part for part in _DECLARATION.split(script) for name in declared_names(part)}
    reached: set[str] = set()
    while found := parts.keys() & names - reached:
        reached |= found
        names = {word for name in found for word in re.findall(r"\w+", parts[name])}
    return "".join(part for name, part in parts.items() if name in reached)


def _letters(formulas: tuple[Formula, ...]) -> list[list[str]]:
    """The letters in some formulas, in the order in which they are met: name, how it is read, what it means."""
    letters: dict[str, list[str]] = {}
    for part in (part for formula in formulas for side in (formula.letter, formula.expression) for part in _walk(side)):
        if isinstance(part, Weight):
            part = w
        if isinstance(part, sp.Symbol | sp.IndexedBase) and not isinstance(part, Index) and part in MEANINGS:
            letters.setdefault(str(part), [str(part), letter(part), MEANINGS[part]])
    return list(letters.values())


def _walk(expr: sp.Basic):
    """What an expression is made of, in the order of reading, without the range of a sum and the inside of an array."""
    yield expr
    inner = (
        (expr.function,) if isinstance(expr, sp.Sum) else (expr.base,) if isinstance(expr, sp.Indexed) else expr.args
    )
    for part in () if isinstance(expr, sp.IndexedBase) else inner:
        yield from _walk(part)


class Quantity(traitlets.TraitType):
    """A number, a tuple of numbers or a tuple of points, each within a range.  Arrays and lists are welcome.

    The slider of a logarithmic number moves by powers of two; its step is in doublings. `symbol` is its letter in the
    formula, where that is not its name. Without a slider the picture alone moves the number.

    Raises `traitlets.TraitError` that names the trait, what was expected and what came.
    """

    def __init__(
        self,
        default,
        *,
        low: float,
        high: float,
        label: str = "",
        step: float = 0.01,
        per_key: bool = False,
        logarithmic: bool = False,
        symbol: str | None = None,
        slider: bool = True,
    ):
        super().__init__(default)
        self.shape, self.per_key = np.shape(default), per_key
        quantity = {"low": low, "high": high, "step": step, "label": label, "dimensions": len(self.shape)}
        quantity |= ({"logarithmic": True} if logarithmic else {}) | ({"symbol": symbol} if symbol else {})
        quantity |= {} if slider else {"slider": False}
        self.tag(sync=True, quantity=quantity)

    def validate(self, obj, value):
        try:
            array = np.asarray(value)
            array = array.astype(float) if array.dtype.kind in "biuf" else np.array(np.nan)  # no text that reads as one
        except (TypeError, ValueError):
            array = np.array(np.nan)
        # A widget's number of keys is settled when it is made: its marks are drawn once.
        count = (len(obj._initial[self.name]),) if self.per_key and obj._initial else array.shape[:1]
        shape = (*count, *self.shape[1:]) if self.per_key else self.shape
        if array.shape != shape or not self._fits(array).all():
            kind = ["a number", "numbers", "points"][len(self.shape)]
            size = f" of shape {shape}" if shape else ""
            raise traitlets.TraitError(f"{self.name} must be {kind}{size} within {self._reach}; got {value!r}")
        return _frozen(array.tolist())

    def _fits(self, array):
        low, high = (self.metadata["quantity"][end] for end in ("low", "high"))
        return (array >= low) & (array <= high)

    @property
    def _reach(self):
        return "[{low}, {high}]".format(**self.metadata["quantity"])


class Choice(Quantity):
    """A quantity that is the number, from 0 on, of one of a few things, which `choices` names."""

    def __init__(self, *choices: str, default: int = 0, label: str = "", symbol: str | None = None):
        super().__init__(float(default), low=0, high=len(choices) - 1, step=1, label=label, symbol=symbol)
        self.metadata["quantity"]["choices"] = choices

    def _fits(self, array):
        return np.isin(array, self._numbers)

    @property
    def _numbers(self):
        return list(range(len(self.metadata["quantity"]["choices"])))

    @property
    def _reach(self):
        return f"{{{str(self._numbers)[1:-1]}}}"


class Switch(Choice):
    """A quantity that is 0 or 1: off or on."""

    def __init__(self, default: int = 0, *, label: str = "", symbol: str | None = None):
        super().__init__("off", "on", default=default, label=label, symbol=symbol)
        self.metadata["quantity"]["switch"] = True


def _frozen(value):
    """Lists as tuples: a state is replaced, never changed in place, so every change is checked and seen."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def linked(name: str) -> str:
    """A name that may stand in links, as it is; raises `ValueError` for another."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII):
        raise ValueError(f"name must be letters, digits and hyphens, a letter first, for it is in links; got {name!r}")
    return name


class Island(anywidget.AnyWidget):
    """What is live in a notebook and, by the same script, on a page without a kernel.

    A subclass names its kind (its front end is `kind.js`), the laws that it runs if any, and what of `shared.js` brings
    it to life on a page.
    """

    kind: ClassVar[str]
    laws: ClassVar[tuple[Law, ...]] = ()
    starter: ClassVar[str] = "enliven"

    def __init_subclass__(cls, **options):
        if {"kind", "laws"} & vars(cls).keys() and hasattr(cls, "kind"):  # not for those that traitlets makes of ours
            cls._esm = _script(cls.kind, cls.laws, cls.starter) + "\nexport default { render };\n"
        super().__init_subclass__(**options)

    @property
    def _css(self) -> str:
        # A notebook has no file to take the font from, and the classic one makes a rem small.
        return embedded() + re.sub(r"([\d.]+)rem\b", lambda size: f"{16 * float(size[1]):g}px", _source("widget.css"))

    def _host(self, names: dict[str, str], traits: Iterable[str], still: str = "") -> str:
        """What a page holds: the values of some traits, and what is seen without scripts."""
        state = json.dumps(self.get_state([*traits])).replace("<", r"\u003c")
        named = "".join(f' {name}="{html.escape(value)}"' for name, value in names.items())
        return (
            f'<div class="attention-widget-host"{named}>{still}<script type="application/json">{state}</script></div>'
        )


class Widget(Island):
    """The base of the book's pictures.

    A subclass names its kind (its front end is `kind.js`), its title, the laws that it runs and, of these, the formulas
    that it shows; its inputs are `Quantity`, `Switch` and `Choice` traits; it implements `results`, `draw` and
    `describe`.  The equations and their legend are read from the formulas.

    Parameters
    ----------
    presets : sequence of (label, sentence, changes)
        What to try: a button, what to see, and the inputs that differ from the widget's first state.
    name : str, optional
        The widget's name in links to its state; two widgets of one kind on a page need two names.
    **state
        The inputs.
    """

    starter = "awaken"
    title: ClassVar[str]
    shown: ClassVar[tuple[Formula, ...]]
    precise: ClassVar[tuple[str, ...]] = ("weights",)  # results of which every digit is right, however small they are
    constants: ClassVar[dict[str, float]] = {}  # numbers that Python and the front end share
    page_data: ClassVar[tuple] = ()  # further synced traits that a page without a kernel needs
    data_file: ClassVar[str | None] = None  # JSON beside this file that a page loads only when its reader asks

    _presets: traitlets.List = traitlets.List().tag(sync=True)
    _initial = traitlets.Dict().tag(sync=True)
    _quantities = traitlets.Dict().tag(sync=True)
    _formula = traitlets.Unicode().tag(sync=True)
    _legend: traitlets.List = traitlets.List().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)
    _constants = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **options):
        run = [formula for law in getattr(cls, "laws", ()) for formula in law.formulas.values()]
        if idle := [formula.name for formula in getattr(cls, "shown", ()) if formula not in run]:
            raise ValueError(f"{cls.__name__} shows what none of its laws runs: {', '.join(idle)}")
        super().__init_subclass__(**options)

    def __init__(self, *, presets=(), name=None, **state):
        presets = tuple(presets)
        for preset in presets:
            if len(preset) != 3 or not all(isinstance(words, str) for words in preset[:2]):
                raise ValueError(f"each of presets must be a label, a sentence and changes; got {preset!r}")
        written = [name for cls in type(self).__mro__ for name in vars(cls)]  # traitlets sorts them by name
        quantities = self.traits(quantity=lambda metadata: metadata is not None)
        quantities = dict(sorted(quantities.items(), key=lambda item: written.index(item[0])))
        for given in (state, *(changes for _label, _sentence, changes in presets)):
            if unknown := set(given) - set(quantities):
                raise ValueError(
                    f"{type(self).__name__} takes {', '.join(quantities)}; got also {', '.join(sorted(unknown))}"
                )
        self.name = linked(self.kind if name is None else name)
        legend = _letters(self.shown)
        super().__init__(
            _quantities={key: trait.metadata["quantity"] for key, trait in quantities.items()},
            _formula=mathml(
                [(formula.letter, formula.expression) for formula in self.shown],
                {name for name, _letter, _meaning in legend},
                [formula.says for formula in self.shown],
            ),
            _legend=legend,
            _title=self.title,
            _constants=self.constants,
            **state,
        )
        counts = {key: len(getattr(self, key)) for key, trait in quantities.items() if trait.per_key}
        if counts and (len(set(counts.values())) > 1 or not 1 <= min(counts.values()) <= 16):
            raise ValueError(f"{' and '.join(counts)} must hold the same number, 1 to 16, of keys; got {counts}")
        self._initial = self.state()
        self._presets = [
            [label, sentence, {key: quantities[key].validate(self, value) for key, value in changes.items()}]
            for label, sentence, changes in presets
        ]

    def state(self) -> dict:
        """The inputs, by name."""
        return {key: getattr(self, key) for key in self._quantities}

    def results(self) -> dict:
        """What the picture shows, by the library: numbers and arrays, under the names that the front end gives them."""
        raise NotImplementedError

    def draw(self, *axes):
        """Draw the state on two matplotlib axes, for print and for pages without scripts."""
        raise NotImplementedError

    def describe(self) -> str:
        """The state and its results in words and numbers."""
        raise NotImplementedError

    def link(self) -> str:
        """The end of an address that opens the widget's page with the widget as it stands."""

        def written(value):
            if isinstance(value, tuple):
                return (";" if value and isinstance(value[0], tuple) else ",").join(map(written, value))
            return repr(value).removesuffix(".0")

        return f"#{self.name}?" + "&".join(f"{key}={written(value)}" for key, value in self.state().items())

    def _still(self) -> Figure:
        picture, axes = figures.figure(6.6, 3.4, 2)
        self.draw(*axes)
        return picture

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        picture = self._still()
        still = figures.svg(picture, f"{self.title}. {self.describe()}")
        data["text/html"] = self._host(
            {"id": self.name, "data-widget": self.kind, "data-name": self.name},
            [*self._quantities, *_PAGE_STATE, *self.page_data],
            f'<div class="attention-widget still">{still}<p><strong>{html.escape(self.title)}.</strong> '
            f"{html.escape(self.describe())}</p>"
            f'<div class="address" data-address="{html.escape(self.link())}"></div></div>',
        )
        data["image/svg+xml"] = still
        data["image/png"] = base64.b64encode(figures.png(picture)).decode()
        data[RECORD_TYPE] = [{"kind": "widget", "id": self.kind, "name": self.name}]
        data["text/plain"] = f"{self.title}. {self.describe()}"
        return data, metadata


_PAGE_STATE = ("_presets", "_initial", "_quantities", "_formula", "_legend", "_title", "_constants")


def show(number: float) -> str:
    """A number to four digits; to more where it would else pass for a whole number that it is not.

    >>> show(0.66524), show(0.99995), show(1.0), show(1e-7)
    ('0.6652', '0.99995', '1.0000', '1.000e-07')
    """
    if not np.isfinite(number) or 0 < abs(number) < 1e-3 or abs(number) >= 1e4:
        return f"{number:.3e}"
    usual = 4 if abs(number) < 10 else 2
    whole = (digits for digits in range(usual, 12) if not float(f"{number:.{digits}f}").is_integer())
    return f"{number:.{usual if float(number).is_integer() else next(whole, usual)}f}"


def by_key(numbers) -> str:
    """Each key's number, in words.

    >>> by_key([0.75, 0.25])
    'key 1 0.7500, key 2 0.2500'
    """
    return ", ".join(f"key {key} {show(number)}" for key, number in enumerate(numbers, 1))


def island_classes() -> dict[str, type[Island]]:
    """All that is live on the book's pages, by its kind."""
    classes = [*Widget.__subclasses__(), *(cls for cls in Island.__subclasses__() if cls is not Widget)]
    return {cls.kind: cls for cls in classes if cls.__module__.startswith(f"{__package__}.")}


def widget_classes() -> dict[str, type[Widget]]:
    """Of these the pictures, by their kind."""
    return {kind: cls for kind, cls in island_classes().items() if issubclass(cls, Widget)}


def static_files() -> dict[str, str]:
    """What a static site serves for its islands, by file name: one script each, a widget's data, one style sheet.

    Plain scripts, not modules or JSON: browsers load neither from a disk, where a lecturer's copy of the site may be.
    """
    frame = '(() => {{\n"use strict";\n{script}\n{starter}("{kind}", render);\n}})();\n'
    files = {
        f"{kind}.js": frame.format(script=_script(kind, cls.laws, cls.starter), starter=cls.starter, kind=kind)
        for kind, cls in island_classes().items()
    }
    for kind, cls in widget_classes().items():
        if cls.data_file:
            files[f"{kind}-data.js"] = f'(globalThis.attentionData ??= {{}})["{kind}"] = {_source(cls.data_file)};\n'
    return files | {"widget.css": _source("widget.css")}
