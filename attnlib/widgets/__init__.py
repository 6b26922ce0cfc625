"""The book's widgets: objects in Python, live in a notebook and, without a kernel, on a static page."""

from attnlib.widgets.backward import KeyAdvantage
from attnlib.widgets.base import static_files
from attnlib.widgets.blocks import BlockPooling
from attnlib.widgets.evidence import KLBudget
from attnlib.widgets.layer import QueryPlane
from attnlib.widgets.length import LengthScaling
from attnlib.widgets.likelihood import VarianceAgainstScore
from attnlib.widgets.maxent import MaximumEntropyDial
from attnlib.widgets.one_formula import FourRoads
from attnlib.widgets.temperature import TemperatureSharpening
from attnlib.widgets.transport import PlanSimplex

__all__ = [
    "BlockPooling",
    "FourRoads",
    "KLBudget",
    "KeyAdvantage",
    "LengthScaling",
    "MaximumEntropyDial",
    "PlanSimplex",
    "QueryPlane",
    "TemperatureSharpening",
    "VarianceAgainstScore",
    "static_files",
]
