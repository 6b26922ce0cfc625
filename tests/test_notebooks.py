"""The site's notebooks say what its pages say, in what every viewer reads, and run where there is a kernel alone."""

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from playwright.sync_api import expect
from servers import serving, settings, settled

import attnlib
from sphinx_extensions import notebooks as extension
from sphinx_extensions.notebooks import WHEEL, install

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(p.stem for p in (ROOT / "chapters").glob("*.md") if "\nkernelspec:" in p.read_text("utf-8"))
# What is there before a notebook: a kernel, and with it, as on Colab, an old ipywidgets; here the classic notebook too.
THERE = {"ipywidgets 8": ["ipykernel"], "ipywidgets 7": ["ipykernel", "ipywidgets==7.7.1", "nbclassic==1.3.3"]}


# ---- what they say ----


@pytest.fixture(scope="module")
def notebooks(site) -> dict:
    """The notebooks, by the names of their chapters."""
    found = {path.stem: nbformat.read(path, as_version=4) for path in (site / "notebooks").glob("*.ipynb")}
    assert sorted(found) == CHAPTERS
    return found


@pytest.fixture(scope="module")
def pages(site) -> dict:
    """The site's chapters, by name."""
    return {path.stem: BeautifulSoup(path.read_bytes(), "html.parser") for path in (site / "chapters").glob("*.html")}


def written(notebook) -> str:
    """All Markdown of a notebook: its own, and what its cells gave."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n\n".join(texts + [data["text/markdown"] for data in outputs if "text/markdown" in data])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_is_plain(notebooks, chapter):
    notebook = notebooks[chapter]
    nbformat.validate(notebook)
    text = written(notebook)
    assert not re.findall(
        r"\{[\w:.]+\}`|^ *(?::::|```\{|\([\w-]+\)=)|<script|<svg|attention-widget", text, re.MULTILINE
    )
    here = [f"{folder}{os.sep}" for folder in (Path.home(), tempfile.gettempdir(), ROOT, sys.prefix)]
    assert not [path for path in (*here, "--index-url") if path in nbformat.writes(notebook)]
    assert not re.findall(r"https?://", "".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert {kind for output in outputs for kind in output.get("data", ())} <= {
        "text/plain",
        "text/markdown",
        "image/png",
    }
    assert not any(output.output_type == "error" for output in outputs)
    assert len(nbformat.writes(notebook)) < 400_000


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_formulas_are_left_to_the_viewer(notebooks, chapter):
    """Each is one line between its own marks, and has nothing that Markdown or HTML would read."""
    text = re.sub(r"`[^`]*`", "", written(notebooks[chapter]))
    bare = re.sub(r"(?<!\\)(\$\$?)[^$]+?\1", "", text)
    assert "$" not in bare.replace("\\$", "")
    formulas = [formula for _, formula in re.findall(r"(?<!\\)(\$\$?)([^$]+?)\1", text)]
    assert (formulas or chapter == "index") and not [one for one in formulas if re.search(r"[<>|\n]|^ | $", one)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_box_is_there_with_the_number_of_the_page(notebooks, pages, chapter):
    titles = [" ".join(title.get_text(" ").split()) for title in pages[chapter].select(".admonition-title")]
    numbered = [re.match(r"(?:Theorem|Definition|Exercise) \d+|Solution to Exercise \d+", title) for title in titles]
    there = (
        r"^(?:> )?\*\*((?:Theorem|Definition|Exercise) \d+)\*\*|<summary><b>(Solution to Exercise \d+)(?!.*continued)"
    )
    text = "\n\n".join(cell.source for cell in notebooks[chapter].cells if cell.cell_type == "markdown")
    assert [a or b for a, b in re.findall(there, text, re.MULTILINE)] == [match[0] for match in numbered if match]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_link_leads_to_a_place_of_the_site(notebooks, pages, site, chapter):
    text = written(notebooks[chapter])
    links = re.findall(r"\]\(([^)\s]+)\)|href=\"([^\"]+)\"", text)
    links = [unescape(markdown or html) for markdown, html in links]
    assert links and not [link for link in links if not link.startswith(("../", "https://"))]
    for path, sign, anchor in (link.partition("#") for link in links if link.startswith("../")):
        assert (site / "notebooks" / path).is_file(), path
        assert not sign or pages[Path(path).stem].find(id=anchor.partition("?")[0]), f"{path}#{anchor}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_heading_and_figure_is_there(notebooks, pages, chapter):
    text = "\n\n".join(cell.source for cell in notebooks[chapter].cells if cell.cell_type == "markdown")
    headings = pages[chapter].select("article :is(h1, h2, h3)")
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) == len(headings)
    figures = [caption.get_text().strip() for caption in pages[chapter].select("article figcaption .caption-number")]
    assert re.findall(r"^\*\*(Fig\. \d+)\.\*\*", text, re.MULTILINE) == figures


def test_a_solution_is_folded_and_runs(notebooks):
    cells = [
        cell for cell in notebooks["02-likelihood"].cells if cell.source.startswith("# @title Solution to Exercise")
    ]
    assert len(cells) >= 9
    for cell in cells:
        assert cell.cell_type == "code" and cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}


def test_the_wheel_is_made_alike_again(site, tmp_path):
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html"))
    extension.place(app, None)
    assert (tmp_path / "notebooks" / WHEEL).read_bytes() == (site / "notebooks" / WHEEL).read_bytes()


# ---- where they are offered ----


def offered(repository):
    """The links that a chapter's page has in its menus, by their labels or names."""
    context = {
        "pathto": lambda path, _: f"../{path}",
        "header_buttons": [
            {
                "label": "download-buttons",
                "buttons": [{"label": "download-notebook-button", "url": "_sources/01.ipynb"}],
            },
            *([{"label": "launch-buttons", "buttons": [{"text": "Binder", "url": "b"}]}] * bool(repository)),
        ],
    }
    app = SimpleNamespace(
        env=SimpleNamespace(metadata={"chapters/01-layer": {"kernelspec": {}}}),
        config=SimpleNamespace(html_theme_options={"repository_url": repository} if repository else {}),
    )
    extension.add_buttons(app, "chapters/01-layer", None, context, None)
    buttons = [button for group in context["header_buttons"] for button in group["buttons"]]
    return {button.get("text", button.get("label")): button["url"] for button in buttons}


