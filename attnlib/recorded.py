"""Results that not every reader can compute, or not while they wait, kept as data with machine, versions and date."""

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

RECORDS = Path(__file__).with_name("records")  # in the package, so that a notebook has them wherever it is run


def read(name: str) -> dict:
    """Return what is recorded under a name: the result, the versions that gave it, and the date.

    Parameters
    ----------
    name : str
        The record's file is `attnlib/records/name.json`.

    Raises
    ------
    FileNotFoundError
        If nothing is recorded under that name.

    Examples
    --------
    >>> sorted(read("layer-against-torch"))
    ['date', 'result', 'versions']
    """
    return json.loads((RECORDS / f"{name}.json").read_text("utf-8"))


def recorded(name: str, measure: Callable[[], dict], *, needs: str) -> dict:
    """Return what `measure` does; where module `needs` is missing, say so and return what was recorded.

    With the environment variable ATTENTION_RECORD set, what `measure` returns is recorded.

    Parameters
    ----------
    name : str
        The record's name.
    measure : callable
        Returns a dict of names and numbers.
    needs : str
        The module without which `measure` cannot run.

    Raises
    ------
    FileNotFoundError
        If the module is missing and nothing is recorded.
    """
    if importlib.util.find_spec(needs) is None:
        record = read(name)
        display(say(f"This needs {needs}, which is missing; recorded on {record['date']} with {record['versions']}."))
        return record["result"]
    result = measure()
    if "ATTENTION_RECORD" in os.environ:
        write(RECORDS / f"{name}.json", result, needs=needs)
    return result


def write(path: Path, result, *, needs: str) -> None:
    """Keep a result as data, with the versions of what made it and the date."""
    versions = f"{needs} {metadata.version(needs)}, numpy {np.__version__}, {platform.machine()}"
    record = {"result": result, "versions": versions, "date": datetime.date.today().isoformat()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
