r"""What the search knows: letters of formulas, words without accents, the parts of names like FlashAttention.

Sphinx indexes words; here a formula's TeX gives its Greek letters, as characters and by name, in place of its commands.
`theme/search.js` does to a query what is done here to the text, and puts the chapters before the library.
"""

import re
import unicodedata
from pathlib import Path

from sphinx.search import languages
from sphinx.search.en import SearchEnglish

COMMAND = re.compile(r"\\([A-Za-z]+)")
INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
HYPHENATED = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)+")


def greek(command: re.Match) -> str:
    """Return a Greek letter and its name for its TeX command, and nothing for any other.

    >>> COMMAND.sub(greek, r"\\frac{\\alpha}{2}")
    ' {α alpha}{2}'
    """
    name = command[1].removeprefix("var")
    size = "CAPITAL" if name[:1].isupper() else "SMALL"
    try:
        letter = unicodedata.lookup(f"GREEK {size} LETTER {name.replace('lambda', 'lamda').upper()}")
    except KeyError:
        return " "
    return f"{letter} {name.lower()}"


def fold(text: str) -> str:
    """Return a text without accents.

    >>> fold("Cramér")
    'Cramer'
    """
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


class English(SearchEnglish):
    """English with formulas, accents and joined names."""

    def split(self, input: str) -> list[str]:
        """Return the words of a text.

        >>> English({}).split(r"Cramér: \\alpha in FlashAttention")
        ['Cramer', 'α', 'alpha', 'in', 'FlashAttention', 'Flash', 'Attention']
        """
        text, words = fold(COMMAND.sub(greek, input)), []
        for word in super().split(text):
            parts = INNER_CAPITAL.split(word)
            words += [word, *(parts if len(parts) > 1 else ())]
        return words + [word.replace("-", "") for word in HYPHENATED.findall(text)]  # softmax-one, as one word too


def use(app, config):
    """Name the script that ranks what is found; Sphinx opens it from wherever it runs."""
    config.html_search_scorer = str(Path(app.srcdir) / "theme/search.js")


def setup(app):
    """Register the language in place of Sphinx's English."""
    languages["en"] = English
    app.connect("config-inited", use)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
