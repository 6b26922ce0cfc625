"""Run the chapters that have changed side by side, before Sphinx reads and runs them one after another.

The results go into Jupyter Book's own cache, where it finds them. A chapter that fails here is run again by Jupyter
Book itself, which reports the error.
"""

import logging
import os
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor


def execute(app, env, docnames):
    """Execute what is to be read, is a notebook, and is not in the cache."""
    os.environ["ATTENTION_BOOK"] = "1"  # by which cells know that a page is made of them
    cache = get_cache(app.config.nb_execution_cache_path)
    for name in docnames:
        path = Path(env.doc2path(name))
        if "\nkernelspec:\n" in path.read_text("utf-8"):
            cache.add_nb_to_project(str(path), read_data={"name": "myst_nb_md", "type": "plugin"})
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.ERROR)
    load_executor("local-parallel", cache, logger).run_and_cache(timeout=app.config.nb_execution_timeout)


def setup(app):
    """Register for the moment when Sphinx knows what it has to read."""
    app.connect("env-before-read-docs", execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
