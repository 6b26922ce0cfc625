"""One formula, four engines: NumPy, torch (with autograd), mpmath at any precision, and JavaScript.

The printers are sympy's own.  This module adds what they lack: sums over a symbolic number of keys, indices that start
at one on the page and at zero in memory, and subexpressions shared across such sums.
"""

import functools
import keyword
import math
import re
from collections.abc import Callable, Sequence
from importlib import resources
from textwrap import indent

import sympy as sp
from sympy.printing.jscode import JavascriptCodePrinter
from sympy.printing.numpy import NumPyPrinter
from sympy.printing.pycode import MpmathPrinter

from attnlib.formulas import Formula
from attnlib.printing import PositiveFirst

JAVASCRIPT_LOOPS = """\
const list = (first, last, term) => Array.from({ length: last - first + 1 }, (_, offset) => term(first + offset));
const sum = (first, last, term) => { let all = 0; for (let i = first; i <= last; i++) all += term(i); return all; };
"""


# What the generated code needs itself, in either language: words of JavaScript, and the names that stand beside a law.
_JAVASCRIPT_WORDS = frozenset(
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends "
    "false finally for function if implements import in instanceof interface let new null package private protected "
    "public return static super switch this throw true try typeof undefined var void while with yield Infinity NaN "
    "Array Math".split()
)
_PYTHON_NAMES = frozenset([*keyword.kwlist, *"abs functools masked_log math max min mpmath numpy range torch".split()])
_LOCAL = re.compile(r"sum\d+|_each_\d+|_index_\d+|[A-Za-z]+_\d+")  # names that `_assemble` gives


@functools.cache
def _names_beside_laws() -> frozenset[str]:
    """What `shared.js` and the loops declare: a law stands beside them in one script."""
    shared = resources.files("attnlib").joinpath("widgets/shared.js").read_text("utf-8")
    return declared_names(shared + "\n" + JAVASCRIPT_LOOPS)


