"""Importing attnlib imports NumPy and array_api_compat, and no framework on the caller's behalf."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import attnlib

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"torch", "sympy", "scipy", "matplotlib", "ipywidgets", "anywidget"}


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that the code adds to a fresh process, the standard library's apart."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nnew = set(sys.modules) - before\n"
    script += "import json; print(json.dumps(sorted({name.split('.')[0] for name in new})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "module", ["attnlib", *(f"attnlib.{name}" for name in ("layer", "likelihood", "beyond", "heads"))]
)
def test_import_loads_numpy_and_array_api_compat_alone(module):
    assert imported_by(f"import {module}") == {"attnlib", "numpy", "array_api_compat"}


def test_use_with_numpy_loads_no_framework():
    code = """if True:
        import numpy, attnlib, attnlib.likelihood
        x = numpy.ones((2, 3))
        attnlib.attention(x, x, x, causal=True), attnlib.streaming_attention(x, x, x), attnlib.softmax([1, 2])
        estimate = attnlib.likelihood.estimate(x, [1, 2])
        attnlib.likelihood.pool(estimate, estimate)"""
    assert not imported_by(code) & {*FRAMEWORKS, "threadpoolctl"}


def test_threads_are_looked_after_once_there_is_work_for_several():
    code = "import numpy, attnlib; x = numpy.ones((2048, 2)); attnlib.attention(x, x, x)"
    assert imported_by(code) & {*FRAMEWORKS, "threadpoolctl"} == {"threadpoolctl"}


def test_derivations_and_widgets_import_no_torch():
    assert "torch" not in imported_by("import attnlib.derive, attnlib.codegen, attnlib.widgets")


def test_the_prover_is_one_file_that_needs_sympy_alone():
    load = "spec = importlib.util.spec_from_file_location('proof', 'attnlib/proof.py')"
    code = f"import importlib.util; {load}; module = importlib.util.module_from_spec(spec)"
    code += "; sys.modules['proof'] = module; spec.loader.exec_module(module)"
    code += "; import sympy; n = sympy.Symbol('n', integer=True, positive=True); j = module.Index('j', n)"
    code += "; assert isinstance(module.prove(sympy.Sum(1, (j, 1, n)), n), module.Proved)"
    assert imported_by(code) - {"proof"} <= {"sympy", "mpmath", "gmpy2", "flint"}


def test_the_probe_sees_a_framework_that_is_imported():
    assert "scipy" in imported_by("import attnlib, scipy")


def test_front_door():
    assert (ROOT / "attnlib" / "__init__.py").stat().st_size < 500
    assert sorted(attnlib.__all__) == ["attention", "scores", "softmax", "streaming_attention"]
    assert attnlib.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in attnlib.__all__:
        assert getattr(attnlib, name) is getattr(attnlib.layer, name)
