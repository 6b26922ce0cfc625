// What all widgets share: a model for pages without a kernel, the state in the URL, controls, draggable marks.
// Nothing here knows a formula: the laws are generated from sympy and stand above this text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
export const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets what has changed: the browser lays out again what an equal value would touch too. */
export function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = typeof value === "number" ? value.toFixed(2) : value;
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}
/** Draws a line from one place to another. */
export const connect = (line, [x1, y1], [x2, y2]) => put(line, { x1, y1, x2, y2 });

const digits = (place) => place.map((part) => part.toFixed(2)).join(" ");

/** The path that goes straight from place to place. */
export const polyline = (places) => `M${places.map(digits).join("L")}`;

/** The transform that moves a shape to a place. */
export const translation = (place) => `translate(${digits(place)})`;

const write = (node, text) => {
  if (node.firstChild?.data !== text) node.textContent = text;
};

/** A number to four digits, with a true minus sign; to more where it would else pass for a whole number. */
export function show(number) {
  if (number === Infinity) return "∞";
  const size = Math.abs(number);
  const rounded = (digits) => number.toFixed(digits);
  const usual = size < 10 ? 4 : 2;
  let digits = usual;
  while (!Number.isInteger(number) && Number.isInteger(Number(rounded(digits))) && digits < 12) digits++;
  // Whole up to rounding errors.
  if (Number.isInteger(Number(rounded(digits)))) digits = usual;
  const text = size === 0 || (size >= 1e-3 && size < 1e4) ? rounded(digits) : number.toExponential(3);
  return text.replace(/-/g, "−");
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const deep = (value, leaf) => (Array.isArray(value) ? value.map((part) => deep(part, leaf)) : leaf(value));
const clamp = (value, { low, high }) => Math.min(high, Math.max(low, value));
const fit = (value, quantity) => (quantity.choices ? Math.round(clamp(value, quantity)) : clamp(value, quantity));

/** The model that a page without a kernel gives to `render`: the part of anywidget's interface that widgets use. */
class PageModel {
  constructor(state) {
    this.state = state;
    this.listeners = {};
  }
  get(name) {
    return this.state[name];
  }
  set(name, value) {
    this.state[name] = value;
    for (const listener of this.listeners[`change:${name}`] ?? []) listener();
  }
  on(event, listener) {
    (this.listeners[event] ??= []).push(listener);
  }
  off(event, listener) {
    this.listeners[event] = (this.listeners[event] ?? []).filter((other) => other !== listener);
  }
  save_changes() {}
}

/** State as a URL's fragment: #name?alpha=2&query=1,0.5&keys=1,0;0,1 */
export function toFragment(name, state) {
  const text = (value) =>
    Array.isArray(value)
      ? value.map((part) => [part].flat().join(",")).join(Array.isArray(value[0]) ? ";" : ",")
      : value;
  return `#${name}?${Object.entries(state)
    .map(([key, value]) => `${key}=${text(value)}`)
    .join("&")}`;
}

/** The name and the state in a fragment, also where mail or chat has encoded it or added a space. */
function readFragment(fragment) {
  let text = fragment.slice(1);
  try {
    text = decodeURIComponent(text);
  } catch {
    // what cannot be decoded is read as it stands
  }
  const [name, ...rest] = text.replaceAll("&amp;", "&").trim().split("?");
  return { name, parts: new URLSearchParams(rest.join("?")) };
}

/** What a fragment says of a widget's state. Only numbers in the shape and range of the present state pass. */
export function fromFragment(fragment, name, state, quantities) {
  const read = readFragment(fragment);
  if (read.name !== name || !fragment.slice(1 + name.length)) return null;
  const changes = {};
  for (const [key, text] of read.parts) {
    if (!Object.hasOwn(quantities, key)) continue;
    const number = (part) => (/^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(part) ? Number(part) : NaN);
    const row = (part) => part.split(",").map(number);
    const value = [number, row, (all) => all.split(";").map(row)][quantities[key].dimensions](text);
    const shape = (part) => JSON.stringify(deep(part, () => 0));
    if (shape(value) === shape(state[key]) && [value].flat(2).every(Number.isFinite))
      changes[key] = deep(value, (part) => fit(part, quantities[key]));
  }
  return changes;
}

/**
 * A picture of width 320 with axes; `to` maps a point to the picture, `from` a pointer's position to a point,
 * and what is drawn in `window` is cut at the axes' ends. */
export function panel({ title, height, x, y }) {
  const area = { left: 14, right: 306, top: 12, bottom: height - 24 };
  const place =
    ([low, high], first, last) =>
    (value) =>
      first + ((value - low) / (high - low)) * (last - first);
  const across = place(x.range, area.left, area.right);
  const up = place(y.range, area.bottom, area.top);
  const picture = svg("svg", { viewBox: `0 0 320 ${height}`, role: "group", "aria-label": title });
  const grid = svg("g", { class: "grid", "aria-hidden": "true" });
  for (const tick of x.ticks)
    grid.append(
      svg("line", {
        x1: across(tick),
        x2: across(tick),
        y1: area.top,
        y2: area.bottom,
        class: tick === 0 ? "zero" : "",
      }),
      fill(svg("text", { x: across(tick), y: area.bottom + 13, "text-anchor": "middle" }), {}, [
        x.write?.(tick) ?? `${tick}`.replace("-", "−"),
      ]),
    );
  for (const tick of y.ticks)
    grid.append(
      svg("line", { y1: up(tick), y2: up(tick), x1: area.left, x2: area.right, class: tick === 0 ? "zero" : "" }),
      fill(svg("text", { x: area.left + 2, y: up(tick) - 3 }), {}, [y.write?.(tick) ?? `${tick}`.replace("-", "−")]),
    );
  grid.append(
    fill(svg("text", { x: area.right, y: area.bottom - 5, "text-anchor": "end", class: "axis" }), {}, [x.label]),
    fill(svg("text", { x: area.left + 24, y: area.top + 8, class: "axis" }), {}, [y.label]),
  );
  const window = svg("svg", {
    x: area.left,
    width: area.right - area.left,
    height,
    viewBox: `${area.left} 0 ${area.right - area.left} ${height}`,
  });
  picture.append(grid, window);
  const from = (event, box) => {
    const along = place([box.left, box.right], 0, 320)(event.clientX);
    const down = place([box.top, box.bottom], 0, height)(event.clientY);
    return [place([area.left, area.right], ...x.range)(along), place([area.bottom, area.top], ...y.range)(down)];
  };
  const figure = html("figure", { style: `--shape: ${320 / height}` }, html("figcaption", {}, title), picture);
  return { figure, picture, window, area, across, up, to: ([a, b]) => [across(a), up(b)], from };
}

/** A bar for every key, from zero to its value, in a panel whose x axis counts the keys. Returns what places them. */
export function bars(panel, symbol, count, { shift = 0, width = 0.6 } = {}) {
  const size = panel.across(width) - panel.across(0);
  const shapes = Array.from({ length: count }, (_, key) =>
    svg("rect", {
      class: "bar",
      style: color(key),
      "data-key": key,
      "data-symbol": symbol,
      x: panel.across(key + 1 + shift - width / 2),
      width: size,
    }),
  );
  panel.window.append(...shapes);
  return (values) =>
    values.forEach((value, key) => {
      const [top, foot] = [Math.max(0, value), Math.min(0, value)].map(panel.up);
      put(shapes[key], { y: top, height: foot - top });
    });
}

/** Places for marks of one size that would hide each other: the later ones roll up over the earlier. */
export function separate(places, size = 18) {
  const free = [];
  for (const [left, top] of places) {
    let up = top;
    const blocked = ([x, y]) => Math.abs(left - x) < size && Math.abs(up - y) < clear(x) - 0.01;
    const clear = (x) => (size * size - (left - x) * (left - x)) ** 0.5;
    for (let other; (other = free.find(blocked));) up = other[1] - clear(other[0]);
    free.push([left, up]);
  }
  return free;
}

/** The radius of a halo around a dot: what is seen of it has an area that goes with the share, from 0 to 1. */
export const halo = (share, dot = 9, whole = 35) => (dot * dot + (whole * whole - dot * dot) * share) ** 0.5;

/** Where an increasing function crosses zero, to the last digit: halves the interval until no number lies inside. */
export function crossing(increasing, low, high) {
  for (let middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2)
    if (increasing(middle) < 0) low = middle;
    else high = middle;
  return high;
}

/** Which keys have the largest weight, in words; ties up to rounding count as ties. */
export function leaders(weights) {
  const most = Math.max(...weights);
  const keys = weights.flatMap((weight, key) => (weight > most * (1 - 1e-12) ? [key + 1] : []));
  if (keys.length === weights.length && keys.length > 1) return `All keys have the weight ${show(most)}.`;
  const names = keys.length > 1 ? `Keys ${keys.join(", ")} share` : `Key ${keys[0]} has`;
  return `${names} the largest weight, ${show(most)}.`;
}

// JupyterLab's single-letter shortcuts must not act on the notebook while a control has the focus.
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

const brief = (value) => `${Number(value.toPrecision(6))}`;

/**
 * A mark that pointer and arrow keys move. `axes` names the coordinates that move, `move` receives the new ones;
 * `range` is { low, high }, or a function that gives it where it depends on the state; steps are then shares of it.
 * A coordinate has so many places `perUnit`. */
export function handle({ panel, label, symbol, key, axes, value, range, move, mark, perUnit = 100 }) {
  const group = svg(
    "g",
    {
      class: "handle",
      tabindex: 0,
      ...OWN_KEYS,
      role: "slider",
      "data-symbol": symbol,
      "aria-label": label,
      "aria-roledescription": axes.length === 2 ? "point in the plane" : "point on a line",
    },
    svg("circle", { r: 15, class: "target" }),
    mark,
  );
  if (key !== undefined) group.dataset.key = key;
  const moving = typeof range === "function";
  const reach = () => (moving ? range() : range);
  const round = (value) => Math.round(value * perUnit) / perUnit;
  const set = (point) => move(point.map((coordinate) => clamp(moving ? coordinate : round(coordinate), reach())));
  // The point of the mark that was grabbed stays under the pointer; the page may scroll meanwhile.
  let grabbed = null;
  // A finger moves the mark and not the page; browsers know no style that says so of a part of a picture.
  group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  const pointed = (event) => panel.from(event, panel.picture.getBoundingClientRect());
  group.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    const pointer = pointed(event);
    grabbed = [value()].flat().map((coordinate, axis) => coordinate - pointer[axis]);
    group.setPointerCapture(event.pointerId);
    group.focus({ preventScroll: true });
    event.preventDefault();
  });
  group.addEventListener("pointermove", (event) => {
    if (grabbed)
      set(
        pointed(event)
          .slice(0, axes.length)
          .map((coordinate, axis) => coordinate + grabbed[axis]),
      );
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    group.addEventListener(end, () => (grabbed = null));
  group.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const unit = moving ? (reach().high - reach().low) / 5 : 1;
    const step = Math.max(moving ? 0 : 1 / perUnit, (event.shiftKey ? 0.01 : 0.1) * unit);
    const steps = {
      ArrowRight: [step, 0],
      ArrowLeft: [-step, 0],
      ArrowUp: [0, step],
      ArrowDown: [0, -step],
      PageUp: [0, unit],
      PageDown: [0, -unit],
    }[event.key];
    const now = [value()].flat();
    const ends = { Home: reach().low, End: reach().high };
    if (event.key in ends) set([ends[event.key], ...now.slice(1)]);
    else if (steps)
      set(axes.length === 2 ? now.map((part, axis) => part + steps[axis]) : [now[0] + steps[0] + steps[1]]);
    else return;
    event.preventDefault();
  });
  return {
    group,
    /** Puts the mark where it is; `spoken` says its value where that is not what moves, but follows from it. */
    place(place, spoken) {
      const now = [value()].flat();
      const { low, high } = reach();
      put(group, {
        transform: translation(place),
        "aria-valuenow": brief(now[0]),
        "aria-valuemin": brief(low),
        "aria-valuemax": brief(high),
        "aria-valuetext": spoken ?? now.map((part, axis) => `${axes[axis]} ${show(part)}`).join(", "),
      });
    },
  };
}

