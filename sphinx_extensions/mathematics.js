// TeX to MathML, run by V8 while the book is built. MathJax reads the TeX; what it understood is written here as the
// MathML that browsers know (MathML Core): they ignore MathJax's classes, most `mathvariant`s and table attributes.

const { TeX } = MathJax._.input.tex_ts;
const { STATE } = MathJax._.core.MathItem;
MathJax._.handlers.html_ts.RegisterHTMLHandler(MathJax._.adaptors.liteAdaptor.liteAdaptor());

// Sphinx numbers equations, so MathJax must not (tags: "none"); an error is thrown, never typeset in red.
const formulas = MathJax._.mathjax.mathjax.document("", {
  InputJax: new TeX({
    packages: ["base", "ams", "newcommand", "html", "boldsymbol", "mathtools"],
    tags: "none",
    formatError: (jax, error) => {
      throw error;
    },
  }),
});

const KEPT = ["accent", "class", "displaystyle", "height", "depth", "id", "linethickness", "maxsize", "minsize"];
KEPT.push("movablelimits", "scriptlevel", "stretchy", "style", "symmetric", "voffset", "width");

// Where each alphabet begins in Unicode: capitals, small letters, digits, Greek capitals, Greek small letters.
const ALPHABETS = {
  bold: [0x1d400, 0x1d41a, 0x1d7ce, 0x1d6a8, 0x1d6c2],
  italic: [0x1d434, 0x1d44e, 0, 0x1d6e2, 0x1d6fc],
  "bold-italic": [0x1d468, 0x1d482, 0x1d7ce, 0x1d71c, 0x1d736],
  "double-struck": [0x1d538, 0x1d552, 0x1d7d8],
  script: [0x1d49c, 0x1d4b6],
  "bold-script": [0x1d4d0, 0x1d4ea],
  fraktur: [0x1d504, 0x1d51e],
  "sans-serif": [0x1d5a0, 0x1d5ba, 0x1d7e2],
  "bold-sans-serif": [0x1d5d4, 0x1d5ee, 0x1d7ec, 0x1d756, 0x1d770],
  monospace: [0x1d670, 0x1d68a, 0x1d7f6],
};
// Letters that Unicode had before it had the alphabets.
const OLDER = {
  italic: { h: "ℎ" },
  "double-struck": { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" },
  script: { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" },
  fraktur: { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" },
};
const GREEK = { ϵ: 25, ϑ: 26, ϰ: 27, ϕ: 28, ϱ: 29, ϖ: 30, "∂": 31 }; // after the 25 small letters

function inAlphabet(character, variant) {
  const starts = ALPHABETS[variant];
  if (OLDER[variant]?.[character]) return OLDER[variant][character];
  const code = character.codePointAt(0);
  const places = [code - 65, code - 97, code - 48, code - 0x391, GREEK[character] ?? code - 0x3b1];
  const place = places.findIndex((offset, kind) => offset >= 0 && offset < [26, 26, 10, 25, 32][kind] && starts[kind]);
  return place < 0 ? character : String.fromCodePoint(starts[place] + places[place]);
}

const escape = (text) =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
// TeX's accents are signs of their own; a font has others, which it places better.
const ACCENTS = { "^": "ˆ", "~": "˜", "¯": "¯", "˙": "˙", "¨": "¨" };
const STRUT = { height: "0.75em", depth: "0.25em" };
const APPLIED = "\u2061"; // stands between a function's name and what it is applied to
const isName = (tag) => tag.name === "mi" && [...tag.children.join("")].length > 1;
const isRow = (node) => node.isInferred || node.kind === "mrow" || node.kind === "TeXAtom";
const em = (space) =>
  ({ thinmathspace: 0.1667, mediummathspace: 0.2222, thickmathspace: 0.2778 })[space] ?? (parseFloat(space) || 0);
const size = (number) => (number ? `${number}em` : "0");

// What browsers leave around an operator that stands between two things, or that is a bracket, without being told.
const SPACES = {
  0.2778: ["=", "&lt;", "&gt;", "≤", "≥", "≈", "≠", "∝", "∈", "→", "⟺"],
  0.2222: ["+", "−", "±"],
  0: ["(", ")", "[", "]"],
};
const isUsual = (sign, space, between) => SPACES[space]?.includes(sign) && (between || space === 0);

// What is higher than a line. TeX leaves brackets around all else as they are; browsers would stretch them a little.
const HIGH = ["mfrac", "mtable", "munder", "mover", "munderover", "msqrt", "mroot", "mpadded"];
const isHigh = (node) => HIGH.includes(node.kind) || (node.childNodes ?? []).some(isHigh);

/** An element to be written: name, attributes, children (elements or text). */
function element(node) {
  if (node.kind === "text") return escape(node.getText());
  if (node.kind === "menclose") throw new Error("browsers have no menclose, which \\boxed and \\cancel need");
  const attributes = {};
  for (const name of KEPT) {
    const value = node.attributes.getExplicit(name);
    if (value !== undefined) attributes[name] = String(value);
  }
  let children = row(
    node.childNodes.flatMap((child) => (child.isInferred ? child.childNodes : [child])),
    node,
  );
  if (node.isToken) {
    const text = node.getText();
    const variant = String(node.attributes.get("mathvariant") ?? "normal").replace("-tex-calligraphic", "script");
    const automatic = node.kind === "mi" && [...text].length === 1 ? "italic" : "normal";
    if (variant !== automatic && ALPHABETS[variant])
      children = [...text].map((letter) => escape(inAlphabet(letter, variant)));
    else if (variant === "normal" && automatic === "italic") attributes.mathvariant = "normal";
  }
  if (isRow(node) && children.length === 1 && !Object.keys(attributes).length) return children[0];
  if (node.kind === "mo" && node.parent?.getProperty("open") !== undefined && !isHigh(node.parent))
    attributes.stretchy = "false";
  if (node.kind === "mfrac") attributes.linethickness ??= "1px"; // or browsers round it, some up and some down
  if (node.kind === "mover" && ACCENTS[children.at(-1).children.join("")]) {
    children.at(-1).children = [ACCENTS[children.at(-1).children.join("")]];
    attributes.accent = "true";
  }
  if (node.kind === "mtd") {
    Object.assign(attributes, cell(node));
    // As high as a line of letters, whatever is in it.
    if (!node.parent.parent.getProperty("smallmatrix"))
      children.unshift({ name: "mspace", attributes: STRUT, children: [] });
  }
  return { name: isRow(node) ? "mrow" : node.kind, attributes, children };
}

/** How a table's cell is aligned, and what is left around it; browsers have no attributes for it. */
function cell(node) {
  const table = node.parent.parent;
  const line = table.childNodes.indexOf(node.parent);
  const column = node.parent.childNodes.indexOf(node);
  const listed = (name, index) => {
    const values = String(table.attributes.get(name)).split(/\s+/);
    return values[Math.min(index, values.length - 1)];
  };
  const half = (name, gap, count) => (gap < 0 || gap === count - 1 ? "0" : `calc(${listed(name, gap)} / 2)`);
  const [above, below] = [line - 1, line].map((gap) => half("rowspacing", gap, table.childNodes.length));
  const [left, right] = [column - 1, column].map((gap) => half("columnspacing", gap, node.parent.childNodes.length));
  return { class: `to-${listed("columnalign", column)}`, style: `padding:${above} ${right} ${below} ${left}` };
}

/** The elements of some siblings. In a row, they stand apart as TeX has it, not as each browser has it. */
function row(nodes, parent) {
  const placed =
    isRow(parent) || ["math", "mstyle", "mtd", "msqrt", "mpadded", "mphantom", "menclose"].includes(parent.kind);
  const written = [];
  for (const node of nodes) {
    const tag = element(node);
    const core = node.isEmbellished ? node.coreMO().attributes : null;
    const told = (name) => core?.isSet(name) && em(core.get(name));
    const before = placed ? told("lspace") || em(node.texSpacing()) : 0;
    const previous = written.at(-1);
    const applied = previous?.children[0] === APPLIED;
    if (tag.name === "mo") Object.assign(tag, { before, after: (placed && told("rspace")) || 0 });
    else if (before && previous?.name === "mo" && !applied) previous.after = before;
    else if (before) {
      const space = { name: "mspace", attributes: { width: size(before) }, children: [] };
      // Firefox leaves a space of its own there, so ours is hidden from it.
      if (applied || isName(tag)) space.attributes.class = "beside-name";
      written.push(space);
    }
    if (tag.name !== "mi" || tag.children.join("")) written.push(tag); // TeX's empty atoms have done their work
  }
  written.forEach((tag, index) => {
    if (tag.name !== "mo") return;
    const between = index > 0 && index < written.length - 1;
    const untold = tag.before === tag.after && isUsual(tag.children.join(""), tag.before, between);
    const spaces = { lspace: size(tag.before), rspace: size(tag.after) };
    for (const [name, space] of Object.entries(spaces)) tag.attributes[name] = untold ? undefined : space;
  });
  return written;
}

function write(part) {
  if (typeof part === "string") return part;
  const attributes = Object.entries(part.attributes).filter(([, value]) => value !== undefined);
  const told = attributes.map(([name, value]) => ` ${name}="${escape(value)}"`).join("");
  return `<${part.name}${told}>${part.children.map(write).join("")}</${part.name}>`;
}

/** Returns { mathml } or, where MathJax cannot read the TeX, { error }. */
function convert(tex, display) {
  try {
    const root = formulas.convert(tex, { display, end: STATE.COMPILED });
    root.setTeXclass(null);
    const math = element(root);
    const [only, ...others] = math.children;
    if (only?.name === "mstyle" && !others.length && only.attributes.scriptlevel === "0") {
      delete only.attributes.scriptlevel;
      math.children = only.children; // \displaystyle at the beginning is said of the whole formula
      Object.assign(math.attributes, only.attributes);
    }
    if (display) math.attributes = { display: "block" };
    return { mathml: write(math) };
  } catch (error) {
    return { error: error.message };
  }
}
