"""The box in which a reader proves, on the built site: in Chromium and in Firefox, by keyboard and by finger."""

import contextlib
import json
import re
import shutil

import browsers
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import serving
from playwright.sync_api import expect

PAGE, NAME, SHOWS = "chapters/06-backward.html", "score-gradient", "own-score"
STEPS = ("sum_i u_i*w_i*(delta(i, j) - w_j)/tau", "w_j*(u_j - sum_i w_i*u_i)/tau")
READY = 60_000  # milliseconds until what must come counts as missing


@pytest.fixture
def tab(browser, server):
    """A tab of its own, which may log nothing; what is asked for is noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    tab = context.new_page()
    tab.set_default_timeout(READY)
    tab.said, tab.asked = [], []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    assert not tab.said
    context.close()


def opened(tab, server, name=NAME):
    """The box of a name, started."""
    tab.goto(f"{server}{PAGE}")
    box = tab.locator(f"#{name}")
    box.get_by_role("button", name="Start", exact=True).click()
    expect(box.get_by_label("Next line")).to_be_focused(timeout=READY)
    return box


def checked(box, line):
    """What the box says of a line, typed and sent by the keyboard."""
    field = box.get_by_label("Next line")
    field.fill(line)
    field.press("Enter")
    expect(box.locator("form button")).to_have_text("Check", timeout=READY)
    return box.locator(".status").inner_text()


def rows(box):
    return box.locator(".turn > table tr").count()


def test_before_start_the_page_has_the_exercise_and_nothing_of_the_prover(tab, server):
    tab.goto(f"{server}{PAGE}", wait_until="networkidle")
    box = tab.locator(f"#{NAME}")
    expect(box.locator("table").first).to_contain_text("goal")
    expect(box.locator(".start")).to_contain_text("MB, loaded once")
    expect(box.get_by_label("Next line")).to_be_hidden()
    assert not [url for url in tab.asked if "/prover/" in url]


def test_a_whole_proof_by_keyboard_alone(tab, server):
    tab.goto(f"{server}{PAGE}")
    box = tab.locator(f"#{NAME}")
    box.get_by_role("button", name="Start", exact=True).focus()
    tab.keyboard.press("Enter")
    field = box.get_by_label("Next line")
    expect(field).to_be_focused(timeout=READY)
    tab.keyboard.type(STEPS[0])
    expect(box.locator(".preview math")).to_be_visible()
    tab.keyboard.press("Enter")
    expect(box.locator(".status")).to_have_text("Proved for every number of keys.")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    assert rows(box) == 3
    tab.keyboard.type(STEPS[1])
    tab.keyboard.press("Enter")
    expect(box.locator(".status")).to_contain_text("the proof is complete, in 2 lines; the book’s has 4 lines.")
    expect(box.locator(".status")).to_be_focused()
    expect(field).to_be_hidden()
    tab.keyboard.press("Enter")  # once too often
    assert rows(box) == 4 and box.locator(".turn > table .proved").count() == 2
    box.get_by_role("button", name="Start again").press("Enter")
    expect(field).to_be_focused()
    assert rows(box) == 2
    box.get_by_role("button", name="Undo").press("Enter")
    assert rows(box) == 4


def test_a_refuted_line_says_numbers_that_the_picture_shows(tab, server):
    box = opened(tab, server, SHOWS)
    assert checked(box, "w_i*(1 + w_i)/tau").startswith("Refuted at s = ")
    link = box.get_by_role("link", name="See these numbers in the picture")
    picture = tab.locator('[data-widget="backward"]').first
    before = picture.evaluate("el => el.model.get('scores')")
    link.click()
    target = link.get_attribute("href")
    scores = picture.evaluate("el => el.model.get('scores')")
    assert f"scores={','.join(f'{score:g}' for score in scores)}" in target and scores != before
    assert rows(box) == 2


def test_hints_give_the_reason_and_then_the_step(tab, server):
    box = opened(tab, server)
    box.get_by_role("button", name="Hint").click()
    expect(box.locator(".hint")).to_contain_text("put in the derivative of each weight")
    expect(box.locator(".hint code")).to_have_count(0)
    box.get_by_role("button", name="Show the step").click()
    step = box.locator(".hint code").inner_text()
    box.get_by_role("button", name="Hide the hint").click()
    expect(box.locator(".hint")).to_be_empty()
    assert "Proved" in checked(box, step) and rows(box) == 3
    box.get_by_role("button", name="Hint").click()
    expect(box.locator(".hint")).to_contain_text("split the sum")


def test_a_line_that_cannot_be_read_is_marked_at_its_place(tab, server):
    box = opened(tab, server)
    box.get_by_label("Next line").fill("w_j*(u_j - sum_i w_i u_")
    expect(box.locator(".preview p")).to_have_text("An index is a letter, a number or a bracket.")
    expect(box.locator(".preview mark")).to_have_text(" ")
    expect(box.get_by_label("Next line")).to_have_attribute("aria-invalid", "true")
    expect(box.get_by_label("Next line")).to_have_accessible_description(
        "w_j*(u_j - sum_i w_i u_ An index is a letter, a number or a bracket."
    )
    box.get_by_label("Next line").fill("exp w_j")
    expect(box.locator(".preview mark")).to_have_text("exp")
    expect(box.locator(".preview p")).to_have_text("“exp” needs a bracket: exp(x).")


def test_what_is_proved_but_leads_nowhere_is_accepted_and_can_be_undone(tab, server):
    box = opened(tab, server)
    assert "been here before" in checked(box, "1 + sum_i u_i*d/d s_j w_i - 1")
    assert rows(box) == 3
    box.get_by_role("button", name="Undo").click()
    assert rows(box) == 2
    field = box.get_by_label("Next line")
    expect(field).to_be_focused()
    expect(field).to_have_value("1 + sum_i u_i*d/d s_j w_i - 1")
    field.fill("")
    field.press("ArrowUp")
    expect(field).to_have_value("sum_i u_i*d/d s_j w_i")


def test_a_line_can_be_put_into_the_field_again(tab, server):
    box = opened(tab, server)
    checked(box, STEPS[0])
    box.get_by_label("Next line").fill("half a line")
    box.get_by_role("button", name="Put line 1 into the field").click()
    expect(box.get_by_label("Next line")).to_have_value(STEPS[0])
    expect(box.get_by_label("Next line")).to_be_focused()
    tab.keyboard.press("Control+Z")
    expect(box.get_by_label("Next line")).to_have_value("half a line")


def test_a_proof_of_one_step_does_not_show_its_goal(tab, server):
    box = opened(tab, server, SHOWS)
    expect(box.locator(".turn > table")).to_contain_text("as the task says")
    assert rows(box) == 2 and box.locator(".turn > table math").count() == 1
    assert "complete" in checked(box, "w_i/tau - w_i^2/tau") and rows(box) == 3


def test_drafts_outlive_a_reload_and_are_proved_again(tab, server):
    box = opened(tab, server)
    checked(box, STEPS[0])
    box.get_by_label("Next line").fill("w_j*(")
    tab.reload()
    box = tab.locator(f"#{NAME}")
    box.get_by_role("button", name="Go on").click()
    expect(box.locator(".status")).to_have_text("Your line was kept in this browser, and proved again.", timeout=READY)
    expect(box.get_by_label("Next line")).to_have_value("w_j*(")
    assert rows(box) == 3 and tab.evaluate("Object.keys(localStorage).length") >= 1
    # a draft that somebody else wrote is no line
    kept = tab.evaluate("Object.keys(localStorage).find((key) => key.startsWith('turn'))")
    for bad in ('{"lines": ["<img src=x onerror=alert(1)>", 7], "text": "x"}', "{", '{"lines": 1}'):
        tab.evaluate("([key, bad]) => localStorage.setItem(key, bad)", [kept, bad])
        tab.goto("about:blank")
        tab.goto(f"{server}{PAGE}")
        box = tab.locator(f"#{NAME}")
        box.get_by_role("button", name="Start", exact=True).or_(box.get_by_role("button", name="Go on")).click()
        expect(box.get_by_label("Next line")).to_be_visible(timeout=READY)
        assert rows(box) == 2 and box.locator("img").count() == 0


def test_buttons_put_letters_where_the_caret_is(tab, server):
    box = opened(tab, server)
    field = box.get_by_label("Next line")
    field.fill("sum_i ()")
    field.evaluate("el => el.setSelectionRange(7, 7)")
    box.get_by_role("button", name="w_i: softmax weights").click()
    expect(field).to_have_value("sum_i (w_i)")
    box.get_by_role("button", name="u_i: utilities").click()
    expect(field).to_have_value("sum_i (w_i u_i)")
    expect(field).to_be_focused()
    expect(box.locator(".preview math")).to_be_visible()


def test_a_check_that_takes_too_long_is_ended_and_the_next_one_answers(tab, server):
    tab.clock.install()
    box = opened(tab, server)
    field = box.get_by_label("Next line")
    tab.evaluate("attentionProver.worker.postMessage = () => {}")  # a worker that never answers
    field.fill(STEPS[0])
    field.press("Enter")
    tab.clock.run_for(21_000)
    expect(box.locator(".status")).to_have_text("Too large a step for the prover: try a smaller one.")
    assert "Proved" in checked(box, STEPS[0])


HOSTILE = ["(" * 10_000, "x" * 10**6, "9^9^9^9", "9^(9^9)", "__import__('os')", "<img src=x onerror=alert(1)>", "ѕ_i"]
HOSTILE += [
    "exp(exp(exp(exp(s_j))))",
    "(w_j+u_j+tau)^60",
    "sum_i sum_i sum_i sum_i w_i",
    "s_(9^9)",
    "1/0",
    "${1}",
    "`",
    "",
]


def test_no_line_goes_while_another_is_judged_by_it_and_what_is_typed_on_stays(tab, server):
    box = opened(tab, server)
    checked(box, STEPS[0])
    field = box.get_by_label("Next line")
    post = "attentionProver.worker.postMessage"
    tab.evaluate(f"held = []; send = {post}.bind(attentionProver.worker); {post} = (text) => held.push(text); 0")
    field.fill(STEPS[1])
    field.press("Enter")
    expect(box.get_by_role("button", name="Undo")).to_be_disabled()
    field.press("Enter")
    field.fill("w_j")
    tab.evaluate("held.forEach((text) => send(text))")
    expect(box.locator(".status")).to_contain_text("complete")
    assert rows(box) == 4 and field.input_value() == "w_j"


def test_hostile_lines_give_a_sentence_and_leave_the_page_alive(tab, server):
    box = opened(tab, server)
    for line in HOSTILE:
        assert checked(box, line) or not line, line
    assert box.locator("img").count() == 0 and rows(box) == 2
    assert "Proved" in checked(box, STEPS[0])


def test_a_start_that_stalls_can_be_stopped_and_tried_again(tab, server):
    held = []
    tab.route("**/prover/*.bin", lambda route: held.append(route))
    tab.goto(f"{server}{PAGE}")
    box = tab.locator(f"#{NAME}")
    box.get_by_role("button", name="Start", exact=True).click()
    tab.wait_for_timeout(0)
    box.get_by_role("button", name="Stop").click()
    expect(box.locator(".start")).to_contain_text("did not start: it was stopped.")
    tab.unroute("**/prover/*.bin")
    box.get_by_role("button", name="Start", exact=True).click()
    expect(box.get_by_label("Next line")).to_be_focused(timeout=READY)


def test_by_finger_at_the_width_of_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(f"{server}{PAGE}")
    box = tab.locator(f"#{NAME}")
    box.get_by_role("button", name="Start", exact=True).tap()
    expect(box.get_by_label("Next line")).to_be_visible(timeout=READY)
    box.get_by_role("button", name="Hint").tap()
    box.get_by_role("button", name="Show the step").tap()
    box.get_by_label("Next line").fill(STEPS[0])
    box.get_by_role("button", name="Check").tap()
    expect(box.locator(".status")).to_contain_text("Proved", timeout=READY)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = box.evaluate(
        "el => [...el.querySelectorAll('button')].filter(b => b.offsetHeight && b.offsetHeight < 24).length"
    )
    assert small == 0
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_started_box_has_no_accessibility_problem(tab, server, width):
    tab.set_viewport_size({"width": width, "height": 900})
    box = opened(tab, server)
    checked(box, STEPS[0])
    box.get_by_role("button", name="Hint").click()
    box.get_by_label("Next line").fill("exp w_j")
    expect(box.locator(".preview mark")).to_be_visible()
    found = Axe().run(tab, context=f"#{NAME}", options={"resultTypes": ["violations"]}).response["violations"]
    assert not found, json.dumps(found)[:2000]


def test_without_scripts_the_box_is_the_exercise_with_its_proof(browser, server):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{server}{PAGE}")
    box = tab.locator(f"#{NAME}")
    expect(box.locator(".still > table")).to_contain_text("goal")
    expect(box.locator("details table")).to_be_hidden()
    box.locator("summary").click()
    expect(box.locator("details table")).to_contain_text("split the sum")
    expect(box.locator("button, input")).to_have_count(0)
    context.close()


def test_from_a_disk_the_box_says_how(browser, site):
    tab = browser.new_page()
    tab.goto((site / PAGE).as_uri())
    expect(tab.locator(f"#{NAME} .start")).to_contain_text("make serve")
    tab.close()


def test_without_the_prover_the_box_says_what_is_missing(browser, site, tmp_path):
    shutil.copytree(site, tmp_path / "html", ignore=shutil.ignore_patterns("prover", "*.ipynb"))
    page = tmp_path / "html" / PAGE
    page.write_text(re.sub(r' data-prover="[^"]*"', "", page.read_text("utf-8")), "utf-8")
    with serving(tmp_path / "html") as address:
        tab = browser.new_page()
        tab.goto(address + PAGE)
        expect(tab.locator(f"#{NAME} .start")).to_contain_text("built without the prover")
        tab.close()


# --- Firefox ---------------------------------------------------------------------------------------------------------

TEXT = "(name, part) => document.querySelector(`#${name} ${part}`)?.textContent"
PRESS = """(name, words) => {
    [...document.querySelectorAll(`#${name} button`)].find((button) => button.textContent === words).click();
    return true;
}"""
TYPE = """(name, line) => {
    const field = document.querySelector(`#${name} form input`);
    field.value = line;
    field.dispatchEvent(new Event("input"));
    field.form.requestSubmit();
    return true;
}"""
SAYS = "(name, words) => document.querySelector(`#${name} .status`).textContent.includes(words)"
SHOWN = "(name) => document.querySelector(`#${name} form input`)?.offsetHeight"


def test_a_proof_a_refuted_line_a_hint_and_a_reload_in_firefox(server):
    if not all(map(shutil.which, browsers.Firefox.programs)):
        pytest.skip(f"Firefox is missing: install {browsers.Firefox.packages}")
    with contextlib.ExitStack() as stack:
        firefox = browsers.Firefox(stack)
        firefox.open(f"{server}{PAGE}")
        firefox.evaluate(PRESS, NAME, "Start")
        firefox.wait(SHOWN, NAME)
        firefox.evaluate(TYPE, NAME, "sum_i u_i*w_i/tau")
        firefox.wait(SAYS, NAME, "Refuted at ")
        firefox.evaluate(PRESS, NAME, "Hint")
        firefox.wait("(name) => document.querySelector(`#${name} .hint`).textContent.includes('put in')", NAME)
        firefox.evaluate(TYPE, NAME, STEPS[0])
        firefox.wait(SAYS, NAME, "Proved for every number of keys.")
        firefox.open(f"{server}{PAGE}")
        firefox.evaluate(PRESS, NAME, "Go on")
        firefox.wait(SAYS, NAME, "Your line was kept")
        firefox.evaluate(TYPE, NAME, STEPS[1])
        firefox.wait(SAYS, NAME, "the proof is complete")
        assert not firefox.said()
