"""Still figures: in the page's colours, light or dark, with their alternative text, the same at every build."""

import re

from attnlib import figures


def picture(alternative="A line & a <dot>"):
    drawing, axes = figures.figure()
    axes.plot([0, 1], [0, 1], color=figures.KEYS[0], label="rising")
    axes.set(xlabel="x")
    axes.legend(frameon=False)
    return figures.svg(drawing, alternative)


def test_every_colour_is_the_pages_own():
    text = picture()
    assert "var(--attn-key-1, #0072b1)" in text and "var(--attn-ink" in text
    bare = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", text)
    assert not re.search(r"#[0-9a-f]{6}\b", bare), "a colour that no page can change"


def test_the_alternative_text_is_escaped_and_the_picture_is_an_image():
    text = picture()
    assert text.startswith("<svg viewBox=") and 'role="img" aria-label="A line &amp; a &lt;dot&gt;"' in text
    assert repr(figures.Picture(figures.figure()[0], "words")) == "words"


def test_two_builds_give_the_same_bytes():
    assert picture() == picture()


def test_two_pictures_share_no_ids():
    ids = [set(re.findall(r'\bid="([^"]*)"', picture(words))) for words in ("One picture.", "Another picture.")]
    assert ids[0] and not ids[0] & ids[1]
