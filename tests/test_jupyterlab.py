"""A chapter in a real JupyterLab: a double click opens it as a notebook, and its widget and Python share one state."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect
from servers import serving, settings, settled

import attnlib
from attnlib.widgets import widget_classes

expect.set_options(timeout=60_000)  # kernels share the machine with the other tests
ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "02-likelihood.md"
NOTEBOOK = "02-likelihood.ipynb"
WIDGET = "div.attention-widget.live"
RUN = """async code => {
    const { commands, shell } = jupyterapp;
    const notebook = shell.currentWidget.content;
    await commands.execute('notebook:insert-cell-below');
    notebook.activeCell.model.sharedModel.setSource(code);
    await commands.execute('notebook:run-cell');
    return notebook.activeCell.model.outputs.toJSON().map(output => output.text ?? JSON.stringify(output)).join('');
}"""
# After the chapter has run: the cells that failed, and the cell whose output is the widget made active.
STATE = """() => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const cells = notebook.widgets.filter(cell => cell.model.type === 'code');
    notebook.activeCellIndex = notebook.widgets.findIndex(cell => cell.node.querySelector('div.attention-widget.live'));
    return cells.flatMap(cell => cell.model.outputs.toJSON()).filter(output => output.output_type === 'error');
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, pytestconfig, site):
    """Start JupyterLab on a copy of the chapters, set up as `make lab` and Binder do, and beside them a notebook of the
    site; the value is its address."""
    home = tmp_path_factory.mktemp("jupyterlab")
    shutil.copytree(pytestconfig.getoption("--book-source") / "chapters", home / "chapters")
    shutil.copy(site / "notebooks" / NOTEBOOK, home / "chapters")
    environment = os.environ | settings(home)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("JUPYTER_RUNTIME_DIR", None)
    subprocess.run([ROOT / "binder/postBuild"], env=environment, check=True)
    command = [sys.executable, "-m", "jupyterlab", "--LabApp.expose_app_in_browser=True"]
    with serving(home, home / "chapters", command, environment) as running:
        yield f"{running['url']}lab?token={running['token']}"


def opened(context, lab, name):
    """A page of JupyterLab in which a file was opened by a double click."""
    tab = context.new_page()
    tab.goto(f"{lab}&reset")  # without what another page has opened
    tab.locator(f".jp-DirListing-item:has-text('{name}')").dblclick(timeout=60_000)
    expect(tab.locator(".jp-NotebookPanel .jp-CodeCell").first).to_be_visible()
    idle = "jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'"
    tab.wait_for_function(idle, timeout=60_000)
    return tab


@pytest.fixture(scope="module")
def tab(browser, lab):
    """The chapter, opened by a double click, with all cells run."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    tab = opened(context, lab, CHAPTER)
    tab.evaluate("async () => { await jupyterapp.commands.execute('notebook:run-all-cells') }")
    errors = tab.evaluate(STATE)
    assert not errors, errors
    tab.locator(WIDGET).first.scroll_into_view_if_needed()
    yield tab
    context.close()


def score(tab):
    return tab.locator(f'{WIDGET} g.handle[aria-label="score of key 1"]').first


def value(handle):
    return float(handle.get_attribute("aria-valuenow"))


def scores(tab):
    return json.loads(tab.evaluate(RUN, "print([*fusion.scores])"))


def test_a_drag_changes_the_python_object(tab):
    before = scores(tab)
    score(tab).scroll_into_view_if_needed()
    box = score(tab).locator("circle").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 30, y, steps=5)
    tab.mouse.up()
    # JupyterLab sends a drag's last step once the kernel has answered the one before; so look more than once.
    after, shown = settled(lambda: (scores(tab), value(score(tab))), lambda both: both[0][0] == both[1])
    assert after == [shown, *before[1:]]
    assert shown < before[0]


def test_python_moves_the_picture(tab):
    tab.evaluate(RUN, "fusion.alpha, fusion.scores = 2.5, [-1.5, *fusion.scores[1:]]")
    expect(tab.locator(f'{WIDGET} input[data-symbol="alpha"]').first).to_have_value("2.5")
    expect(score(tab)).to_have_attribute("aria-valuenow", "-1.5")
    weight = float(tab.evaluate(RUN, "print(fusion.weights[0])"))
    cell = tab.locator(f"{WIDGET} tbody tr").first.locator("td").last
    expect(cell).to_have_text(f"{weight:.4f}")


def test_keys_move_the_controls_and_leave_the_notebook_alone(tab):
    cells = "jupyterapp.shell.currentWidget.content.widgets.length"
    slider = tab.locator(f'{WIDGET} input[data-symbol="alpha"]').first
    count, before = tab.evaluate(cells), float(slider.input_value())
    for control in (slider, score(tab), tab.locator(f"{WIDGET} .legend button").first):
        control.focus()
        for key in "abx":  # JupyterLab's keys for a cell above, a cell below, and cutting one
            tab.keyboard.press(key)
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) < before and tab.evaluate(cells) == count


def test_python_refuses_what_the_slider_cannot_show(tab):
    assert "alpha must be a number within" in tab.evaluate(RUN, "fusion.alpha = 99")


def test_every_widget_lives_here_and_a_switch_reaches_python(tab):
    before = tab.locator(WIDGET).count()
    show = "from attnlib.widgets import widget_classes\nfrom IPython.display import display\n"
    show += "shown = {kind: cls() for kind, cls in widget_classes().items()}\n"
    tab.evaluate(RUN, show + "for widget in shown.values(): display(widget)")
    expect(tab.locator(WIDGET)).to_have_count(before + len(widget_classes()))
    switch = tab.locator('input[data-symbol="gini"]')
    switch.scroll_into_view_if_needed()
    switch.click()
    gini = settled(lambda: float(tab.evaluate(RUN, "print(shown['transport'].gini)")), lambda gini: gini == 1)
    assert gini == 1
    weights = json.loads(tab.evaluate(RUN, "print([*map(float, shown['transport'].weights)])"))
    cells = tab.locator(WIDGET).filter(has=switch).locator("tbody td:last-child")
    expect(cells).to_have_text([f"{weight:.4f}" for weight in weights])


def test_a_measurement_runs_on_this_machine_and_stops_where_memory_ends(tab):
    tab.evaluate(RUN, "from attnlib.widgets import LengthScaling\nfrom IPython.display import display")
    tab.evaluate(RUN, "scaling = LengthScaling(head_dim=16)\ndisplay(scaling)")
    scaling = tab.locator(WIDGET).filter(has=tab.locator(".bench")).last
    scaling.locator(".bench").scroll_into_view_if_needed()
    scaling.get_by_label("Memory limit, GB").fill("0.001")
    scaling.get_by_role("button", name="Measure on this machine").click()
    expect(scaling.locator(".bench [role=status]")).to_contain_text("3 lengths measured")
    assert tab.evaluate(RUN, "print(len(scaling.points))").strip() == "4"  # the fourth says why it was not tried
    expect(scaling.locator(".points-key")).to_contain_text("numpy naive: 3 points, measured here")
    expect(scaling.locator(".points-key")).to_contain_text("not tried: it needs")
    expect(scaling.get_by_role("button", name="Measure on this machine")).to_be_enabled()


def test_a_field_for_an_answer_works_below_its_cell_and_keeps_its_keys(tab):
    form = tab.locator("form.attention-answer").first
    form.scroll_into_view_if_needed()
    cells = "jupyterapp.shell.currentWidget.content.widgets.length"
    count = tab.evaluate(cells)
    for text, said in (("abx", "is not a number here"), ("15/2", "Right."), ("2.5", "is wrong.")):
        form.locator("input").fill("")
        form.locator("input").press_sequentially(text)
        tab.keyboard.press("Enter")
        expect(form.get_by_role("status")).to_contain_text(said)
    assert tab.evaluate(cells) == count


def test_a_guess_comes_first_here_too(tab):
    widget = tab.locator(WIDGET).first
    alpha = json.loads(tab.evaluate(RUN, "print(fusion.alpha)"))
    widget.get_by_role("button", name="Guess first").click()
    widget.get_by_role("button", name="α = 3").click()
    tab.keyboard.press("ArrowRight")
    assert json.loads(tab.evaluate(RUN, "print(fusion.alpha)")) == alpha != 3
    widget.get_by_role("button", name="Show the law’s answer").click()
    expect(widget.locator(".guess [role=status]")).to_contain_text("nats off")
    assert settled(lambda: float(tab.evaluate(RUN, "print(fusion.alpha)")), lambda value: value == 3) == 3
    widget.get_by_role("button", name="Guess first").click()


def test_a_reader_proves_with_the_kernel_and_python_has_the_lines(tab):
    code = """
