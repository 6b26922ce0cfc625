"""The book's widgets: objects in Python, live in a notebook and, without a kernel, on a static page.

Each module of this package adds its own, so a new widget is named nowhere else.
"""

import importlib
import pkgutil

from attnlib.widgets.base import island_classes, static_files, widget_classes  # noqa: F401 (in `__all__`, below)

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "__main__":
        importlib.import_module(f"{__name__}.{_module.name}")

globals().update({cls.__name__: cls for cls in island_classes().values()})
__all__ = sorted(["static_files", "widget_classes", *(cls.__name__ for cls in island_classes().values())])