/** The style that gives a mark its key's colour. */
export const color = (key) => `--key: var(--key-${(key % 8) + 1})`;

/** The mark of a key: a dot in its colour with its number, so that colour is never the only sign. */
export const dot = (key, { text = `${key + 1}`, radius = 9 } = {}) =>
  svg(
    "g",
    { class: "mark" },
    svg("circle", { r: radius, class: "fill", style: color(key) }),
    svg("text", { "text-anchor": "middle", dy: 3.5 }, text),
  );

/** The mark of what is not a key: a dot in the text's colour with its letter. */
export const letterMark = (letter, kind = "query") =>
  svg(
    "g",
    { class: `mark ${kind}` },
    svg("circle", { r: 9 }),
    svg("text", { "text-anchor": "middle", dy: 3.5 }, letter),
  );

/** The mark of an output. */
export const diamond = (attributes = {}) =>
  svg("path", { d: "M0-9 9 0 0 9-9 0Z", class: "output-mark", ...attributes });

/** A mark for a number of every key, such as its value, that moves along a panel's x axis within ±reach. */
export const keyMarks = (panel, { state, replace }, { word, name = `${word}s` }, reach = 3) =>
  state()[name].map((_, key) =>
    handle({
      panel,
      label: `${word} of key ${key + 1}`,
      symbol: word[0],
      key,
      axes: [word],
      range: { low: -reach, high: reach },
      value: () => state()[name][key],
      move: ([part]) => replace(name, key, part),
      mark: dot(key),
    }),
  );