def test_a_page_offers_its_notebook_and_on_github_colab_and_binder():
    assert offered("") == {"download-notebook-button": "../notebooks/01-layer.ipynb"}
    assert "Colab" not in offered("https://gitlab.com/reader/book")
    colab = "https://colab.research.google.com/github/reader/book/blob/notebooks/01-layer.ipynb"
    assert offered("https://github.com/reader/book") == {
        "download-notebook-button": "../notebooks/01-layer.ipynb",
        "Binder": "b",
        "Colab": colab,
    }


# ---- where they run ----


def run(*command, **options) -> subprocess.CompletedProcess:
    """Run a command without what the caller's own environment would add to Python or Jupyter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    environment = kept | options.pop("env", {})
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="module", params=THERE)
def place(request, tmp_path_factory, site, server):
    """A folder with an environment, `venv`, in which one first cell has been run; `said` is what it said."""
    folder = tmp_path_factory.mktemp("anywhere")
    pins = (ROOT / "binder/constraints.txt").read_text("utf-8")
    if request.param == "ipywidgets 7":
        pins = re.sub(r"^(ipywidgets|jupyterlab_widgets|widgetsnbextension)==.*\n", "", pins, flags=re.MULTILINE)
    (folder / "pins.txt").write_text(pins)
    pinned, python = {"PIP_CONSTRAINT": str(folder / "pins.txt")}, folder / "venv/bin/python"
    run(sys.executable, "-m", "venv", folder / "venv", check=True)
    made = run(python, "-m", "pip", "install", "--quiet", *THERE[request.param], env=pinned)
    assert not made.returncode, made.stderr
    if request.param == "ipywidgets 8":  # the wheel lies beside the notebook; else it is fetched from the site
        (folder / WHEEL).symlink_to(site / "notebooks" / WHEEL)
    done = run(python, "-c", install("" if request.param == "ipywidgets 8" else server), env=pinned, cwd=folder)
    assert not done.returncode, done.stderr
    (folder / "said").write_text(done.stdout)
    kernel = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    (folder / "kernels/here").mkdir(parents=True)
    (folder / "kernels/here/kernel.json").write_text(json.dumps(kernel | {"display_name": "here"}))
    return folder


@pytest.fixture(scope="module")
def failures(place, notebooks):
    """Run all notebooks, two at a time; the value is what each run failed with, by the notebook's name."""

    def execute(name):
        specs = KernelSpecManager(kernel_dirs=[str(place / "kernels")])
        manager = AsyncKernelManager(kernel_name="here", kernel_spec_manager=specs)
        notebook = nbformat.reads(nbformat.writes(notebooks[name]), as_version=4)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        try:
            client = NotebookClient(notebook, km=manager, resources={"metadata": {"path": place}})
            client.owns_km = True  # and so ends its kernel
            client.execute(env=kept)
        except Exception as error:  # which its test shows
            return error
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        return None if " is here" in first.outputs[0].text else first.outputs

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CHAPTERS, pool.map(execute, CHAPTERS), strict=True))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_runs_with_what_a_first_cell_installs(failures, chapter):
    assert failures[chapter] is None


