// Your turn: a proof that the reader writes, line by line. The prover is Python's: on a page in a worker, once the
// reader starts it; in a notebook beside the kernel.
import { html, OWN_KEYS, toFragment } from "./shared.js";

const SOURCE = document.currentScript?.src; // of a page; a notebook has no file
const PATIENCE = 20_000; // milliseconds that a check may take
const MEMORY = 450e6; // bytes after which the worker is ended, for the next check to start a fresh one
const HINTS = ["Hint", "Show the step", "Hide the hint"]; // what the button does next
const TOO_LARGE = "Too large a step for the prover: try a smaller one.";

/** The worker of a page, one for all its exercises; who asks starts it, and starts it again once it has ended. */
class PageProver {
  constructor() {
    this.waiting = new Map();
    this.watchers = new Set();
    this.asked = 0;
    addEventListener("pagehide", () => this.fail?.("the page was left"));
  }
  /** Starts the worker, if none runs; settled when it is ready. */
  start() {
    return (this.ready ??= new Promise((resolve, reject) => {
      this.fail = (words) => (reject(new Error(words)), this.stop());
      this.worker = new Worker(new URL("../prover/worker.js", SOURCE), { type: "module" });
      this.worker.onerror = (event) => (event.preventDefault(), this.fail("its files did not load"));
      this.worker.onmessage = ({ data }) => {
        if (data.total) for (const watcher of this.watchers) watcher(data);
        else if (data.ready) resolve();
        else if (data.id === undefined) this.fail(data.failed);
        else this.settle(data);
      };
    }));
  }
  settle({ id, answer, failed, memory }) {
    const { resolve, timer } = this.waiting.get(id) ?? {};
    clearTimeout(timer);
    this.waiting.delete(id);
    resolve?.(
      failed ? { verdict: "undecided", words: `The prover failed on this line: ${failed}` } : JSON.parse(answer),
    );
    if (failed || memory > MEMORY) this.stop();
  }
  async ask(request) {
    try {
      await this.start();
    } catch ({ message }) {
      return { verdict: "undecided", words: `The prover did not start: ${message}.` };
    }
    const id = ++this.asked;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.stop(), PATIENCE);
      this.waiting.set(id, { resolve, timer });
      this.worker.postMessage(JSON.stringify({ ...request, id }));
    });
  }
  stop() {
    this.worker?.terminate();
    this.worker = this.ready = undefined;
    for (const { resolve, timer } of this.waiting.values()) {
      clearTimeout(timer);
      resolve({ verdict: "undecided", words: TOO_LARGE });
    }
    this.waiting.clear();
  }
}

/** The process beside a kernel, with the same interface. */
class KernelProver {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.hear = (answer) => {
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    };
    model.on("msg:custom", this.hear);
  }
  ask({ exercise, ...request }) {
    const id = `${Math.random()}`;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      setTimeout(() => this.hear({ id, verdict: "undecided", words: "The kernel does not answer." }), 2 * PATIENCE);
      this.model.send({ ...request, id });
    });
  }
}

/** What the reader left here: kept in this browser alone. */
const drafts = (name) => {
  const key = `turn ${location.pathname} ${name}`;
  return {
    read() {
      try {
        const { lines, text } = JSON.parse(localStorage.getItem(key));
        return { lines: lines.map(String), text: String(text) };
      } catch {
        return { lines: [], text: "" }; // nothing was kept, or nothing that can be read
      }
    },
    write(draft) {
      try {
        localStorage.setItem(key, JSON.stringify(draft));
      } catch {
        // where nothing may be kept, the lines live as long as the page
      }
    },
  };
};

function row(sign, mathml, ...words) {
  const formula = html("td", { class: "formula" });
  formula.innerHTML = mathml;
  const cells = [html("td", { class: "left" }, sign), formula, html("td", { class: "reason" }, ...words)];
  for (const cell of cells) cell.setAttribute("role", "presentation");
  return html("tr", { role: "listitem" }, ...cells);
}
const button = (label, act, attributes = {}) => {
  const made = html("button", { type: "button", ...OWN_KEYS, ...attributes }, label);
  made.addEventListener("click", act);
  return made;
};

