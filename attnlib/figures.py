"""Still figures that follow the page: matplotlib pictures whose colours are the page's own, light or dark."""

import html
import io
import re

import matplotlib
from matplotlib.figure import Figure

# What matplotlib draws, and the page's colour that replaces it; the hex value is what print and other pages see.
_COLOURS = {
    "#1b1b1d": "--attn-ink",
    "#5a5d66": "--attn-muted",
    "#c9ccd3": "--attn-line",
    "#fefefd": "--attn-paper",
    "#1f5a96": "--attn-accent",
    "#0072b1": "--attn-key-1",
    "#b25400": "--attn-key-2",
    "#007a5e": "--attn-key-3",
    "#a8487f": "--attn-key-4",
    "#6b6700": "--attn-key-5",
    "#5b55b8": "--attn-key-6",
    "#8a5a44": "--attn-key-7",
    "#50616d": "--attn-key-8",
}
PAINTED = 'style="background: var(--attn-paper, #fefefd)"'  # where the page has no colours of ours, be legible
INK, MUTED, LINE, PAPER, ACCENT, *KEYS = _COLOURS

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=[ACCENT, *KEYS]),  # type: ignore[attr-defined]
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def figure(width: float = 5.4, height: float = 2.5, columns: int = 1):
    """A figure in the book's style and its axes; sizes in inches."""
    with matplotlib.rc_context(_STYLE):
        picture = Figure(figsize=(width, height), layout="constrained")
        return picture, picture.subplots(1, columns)


def dot(axes, x: float, y: float, key: int):
    """Draw the mark of a key, counted from 0: a dot in its colour with its number."""
    axes.scatter(x, y, s=110, color=KEYS[key % 8], zorder=3, clip_on=False)
    axes.text(x, y, f"{key + 1}", color=PAPER, ha="center", va="center", fontsize=8, zorder=4)


def bars_by_word(axes, words, numbers):
    """Draw a bar for each of some words, the first at the top, with its number behind it."""
    words = [word.strip() for word in words[: len(numbers)]]
    axes.barh(range(len(words)), numbers, color=ACCENT, height=0.7)
    for place, number in enumerate(numbers):
        axes.text(max(number, 0), place, f" {number:.2f}", va="center", color=MUTED, fontsize=9)
    axes.set_yticks(range(len(words)), words, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()


def svg(picture: Figure, alternative: str) -> str:
    """The figure as inline SVG in the page's colours, with its alternative text."""
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": alternative}):  # so pictures on one page share no ids
        buffer = io.StringIO()
        picture.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", text)
    for colour, name in _COLOURS.items():
        text = text.replace(colour, f"var({name}, {colour})")
    (box,) = re.findall(r'^<svg[^>]*?(viewBox="[^"]*")', text)
    label = html.escape(alternative, quote=True)
    head = f'<svg {box} role="img" aria-label="{label}" class="figure" fill="var(--attn-ink, {INK})" {PAINTED}>'
    return head + text[text.index(">") + 1 :]


def png(picture: Figure) -> bytes:
    """The figure as a PNG, for where SVG is not shown; a little wider where its titles need it."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        picture.savefig(buffer, dpi=110, facecolor=PAPER, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


class Picture:
    """A finished figure for a cell's output: SVG for pages, PNG for other places, else its alternative text."""

    def __init__(self, picture: Figure, alternative: str):
        self._figure, self._alternative = picture, alternative

    def _repr_png_(self):
        return png(self._figure)

    def _repr_html_(self):
        return svg(self._figure, self._alternative)

    def __repr__(self):
        return self._alternative
