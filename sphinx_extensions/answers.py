"""A field for an answer stands in the exercise, though the cell that makes it is the exercise's folded solution."""

import html
import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx_exercise.nodes import is_exercise_node

logger = logging.getLogger(__name__)

FIELD = re.compile(r'<div class="attention-widget-host" data-widget="answer" data-exercise="([^"]*)">')


class MoveAnswers(SphinxPostTransform):
    """Move every field on a page into the exercise that it names; warn of one that names none."""

    default_priority = 100  # what a cell shows is chosen, and boxes are not folded yet
    formats = ("html",)

    def run(self):
        """Move the fields of one page."""
        exercises = {node["label"]: node for node in self.document.findall(is_exercise_node)}
        for field in list(self.document.findall(nodes.raw)):
            if not (named := FIELD.match(field.astext())):
                continue
            label = html.unescape(named[1])
            if label not in exercises:
                logger.warning("answers: %r is no exercise of this page", label, location=self.env.docname)
                continue
            box = field.parent
            box.remove(field)
            while not box.children:  # the cell shows nothing else
                box.parent.remove(box)
                box = box.parent
            exercises[label].append(field)


def setup(app):
    """Register the move."""
    app.add_post_transform(MoveAnswers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
