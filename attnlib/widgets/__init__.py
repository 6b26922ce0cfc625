"""The book's widgets: objects in Python, live in a notebook and, without a kernel, on a static page."""

from attnlib.widgets.backward import KeyAdvantage
from attnlib.widgets.base import static_files
from attnlib.widgets.evidence import KLBudget
from attnlib.widgets.layer import QueryPlane
from attnlib.widgets.likelihood import VarianceAgainstScore
from attnlib.widgets.maxent import MaximumEntropyDial
from attnlib.widgets.one_formula import FourRoads
from attnlib.widgets.transport import PlanSimplex

__all__ = [
    "FourRoads",
    "KLBudget",
    "KeyAdvantage",
    "MaximumEntropyDial",
    "PlanSimplex",
    "QueryPlane",
    "VarianceAgainstScore",
    "static_files",
]
