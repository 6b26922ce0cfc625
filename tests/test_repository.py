"""What the repository says of itself is true: its README, versions, pins, and what it stores."""

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import attnlib

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "binder/requirements.txt", "tests/requirements.txt")
CONSTRAINTS = "binder/constraints.txt"
# Modules that the folders hold themselves.
OWN = {"attnlib", "benchmarks", "sphinx_extensions"} | {
    path.stem for name in ("benchmarks", "tests") for path in (ROOT / name).glob("*.py")
}


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def lines(name: str) -> list[str]:
    """The lines of a requirements file without comments."""
    return [line for full in read(name).splitlines() if (line := full.split("#")[0].strip())]


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def stored() -> list[Path]:
    """The files that the repository keeps: all but what .gitignore names."""
    ignored = [".git", *(line.rstrip("/") for line in read(".gitignore").split())]
    paths = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        paths += [Path(folder, name) for name in files if not any(fnmatch(name, pattern) for pattern in ignored)]
    return paths


def test_readme_example_prints_what_it_says():
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", read("README.md"), re.DOTALL).groups()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue() == printed


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_what_exists(name):
    text = read(name)
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE)) <= targets
    paths = re.findall(r"\]\((?!http)([^)#]+)\)|`([\w.-]+/[\w./-]*)`", text)
    missing = [path for pair in paths for path in pair if path and not (ROOT / path).exists()]
    assert not [path for path in missing if not path.startswith("_build")]


def test_bare_make_lists_every_target():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.search(r"^\.PHONY: (.*)", read("Makefile"), re.MULTILINE)[1].split()) - {"chromium", "browsers"}
    assert set(re.findall(r"^make (\w+) +\S", listed, re.MULTILINE)) == targets


def test_versions_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    newest = re.search(r"^## \[(\d.*?)\] - (.*)", read("CHANGELOG.md"), re.MULTILINE)
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["version"] == citation["version"] == newest[1] == attnlib.__version__
    assert str(citation["date-released"]) == newest[2]
    assert project["license"] in citation["license"]
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"]
    assert all("name" in author for author in citation["authors"])
    assert "python-3.11" in read("binder/runtime.txt") and project["requires-python"] == ">=3.11"


def test_requirements_are_pinned():
    constraints = {normal(name): version for name, version in (line.split("==") for line in lines(CONSTRAINTS))}
    assert not {"torch", "attnlib", "pip", "setuptools"} & constraints.keys()
    for name in REQUIREMENTS:
        for line in lines(name):
            if not line.startswith("-"):
                package, version = line.split("==")
                assert constraints.get(normal(package), version) == version, f"{name} and {CONSTRAINTS}: {package}"
    hook = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["rev"]
    assert f"ruff=={hook.removeprefix('v')}" in lines("tests/requirements.txt")


@pytest.mark.parametrize("folder", ["attnlib", "benchmarks", "chapters", "sphinx_extensions", "tests"])
def test_every_package_imported_is_required(folder):
    code = [path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py")]
    for chapter in (ROOT / folder).glob("*.md"):
        cells = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", chapter.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        code += [re.sub(r"\A---\n.*?^---\n|^:.*\n", "", cell, flags=re.DOTALL | re.MULTILINE) for cell in cells]
    imported = set()
    for node in (node for text in code for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    required = {normal(line.split("==")[0]) for name in REQUIREMENTS for line in lines(name)}
    project = tomllib.loads(read("pyproject.toml"))["project"]
    required |= {normal(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    distributions = packages_distributions()
    for module in sorted(imported - OWN - set(sys.stdlib_module_names)):
        assert required & set(map(normal, distributions.get(module, [module]))), f"{module} is not in the requirements"


def test_no_stored_file_is_large():
    assert {
        path.relative_to(ROOT).as_posix() for path in stored() if path.stat().st_size > 700_000
    } == set()  # the largest: what 270 heads do


def test_no_line_of_a_script_is_long():
    scripts = {path.relative_to(ROOT).as_posix(): read(path).splitlines() for path in stored() if path.suffix == ".js"}
    assert scripts
    assert not [
        (name, number) for name, code in scripts.items() for number, line in enumerate(code, 1) if len(line) > 120
    ]


def test_chapters_are_text_without_outputs():
    assert not [path for path in stored() if path.suffix == ".ipynb"]


def test_benchmark_prints_a_table_and_keeps_other_machines_records(tmp_path):
    other = {"method": "torch cuda", "dtype": "float32", "seconds": 1.0}
    path = tmp_path / "length.json"
    path.write_text(json.dumps({"rates": [], "points": [other, {"method": "numpy naive", "dtype": "float32"}]}))
    command = [sys.executable, "benchmarks/length.py", "64", "128", "--record", path]
    table = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(re.findall(r"float32 .* (64|128) ", table)) == (6 if "cuda" not in table else 10)
    assert len(re.findall(r"^ +1 +(64|128)( +[\d.]+){5}$", table, re.M)) == 2  # with one core, against five lines
    kept = json.loads(path.read_text())
    assert {rate["library"] for rate in kept["rates"]} >= {"numpy", "torch cpu"}
    assert kept["points"][0] == other or "torch cuda" in table
    assert [point["length"] for point in kept["points"] if point["method"] == "numpy naive"] == [64, 128]
