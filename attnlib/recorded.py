"""Results of cells that need what not every reader has, kept as data with their machine, versions and date."""

import datetime
import importlib.util
import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
from IPython.display import Markdown

from attnlib.report import say


def recorded(name: str, measure: Callable[[], dict], *, needs: str, folder: str | Path = "recorded") -> Markdown:
    """Show what `measure` returns; where module `needs` is missing, say so and show what was recorded.

    Parameters
    ----------
    name : str
        The record's name: its file is `folder/name.json`.
    measure : callable
        Returns a dict of numbers, each named by the start of a sentence that it ends.
    needs : str
        The module without which `measure` cannot run.
    folder : path
        Beside the chapter.  With the environment variable ATTENTION_RECORD set, the result is written there.

    Raises
    ------
    FileNotFoundError
        If the module is missing and nothing is recorded.
    """
    path, said = Path(folder) / f"{name}.json", []
    if importlib.util.find_spec(needs) is None:
        record = json.loads(path.read_text("utf-8"))
        said = [f"This cell needs {needs}, which is missing; recorded on {record['date']} with {record['versions']}:"]
        result = record["result"]
    else:
        result = measure()
        if "ATTENTION_RECORD" in os.environ:
            versions = f"{needs} {metadata.version(needs)}, numpy {np.__version__}, {platform.machine()}"
            record = {"result": result, "versions": versions, "date": datetime.date.today().isoformat()}
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return say(*said, *(f"{label} {number:.3g}." for label, number in result.items()))