from sympy import Derivative
from attnlib.derive import Derivation
from attnlib.formulas import Weight, alpha, i, s
from attnlib.widgets import YourTurn
w_i = Weight(i, alpha)
slope = Derivation(Derivative(w_i, s[i])).step(alpha*w_i - alpha*w_i**2, "the quotient rule")
turn = YourTurn("slope", slope.step(alpha*w_i*(1 - w_i), "what both share"), shown=fusion, inputs={s: "scores"})
turn
"""
    tab.evaluate(RUN, code)
    tab.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCell.node.id = 'proof-cell' }")
    box = tab.locator(f"#proof-cell {WIDGET}.turn")
    box.scroll_into_view_if_needed()
    field, status = box.get_by_label("Next line"), box.locator(".status")
    field.fill("w_i*(1 - alpha")
    expect(box.locator(".preview")).to_contain_text("This bracket is not closed.")
    field.fill("alpha*w_i")
    expect(box.locator(".preview math")).to_be_visible()
    field.press("Enter")
    expect(status).to_contain_text("Refuted at s = ")
    box.get_by_role("button", name="See these numbers in the picture").click()
    said = json.loads(status.inner_text().split("s = (")[1].split(")")[0].join("[]").replace("−", "-"))
    assert settled(lambda: scores(tab), lambda now: now == said) == said
    field.fill("alpha*w_i - alpha*w_i^2")
    field.press("Enter")
    expect(status).to_have_text("Proved for every number of keys.")
    box.get_by_role("button", name="Hint").click()
    expect(box.locator(".hint")).to_contain_text("what both share")
    field.fill("alpha*w_i*(1 - w_i)")
    field.press("Enter")
    expect(status).to_contain_text("the proof is complete")
    written = settled(lambda: tab.evaluate(RUN, "print(turn.lines)").strip(), lambda lines: lines.count("w_i") > 3)
    assert written == "['alpha*w_i - alpha*w_i^2', 'alpha*w_i*(1 - w_i)']"


def test_a_notebook_of_the_site_is_read_before_it_is_run(browser, lab):
    """It is not trusted yet, so HTML and SVG in it would not be shown."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    tab = opened(context, lab, NOTEBOOK)
    outputs = tab.locator(".jp-Cell-outputArea")
    expect(outputs.locator("img").first).to_be_visible()
    assert outputs.locator("img").first.evaluate("picture => picture.naturalWidth") > 600
    outputs.locator("img").first.scroll_into_view_if_needed()
    expect(outputs.filter(has_text="Ma, Eq. 2:").locator("td :is(.katex, mjx-container)").first).to_be_visible()
    tab.evaluate(
        """async () => {
            jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
            await jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    expect(outputs.first).to_contain_text(f"attnlib {attnlib.__version__} is here")
    context.close()