def declared_names(script: str) -> frozenset[str]:
    """The names that a script declares outside all functions.

    >>> sorted(declared_names("const a = 1;\\nexport function b() {\\n  const c = 2;\\n}"))
    ['a', 'b']
    """
    return frozenset(re.findall(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", script, re.MULTILINE))


class _FromOne(PositiveFirst):
    """Prints an index that starts at one as an offset that starts at zero, and a sum as a loop."""

    def _print_Indexed(self, expr):
        return self._print(expr.base.label) + "".join(f"[{self._print(index - 1)}]" for index in expr.indices)

    def _print_Sum(self, expr):
        body, *limits = expr.args
        text = self._print(body)
        for index, first, last in limits:
            text = self.sum_loop.format(text=text, index=index, first=self._print(first), last=self._print(last))
        return text


class _Python(_FromOne):
    sum_loop = "sum({text} for {index} in range({first}, {last} + 1))"
    list_loop = "[{text} for {index} in range({first}, {last} + 1)]"


class _NumPy(_Python, NumPyPrinter):
    def _print_LogOrZero(self, expr):
        text = self._print(expr.args[0])
        return f"(numpy.log({text}) if {text} > 0 else 0.0)"


class _Mpmath(_Python, MpmathPrinter):
    def _print_LogOrZero(self, expr):
        text = self._print(expr.args[0])
        return f"(mpmath.log({text}) if {text} > 0 else mpmath.mpf(0))"


class _Numbers:
    """torch, with plain numbers welcome where it wants tensors: constants, counts and indices are plain."""

    def __init__(self, torch):
        self._torch = torch

    def __getattr__(self, name):
        function = getattr(self._torch, name)
        return lambda *values: function(*map(self.tensor, values))

    def tensor(self, value):
        return self._torch.as_tensor(value, dtype=getattr(value, "dtype", self._torch.float64))

    def stack(self, values):
        return self._torch.stack([self.tensor(value) for value in values])


class _JavaScript(_FromOne, JavascriptCodePrinter):
    sum_loop = "sum({first}, {last}, ({index}) => {text})"
    list_loop = "list({first}, {last}, ({index}) => {text})"

    def _print_KroneckerDelta(self, expr):
        return "({} === {} ? 1 : 0)".format(*map(self._print, expr.args))

    def _print_LogOrZero(self, expr):
        text = self._print(expr.args[0])
        return f"({text} > 0 ? Math.log({text}) : 0)"


def _with_names(expr: sp.Expr) -> sp.Expr:
    """The expression with names that code can hold for bound indices that have none."""
    bound = {limit[0] for total in expr.atoms(sp.Sum, sp.Product) for limit in total.limits}
    dummies = sorted((index for index in bound if isinstance(index, sp.Dummy)), key=lambda index: index.dummy_index)
    return expr.xreplace({index: sp.Symbol(f"_index_{place}", integer=True) for place, index in enumerate(dummies)})


class Law:
    """One formula, or several with the same arguments, that every engine can run.

    Parameters
    ----------
    name : str
        The function's name in the generated code.
    arguments : sequence of Symbol or IndexedBase
        Its arguments, in order; an `IndexedBase` is an array (nested lists in JavaScript) whose indices start at one in
        the formulas.
    **results : Formula
        What it returns under which name: a number, or for a formula with an index a list over the index's range.

    Raises
    ------
    ValueError
        If a formula uses a letter that is neither an argument nor bound by a sum or a list, or if the law, an argument
        or a result has a name that the generated code needs.

    Examples
    --------
    >>> from attnlib.formulas import alpha, n, s
    >>> from attnlib.formulas.layer import weight
    >>> law = Law("softmax", (alpha, n, s), weights=weight)
    >>> law.numpy()(0.5, 2, [0.0, 0.0])["weights"]  # equal scores, equal weights
    array([0.5, 0.5])
    """

    def __init__(self, name: str, arguments: Sequence[sp.Symbol | sp.IndexedBase], **results: Formula):
        self.name = name
        self.arguments = tuple(arguments)
        self.formulas = results
        self.results: dict[str, tuple[sp.Expr, tuple]] = {}
        for key, formula in results.items():
            if len(formula.indices) > 1:
                raise ValueError(f"result {key!r} of law {name!r} must have at most one index; got {formula.indices}")
            limits = [(index, index.first, index.last) for index in formula.indices]
            self.results[key] = (_with_names(formula.runs), limits[0] if limits else ())
        self._check_names()
        known = {argument.label if isinstance(argument, sp.IndexedBase) else argument for argument in self.arguments}
        for key, (expr, limit) in self.results.items():
            used = expr.free_symbols.union(*(sp.sympify(end).free_symbols for end in limit[1:]))
            free = {symbol for symbol in used if not isinstance(symbol, sp.Indexed | sp.IndexedBase)}
            if unknown := free - known - set(limit[:1]):
                raise ValueError(f"result {key!r} of law {name!r} must use its arguments only; got also {unknown}")

    def _check_names(self) -> None:
        arguments = [str(argument) for argument in self.arguments]
        indices: set[str] = set()
        for expr, limit in self.results.values():
            bound = {part[0] for total in expr.atoms(sp.Sum, sp.Product) for part in total.limits} | set(limit[:1])
            if len(own := {str(index) for index in bound}) < len(bound):
                raise ValueError(f"law {self.name!r} must have a name for each index; got fewer: {sorted(own)}")
            indices |= own
        reserved = _JAVASCRIPT_WORDS | _PYTHON_NAMES | _names_beside_laws()
        for kind, names, others in (
            ("law", [self.name], {*arguments, *indices}),
            ("argument", arguments, {*indices, *self.results, self.name}),
            ("result", list(self.results), set()),
            ("index", [name for name in indices if not name.startswith("_index_")], set()),
        ):
            for given in names:
                free = given.isidentifier() and not _LOCAL.fullmatch(given)
                if not free or given in reserved | others or names.count(given) > 1:
                    raise ValueError(
                        f"{kind} of law {self.name!r} must have a name of its own that its code does not need; "
                        f"got {given!r}"
                    )

    def _assemble(self, printer, assign: str, each: Callable[..., str]) -> tuple[list[str], dict[str, str]]:
        """Statements, and the text of every result after them.

        A sum is computed once when no list index reaches into it; what remains goes through sympy's `cse`.
        """
        hoisted: dict[sp.Sum, sp.Symbol] = {}

        def hoist(expr, index):
            if isinstance(expr, sp.Sum):
                if index in expr.free_symbols:
                    return expr
                return hoisted.setdefault(expr, sp.Symbol(f"sum{len(hoisted)}"))
            return expr.func(*(hoist(part, index) for part in expr.args)) if expr.args else expr

        reduced = {
            key: (hoist(expr, limit[0] if limit else None), limit) for key, (expr, limit) in self.results.items()
        }
        statements = [assign.format(name=name, text=printer.doprint(part)) for part, name in hoisted.items()]
        texts = {}
        for key, (expr, limit) in reduced.items():
            bound = {part: sp.Dummy() for part in expr.atoms(sp.Sum)}  # `cse` would reach under a sum's own index
            unbound = {name: part for part, name in bound.items()}
            shared, (last,) = sp.cse(expr.xreplace(bound), symbols=sp.numbered_symbols(f"{key}_"))
            lines = [assign.format(name=name, text=printer.doprint(part.xreplace(unbound))) for name, part in shared]
            text = printer.doprint(last.xreplace(unbound))
            texts[key] = each("\n".join(lines), text, limit) if limit else text
            if not limit:
                statements += lines
        return statements, texts

    def _python(self, printer, wrap: str, namespace: dict) -> Callable:
        inner: list[str] = []

        def each(lines, text, limit):
            index, first, last = limit
            name = f"_each_{len(inner)}"
            inner.append(f"def {name}({index}):\n" + indent(f"{lines}\nreturn {text}".lstrip("\n"), "    "))
            loop = _Python.list_loop.format(
                text=f"{name}({index})",
                index=index,
                first=printer.doprint(sp.sympify(first)),
                last=printer.doprint(last),
            )
            return wrap.format(loop)

        statements, texts = self._assemble(printer, "{name} = {text}", each)
        names = [str(argument) for argument in self.arguments]
        returned = ", ".join(f"{key!r}: {text}" for key, text in texts.items())
        body = "\n".join([*statements, *inner, f"return {{{returned}}}"])
        exec(f"def {self.name}({', '.join(names)}):\n{indent(body, '    ')}", namespace)
        return namespace[self.name]

    def numpy(self) -> Callable[..., dict]:
        """The law as a NumPy function: arrays in, a dict of arrays and numbers out."""
        import numpy

        return self._python(_NumPy(), "numpy.array({})", {"numpy": numpy, "functools": functools, "math": math})

    def torch(self) -> Callable[..., dict]:
        """The law as a torch function on tensors; gradients flow through it."""
        import torch
        from sympy.printing.pytorch import TorchPrinter  # which imports torch, so not before it is asked for

        class Printer(_Python, TorchPrinter):
            def _print_Pow(self, expr):
                # TorchPrinter's sqrt wants a tensor; a power takes the numbers that occur in constants too.
                exponent = float(expr.exp) if expr.exp.is_Number else self._print(expr.exp)
                return f"({self._print(expr.base)})**({exponent})"

            def _print_LogOrZero(self, expr):
                return f"masked_log({self._print(expr.args[0])})"

        def masked_log(number):
            number = numbers.tensor(number)
            return torch.where(number > 0, number, 1).log()

        numbers = _Numbers(torch)
        function = self._python(
            Printer(), "torch.stack({})", {"torch": numbers, "math": math, "masked_log": masked_log}
        )
        arrays = [isinstance(argument, sp.IndexedBase) for argument in self.arguments]

        def evaluate(*values):
            given = (numbers.tensor(v) if array else v for v, array in zip(values, arrays, strict=True))
            return {key: numbers.tensor(value) for key, value in function(*given).items()}

        return evaluate

    def mpmath(self, digits: int = 50) -> Callable[..., dict]:
        """The law at `digits` decimal digits: the judge of the other three."""
        import mpmath

        function = self._python(_Mpmath(), "{}", {"mpmath": mpmath})

        def exactly(value):
            return (
                value
                if isinstance(value, int)
                else ([exactly(part) for part in value] if hasattr(value, "__len__") else mpmath.mpf(float(value)))
            )

        def evaluate(*values):
            with mpmath.workdps(digits):
                return function(*map(exactly, values))

        return evaluate

    def javascript(self) -> str:
        """The law as an exported JavaScript function; prepend `JAVASCRIPT_LOOPS` once to a module of laws.

        >>> from attnlib.formulas import alpha, kappa, n, s
        >>> from attnlib.formulas.likelihood import pooled_precision
        >>> print(Law("pooled", (alpha, kappa, n, s), precision=pooled_precision).javascript())
        export function pooled(alpha, kappa, n, s) {
          const sum0 = sum(1, n, (j) => Math.exp(alpha*s[j - 1]));
          return { precision: kappa*sum0 };
        }
        """
        printer = _JavaScript()

        def each(lines, text, limit):
            index, first, last = limit
            block = text if not lines else "{\n" + indent(f"{lines}\nreturn {text};", "  ") + "\n}"
            return printer.list_loop.format(text=block, index=index, first=first, last=printer.doprint(last))

        statements, texts = self._assemble(printer, "const {name} = {text};", each)
        returned = ", ".join(f"{key}: {text}" for key, text in texts.items())
        body = "\n".join([*statements, f"return {{ {returned} }};"])
        arguments = ", ".join(str(argument) for argument in self.arguments)
        return f"export function {self.name}({arguments}) {{\n{indent(body, '  ')}\n}}"