export const scoreMarks = (panel, controls, reach) => keyMarks(panel, controls, { word: "score" }, reach);

/** Scores on a line of their own. `place` puts them where they are. */
export function scoreLine(title, controls) {
  const line = panel({
    title,
    height: 84,
    x: { range: [-3.3, 3.3], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "" },
    y: { range: [-1, 1], ticks: [], label: "" },
  });
  const marks = scoreMarks(line, controls);
  line.picture.append(...marks.map(({ group }) => group));
  const place = (scores) =>
    separate(scores.map((score) => line.to([score, -0.4]))).forEach((spot, key) => marks[key].place(spot));
  return { ...line, place };
}

/** The weight above every score, in a panel of weight against score. Returns what places them. */
export function scoreWeights(panel, controls, reach) {
  const marks = scoreMarks(panel, controls, reach);
  const stems = marks.map((_, key) =>
    svg("line", { class: "arrow", style: color(key), "data-key": key, "data-symbol": "w" }),
  );
  panel.picture.append(...stems, ...marks.map(({ group }) => group));
  return (scores, weights) => {
    const tips = scores.map((score, key) => panel.to([score, weights[key]]));
    separate(tips).forEach((spot, key) => marks[key].place(spot));
    tips.forEach((tip, key) => connect(stems[key], [tip[0], panel.up(0)], tip));
  };
}

