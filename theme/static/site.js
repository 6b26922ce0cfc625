// Three things that a style sheet cannot do. Every page reads without them.

// What scrolls must be reachable by keyboard: the theme sees to code and tables, this to formulas.
function reach() {
  for (const box of document.querySelectorAll(".math > mjx-container, .derivation td, .attention-widget .formula")) {
    const line = box.closest("p, li, dd, td, th, h1, h2, h3, figcaption");
    if (line && box.matches("span.math > *") && !box.closest(".derivation")) {
      box.classList.toggle("wide-formula", box.firstElementChild.offsetWidth > line.clientWidth);
    }
    if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX == "auto") box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("load", reach);
addEventListener("resize", reach);

// Paper is light, whatever the screen is; and a fold on paper cannot be opened.
let theme, closed;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  closed = [...document.querySelectorAll("details:not([open], .hide)")];
  closed.forEach(fold => { fold.open = true });
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  closed.forEach(fold => { fold.open = false });
});
