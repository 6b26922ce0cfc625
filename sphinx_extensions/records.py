"""What the chapters' cells prove, and where widgets stand, for the pages that are made of it.

A cell's output carries its records as a MIME type of its own, which MyST-NB passes over.  They are read from Jupyter
Book's cache of executed chapters, so a build that runs nothing again still has them.
"""

from collections import Counter

from jupyter_cache import get_cache
from sphinx.util import logging

from attnlib.derive import RECORD_TYPE

logger = logging.getLogger(__name__)


def records(env) -> list[tuple[str, dict]]:
    """Every record of the book with the page that it is on, in reading order."""
    return [(page, record) for page, on_page in sorted(env.attention_records.items()) for record in on_page]


def repeated(on_page: list[dict]) -> list[str]:
    """What a page records more than once: a link to it would find the first alone.

    >>> repeated([{"kind": "widget", "id": "layer", "name": "one"}, {"kind": "widget", "id": "layer", "name": "two"}])
    []
    """
    counts = Counter(f"{record['kind']} {record.get('name', record['id'])}" for record in on_page)
    return [what for what, count in counts.items() if count > 1]


def executed(app, docname: str) -> list:
    """Return the code cells of a chapter with their outputs; none of a page without cells, or if one of them failed."""
    cache = get_cache(app.config.nb_execution_cache_path)
    try:
        found = cache.get_cached_project_nb(app.env.doc2path(docname))
    except KeyError:
        return []
    return cache.get_cache_bundle(found.pk).nb.cells if found else []  # MyST-NB reports what failed


def collect(app, doctree):
    """Note the records in the outputs of a chapter that has just been read."""
    cells = executed(app, app.env.docname)
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    on_page = [record for data in outputs for record in data.get(RECORD_TYPE, ())]
    app.env.attention_records[app.env.docname] = on_page
    for what in repeated(on_page):
        logger.warning("records: %s stands on the page more than once", what, location=app.env.docname)


def purge(app, env, docname):
    """Forget what a chapter recorded, before it is read again."""
    env.attention_records = getattr(env, "attention_records", {})
    env.attention_records.pop(docname, None)


def start(app, env, docnames):
    """Have somewhere to note records, also where no chapter is known yet."""
    purge(app, env, None)


def setup(app):
    """Register for the moments when a page is forgotten and when it has been read."""
    app.connect("env-before-read-docs", start)
    app.connect("env-purge-doc", purge)
    app.connect("doctree-read", collect)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
