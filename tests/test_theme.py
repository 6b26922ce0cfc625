"""The Sphinx extensions' own logic: formulas, style sheets, the repository's address, the cache's key, the colours."""

import re
import subprocess
from types import SimpleNamespace

import pytest
from conftest import ROOT

from attnlib.derive import RECORD_TYPE
from sphinx_extensions import fingerprint, formulas, ledger, mathematics, pages, records, repository

# ---- mathematics ----


@pytest.mark.parametrize(
    "tex",
    [
        r"\class{symbol}{\alpha}",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\begin{align} a &= b \\ c &= d \end{align}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{otherwise} \end{cases}",
        r"\operatorname*{arg\,max}_p \boldsymbol{\mu}^\top \mathbf{v}",
        r"\mathcal N(v; \mu, \sigma^2) \in \mathbb R",
    ],
)
def test_convert_reads_what_the_chapters_write(tex):
    assert mathematics.convert(tex, True).startswith('<math display="block">')


def test_convert_keeps_classes_for_highlighting():
    assert mathematics.convert(r"\class{symbol}{\alpha}") == '<math><mi class="symbol">α</mi></math>'


@pytest.mark.parametrize(
    "tex, letters",
    [
        (r"\mathbf{v}", "𝐯"),
        (r"\boldsymbol{\mu}", "𝝁"),
        (r"\mathbb{R}", "ℝ"),
        (r"\mathcal{N}", "𝒩"),
        (r"\mathcal{L}", "ℒ"),
        (r"\mathsf{T}", "𝖳"),
        (r"\mathfrak{g}", "𝔤"),
        (r"\mathbf{\Sigma}", "𝚺"),
    ],
)
def test_alphabets_are_characters_for_browsers_ignore_variants(tex, letters):
    assert mathematics.convert(tex) == f"<math><mi>{letters}</mi></math>"


def test_upright_letters_say_so():
    assert mathematics.convert(r"\mathrm{d}") == '<math><mi mathvariant="normal">d</mi></math>'
    assert mathematics.convert(r"\mathrm{KL}") == "<math><mi>KL</mi></math>"


@pytest.mark.parametrize(
    "tex, spaces",
    [
        ("a+b", []),  # as browsers do it
        ("-a", ["0", "0"]),
        ("a/b", ["0", "0"]),
        ("a,b", ["0", "0.1667em"]),
        ("e^{a-b}", ["0", "0"]),
        (r"a \mid b", ["0.2778em", "0.2778em"]),
        (r"1/\sum_j", ["0", "0.1667em", "0", "0"]),
    ],
)
def test_operators_stand_apart_as_in_tex_in_every_browser(tex, spaces):
    assert re.findall(r'[lr]space="([^"]*)"', mathematics.convert(tex)) == spaces


def test_a_functions_name_stands_apart_and_is_applied():
    assert re.sub(r' [lr]space="0"', "", mathematics.convert(r"\log p")) == (
        '<math><mi>log</mi><mo>\u2061</mo><mspace width="0.1667em" class="beside-name"></mspace><mi>p</mi></math>'
    )


def test_a_displayed_formula_in_a_line_needs_no_element_to_say_so():
    assert mathematics.convert(r"\displaystyle x") == '<math displaystyle="true"><mi>x</mi></math>'


def test_brackets_grow_only_around_what_is_high():
    assert 'stretchy="false"' in mathematics.convert(r"\left(p_i\right)")
    assert "stretchy" not in mathematics.convert(r"\left(\frac{a}{b}\right)")