/** The columns of a widget whose keys have a score and a weight. */
export const scoreColumns = {
  count: "scores",
  names: [
    ["score", "s"],
    ["weight", "w"],
  ],
  of: ({ scores }, { weights }) => scores.map((score, key) => [score, weights[key]]),
};

/** A panel with the simplex of three keys: a point of the triangle is a set of weights, a corner is one key alone. */
export function triangle(title) {
  const frame = panel({
    title,
    height: 289,
    x: { range: [-0.08, 1.08], ticks: [], label: "" },
    y: { range: [-0.08, 1.08], ticks: [], label: "" },
  });
  const pointOf = (weights) => frame.to([weights[1] + weights[2] / 2, weights[2]]);
  const corners = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ].map(pointOf);
  frame.picture.append(
    svg("polygon", { class: "simplex", points: corners.join(" ") }),
    ...corners.map((corner, key) => {
      const mark = dot(key, { radius: 8 });
      mark.setAttribute("transform", translation(corner));
      return mark;
    }),
  );
  return { ...frame, pointOf };
}

/** A choice among a few, as radio buttons: its row, and what shows the value. */
function choose(name, { label, choices, symbol = name }, change) {
  const group = `${Math.random()}`; // of this view alone
  const inputs = choices.map((_, value) => {
    const input = html("input", { type: "radio", name: group, "data-symbol": name, ...OWN_KEYS });
    input.addEventListener("input", () => change({ [name]: value }));
    return input;
  });
  const rows = choices.map((choice, value) =>
    html("label", {}, inputs[value], html("span", { "data-symbol": symbol }, choice)),
  );
  const show = (value) => (inputs[value].checked = true);
  return { name, show, row: html("fieldset", {}, html("legend", {}, label), ...rows) };
}

