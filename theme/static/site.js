// Three things that a style sheet cannot do. Every page reads without them.

// What scrolls must be reachable by keyboard: the theme sees to code and tables, this to formulas. All is measured
// before anything is changed, or the browser would lay the page out again for every formula.
function reach() {
  const boxes = [
    ...document.querySelectorAll("span.math, .math > .formula, .derivation td, .attention-widget .formula"),
  ];
  const wide = boxes.map((box) => {
    const line = box.matches("span.math") && box.closest("p, li, dd, td, th, h1, h2, h3, figcaption");
    const formula = box.querySelector("math");
    return (
      line && formula && !line.matches(".derivation *") && formula.getBoundingClientRect().width > line.clientWidth
    );
  });
  const scrolls = boxes.map((box) => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX == "auto");
  boxes.forEach((box, i) => {
    box.classList.toggle("wide-formula", wide[i]);
    if (scrolls[i] || wide[i]) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}
addEventListener("load", reach);
addEventListener("resize", reach);

// Paper is light, whatever the screen is; and a fold on paper cannot be opened.
let theme, closed;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  closed = [...document.querySelectorAll("details:not([open], .hide)")];
  closed.forEach((fold) => {
    fold.open = true;
  });
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  closed.forEach((fold) => {
    fold.open = false;
  });
});
