"""The frame of a page: menus, sidebars, search, colours, focus, the place that an address names, copying."""

import pytest

CHAPTER = "chapters/05-evidence.html"
FOCUSED = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"


@pytest.fixture(scope="module", params=[1280, 390], ids=["laptop", "phone"])
def width(request):
    """A laptop's width and a phone's."""
    return request.param


@pytest.fixture
def tab(browser, server, width):
    """A chapter in a fresh tab."""
    context = browser.new_context(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(server + CHAPTER)
    yield page
    context.close()


# ---- keyboard ----


def test_focus_is_seen_wherever_it_goes(browser, server, page, width):
    """On every page, every stop of the Tab key has a ring."""
    tab = browser.new_page(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    tab.goto(server + page)
    stops = tab.evaluate(
        """() => {
            const stops = [...document.querySelectorAll("a[href], button, summary, input, [tabindex='0'], select")];
            const kinds = new Map();
            for (const stop of stops)
                if (stop.checkVisibility({ visibilityProperty: true }) && !stop.closest("[inert]"))
                    kinds.set(`${stop.tagName} ${stop.classList} ${stop.closest("[class]").className}`, stop);
            return [...kinds.values()].map((stop, number) => (stop.dataset.stop = number));
        }"""
    )
    tab.keyboard.press("Tab")  # the focus is now moved by the keyboard
    hidden = []
    for number in stops:
        seen, html = tab.evaluate(
            """number => {
                const stop = document.querySelector(`[data-stop="${number}"]`);
                stop.focus({ preventScroll: true });
                const ring = stop.querySelector(":scope > .target") ?? stop;
                const { outlineStyle, outlineWidth, outlineColor, stroke } = getComputedStyle(ring);
                const outlined = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
                const drawn = ring !== stop && stroke !== "none" && !/, 0\\)|transparent/.test(stroke);
                return [document.activeElement === stop && (outlined || drawn), stop.outerHTML.slice(0, 120)];
            }""",
            number,
        )
        if not seen:
            hidden.append(html)
    tab.close()
    assert stops and not hidden


def test_a_menu_opens_without_a_script_and_escape_gives_the_focus_back(tab):
    button = tab.get_by_label("Download this page")
    button.focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".menu a").first.is_visible()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Escape")
    assert not tab.locator(".menu a").first.is_visible()
    assert tab.evaluate(FOCUSED) == "Download this page"
    button.click()
    tab.mouse.click(tab.viewport_size["width"] - 4, 830)  # in the margin: no link
    assert not tab.locator(".menu a").first.is_visible(), "a click elsewhere closes it"


def test_a_sidebar_on_a_phone_gives_the_focus_back(browser, server):
    for scripts in (True, False):
        context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
        tab = context.new_page()
        tab.goto(server + CHAPTER)
        for name, side in (("Contents of the book", "primary"), ("On this page", "secondary")):
            links = tab.locator(f"#pst-{side}-sidebar a")
            tab.get_by_role("button", name=name).press("Enter")
            links.last.wait_for(state="visible")
            links.first.focus()
            tab.keyboard.press("Escape")
            links.last.wait_for(state="hidden")
            assert tab.locator(f".{side}-toggle:focus").count() == 1
        context.close()


def test_a_link_of_a_sidebar_on_a_phone_closes_it(browser, server):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(server + CHAPTER)
    tab.get_by_role("button", name="On this page").click()
    tab.locator("#pst-secondary-sidebar a").last.click()
    tab.locator("#pst-secondary-sidebar a").last.wait_for(state="hidden")
    tab.close()


def test_the_contents_give_their_room_to_the_text(browser, server):
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto(server + CHAPTER)
    contents = tab.locator("#pst-primary-sidebar")
    for visible in (True, False, True):
        assert contents.is_visible() == visible
        tab.get_by_role("button", name="Contents of the book").click()
    tab.close()


def test_search_opens_by_button_and_by_key(tab):
    field = tab.locator("dialog input[name=q]")
    for opened in (
        lambda: tab.locator(".search-button__button >> visible=true").first.click(),
        lambda: tab.keyboard.press("Control+k"),
    ):
        opened()
        assert field.evaluate("field => field === document.activeElement")
        tab.keyboard.press("Escape")
        assert not field.is_visible()
    tab.keyboard.press("Control+k")
    field.fill("price")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=price")
    tab.locator("#search-results li").first.wait_for()
    tab.wait_for_load_state("networkidle")


# ---- colours ----


def test_the_button_changes_the_colours_and_the_choice_is_kept(tab):
    button = tab.locator(".theme-switch-button")
    seen = []
    for _ in range(3):
        button.click()
        seen.append(tab.evaluate("[document.documentElement.dataset.mode, document.documentElement.dataset.theme]"))
    assert seen == [["dark", "dark"], ["light", "light"], ["auto", "light"]]
    button.click()
    assert "dark" in button.get_attribute("aria-label")
    tab.reload()
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"


# ---- download ----


def test_a_page_is_downloaded_as_a_file_and_says_how_it_is_run(tab):
    for number, (suffix, how) in enumerate(((".ipynb", "installs what it needs"), (".md", "make lab"))):
        tab.get_by_label("Download this page").click()
        with tab.expect_download() as download:
            tab.locator(".menu a").nth(number).click()
        assert download.value.suggested_filename == f"05-evidence{suffix}"
        assert how in tab.locator(".menu .note").nth(number).inner_text()
        tab.keyboard.press("Escape")


# ---- the place that an address names ----


def test_a_heading_that_is_read_is_marked_in_the_table_of_contents(browser, server):
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto(server + CHAPTER)
    link = tab.locator("#pst-page-toc-nav a").nth(3)
    heading = tab.locator(link.get_attribute("href")).locator("h2").first
    heading.evaluate("heading => heading.scrollIntoView({ block: 'start', behavior: 'instant' })")
    tab.wait_for_function("link => link.matches('.active[aria-current=true]')", arg=link.element_handle())
    assert tab.locator("#pst-page-toc-nav .active[aria-current]").count() == 1
    tab.close()


def test_every_id_is_given_once(browser, server, page):
    tab = browser.new_page()
    tab.goto(server + page)
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    tab.close()
    assert sorted(set(ids)) == sorted(ids)


# ---- copying ----


def copied(tab, selector):
    """What copying an element gives as text."""
    return tab.evaluate(
        """selector => {
            getSelection().selectAllChildren(document.querySelector(selector));
            let text;
            addEventListener("copy", event => { text = event.clipboardData.getData("text/plain"); }, { once: true });
            document.execCommand("copy");
            return text;
        }""",
        selector,
    )


def test_a_copied_sentence_has_its_formulas(tab):
    tab.evaluate("document.querySelector('article p math[data-tex]').closest('p').id = 'sentence'")
    text = copied(tab, "#sentence")
    for tex in tab.evaluate("[...document.querySelectorAll('#sentence math[data-tex]')].map(m => m.dataset.tex)"):
        assert f"${tex}$" in text
    letters = tab.evaluate("[...document.querySelectorAll('#sentence math:not([data-tex])')].map(m => m.textContent)")
    assert all(letter in text for letter in letters)
    assert len(text.splitlines()) == 1


def test_a_copied_derivation_has_a_line_for_each_step(tab):
    text = copied(tab, "table.derivation tbody")
    rows = tab.evaluate(
        """[...document.querySelector("table.derivation").rows].map(row =>
            [...row.querySelectorAll("math[data-tex]")].map(formula => formula.dataset.tex))"""
    )
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == len(rows)
    assert all(tex in line for line, formulas in zip(lines, rows, strict=True) for tex in formulas)


def test_half_a_formula_is_copied_whole(tab):
    text = tab.evaluate(
        """() => {
            const formula = document.querySelector("article p math[data-tex]");
            const leaf = formula.querySelector("mi, mn");
            getSelection().setBaseAndExtent(leaf, 0, leaf, 1);
            let text;
            addEventListener("copy", event => { text = event.clipboardData.getData("text/plain"); }, { once: true });
            document.execCommand("copy");
            return [text, `$${formula.dataset.tex}$`];
        }"""
    )
    assert text[0] == text[1]


def test_the_copy_button_of_an_example_takes_what_is_typed(browser, server):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.goto(server + "chapters/api.html")
    example = tab.locator(".highlight pre", has_text=">>> ").first
    typed = [line[4:] for line in example.inner_text().splitlines() if line.startswith((">>> ", "... "))]
    example.locator("xpath=..").hover()
    example.locator("xpath=..").locator("button.copybtn").click()
    tab.wait_for_function("async () => await navigator.clipboard.readText()")
    taken = tab.evaluate("navigator.clipboard.readText()")
    context.close()
    assert typed and taken.splitlines() == typed


def test_what_a_cell_printed_has_no_copy_button(browser, server):
    tab = browser.new_page()
    tab.goto(server + CHAPTER)
    assert tab.locator(".cell_input .copybtn").count() > 5
    assert tab.locator(".cell_output .copybtn").count() == 0
    tab.close()
