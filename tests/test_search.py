"""The search: chapters first, letters of formulas, words without accents, a hit in a fold opened."""

import pytest

from sphinx_extensions import search


def results(tab, server, query):
    """The pages that a query finds, in order, by their addresses."""
    tab.goto(f"{server}search.html?q={query}")
    tab.wait_for_function("document.querySelector('.search-summary')?.textContent.startsWith('Search finished')")
    # Each shows where it comes from: a library's name says so itself, of the others the page is fetched.
    tab.wait_for_function(
        "[...document.querySelectorAll('#search-results li')].every(item => item.querySelector('span, .context'))"
    )
    return tab.locator("#search-results li > a").evaluate_all(
        "links => links.map(link => link.getAttribute('href').replace('chapters/', ''))"
    )


@pytest.fixture(scope="module")
def tab(browser):
    """A browser tab."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    "text, words",
    [
        (r"weights e^{\alpha s_i}", ["weights", "e", "α", "alpha", "s_i"]),
        (r"\Sigma \varepsilon \lambda", ["Σ", "sigma", "ε", "epsilon", "λ", "lambda"]),
        ("Cramér–Rao", ["Cramer", "Rao"]),
        ("FlashAttention", ["FlashAttention", "Flash", "Attention"]),
        ("multi-head", ["multi", "head", "multihead"]),
    ],
)
def test_words(text, words):
    assert search.English({}).split(text) == words


@pytest.mark.parametrize(
    "query, chapter",
    [
        ("temperature", "08-temperature.html"),
        ("flash attention", "09-length.html"),
        ("FlashAttention", "09-length.html"),
        ("likelihood", "02-likelihood.html"),
        ("backward pass", "06-backward.html"),
        ("multi-head", "01-layer.html"),
        ("sink", "02-likelihood.html"),
        ("softmax-one", "02-likelihood.html"),
        ("entmax", "10-beyond.html"),
        ("linear attention", "10-beyond.html"),
        ("Hopfield", "10-beyond.html"),
        ("several heads", "10-beyond.html"),
        ("RoPE", "10-beyond.html"),
        ("attention sink", "11-real-heads.html"),
        ("real heads", "11-real-heads.html"),
        ("language model", "11-real-heads.html"),
    ],
)
def test_the_chapter_on_it_comes_first(tab, server, query, chapter):
    found = results(tab, server, query)
    top = [name.partition("#")[0] for name in found[:3]]
    assert chapter in top, found[:8]
    kinds = ["chapter" if name[:2].isdigit() or name.startswith("index") else "other" for name in found]
    assert kinds == sorted(kinds), "chapters come before what they refer to"


def test_temperature_leads_to_its_chapter(tab, server):
    assert results(tab, server, "temperature")[0].startswith("08-temperature.html")


def test_a_letter_is_found_in_formulas(tab, server):
    for query in ("α", "alpha"):
        assert {"notation.html", "formulas.html", "ledger.html"} <= set(results(tab, server, query))


def test_words_are_found_without_their_accents(tab, server):
    assert "02-likelihood.html" in results(tab, server, "cramer")
    assert results(tab, server, "cramer") == results(tab, server, "Cramér")


def test_a_hit_in_a_folded_solution_opens_it(tab, server, site):
    tab.goto(f"{server}chapters/05-evidence.html")
    word = tab.evaluate(
        """() => {
            const copy = document.querySelector("article").cloneNode(true);
            const folded = [...copy.querySelectorAll("details.solution p")].map((line) => line.textContent).join(" ");
            for (const part of copy.querySelectorAll("details, script")) part.remove();
            const seen = copy.textContent.toLowerCase();
            return folded.toLowerCase().match(/[a-z]{6,}/g).find((word) => !seen.includes(word));
        }"""
    )
    results(tab, server, word)
    tab.locator("#search-results li > a[href='chapters/05-evidence.html']").click()
    tab.wait_for_url("**/05-evidence.html")
    tab.wait_for_function(
        """word => [...document.querySelectorAll("details.solution[open]")].some(
            (fold) => fold.textContent.toLowerCase().includes(word))""",
        arg=word,
    )
    assert tab.evaluate("scrollY") > 0
    assert tab.evaluate("[...CSS.highlights.get('sought')].length") >= 1
    tab.reload()
    assert tab.locator("details.solution[open]").count() == 0, "once"
