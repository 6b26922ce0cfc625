// What a style sheet cannot do, in place of the theme's scripts. Every page reads without it.

const root = document.documentElement;
const all = (selector) => [...document.querySelectorAll(selector)];
const article = document.querySelector("article");

// ---- Colours: light, dark, or as the system has them --------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
function paint(mode) {
  root.dataset.mode = mode;
  root.dataset.theme = mode !== "auto" ? mode : dark.matches ? "dark" : "light";
  for (const button of all(".theme-switch-button"))
    button.ariaLabel = button.title = `Colours: ${mode === "auto" ? "as the system has them" : mode}`;
}
paint(root.dataset.mode);
dark.addEventListener("change", () => paint(root.dataset.mode));
for (const button of all(".theme-switch-button"))
  button.addEventListener("click", () => {
    const modes = dark.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"]; // the first click is seen
    paint(modes[(modes.indexOf(root.dataset.mode) + 1) % 3]);
    try {
      localStorage.setItem("mode", root.dataset.mode);
    } catch {
      // where nothing may be kept, the choice holds for this page
    }
  });

// ---- Search, sidebars and menus ------------------------------------------------------------------------------------

const search = document.getElementById("pst-search-dialog");
const field = document.querySelector(".bd-search-container input") ?? search.querySelector("input");
function look() {
  if (search.contains(field) && !search.open) search.showModal();
  field.focus();
  field.select();
}
for (const button of all(".search-button__button")) button.addEventListener("click", look);
search.addEventListener("click", (event) => event.target === search && search.close()); // beside the field
const command = navigator.platform.startsWith("Mac") ? "metaKey" : "ctrlKey";
if (command === "metaKey") for (const key of all(".search-button__kbd-shortcut kbd:first-child")) key.textContent = "⌘";
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !event[command] || event.shiftKey || event.altKey) return;
  event.preventDefault();
  look();
});

// On a phone a sidebar slides in; where there is room, the button gives its room to the text.
const sidebar = document.getElementById("pst-primary-sidebar");
const toggle = document.querySelector(".primary-toggle");
toggle.addEventListener("click", (event) => {
  if (!matchMedia("(min-width: 992px)").matches) return;
  event.preventDefault();
  sidebar.classList.toggle("pst-sidebar-hidden");
});
for (const side of all("[popover]"))
  side.addEventListener("click", (event) => {
    if (event.target.closest("a") && side.matches(":popover-open")) side.hidePopover();
  });

addEventListener("click", (event) => {
  for (const menu of all(".menu[open]")) menu.open = menu.contains(event.target);
});
for (const menu of all(".menu"))
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

// ---- The heading that is read, in the table of contents ---------------------------------------------------------

const entries = new Map(all("#pst-page-toc-nav a[href^='#']").map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver(
  (seen) => {
    const last = seen.filter((entry) => entry.isIntersecting).pop();
    const current = last && entries.get(last.target.closest("[id]").id);
    if (!current) return;
    for (const link of entries.values()) {
      link.classList.toggle("active", link === current);
      if (link === current) link.ariaCurrent = "true";
      else link.ariaCurrent = null;
    }
  },
  { rootMargin: "0px 0px -70%" },
);
for (const id of entries.keys()) {
  const place = document.getElementById(id);
  reading.observe(place?.querySelector("h1, h2, h3, h4") ?? place);
}

// ---- What scrolls can be reached by keyboard --------------------------------------------------------------------

// What comes near is looked at first, the rest in slices: a browser that must measure all of a chapter at once is
// silent for a second.
const BOXES =
  ".math, .math > .formula, .derivation td, .attention-widget :is(.formula, .numbers), pre, .output, " +
  ".pst-scrollable-table-container";
const LINES = "p, li, dd, dt, td, th, h1, h2, h3, figcaption";
function weigh(boxes) {
  const wide = boxes.map((box) => {
    const line = box.matches("span.math:not(.derivation :is(.left, .formula) *)") && box.closest(LINES);
    if (!line) return false;
    const { width, right } = box.firstElementChild.getBoundingClientRect();
    return width > line.clientWidth || right > line.getBoundingClientRect().right + 1;
  });
  boxes.forEach((box, index) => box.classList.toggle("wide-formula", wide[index]));
  const scrolls = boxes.map((box) => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === "auto");
  boxes.forEach((box, index) => {
    if (scrolls[index]) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}
const near = new IntersectionObserver(
  (seen) => weigh(seen.filter((entry) => entry.isIntersecting).map((entry) => entry.target)),
  { rootMargin: "100% 0px" },
);
let later;
function measure() {
  near.disconnect();
  clearTimeout(later);
  const boxes = all(BOXES);
  for (const box of boxes) near.observe(box);
  const slice = () => {
    weigh(boxes.splice(0, 40).filter((box) => box.checkVisibility())); // what a fold hides waits until it opens
    if (boxes.length) later = setTimeout(slice);
  };
  later = setTimeout(slice);
}
addEventListener("load", measure);
addEventListener("resize", measure);
document.fonts.addEventListener("loadingdone", measure);

// ---- The place that the address names ---------------------------------------------------------------------------

// A widget's link has its state after its name, which browsers do not know; and what has grown above a place has moved
// it, where browsers have no scroll anchoring. So it is gone to once all stands, unless the reader has moved on.
const moved = new AbortController();
for (const sign of ["wheel", "touchstart", "pointerdown", "keydown"])
  addEventListener(sign, () => moved.abort(), { signal: moved.signal, passive: true });
function arrive() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1).split(/\?|%3F/)[0]));
  if (place && !moved.signal.aborted) place.scrollIntoView({ block: "start", behavior: "instant" });
}
if (location.hash && performance.getEntriesByType("navigation")[0]?.type === "navigate") {
  addEventListener("DOMContentLoaded", arrive);
  addEventListener("load", () => document.fonts.ready.then(arrive));
}

