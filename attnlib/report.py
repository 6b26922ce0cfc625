"""What a cell found, set like the page: a sentence or a small table in place of printed columns."""

import os
import re
from collections.abc import Iterable

from IPython.display import Markdown


def say(*sentences: str) -> Markdown:
    r"""Sentences for a cell's output, with `$...$` for mathematics.

    Examples
    --------
    >>> say(f"The two differ by at most {power(3.2e-16)}.", "So they agree.").data
    'The two differ by at most $3\\cdot 10^{-16}$. So they agree.'
    """
    return Markdown(" ".join(sentences))


def role(name: str, target: str, words: str) -> str:
    r"""A link that the book alone can make, `{name}`target``; in another place the words for it.

    Examples
    --------
    >>> role("ref", "softmax <the-five-ingredients>", "softmax")
    'softmax'
    """
    return f"{{{name}}}`{target}`" if "ATTENTION_BOOK" in os.environ else words


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Markdown:
    """A small table; numbers come as text, so that who makes it says how many digits count.

    Numbers stand to the right; a column that has words in it, to the left.

    Examples
    --------
    >>> print(table(["$n$", "weight"], [[2, "0.5"]]).data)
    | $n$ | weight |
    |--:|--:|
    | 2 | 0.5 |
    >>> print(table(["evenness", "source", "weight"], [["Gini", "{cite}`martins2016`", "0.5"]]).data)
    | evenness | source | weight |
    |:--|--:|--:|
    | Gini | {cite}`martins2016` | 0.5 |
    """
    lines = [[str(cell) for cell in line] for line in (head, *rows)]
    text = [f"| {' | '.join(line)} |" for line in lines]
    columns = zip(*lines[1:], strict=True)
    words = [any(re.search(r"[^\W\d_]{4}", re.sub(r"\{cite.*`", "", cell)) for cell in column) for column in columns]
    rule = "".join(":--|" if left else "--:|" for left in words)
    return Markdown("\n".join([text[0], f"|{rule}", *text[1:]]))


def power(number: float) -> str:
    r"""A number of any size to one or two digits, as mathematics.

    Examples
    --------
    >>> power(4.4e-16), power(0.25), power(0.0)
    ('$4\\cdot 10^{-16}$', '0.25', '0')
    """
    if not number or 1e-3 <= abs(number) < 1e4:
        return f"{number:.2g}"
    digit, exponent = f"{number:.0e}".split("e")
    return rf"${digit}\cdot 10^{{{int(exponent)}}}$"
