"""What every widget is made of: traits with ranges, laws printed from sympy, and one MIME bundle for every medium."""

import html
import json
import re
from importlib import resources
from typing import ClassVar

import anywidget
import numpy as np
import traitlets
from sympy.printing.mathml import MathMLPresentationPrinter

from attnlib import figures
from attnlib.codegen import JAVASCRIPT_LOOPS, Law, PositiveFirst


def _source(name: str) -> str:
    return resources.files("attnlib.widgets").joinpath(name).read_text("utf-8")


def _script(kind: str, laws: tuple[Law, ...]) -> str:
    """One script from the laws, what widgets share, and the widget's own part: live widgets cannot import files."""
    parts = [JAVASCRIPT_LOOPS, *(law.javascript() for law in laws), _source("shared.js"), _source(f"{kind}.js")]
    text = re.sub(r"^import .*\n", "", "\n".join(parts), flags=re.MULTILINE)
    return re.sub(r"^export (?=const |function )", "", text, flags=re.MULTILINE)


class _MathML(PositiveFirst, MathMLPresentationPrinter):
    """MathML in which every symbol says which one it is, so that picture and formula can mark each other."""

    def __init__(self, marked):
        super().__init__({"fold_short_frac": False})
        self._symbols = marked

    def _marked(self, node, symbol):
        if str(symbol) in self._symbols:
            node.setAttribute("data-symbol", str(symbol))
        return node

    def _print_Symbol(self, expr, style="plain"):
        return self._marked(super()._print_Symbol(expr, style), expr)

    def _print_Indexed(self, expr):
        node = self.dom.createElement("msub")
        node.appendChild(super()._print_Symbol(expr.base.label))
        row = self.dom.createElement("mrow")
        for index in expr.indices:
            row.appendChild(self._print(index))
        node.appendChild(row)
        return self._marked(node, expr.base.label)


def mathml(equations, marked=()) -> str:
    """Equations, pairs of a left and a right side, as MathML in which the symbols named in `marked` can be found."""
    printer = _MathML(marked)

    def one(left, right):
        text = "<mo>=</mo>".join(printer._print(side).toxml() for side in (left, right))
        text = text.replace("&ExponentialE;", "e").replace("&InvisibleTimes;", "\u2062")
        return f'<math display="block"><mrow>{text}</mrow></math>'

    return "".join(one(*pair) for pair in equations)


