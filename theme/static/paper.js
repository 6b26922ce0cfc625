// What paper needs and a style sheet cannot do: folds are open, solutions stand at the end of their chapter, a proof
// has lines to write on, and no formula is wider than the page. All of it is undone once the page is printed.

const WIDTH = ((210 - 2 * 22) / 25.4) * 96; // of the text on A4, the narrower paper; site.css sets the margins
const SIZE = (10.5 / 72) * 96; // of its letters

const undo = [];
const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
function add(node, place, how = "append") {
  place[how](node);
  undo.push(() => node.remove());
}
function move(node, place) {
  const mark = document.createComment("");
  node.replaceWith(mark);
  place.append(node);
  undo.push(() => mark.replaceWith(node));
}
function set(node, name, value) {
  const before = node.getAttribute(name);
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
  undo.push(() => (before === null ? node.removeAttribute(name) : node.setAttribute(name, before)));
}

/** Moves what a fold holds into a box below the solutions; the exercise says where, the box whose solution it is. */
function solve(exercise, fold, solutions) {
  const named = [...exercise.querySelector(".admonition-title").cloneNode(true).childNodes];
  const box = make("div", { class: "admonition solution", id: fold.id || `${exercise.id}-solution` });
  const title = make("a", { href: `#${exercise.id}` }, ...named);
  box.append(make("p", { class: "admonition-title" }, "Solution to ", title));
  add(box, solutions);
  set(fold, "id", null);
  set(fold, "hidden", "");
  for (const part of [...fold.children].filter((part) => part.tagName !== "SUMMARY")) move(part, box);
  const link = make("a", { class: "paged", href: `#${box.id}` }, "at the end of the chapter");
  add(make("p", { class: "solved" }, "Solution: ", link), exercise);
}

/** Gives a proof that the reader is to write as many lines as the book's has, and one more. */
function rule(table, count) {
  const [first] = table.rows;
  for (let line = table.rows.length - 1; line < count; line++) {
    const row = make(
      "tr",
      { class: "blank" },
      ...[...first.cells].map((cell) => make("td", { class: cell.className })),
    );
    add(row, [...table.rows].at(-1), "before");
  }
}

function gather(article) {
  const solutions = make("section", { class: "solutions" });
  let exercise;
  for (const box of article.querySelectorAll(".exercise, details.solution")) {
    if (box.matches("details")) {
      solve(exercise, box, solutions);
      continue;
    }
    exercise = box;
    const proof = box.querySelector("[data-widget=proof] details");
    if (!proof) continue;
    if (!box.querySelector(".finished"))
      rule(box.querySelector("table.derivation"), proof.querySelectorAll("tr").length);
    solve(box, proof, solutions);
  }
  if (!solutions.firstChild) return;
  const heading = make("h2", { id: [article.id, "solutions"].filter(Boolean).join("--") }, "Solutions");
  solutions.prepend(heading);
  add(solutions, article.querySelector("section") ?? article);
}

const width = (node) => {
  const range = document.createRange();
  range.selectNodeContents(node);
  return range.getBoundingClientRect().width;
};
const AROUND = ".formula, td, p, li, dd, dt, th, h1, h2, h3, figcaption";

/** Shrinks the formulas that would not fit; below a wide line of a derivation its reason has a line of its own. */
function fit(article) {
  const whole = article.querySelector("h1").getBoundingClientRect().width;
  // All is looked at before anything is changed: the page is laid out once.
  const changes = [];
  const shrink = (formula, ratio) => {
    const size = (node) => parseFloat(getComputedStyle(node).fontSize);
    const style = `font-size: ${((size(formula) / size(formula.parentElement)) * ratio).toFixed(3)}em`;
    if (ratio < 1) changes.push(() => set(formula, "style", style));
  };
  // On paper a box has the page's width less what lies around it here, and letters of another size.
  const room = (box) => WIDTH - Math.max(0, whole - box.getBoundingClientRect().width);
  const scale = SIZE / parseFloat(getComputedStyle(article).fontSize);
  for (const formula of article.querySelectorAll("math")) {
    const line = formula.closest(AROUND);
    if (!line || line.closest(".derivation, .table, .attention-widget")) continue;
    shrink(formula, (0.98 * room(line)) / (formula.getBoundingClientRect().width * scale));
  }
  for (const table of article.querySelectorAll("table.derivation")) {
    const rows = [...table.rows].filter((row) => row.cells.length === 3);
    const widest = (place) => Math.max(0, ...rows.map((row) => width(row.cells[place])));
    const scaled = table.closest(".attention-widget") ? 1 : scale;
    const [needed, given] = [(widest(0) + widest(1)) * scaled + 20, room(table.parentElement)];
    if (needed < 0.68 * given) continue;
    for (const formula of table.querySelectorAll("td:not(.reason) math")) shrink(formula, given / needed);
    for (const row of rows.filter((row) => row.cells[2].hasChildNodes()))
      changes.push(() => {
        const reason = row.cells[2];
        const below = make("tr", { class: "below" }, make("td", {}));
        add(below, row, "after");
        move(reason, below);
      });
  }
  for (const change of changes) change();
}

/** Has a widget's address lead to the state in which it is printed: a link, and no code where that is another state. */
function link(address) {
  const state = address.parentElement.querySelector(".state-link");
  if (state) {
    const page = document.querySelector("link[rel=canonical]")?.href;
    const href = page ? page + state.hash : state.href;
    if (!address.dataset.address.endsWith(state.hash)) set(address, "class", "address moved");
    set(address, "data-address", href);
  }
  const { address: href } = address.dataset;
  if (/^https?:/.test(href)) add(make("a", { href }, href), address);
}

addEventListener("beforeprint", () => {
  if (undo.length) return;
  set(document.documentElement, "data-theme", "light");
  for (const article of document.querySelectorAll("article")) {
    for (const fold of article.querySelectorAll("details:not([open], .tag_hide-input > .hide)")) set(fold, "open", "");
    fit(article);
    gather(article);
    for (const address of article.querySelectorAll(".address")) link(address);
  }
});
addEventListener("afterprint", () => {
  while (undo.length) undo.pop()();
});
