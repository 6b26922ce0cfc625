// A lecture's keys, its colours and its steps. The slides are reveal.js's, what they show is the chapters'.

const root = document.documentElement;
const paint = (theme) => (root.dataset.theme = theme);

// As high as the screen has it, between 16:9 and 4:3: what fits the one fits the other.
const WIDTH = 1280;
const height = () => Math.round(WIDTH * Math.min(0.75, Math.max(0.5625, innerHeight / innerWidth)));

Reveal.initialize({
  width: WIDTH,
  height: height(),
  margin: 0,
  minScale: 0.1,
  center: false,
  display: "flex",
  hash: true,
  scrollActivationWidth: null, // slides on a phone, too
  slideNumber: "c/t",
  transition: matchMedia("(prefers-reduced-motion: reduce)").matches ? "none" : "fade",
  defaultTiming: 120, // or the notes show no pace
  pdfSeparateFragments: false,
  pdfMaxPagesPerSlide: 1,
  keyboard: { 68: () => paint(root.dataset.theme === "dark" ? "light" : "dark") }, // D
  plugins: [RevealNotes],
});
addEventListener("resize", () => {
  if (!Reveal.isPrintView()) Reveal.configure({ height: height() });
});

// Pictures and formulas take the height that the words leave them; no formula gets smaller than the words.
const LEAST = { "--tall": 150, "--size": 24 };
function fit(slide) {
  for (const name of Object.keys(LEAST)) slide.style.removeProperty(name);
  for (const [name, least] of Object.entries(LEAST)) {
    let value = Number(getComputedStyle(slide).getPropertyValue(name));
    while (slide.scrollHeight > slide.clientHeight && value > least)
      slide.style.setProperty(name, (value = Math.max(least, value * 0.96)));
  }
  for (const picture of slide.querySelectorAll(".widget figure > svg"))
    picture.style.setProperty("--unit", picture.viewBox.baseVal.width / picture.clientWidth);
  for (const picture of slide.querySelectorAll(".part svg"))
    for (const text of picture.querySelectorAll("text[style*=font-size]")) {
      const least = (24 * picture.viewBox.baseVal.height) / picture.clientHeight;
      text.style.fontSize = `${Math.max(least, Number.parseFloat(text.style.fontSize))}px`;
    }
}

// Paper is light, whatever the screen is.
let theme;
addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  paint("light");
});
addEventListener("afterprint", () => paint(theme));

// A slide may show some panels of a widget alone, and let some of its inputs alone be moved.
for (const part of document.querySelectorAll("[data-panels]")) {
  const [first, last] = part.dataset.panels.split("-");
  part.querySelectorAll("figure").forEach((figure, place) => {
    if (place + 1 < first || place + 1 > last) figure.style.display = "none";
  });
}
for (const part of document.querySelectorAll("[data-moves]"))
  for (const control of part.querySelectorAll(".controls > :is(label, fieldset)")) {
    const { symbol } = control.querySelector("input").dataset;
    if (!part.dataset.moves.split(",").includes(symbol)) control.style.display = "none";
  }

// A step may move the slide's widget: forward to what the step says, back to what was there before.
const before = new Map();
function move(fragment, changes) {
  const { model } = fragment.closest("section").querySelector(".widget .attention-widget-host");
  const was = Object.fromEntries(Object.keys(changes).map((name) => [name, model.get(name)]));
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  return was;
}
/** Has a slide's widget stand where the steps that are seen leave it: one may come to a slide from behind. */
function step(slide, seen = ".visible") {
  for (const fragment of slide.querySelectorAll("[data-state]"))
    if (fragment.matches(seen) && !before.has(fragment))
      before.set(fragment, move(fragment, JSON.parse(fragment.dataset.state)));
    else if (!fragment.matches(seen) && before.has(fragment)) {
      move(fragment, before.get(fragment));
      before.delete(fragment);
    }
}
for (const event of ["ready", "slidechanged", "fragmentshown", "fragmenthidden", "resize"])
  Reveal.on(event, () => {
    const slide = Reveal.getCurrentSlide();
    if (!slide) return; // at the first resize
    step(slide);
    fit(slide);
  });
Reveal.on("pdf-ready", () => {
  for (const slide of Reveal.getSlides()) {
    step(slide, "*");
    fit(slide);
  }
});

// A clicker sends Page Up and Page Down: they turn the slides wherever the focus is. Escape takes it from a mark.
addEventListener(
  "keydown",
  (event) => {
    const inside = document.activeElement.closest(".shown");
    if (["PageUp", "PageDown"].includes(event.key)) event.key === "PageUp" ? Reveal.prev() : Reveal.next();
    else if (event.key === "Escape" && inside) document.activeElement.blur();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);
// A button that was pressed, or what was moved on a slide, keeps no key of the next step.
addEventListener("click", ({ target, detail }) => {
  if (detail && target.closest(".widget :is(button, [type=radio], [type=checkbox])")) document.activeElement.blur();
});
Reveal.on("slidechanged", () => document.activeElement.closest(".shown") && document.activeElement.blur());