// ---- What was searched for --------------------------------------------------------------------------------------

/** Marks words on the page, and shows a place of the rarest: one that is seen, else one in a fold, which it opens. */
function show(words) {
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const hits = words.map(() => []);
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    const text = fold(node.data);
    if (node.parentElement.closest("script")) continue;
    words.forEach((word, number) => {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
        const hit = document.createRange();
        hit.setStart(node, at);
        hit.setEnd(node, Math.min(at + word.length, node.length));
        hits[number].push(hit);
      }
    });
  }
  if (window.Highlight) CSS.highlights.set("sought", new Highlight(...hits.flat()));
  const [rarest = []] = hits.filter((places) => places.length).sort((a, b) => a.length - b.length);
  const folds = ({ startContainer: node }) => {
    const around = [];
    for (let box = node.parentElement; box; box = box.parentElement) if (box.tagName === "DETAILS") around.push(box);
    return around.filter((box) => !box.open);
  };
  const place = rarest.find((hit) => !folds(hit).length) ?? rarest[0];
  if (!place) return;
  for (const box of folds(place)) box.open = true;
  if (!location.hash) place.startContainer.parentElement.scrollIntoView({ block: "center", behavior: "instant" });
}
// The search page leaves its words for the page that is opened from it.
if (article) {
  let sought;
  try {
    sought = localStorage.getItem("sphinx_highlight_terms");
    localStorage.removeItem("sphinx_highlight_terms");
  } catch {
    // where nothing may be kept, nothing was
  }
  if (sought) addEventListener("DOMContentLoaded", () => show(sought.split(" ")));
}

// ---- Copying: formulas as TeX, a derivation line by line --------------------------------------------------------

const tex = (formula) => {
  const mark = formula.getAttribute("display") === "block" ? "$$" : "$";
  return formula.dataset.tex ? mark + formula.dataset.tex + mark : formula.textContent;
};
addEventListener("copy", (event) => {
  const selection = getSelection();
  if (selection.isCollapsed) return;
  const range = selection.getRangeAt(0).cloneRange();
  const within = (node) => (node.closest ? node : node.parentElement).closest("math");
  const [first, last] = [within(range.startContainer), within(range.endContainer)];
  if (first) range.setStartBefore(first); // half a formula is none
  if (last) range.setEndAfter(last);
  const copied = document.createElement("div");
  copied.className = "copied";
  copied.append(range.cloneContents());
  const formulas = [...copied.querySelectorAll("math")];
  if (!formulas.length) return;
  for (const formula of formulas) formula.replaceWith(tex(formula));
  for (const extra of copied.querySelectorAll(".headerlink, .copybtn, script")) extra.remove();
  for (const row of copied.querySelectorAll(".derivation tr")) {
    const words = [...row.cells].map((cell) => cell.textContent.replace(/\s+/g, " ").trim());
    const line = document.createElement("div");
    line.append(words.filter(Boolean).join("  "));
    row.replaceWith(line);
  }
  document.querySelector("main").append(copied); // only what is laid out has lines
  event.clipboardData.setData("text/plain", copied.innerText.trim());
  event.clipboardData.setData("text/html", copied.innerHTML);
  copied.remove();
  event.preventDefault();
});
