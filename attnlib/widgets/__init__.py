"""The book's widgets: objects in Python, live in a notebook and, without a kernel, on a static page."""

from attnlib.widgets.base import static_files
from attnlib.widgets.layer import QueryPlane
from attnlib.widgets.likelihood import VarianceAgainstScore

__all__ = ["QueryPlane", "VarianceAgainstScore", "static_files"]