def test_a_first_cell_installs_the_library_and_no_more(place):
    said = (place / "said").read_text()
    assert said.startswith(f"attnlib {attnlib.__version__} is installed now, from ") and said.count("\n") == 1
    listed = json.loads(run(place / "venv/bin/python", "-m", "pip", "list", "--format=json").stdout)
    versions = {package["name"].lower(): package["version"] for package in listed}
    assert versions["attnlib"] == attnlib.__version__
    assert not versions.keys() & {"torch", "jupyter-book", "myst-nb", "entmax"}
    assert versions["ipywidgets"] == "7.7.1" if "nbclassic" in versions else versions["ipywidgets"] > "8"


def test_a_first_cell_says_what_is_missing(tmp_path):
    """Without the wheel, and where no site is known; -S leaves out what is installed here."""
    done = run(sys.executable, "-S", "-c", install(""), cwd=tmp_path)
    assert f"FileNotFoundError: put {WHEEL}" in done.stderr


COLAB = """
import sys
import tempfile
from types import ModuleType, SimpleNamespace

output = ModuleType("google.colab.output")
asked = []
output.enable_custom_widget_manager = lambda: asked.append(True)
output._widgets = SimpleNamespace(_installed_url="https://manager")
sys.modules |= {name: ModuleType(name) for name in ("google", "google.colab")} | {"google.colab.output": output}

from attnlib.derive import Derivation
from attnlib.formulas import alpha, i, s
from attnlib.widgets import Answer, QueryPlane, YourTurn
import sympy as sp

proof = Derivation(sp.Derivative(sp.exp(alpha * s[i]), s[i])).step(alpha * sp.exp(alpha * s[i]), "the chain rule")
kind = "application/vnd.jupyter.widget-view+json"
for widget in (QueryPlane(), YourTurn("slope", proof), Answer("ex", 1.0, ask="it", tolerance=0.1)):
    data, metadata = widget._repr_mimebundle_()
    assert kind in data and metadata[kind] == {"colab": {"custom_widget_manager": {"url": "https://manager"}}}
assert asked
assert proof._repr_html_() is None and "the chain rule *✓ proved*" in proof._repr_markdown_()
"""


def test_colab_gets_its_widget_manager_and_proofs_in_markdown():
    done = run(sys.executable, "-c", COLAB, env={"PYTHONPATH": str(ROOT)})
    assert not done.returncode, done.stderr


def test_the_classic_notebook_shares_a_widget_with_python(place, site, browser):
    if not (place / "venv/bin/jupyter-nbclassic").exists():
        pytest.skip("it is in the other environment")
    (place / "02-likelihood.ipynb").write_bytes((site / "notebooks/02-likelihood.ipynb").read_bytes())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    environment = kept | settings(place) | {"PATH": f"{place / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    with serving(place, place, [place / "venv/bin/python", "-m", "nbclassic"], environment) as running:
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        tab.goto(f"{running['url']}nbclassic/notebooks/02-likelihood.ipynb?token={running['token']}")
        tab.wait_for_function("window.Jupyter?.notebook?.kernel?.is_connected()")
        assert tab.locator("div.output_png img").count() >= 1, "before anything is run"
        tab.evaluate("Jupyter.notebook.execute_cell_range(0, 6)")
        slider = tab.locator('div.attention-widget.live input[data-symbol="alpha"]').first
        expect(slider).to_have_value("1", timeout=60_000)
        slider.press("ArrowRight")
        moved = float(slider.input_value())
        tab.evaluate("Jupyter.notebook.insert_cell_at_bottom('code').set_text('print(fusion.alpha)')")
        assert moved > 1

        def asked():
            tab.evaluate(
                "Jupyter.notebook.execute_cell_range(Jupyter.notebook.ncells() - 1, Jupyter.notebook.ncells())"
            )
            tab.wait_for_timeout(500)
            return tab.locator("div.cell").last.locator("div.output_stdout").inner_text().strip()

        assert float(settled(asked, lambda said: said == f"{moved:g}")) == moved
        tab.close()