class Quantity(traitlets.TraitType):
    """A number, a list of numbers or a list of points, each within a range.  Arrays are welcome; lists are kept.

    A number whose step is its whole range is a switch: it is one end of the range or the other. The slider of a
    logarithmic number moves by powers of two; its step is in doublings. `symbol` is its symbol in the formula, where
    that is not its name.

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
    ):
        super().__init__(default)
        self.shape, self.per_key = np.shape(default), per_key
        quantity = {"low": low, "high": high, "step": step, "label": label, "dimensions": len(self.shape)}
        quantity |= ({"logarithmic": True} if logarithmic else {}) | ({"symbol": symbol} if symbol else {})
        self.tag(sync=True, quantity=quantity)

    def validate(self, obj, value):
        quantity = self.metadata["quantity"]
        low, high = quantity["low"], quantity["high"]
        try:
            array = np.asarray(value)
            array = array.astype(float) if array.dtype.kind in "biuf" else np.array(np.nan)  # no text that reads as one
        except (TypeError, ValueError):
            array = np.array(np.nan)
        # A widget's number of keys is settled when it is made: its marks are drawn once.
        count = (len(obj._initial[self.name]),) if self.per_key and obj._initial else array.shape[:1]
        shape = (*count, *self.shape[1:]) if self.per_key else self.shape
        switch = quantity["step"] == high - low and "logarithmic" not in quantity
        fits = (array == low) | (array == high) if switch else (array >= low) & (array <= high)
        if array.shape != shape or not fits.all():
            kind = ["a number", "numbers", "points"][len(self.shape)]
            size = f" of shape {shape}" if shape else ""
            reach = f"{low} or {high}" if switch else f"{kind}{size} within [{low}, {high}]"
            raise traitlets.TraitError(f"{self.name} must be {reach}; got {value!r}")
        return array.tolist()


class Widget(anywidget.AnyWidget):
    """The base of the book's widgets.

    A subclass names its kind (its front end is `kind.js`), its laws, title, formula and legend, declares its inputs as
    `Quantity` traits, and implements `draw` and `describe`.

    Parameters
    ----------
    presets : sequence of (label, sentence, changes)
        What to try: a button, what to see, and the inputs that differ from the widget's first state.
    name : str, optional
        The widget's name in links to its state; two widgets of one kind on a page need two names.
    **state
        The inputs.
    """

    kind: ClassVar[str]
    laws: ClassVar[tuple[Law, ...]]
    title: ClassVar[str]
    formula: ClassVar[tuple]
    legend: ClassVar[tuple]
    page_data: ClassVar[tuple] = ()  # further synced traits that a page without a kernel needs

    _presets = traitlets.List().tag(sync=True)
    _initial = traitlets.Dict().tag(sync=True)
    _quantities = traitlets.Dict().tag(sync=True)
    _formula = traitlets.Unicode().tag(sync=True)
    _legend = traitlets.List().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **options):
        if "kind" in vars(cls):  # not for the classes that traitlets makes of ours when it adds a trait
            cls._esm = _script(cls.kind, cls.laws) + "\nexport default { render };\n"
            cls._css = _source("widget.css")
        super().__init_subclass__(**options)

    def __init__(self, *, presets=(), name=None, **state):
        written = [name for cls in type(self).__mro__ for name in vars(cls)]  # traitlets sorts them by name
        quantities = self.traits(quantity=lambda metadata: metadata is not None)
        quantities = dict(sorted(quantities.items(), key=lambda item: written.index(item[0])))
        for given in (state, *(changes for _label, _sentence, changes in presets)):
            if unknown := set(given) - set(quantities):
                raise ValueError(
                    f"{type(self).__name__} takes {', '.join(quantities)}; got also {', '.join(sorted(unknown))}"
                )
        self.name = self.kind if name is None else name
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name, re.ASCII):
            raise ValueError(
                f"name must be letters, digits and hyphens, a letter first, for it is in links; got {name!r}"
            )
        super().__init__(
            _quantities={key: trait.metadata["quantity"] for key, trait in quantities.items()},
            _formula=mathml(self.formula, {symbol for symbol, _letter, _text in self.legend}),
            _legend=list(self.legend),
            _title=self.title,
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

    def draw(self, *axes):
        """Draw the state on two matplotlib axes, for print and for pages without scripts."""
        raise NotImplementedError

    def describe(self) -> str:
        """The state and its results in words and numbers."""
        raise NotImplementedError

    def _still(self) -> str:
        made, axes = figures.figure(6.6, 3.4, 2)
        self.draw(*axes)
        return figures.svg(made, f"{self.title}. {self.describe()}")

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        still = self._still()
        state = json.dumps(self.get_state([*self._quantities, *_PAGE_STATE, *self.page_data])).replace("<", r"\u003c")
        data["text/html"] = (
            f'<div class="attention-widget-host" id="{html.escape(self.name)}" data-widget="{self.kind}" '
            f'data-name="{html.escape(self.name)}"><div class="attention-widget still">{still}'
            f"<p>{html.escape(self.describe())}</p></div>"
            f'<script type="application/json">{state}</script></div>'
        )
        data["image/svg+xml"] = still
        data["text/plain"] = f"{self.title}. {self.describe()}"
        return data, metadata


_PAGE_STATE = ("_presets", "_initial", "_quantities", "_formula", "_legend", "_title")


def static_files() -> dict[str, str]:
    """What a static site serves for its widgets, by file name: one script a widget, one style sheet.

    Plain scripts, not modules: browsers load no module from a disk, where a lecturer's copy of the site may be.
    """
    frame = '(() => {{\n"use strict";\n{script}\nawaken("{kind}", render);\n}})();\n'
    files = {
        f"{cls.kind}.js": frame.format(script=_script(cls.kind, cls.laws), kind=cls.kind)
        for cls in Widget.__subclasses__()
    }
    return files | {"widget.css": _source("widget.css")}