/**
 * Builds a widget in `el`: pictures, controls, what is seen in a line of words; formula, numbers, presets.
 * `build({ state, change, replace })` returns { panels, update(state, results) }; `compute(state, constants)` runs
 * the laws, with the numbers that Python has too;
 * `columns` and `describe` say the results in numbers and words: a row for each key, or for each of
 * `columns.rows`, `plain` if these have no colour.
 * `follow(name, value)`, if `build` returns it, gives what else changes when the reader moves a slider;
 * `needless(state)` gives what is hidden: names of quantities, and numbers of formulas, as text; `more` goes below,
 * and `stop` ends what still runs when the widget goes. `guess`, from `guessing`, lets the reader guess first.
 */
export function mount({ model, el, compute, build, columns, describe, guess }) {
  const quantities = model.get("_quantities");
  const state = () => Object.fromEntries(Object.keys(quantities).map((name) => [name, model.get(name)]));
  const initial = model.get("_initial");
  const undo = [];
  let quiet = false;
  const change = (changes) => {
    quiet = true;
    for (const [name, value] of Object.entries(changes)) if (!same(model.get(name), value)) model.set(name, value);
    quiet = false;
    model.save_changes();
    update();
    el.dispatchEvent(new CustomEvent("attention-change"));
  };

  const root = html("div", { class: "attention-widget live", role: "group", "aria-label": model.get("_title") });
  const legend = html("div", {
    class: "legend",
    role: "group",
    "aria-label": "Symbols: press one to mark it in the picture",
  });
  const formula = html("div", { class: "formula" });
  formula.innerHTML = model.get("_formula");

  const replace = (name, key, part) =>
    change({ [name]: state()[name].map((old, other) => (other === key ? part : old)) });
  const { panels, update: draw, follow, needless, more = [], stop } = build({ state, change, replace, model });
  for (const node of more)
    for (const control of node.querySelectorAll("button, input, select")) fill(control, OWN_KEYS, []);
  const meanings = Object.fromEntries(model.get("_legend").map(([name, , text]) => [name, text]));
  const sliders = Object.entries(quantities)
    .filter(([, { dimensions, slider }]) => dimensions === 0 && slider !== false)
    .map(([name, quantity]) => {
      const { label, low, high, step, logarithmic, symbol = name } = quantity;
      const binary = quantity.switch;
      if (quantity.choices && !binary) return choose(name, quantity, change);
      const to = (value) => (logarithmic ? Math.log2(value) : value);
      const input = html("input", {
        type: binary ? "checkbox" : "range",
        ...(binary ? { role: "switch" } : { min: to(low), max: to(high), step }),
        ...OWN_KEYS,
        "data-symbol": name,
        // Who does not see the legend hears what the letter stands for.
        ...(label.length < 3 && symbol in meanings ? { "aria-label": `${meanings[symbol]} ${label}` } : {}),
      });
      // A screen reader hears the slider's own value.
      const output = html("span", { class: "reading", "aria-hidden": "true" });
      const chosen = () =>
        binary ? (input.checked ? high : low) : logarithmic ? 2 ** Number(input.value) : Number(input.value);
      input.addEventListener("input", () => change({ [name]: chosen(), ...follow?.(name, chosen()) }));
      const display = (value) => {
        if (binary) return (input.checked = value === high);
        input.value = to(value);
        const counts = (logarithmic || step === 1) && Number.isInteger(value);
        const text = counts ? `${value}` : show(value);
        write(output, text);
        put(input, { "aria-valuetext": text });
      };
      const word = html("span", { "data-symbol": symbol }, label);
      return {
        name,
        show: display,
        row: binary ? html("label", { class: "switch" }, input, word) : html("label", {}, word, input, output),
      };
    });
  const reset = html("button", { type: "button", ...OWN_KEYS }, "Reset");
  reset.addEventListener("click", () => change(initial));
  const link = html("a", { class: "state-link" }, "Link to this state");

  const rows = (columns.rows ?? state()[columns.count].map((_, key) => key + 1)).map((label, key) => {
    const cells = columns.names.map(([, symbol]) => html("td", symbol === "w" ? { class: "share" } : {}));
    return {
      cells,
      row: html(
        "tr",
        { "data-key": key },
        html("th", { scope: "row", ...(columns.plain ? {} : { style: color(key) }) }, `${label}`),
        ...cells,
      ),
    };
  });
  const head = html("tr", {}, html("th", { scope: "col" }, columns.row ?? "key"));
  for (const [name, symbol] of columns.names) head.append(html("th", { scope: "col", "data-symbol": symbol }, name));
  const table = html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows.map(({ row }) => row)));
  const status = html("p", { class: "status", role: "status" });
  const presets = html("ul", { class: "presets", "aria-label": "Try this" });
  for (const [label, sentence, changes] of model.get("_presets")) {
    const button = html("button", { type: "button", ...OWN_KEYS }, label);
    button.addEventListener("click", () => change({ ...initial, ...changes }));
    presets.append(html("li", {}, button, ` ${sentence}`));
  }
  const actions = html("div", { class: "actions" }, reset, ...(model instanceof PageModel ? [link] : []));
  const stage = html(
    "div",
    { class: "stage" },
    html("div", { class: "panels" }, ...panels.map(({ figure }) => figure)),
    html("div", { class: "controls" }, ...sliders.map(({ row }) => row), actions),
    ...more,
  );
  const numbers = html("div", { class: "numbers" }, table);
  // A letter that marks something is pressed; the others are explained.
  const letters = model.get("_legend").map(([symbol, letter, text]) => {
    const within = [...formula.querySelectorAll(`[data-symbol="${symbol}"]`)];
    const marks = [stage, numbers].some((part) => part.querySelector(`[data-symbol="${symbol}"]`));
    const press = { type: "button", ...OWN_KEYS, "aria-pressed": "false", "data-symbol": symbol };
    const entry = html(marks ? "button" : "span", marks ? press : {}, html("i", {}, letter), ` ${text}`);
    legend.append(entry);
    if (!marks) for (const node of within) node.removeAttribute("data-symbol");
    return [entry, within.map((node) => node.closest("math"))];
  });
  const address = el.querySelector(".address") ?? ""; // where it moves, for paper
  root.append(stage, status, formula, legend, numbers, ...(presets.firstChild ? [presets] : []), address);
  guess?.({ model, presets, compute, columns });
  el.replaceChildren(root);
  // The keys that a control uses are not its host's as well: slides would turn.
  root.addEventListener("keydown", (event) => {
    const used =
      /^(Arrow.*|Page.*|Home|End| |Enter)$/.test(event.key) && event.target.closest("input, select, button, .handle");
    if (used && !event.altKey && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });

  let speak;
  function update() {
    if (quiet) return;
    const now = state();
    const results = compute(now, model.get("_constants"));
    draw(now, results);
    const idle = needless?.(now) ?? [];
    for (const { name, show, row } of sliders) {
      show(now[name]);
      row.toggleAttribute("hidden", idle.includes(name));
    }
    [...formula.children].forEach((equation, place) => equation.toggleAttribute("hidden", idle.includes(`${place}`)));
    for (const [entry, equations] of letters)
      entry.toggleAttribute(
        "hidden",
        equations.every((equation) => equation.hasAttribute("hidden")),
      );
    columns.of(now, results).forEach((numbers, row) =>
      numbers.forEach((number, column) => {
        const cell = rows[row].cells[column];
        write(cell, typeof number === "string" ? number : show(number));
        if (columns.names[column][1] === "w" && number.toFixed) cell.style.setProperty("--share", number.toFixed(4));
      }),
    );
    link.href = toFragment(el.dataset.name ?? "", now);
    // A screen reader hears where a drag ended, not every step of it.
    clearTimeout(speak);
    speak = setTimeout(() => (status.textContent = describe(now, results)), status.textContent ? 300 : 0);
    root.results = results;
  }

  const light = (name, value, on) => {
    if (value !== undefined)
      for (const mark of root.querySelectorAll(`[data-${name}="${CSS.escape(value)}"]`))
        mark.classList.toggle("lit", on);
  };
  const pinned = () => root.querySelector(".legend [aria-pressed=true]")?.dataset.symbol;
  const hover = (on) => (event) => {
    const symbol = event.target.closest?.("[data-symbol]")?.dataset.symbol;
    if (symbol !== pinned()) light("symbol", symbol, on);
    light("key", event.target.closest?.("[data-key]")?.dataset.key, on);
  };
  for (const event of ["pointerover", "focusin"]) root.addEventListener(event, hover(true));
  for (const event of ["pointerout", "focusout"]) root.addEventListener(event, hover(false));
  const pin = (event) => {
    const symbol = event.target.closest("[data-symbol]")?.dataset.symbol;
    if (!symbol) return;
    const before = pinned();
    for (const button of legend.querySelectorAll("button"))
      button.setAttribute("aria-pressed", button.dataset.symbol === symbol && symbol !== before);
    light("symbol", before, false);
    light("symbol", pinned(), true);
  };
  for (const node of [legend, formula]) node.addEventListener("click", pin);

  for (const name of Object.keys(quantities)) {
    model.on(`change:${name}`, update);
    undo.push(() => model.off(`change:${name}`, update));
  }
  update();
  return () => {
    stop?.();
    clearTimeout(speak);
    undo.forEach((step) => step());
  };
}

