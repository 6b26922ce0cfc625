"""The book's formulas: one module a chapter, and the letters that they share.

Adding a chapter adds a module here; `catalogue` finds its formulas.
"""

from attnlib.formulas.formula import Formula, catalogue  # noqa: F401 (for its users)
from attnlib.formulas.symbols import *  # noqa: F403 (a letter is named there alone)
