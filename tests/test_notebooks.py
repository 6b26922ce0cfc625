"""The site's notebooks are plain, say what its pages say, and run where there is nothing but a kernel."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import attnlib
from sphinx_extensions.notebooks import WHEEL, install

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(p.stem for p in (ROOT / "chapters").glob("*.md") if "\nkernelspec:" in p.read_text("utf-8"))
# What is there before the first cell: a kernel; with it, on Colab, an old ipywidgets, and here the classic notebook.
THERE = {"ipywidgets 8": ["ipykernel"], "ipywidgets 7": ["ipykernel", "ipywidgets==7.7.1", "nbclassic==1.3.3"]}


@pytest.fixture(scope="module")
def notebooks(site) -> dict:
    """The notebooks, by the names of their chapters."""
    found = {path.stem: nbformat.read(path, as_version=4) for path in (site / "notebooks").glob("*.ipynb")}
    assert sorted(found) == CHAPTERS
    return found


def outside(**more) -> dict:
    """The environment without what the caller's own would add to Python or Jupyter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return kept | more


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module", params=THERE)
def place(request, tmp_path_factory, site, server):
    """A folder with an environment, `venv`, in which the notebooks' first cell has been run; `said` is what it said."""
    folder = tmp_path_factory.mktemp("anywhere")
    pins = (ROOT / "binder/constraints.txt").read_text("utf-8")
    if request.param == "ipywidgets 7":
        pins = re.sub(r"^(ipywidgets|jupyterlab_widgets|widgetsnbextension)==.*\n", "", pins, flags=re.MULTILINE)
    (folder / "pins.txt").write_text(pins)
    environment = outside(PIP_CONSTRAINT=str(folder / "pins.txt"))
    python = folder / "venv/bin/python"
    run(sys.executable, "-m", "venv", folder / "venv", check=True)
    made = run(python, "-m", "pip", "install", "--quiet", *THERE[request.param], env=environment)
    assert not made.returncode, made.stderr
    if request.param == "ipywidgets 8":  # from beside the notebook
        (folder / WHEEL).symlink_to(site / "notebooks" / WHEEL)
        first = install("")
    else:
        first = install(server)
    done = run(python, "-c", first, env=environment, cwd=folder)
    assert not done.returncode, done.stderr
    (folder / "said").write_text(done.stdout)
    kernel = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "", "language": "python"}
    (folder / "kernels/here").mkdir(parents=True)
    (folder / "kernels/here/kernel.json").write_text(json.dumps(kernel))
    return folder


@pytest.fixture(scope="module")
def failures(place, notebooks):
    """Run all notebooks, two at a time; the value is what each run failed with, by the notebook's name."""

    def execute(notebook):
        specs = KernelSpecManager(kernel_dirs=[str(place / "kernels")])
        manager = AsyncKernelManager(kernel_name="here", kernel_spec_manager=specs)
        try:
            client = NotebookClient(notebook, km=manager, resources={"metadata": {"path": place}})
            client.execute(env=outside())
        except Exception as error:  # which its test shows
            return error

    with ThreadPoolExecutor(2) as pool:
        copies = [nbformat.from_dict(notebooks[name]) for name in CHAPTERS]
        return dict(zip(CHAPTERS, pool.map(execute, copies), strict=True))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_runs_with_what_its_first_cell_installs(failures, chapter):
    assert failures[chapter] is None


def test_there_is_nothing_else(place):
    said = (place / "said").read_text()
    assert said.startswith(f"attnlib {attnlib.__version__} is installed now, from ") and said.count("\n") == 1
    listed = run(place / "venv/bin/python", "-m", "pip", "list", "--format=json").stdout
    versions = {package["name"].lower(): package["version"] for package in json.loads(listed)}
    assert not versions.keys() & {"torch", "jupyter-book", "entmax"}
    assert versions["attnlib"] == attnlib.__version__
    assert versions["ipywidgets"] == "7.7.1" if "nbclassic" in versions else versions["ipywidgets"] > "8"