const LEAST = 0.001; // no bar goes lower: who gives a key nothing, and sees it, has missed without bound

/** Some weights with another one for a key: the others keep their proportions, above the least. */
function rebalance(weights, key, weight) {
  const most = 1 - (weights.length - 1) * LEAST;
  const own = weights.length > 1 ? clamp(weight, { low: LEAST, high: most }) : 1;
  const others = most - weights[key]; // what they have above the least
  return weights.map((part, other) => {
    if (other === key) return own;
    return LEAST + (most - own) * (others > 1e-9 ? (part - LEAST) / others : 1 / (weights.length - 1));
  });
}

/** How far a guess lies from the weights, and why. */
function verdict(missed, weights, guess, names) {
  const count = weights.length;
  const { nats, parts } = missed(count, weights, guess);
  const miss = `Your guess is ${show(Math.max(0, nats))} nats off, KL(weights ‖ guess)`;
  if (nats < LEAST) return `${miss}: as good as right.`;
  const key = parts.indexOf(Math.max(...parts));
  // The further from equal weights, the sharper.
  const [sharp, wanted] = [guess, weights].map((part) => missed(count, part, Array(count).fill(1 / count)).nats);
  const turned = weights.some((weight, one) =>
    weights.some((other, two) => weight > other && guess[one] < guess[two] - LEAST),
  );
  const shape = turned ? "" : `it is too ${sharp < wanted ? "flat" : "sharp"}, and `;
  const much = guess[key] < weights[key] ? "little" : "much";
  const most = `the largest part w log(w/g) − w + g, ${show(parts[key])}, is for ${names[key]}, which got too ${much}`;
  return `${miss}: ${shape}${most}, ${show(guess[key])} in place of ${show(weights[key])}.`;
}