def test_a_tables_columns_are_aligned_without_attributes_that_browsers_ignore():
    cells = re.findall("<mtd[^>]*>", mathematics.convert(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", True))
    assert [re.search('class="(.*?)"', cell)[1] for cell in cells] == ["to-right", "to-left"] * 2
    assert "columnalign" not in "".join(cells) and all("padding:" in cell for cell in cells)


@pytest.mark.parametrize(
    "tex, words",
    [
        (r"\frac{1}{", "Missing close brace"),
        (r"\nope", "Undefined control sequence"),
        ("x^2^3", "Double exponent"),
        (r"\boxed{x}", "no menclose"),
    ],
)
def test_convert_says_what_is_wrong(tex, words):
    with pytest.raises(mathematics.BadFormula, match=words):
        mathematics.convert(tex)


def test_typeset_replaces_sphinx_markup_and_keeps_the_number():
    page = (
        r'<span class="math notranslate nohighlight">\(a &lt; b\)</span> and '
        r'<div class="math notranslate nohighlight" id="equation-x"><span class="eqno">(1)</span>\[c\]</div>'
    )
    result = mathematics.typeset(page, "chapter")
    assert result.count("<math") == 2 and '<div class="formula"><math display="block">' in result
    assert "<mo>&lt;</mo>" in result
    assert 'id="equation-x"' in result and '<span class="eqno">(1)</span></div>' in result
    assert r"\(" not in result and r"\[" not in result


def test_typeset_warns_of_a_bad_formula_with_its_page(caplog):
    page = r'<span class="math notranslate nohighlight">\(\nope\)</span>'
    assert mathematics.typeset(page, "chapters/01-layer") == page
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.location == "chapters/01-layer"
    assert "nope" in record.getMessage()


def test_plain_writes_formulas_as_characters():
    assert mathematics.plain(r'Why <span class="math notranslate nohighlight">\(\alpha\)</span>?') == "Why α?"


# ---- pages ----


@pytest.mark.parametrize(
    "css, kept",
    [
        (".used .gone{color:red}", ""),
        (".used,.gone{color:red}", ".used{color:red}"),
        (".used:not(.gone){color:red}", ".used:not(.gone){color:red}"),
        ("a[href='.gone']{color:red}", "a[href='.gone']{color:red}"),
        ("#gone a{color:red}", ""),
        ("@media print{.gone{color:red}}", ""),
        ("/* why */ p {\n  color: red;\n}", "p{color: red;}"),
    ],
)
def test_prune_drops_what_no_page_uses(css, kept):
    result = pages.prune(css, {"used"})
    assert result.replace('"', "'") == kept


def test_prune_repeats_dark_rules_for_readers_without_scripts():
    result = pages.prune('html[data-theme="dark"] p{color:red}', set())
    assert "@media screen and (prefers-color-scheme:dark){html:not([data-theme]) p{color:red}}" in result


# ---- repository ----


@pytest.mark.parametrize(
    "remote, address",
    [
        ("git@github.com:reader/book.git", "https://github.com/reader/book"),
        ("ssh://git@github.com:22/reader/book.git", "https://github.com/reader/book"),
        ("https://github.com/reader/book.git", "https://github.com/reader/book"),
        ("https://token@github.com/reader/book/", "https://github.com/reader/book"),
        ("https://gitlab.com/group/part/book.git", "https://gitlab.com/group/part/book"),
        ("/srv/git/book.git", ""),
        ("../book.git", ""),
        ("file:///srv/git/book.git", ""),
        ("https://git.example/reader/book", ""),
        ("", ""),
    ],
)
def test_web_address(remote, address):
    assert repository.web_address(remote) == address


def theme_options(root, monkeypatch, **environment):
    """Return the theme's options after `add_links`, in a folder and an environment."""
    for name in ("ATTENTION_BOOK_REPOSITORY", "ATTENTION_BOOK_BRANCH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = SimpleNamespace(html_theme_options={})
    repository.add_links(SimpleNamespace(srcdir=root), config)
    return config.html_theme_options


def test_no_repository_no_links(tmp_path, monkeypatch):
    assert theme_options(tmp_path, monkeypatch) == {}


def test_links_follow_the_git_remote(tmp_path, monkeypatch):
    for command in ("init -b trunk", "remote add origin git@github.com:reader/book.git"):
        subprocess.run(["git", "-C", tmp_path, *command.split()], check=True, capture_output=True)
    options = theme_options(tmp_path, monkeypatch)
    assert options["repository_url"] == "https://github.com/reader/book"
    assert options["repository_branch"] == "trunk"
    assert options["launch_buttons"]["notebook_interface"] == "jupyterlab"
    assert "colab_url" not in options["launch_buttons"]


def test_environment_wins(tmp_path, monkeypatch):
    options = theme_options(
        tmp_path,
        monkeypatch,
        ATTENTION_BOOK_REPOSITORY="https://github.com/teacher/course.git",
        ATTENTION_BOOK_BRANCH="autumn",
    )
    assert (options["repository_url"], options["repository_branch"]) == ("https://github.com/teacher/course", "autumn")


# ---- fingerprint ----


@pytest.fixture
def book(tmp_path):
    """A very small book."""
    for name in ("attnlib/widgets/plane.js", "attnlib/layer.py", "chapters/01.md", "chapters/times.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "requirements.txt").write_text("numpy==2")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["attnlib/layer.py", "attnlib/widgets/plane.js", "chapters/times.json", "requirements.txt"]
)
def test_fingerprint_changes_with_what_a_chapter_uses(book, name):
    before = fingerprint.fingerprint(book, fingerprint.SOURCES)
    (book / name).write_text("2")
    assert fingerprint.fingerprint(book, fingerprint.SOURCES) != before


def test_fingerprint_leaves_to_jupyter_book_what_it_sees_itself(book):
    before = fingerprint.fingerprint(book, fingerprint.SOURCES)
    (book / "chapters/01.md").write_text("2")
    (book / "attnlib/__pycache__").mkdir()
    (book / "attnlib/__pycache__/layer.py").write_text("2")
    assert fingerprint.fingerprint(book, fingerprint.SOURCES) == before


def test_only_the_current_cache_is_kept(book):
    caches = book / "_build/.jupyter_cache"
    (caches / "0123456789abcdef").mkdir(parents=True)
    config = SimpleNamespace()
    fingerprint.key_cache(SimpleNamespace(srcdir=book, outdir=book / "_build/html"), config)
    assert not list(caches.iterdir())
    assert config.nb_execution_cache_path == str(caches / fingerprint.fingerprint(book, fingerprint.SOURCES))


# ---- ledger and formulas ----


@pytest.fixture
def warned(monkeypatch):
    """What the pages made of records warn of."""
    said = []
    for module in (ledger, formulas):
        monkeypatch.setattr(module.logger, "warning", lambda text, *values: said.append(text % values))
    return said


def recorded(**pages):
    """An environment in which pages hold the records of some derivations."""
    by_page = {
        page: [record for derivation in derivations for record in derivation._repr_mimebundle_()[RECORD_TYPE]]
        for page, derivations in pages.items()
    }
    return SimpleNamespace(attention_records=by_page)


def test_a_row_without_evidence_is_a_warning_and_evidence_is_forgotten_with_its_chapter(warned):
    from attnlib.derive import checked, equation
    from attnlib.formulas import layer, stable_weight
    from attnlib.formulas.symbols import i
    from attnlib.sources import sources

    proof = equation("ma-weights", stable_weight(i), layer.weight.expression, "divide")
    claim = checked("testing-limit", True, "two keys tie")
    env = recorded(first=[proof, claim], second=[proof])
    assert ledger.check(None, env) == []
    assert env.ledger_shown == {"ma-weights": ("first", ([], "proved")), "testing-limit": ("first", ([], "tested"))}
    missing = sources().keys() - env.ledger_shown.keys()
    assert len(warned) == len(missing) and all(any(f" {name} " in text for text in warned) for name in missing)
    records.purge(None, env, "first")
    ledger.check(None, env)
    assert env.ledger_shown == {"ma-weights": ("second", ([], "proved"))}, "a second chapter's evidence outlives"
    records.purge(None, env, "second")
    ledger.check(None, env)
    assert env.ledger_shown == {}


def test_a_formula_that_no_page_has_proved_defined_or_assumed_is_a_warning(warned, monkeypatch):
    from attnlib.derive import defined
    from attnlib.formulas import catalogue, layer

    everything = [defined(formula) for formula in catalogue().values()]
    formulas.check(None, recorded(page=everything))
    assert warned == []
    formulas.check(
        None,
        recorded(
            page=[derivation for derivation in everything if "'output-of" not in str(derivation._repr_mimebundle_())]
        ),
    )
    assert warned == ["formulas: 'output of the layer' is neither proved nor defined nor assumed on any page"]
    warned.clear()
    wrong = layer.weight.__class__(
        "twice", layer.score.letter, layer.score.expression, "No.", layer.score.expression * 2
    )
    monkeypatch.setattr(formulas, "catalogue", lambda: catalogue() | {"twice": wrong})
    formulas.check(None, recorded(page=[*everything, defined(wrong)]))
    assert len(warned) == 1 and "what runs for 'twice' is not proved to be what is shown" in warned[0]
    warned.clear()
    monkeypatch.setattr(formulas, "catalogue", lambda: {k: v for k, v in catalogue().items() if k != "cheapest-plan"})
    formulas.check(None, recorded(page=everything))
    assert "formulas: widget 'backward' runs 'cheapest plan', which is not in attnlib.formulas" in warned


# ---- colours ----


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_enough_contrast():
    """Text 4.5:1 and the keys' colours 3:1 against the paper, in both modes."""
    css = (ROOT / "theme/static/site.css").read_text(encoding="utf-8")
    for mode in ("light", "dark"):
        block = re.search(rf'html\[data-theme="{mode}"\][^{{]*{{(.*?)}}', css, re.DOTALL)[1]
        colours = dict(re.findall(r"--attn-([\w-]+): (#[0-9a-f]{6})", block))
        assert len(colours) == 14
        paper = luminance(colours.pop("paper"))
        del colours["line"], colours["raised"]  # neither text nor mark
        for name, colour in colours.items():
            low, high = sorted([paper, luminance(colour)])
            least = {"ink": 7, "muted": 4.5, "accent": 4.5}.get(name, 3)
            assert (high + 0.05) / (low + 0.05) >= least, f"{mode} {name}"
