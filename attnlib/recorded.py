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
from IPython.display import display

from attnlib.report import say


def recorded(name: str, measure: Callable[[], dict], *, needs: str, folder: str | Path = "recorded") -> dict:
    """Return what `measure` does; where module `needs` is missing, say so and return what was recorded.

    Parameters
    ----------
    name : str
        The record's name: its file is `folder/name.json`.
    measure : callable
        Returns a dict of names and numbers.
    needs : str
        The module without which `measure` cannot run.
    folder : path
        Beside the chapter.  With the environment variable ATTENTION_RECORD set, the result is written there.

    Raises
    ------
    FileNotFoundError
        If the module is missing and nothing is recorded.
    """
    path = Path(folder) / f"{name}.json"
    if importlib.util.find_spec(needs) is None:
        record = json.loads(path.read_text("utf-8"))
        display(say(f"This needs {needs}, which is missing; recorded on {record['date']} with {record['versions']}."))
        return record["result"]
    result = measure()
    if "ATTENTION_RECORD" in os.environ:
        write(path, result, needs=needs)
    return result


def write(path: Path, result, *, needs: str) -> None:
    """Keep a result as data, with the versions of what made it and the date."""
    versions = f"{needs} {metadata.version(needs)}, numpy {np.__version__}, {platform.machine()}"
    record = {"result": result, "versions": versions, "date": datetime.date.today().isoformat()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