/**
 * Lets the reader guess the weights before a preset shows them: gives what `mount` takes as `guess`. `missed` is the
 * law that compares the results' `weights`, and the `rest` of an absent key if there is any. */
export const guessing =
  (missed) =>
  ({ model, presets, compute, columns }) => {
    const quantities = model.get("_quantities");
    const plain = (value) => JSON.stringify(value).replaceAll("-", "−").replaceAll(",", ", ");
    let box;
    let open = false; // for a press that shows the answer

    function ask(item, changes) {
      const then = { ...model.get("_initial"), ...changes };
      const results = compute(then, model.get("_constants"));
      const rows = columns.of(then, results);
      const weights = [...results.weights, ...(results.rest ? [results.rest] : [])];
      const names = weights.map((_, key) => (rows[key] ? `key ${key + 1}` : "the absent key"));
      let guess = weights.map(() => 1 / weights.length);
      let before = guess; // when the drag began
      const said = html("p", { role: "status" });
      const place = () =>
        bars.forEach(({ bar, reading }, key) => {
          bar.value = guess[key];
          reading.textContent = show(guess[key]) + (item.matches(".told") ? `\n${show(weights[key])}` : "");
        });
      const bars = weights.map((weight, key) => {
        const name = `your weight of ${names[key]}`;
        const bar = html("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": name, ...OWN_KEYS });
        bar.addEventListener("input", () => {
          guess = rebalance(before, key, Number(bar.value));
          said.textContent = "";
          place();
        });
        bar.addEventListener("change", () => (before = guess));
        const reading = html("span", { class: "reading" });
        const word = html("span", {}, names[key], rows[key] ? `, score ${show(rows[key][0])}` : "");
        const row = html("label", { style: `${color(key)}; --share: ${weight}` }, word, bar, reading, html("i"));
        return { bar, reading, row };
      });
      const answer = html("button", { type: "button", ...OWN_KEYS }, "Show the law’s answer");
      answer.addEventListener("click", () => {
        open = true;
        item.firstChild.click();
        open = false;
        item.classList.add("told");
        said.textContent = verdict(missed, weights, guess, names);
        place();
      });
      const sets = Object.entries(changes).map(([name, value]) => {
        const { label, choices } = quantities[name];
        return `${label || name} = ${choices ? choices[value] : plain(value)}`;
      });
      box?.remove();
      item.classList.remove("told");
      box = html("div", { class: "guess" });
      box.append(`${sets.join("; ")}; all else as at the start.`, ...bars.map(({ row }) => row), answer, said);
      item.append(box);
      place();
      bars[0].bar.focus();
    }

    [...presets.children].forEach((item, place) => {
      item.append(html("span", {}, item.lastChild));
      item.firstChild.addEventListener(
        "click",
        (event) => {
          if (!presets.classList.contains("guessing") || open) return;
          event.stopImmediatePropagation();
          ask(item, model.get("_presets")[place][2]);
        },
        true, // before the press does what it does else
      );
    });
    const toggle = html("button", { type: "button", ...OWN_KEYS, "aria-pressed": "false" }, "Guess first");
    toggle.addEventListener("click", () => {
      toggle.setAttribute("aria-pressed", presets.classList.toggle("guessing"));
      box?.remove();
    });
    presets.before(html("div", { class: "guess-first" }, toggle, "then press a preset"));
  };

