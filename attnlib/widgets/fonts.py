"""The font of formulas, STIX Two Math, cut down to the characters that are set in it.

It comes from the package `ziamath`, which carries it as a file; its licence, the SIL Open Font License 1.1, and its
copyright stand in the font's own name table, which is kept.
"""

import base64
import functools
import io
import logging
import string
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# The alphabets in which browsers set a single letter of a formula, Latin and small Greek.
_ITALIC = "".join(map(chr, [*range(0x1D434, 0x1D468), *range(0x1D6FC, 0x1D71C)])) + "ℎ"
_SIGNS = "\N{FUNCTION APPLICATION}\N{INVISIBLE TIMES}()[]{}|‖/.,=+-−⋅∗<>≤≥∞√∑∏∫∂′¯ˆ˙ "
CHARACTERS = string.ascii_lowercase + string.digits + _ITALIC + _SIGNS  # what a widget's formula may have

RULE = '@font-face { font-family: "STIX Two Math"; src: url(%s) format("woff2"); font-display: swap; }\n'


def mathematics_font(characters: str = CHARACTERS) -> bytes:
    """Return the font as WOFF2 with what `characters` need: also their tall and wide forms, and how they are built.

    Parameters
    ----------
    characters : str
        What is set in the font.

    Returns
    -------
    bytes
        A WOFF2 file with the font's MATH table.

    Raises
    ------
    ImportError
        If `ziamath`, `fonttools` or `brotli` is not installed.
    """
    from fontTools import subset
    from fontTools.ttLib import TTFont

    try:
        path = Path(str(distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")))
    except PackageNotFoundError as error:
        raise ImportError("the font of formulas is in the package ziamath") from error
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells of every table
    font = TTFont(path)
    # ssty: letters in an exponent are wider and darker. The font has it for the script "math" alone, as which only
    # Firefox sets a formula's letters.
    options = subset.Options(layout_features=["ssty"], hinting=False, name_IDs=[0, 1, 2, 4, 5, 6, 13, 14])
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    scripts = font["GSUB"].table.ScriptList.ScriptRecord
    (mathematics,) = (record.Script for record in scripts if record.ScriptTag == "math")
    for record in scripts:
        record.Script = mathematics
    font.flavor = "woff2"
    target = io.BytesIO()
    font.save(target)
    return target.getvalue()


@functools.cache
def embedded() -> str:
    """Return the font as a style rule that holds it, for pages that serve no files; nothing where it is missing."""
    try:
        font = mathematics_font()
    except ImportError:
        return ""
    return RULE % f"data:font/woff2;base64,{base64.b64encode(font).decode()}"
