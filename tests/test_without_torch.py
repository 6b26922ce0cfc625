"""Every chapter runs from top to bottom in an environment that has no torch: the one that Binder builds."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAN = ROOT / ".venv-lean/bin"
NOTEBOOKS = sorted(path for path in (ROOT / "chapters").glob("*.md") if "\nkernelspec:" in path.read_text("utf-8"))


def run(command: list, **options) -> subprocess.CompletedProcess:
    """Run a command without what the caller's own environment would add to Python or Jupyter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run all chapters, two at a time; the value is what each run said, by the chapter's name."""
    if not (LEAN / "jupytext").exists():
        pytest.fail("The environment without torch is missing: run make test.", pytrace=False)
    folder = tmp_path_factory.mktemp("notebooks")

    def execute(chapter: Path) -> subprocess.CompletedProcess:
        notebook = folder / f"{chapter.stem}.ipynb"
        command = [LEAN / "python", "-m", "jupytext", "--to", "ipynb", "--execute", "--run-path", ROOT / "chapters"]
        return run([*command, "--output", notebook, chapter])

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(NOTEBOOKS, pool.map(execute, NOTEBOOKS), strict=True))


def test_torch_is_missing(runs):
    done = run([LEAN / "python", "-c", "import torch"])
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("chapter", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_runs_without_torch(runs, chapter):
    assert runs[chapter].returncode == 0, runs[chapter].stderr[-3000:]