export function render({ model, el }) {
  const [exercise, book, sign] = ["_exercise", "_book", "_sign"].map((key) => model.get(key));
  const draft = drafts(model.get("_name"));
  const prover = model.send ? new KernelProver(model) : (globalThis.attentionProver ??= new PageProver());
  let lines = []; // { text, mathml, next, nearer, done }
  let hints = 0;
  let busy = false;
  const check = (text) => prover.ask({ do: "check", exercise, lines: lines.map((line) => line.text), text });

  const solution = el.querySelector("details");
  const title = el.closest(".exercise")?.querySelector(".admonition-title")?.textContent.trim();
  const label = ["Your turn", ...(title ? [title] : [])].join(": ");
  const root = html("div", { class: "attention-widget live turn", role: "group", "aria-label": label });
  const table = html("table", { class: "derivation", role: "list", "aria-label": "Lines of the proof" });
  const field = html("input", {
    type: "text",
    ...OWN_KEYS,
    "aria-label": "Next line",
    placeholder: "the next line",
    autocomplete: "off",
    autocapitalize: "none",
    autocorrect: "off",
    spellcheck: "false",
    enterkeyhint: "go",
  });
  const preview = html("div", { class: "preview", id: `${model.get("_name")}-preview` });
  field.setAttribute("aria-describedby", preview.id);
  const status = html("p", { class: "status", role: "status", tabindex: -1 });
  const more = html("div", { class: "hint", role: "status" });
  const checking = html("button", { type: "submit", ...OWN_KEYS }, "Check");
  const form = html("form", {}, field, checking);
  const names = html("div", { class: "names", role: "group", "aria-label": "What may be typed" });
  for (const [text, says] of model.get("_names"))
    names.append(
      button(
        html("code", {}, text.trim()),
        () => insert(text),
        says ? { title: says, "aria-label": `${text.trim()}: ${says}` } : {},
      ),
    );
  let gone = []; // what starting again took away
  const undo = button("Undo", () => {
    if (!lines.length) {
      lines = gone.splice(0);
      return settle("Your lines are back.");
    }
    take(lines.pop().text);
    settle("The last line is in the field again.");
  });
  const again = button("Start again", () => {
    gone = lines.splice(0);
    settle("All lines are gone; Undo brings them back.");
  });
  const hint = button("Hint", help);
  const actions = html("div", { class: "actions" }, hint, undo, again);
  const work = html("div", { class: "work" }, form, preview, status, names, actions, more);
  const start = html("div", { class: "start" });
  root.append(table, ...(model.send ? [] : [start]), work, ...(solution ? [solution] : []));
  el.replaceChildren(root);
  // What is typed here is not its host's as well: a notebook's keys, the next slide.
  root.addEventListener("keydown", (event) => {
    if (!event.altKey && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });

  const insert = (text) => {
    const { selectionStart: from, value } = field;
    write(/[\w)\]]$/.test(value.slice(0, from)) && /^\w/.test(text) ? ` ${text}` : text);
  };
  /** Types into the field, so that the browser's own undo gives back what stood there. */
  const write = (text) => {
    field.focus();
    if (!document.execCommand(text ? "insertText" : "delete", false, text)) {
      field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
      look();
    }
  };
  const take = (text) => {
    field.select();
    write(text);
  };
  const keep = () => draft.write({ lines: lines.map(({ text }) => text), text: field.value });
  const done = () => lines.at(-1)?.done;
  const copy = (text, what) =>
    button("copy", () => take(text), { class: "copy", "aria-label": `Put ${what} into the field` });
  function show() {
    const finished = done();
    table.replaceChildren(
      row("", book[0].mathml, "start ", copy(book[0].text, "the start")),
      ...lines.map(({ text, mathml }, place) =>
        row(sign, mathml, html("span", { class: "proved" }, "✓ proved"), " ", copy(text, `line ${place + 1}`)),
      ),
      book.length > 2 || finished
        ? row(sign, book.at(-1).mathml, finished ? "the goal, reached" : "goal")
        : row(sign, "?", "as the task says"),
    );
    table.classList.toggle("finished", Boolean(finished));
    hint.textContent = HINTS[hints];
    form.hidden = preview.hidden = names.hidden = hint.hidden = finished;
    able();
  }
  const able = () => {
    undo.disabled = busy || !(lines.length || gone.length);
    again.disabled = busy || !lines.length;
  };
  /** After lines were taken away, or brought back. */
  function settle(words) {
    hints = 0;
    more.replaceChildren();
    say(words);
    show();
    share();
    field.focus();
  }
  function share() {
    keep();
    if (!model.send) return;
    model.set(
      "lines",
      lines.map(({ text }) => text),
    );
    model.save_changes();
  }
  const say = (...words) => {
    status.classList.remove("old");
    status.replaceChildren(...words);
  };

  let looked = 0;
  async function look() {
    keep();
    const turn = ++looked;
    const text = field.value;
    status.classList.add("old"); // what it says is of another line
    if (!text.trim()) return explain({}, "");
    const answer = await prover.ask({ do: "preview", exercise, text });
    if (turn === looked) explain(answer, text);
  }
  /** The line as it is read, or what is wrong with it at its place. */
  function explain({ mathml, words, start: from, end: to }, text) {
    field.ariaInvalid = words ? "true" : null;
    if (!words) return (preview.innerHTML = mathml ?? "");
    const wrong = html("mark", {}, text.slice(from, to).slice(0, 80) || " ");
    const around = [text.slice(Math.max(0, from - 80), from), wrong, text.slice(to, to + 80)];
    preview.replaceChildren(html("code", {}, ...around), html("p", {}, words));
  }
  field.addEventListener("input", look);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" || field.value) return;
    event.preventDefault();
    take(lines.at(-1)?.text ?? book[0].text);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value;
    if (busy || !text.trim()) return;
    busy = true; // no line may go while another is judged by it
    able();
    checking.setAttribute("aria-disabled", "true");
    checking.textContent = "Checking";
    const answer = await check(text);
    busy = false;
    able();
    checking.removeAttribute("aria-disabled");
    checking.textContent = "Check";
    say(answer.words, ...shown(answer.state));
    if (answer.verdict === "unreadable" && field.value === text) explain(answer, text);
    if (answer.verdict === "proved") accept(text, answer);
    // The keyboard of a phone would hide the answer.
    if (matchMedia("(pointer: fine)").matches && !answer.done) field.focus();
    status.scrollIntoView({ block: "nearest" });
  });
  function accept(text, answer) {
    gone = [];
    lines.push({ text, ...answer });
    hints = 0;
    more.replaceChildren();
    if (field.value === text) {
      field.value = ""; // or the reader has typed on
      look();
    }
    show();
    share();
    if (answer.done) status.focus();
  }

  /** What shows a refutation's numbers in the chapter's picture. */
  function shown(state) {
    const [picture] = model.get("_picture");
    if (!state || !picture) return [];
    const words = "See these numbers in the picture";
    return [" ", model.send ? button(words, () => model.send({ do: "show", state })) : link(words, picture, state)];
  }
  function link(words, picture, state) {
    const made = html("a", { href: toFragment(picture, state) }, words);
    made.addEventListener("click", () =>
      setTimeout(() =>
        document.querySelector(`#${picture} :is(.handle, input, button)`).focus({ preventScroll: true }),
      ),
    );
    return made;
  }
  function help() {
    const next = book[lines.at(-1)?.next ?? 1];
    hints = (hints + 1) % 3;
    hint.textContent = HINTS[hints];
    if (!hints) return more.replaceChildren();
    more.replaceChildren(html("p", {}, `Next in the book’s proof: ${next.reason}.`));
    if (hints < 2) return;
    const step = html("p");
    step.innerHTML = next.mathml;
    more.append(step, html("p", {}, html("code", {}, next.text), " ", copy(next.text, "this step")));
  }

  /** Proves again what the reader had proved before. */
  async function replay(kept) {
    let missed;
    for (const text of kept.lines) {
      const answer = await check(text);
      if (answer.verdict !== "proved") {
        missed = text;
        break;
      }
      lines.push({ text, ...answer });
    }
    field.value = kept.text || (missed ?? "");
    const count = lines.length === 1 ? "Your line was" : `${lines.length} of your lines were`;
    if (kept.lines.length) say(`${count} kept in this browser, and proved again.`);
    show();
    if (field.value) look();
  }
  const kept = draft.read();
  show();
  if (model.send) {
    root.classList.add("started");
    if (kept.lines.length || kept.text) replay(kept);
    return () => model.off("msg:custom", prover.hear);
  }

  // On a page the prover comes when it is asked for.
  work.hidden = true;
  const size = el.dataset.prover;
  if (location.protocol === "file:")
    start.append(
      html(
        "p",
        {},
        "A browser runs the prover only for a page from a server: in a copy of the book, run ",
        html("code", {}, "make serve"),
        ".",
      ),
    );
  else if (!size)
    start.append(
      html("p", {}, "This copy of the site was built without the prover, for which the build needs npm and a network."),
    );
  else {
    const bar = html("progress", { max: 1, value: 0, hidden: "", "aria-label": "The prover is loading" });
    const words = html(
      "span",
      {},
      `The prover is ${size}, loaded once and kept by your browser; nothing that you type leaves it.`,
    );
    const watch = ({ loaded, total }) => (bar.value = loaded / total);
    const word = kept.lines.length || kept.text ? "Go on" : "Start";
    const begin = button(word, async () => {
      if (!bar.hidden) return prover.fail("it was stopped");
      begin.textContent = "Stop";
      bar.hidden = false;
      words.textContent = "The prover is loading.";
      prover.watchers.add(watch);
      try {
        await prover.start();
        start.remove();
        work.hidden = false;
        root.classList.add("started");
        await replay(kept);
        if ([document.body, begin].includes(document.activeElement)) field.focus({ preventScroll: true });
      } catch (error) {
        begin.textContent = word;
        bar.hidden = true;
        words.textContent = `The prover did not start: ${error.message}.`;
      }
      prover.watchers.delete(watch);
    });
    words.setAttribute("role", "status");
    start.append(begin, " ", bar, " ", words);
  }
}