/** Brings what the page has of one kind so far to life; `first`, if given, is called before. */
export function enliven(kind, render, first) {
  for (const el of document.querySelectorAll(`[data-widget="${kind}"]`)) {
    if (el.model) continue;
    const model = new PageModel(JSON.parse(el.querySelector("script[type='application/json']").textContent));
    first?.(model, el);
    render({ model, el });
    el.model = model;
  }
}

/** Brings widgets to life, and keeps their state in the URL. */
export function awaken(kind, render) {
  enliven(kind, render, (model, el) => {
    const quantities = model.get("_quantities");
    const { name } = el.dataset;
    if (!name) return; // on a slide the address is the slide's
    const state = () => Object.fromEntries(Object.keys(quantities).map((key) => [key, model.get(key)]));
    const set = (changes) => {
      for (const [key, value] of Object.entries({ ...model.get("_initial"), ...changes })) model.set(key, value);
    };
    /** Sets the widget as the address says: a state of it, or none and so the first one. */
    const follow = (fragment, scroll) => {
      const changes = fromFragment(fragment, name, state(), quantities);
      if (changes) set(changes);
      else if (!fragment) set({});
      if (changes && scroll) el.scrollIntoView({ block: "start" });
    };
    if (location.hash) follow(location.hash, false);

    let waiting;
    const write = () => {
      if (waiting) history.replaceState(history.state, "", toFragment(name, state()));
      waiting = clearTimeout(waiting);
    };
    el.addEventListener("attention-change", () => {
      clearTimeout(waiting);
      // Browsers allow few changes of the address in a second.
      waiting = setTimeout(write, 250);
    });
    addEventListener("pagehide", write);
    document.addEventListener("visibilitychange", write);
    addEventListener("hashchange", () => {
      waiting = clearTimeout(waiting);
      follow(location.hash, true);
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[href*='#']");
      if (!link || event.defaultPrevented) return;
      // The address that is left keeps the last state.
      write();
      // Where the address is already the link's, the browser tells of no change.
      if (link.href === location.href) follow(link.hash, true);
    });
  });
}
