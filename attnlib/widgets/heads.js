// A trained model's heads: a map of all; what some make of a sentence, from their queries, keys and values.
import { averaged, beside, bought, priced, relative, scored, softmax, sparse, strayed } from "laws";
import { OWN_KEYS, crossing, handle, html, mount, panel, put, show, svg, toFragment, translation } from "./shared.js";

const RULES = ["softmax", "budget", "sink", "sparsemax"];
// What uses each quantity, and each formula by its number.
const USED_BY = {
  tau: "softmax sparsemax",
  budget: "budget",
  absent: "sink",
  1: "softmax",
  2: "budget",
  3: "sink",
  4: "sparsemax",
  6: "softmax budget sparsemax",
};
// Stands for the β that leaves the best keys alone.
const ENDLESS = 1e300;
// The data lie beside the script.
const SOURCE = document.currentScript?.src;
// How steep another widget can make scores, at most, and which of its inputs does that.
const STEEPNESS = {
  likelihood: [3, (steep) => ({ alpha: steep })],
  evidence: [ENDLESS, (steep, scores) => ({ budget: bought(steep, scores.length, scores, Math.max(...scores)).spent })],
  temperature: [16, (steep) => ({ tau: 1 / steep })],
};

const FAILED = "Queries, keys and values could not be loaded.";
const whole = ({ layer, head, token }) => [layer, head, token].map(Math.round);
const chosen = (model, { statistic }) => model.get("_statistics")[Math.round(statistic)];
const reading = ({ name, values }, [layer, head]) =>
  `Layer ${layer}, head ${head}: ${name} ${show(values[layer][head])}`;
const quoted = (piece) => `“${piece.trim()}”`;

/** Rows of 64 numbers from integers of eight bits in base64. */
function unpack({ scale, integers }) {
  const numbers = [...atob(integers)].map((sign) => scale * ((sign.charCodeAt(0) << 24) >> 24));
  return Array.from({ length: numbers.length / 64 }, (_, row) => numbers.slice(64 * row, 64 * row + 64));
}

/** Queries, keys and values of a head, if the data have it. */
function arrays({ heads, shared }, layer, head) {
  const record = heads.find((one) => one.layer === layer && one.head === head);
  if (!record) return null;
  const { key, value } = shared[record.shared];
  return { query: unpack(record.query), key: unpack(key), value: unpack(value) };
}

function weigh({ rule, tau, budget, absent }, scores) {
  const n = scores.length;
  const top = Math.max(...scores);
  if (RULES[rule] === "budget") {
    const spent = (beta) => bought(beta, n, scores, top).spent;
    const largest = spent(ENDLESS);
    const inside = () => (budget < 1 ? crossing((beta) => spent(beta) - budget * largest, 0, ENDLESS) : ENDLESS);
    return priced(budget * largest > 0 ? inside() : 0, n, scores).weights;
  }
  if (RULES[rule] === "sink") return beside(absent, n, scores).weights;
  if (RULES[rule] === "softmax") return softmax(tau, n, scores).weights;
  // So that ν has more digits.
  const below = scores.map((score) => score - top);
  const nu = crossing((nu) => 1 - sparse(nu, tau, n, below).mass, -2 * tau, 0);
  return sparse(nu, tau, n, below).weights;
}

/** What a head makes of the sentence from a token on, by a rule. */
function attend(state, { query, key, value }, place) {
  const n = place + 1;
  const [d, values] = [query[place].length, value.slice(0, n)];
  const { scores } = scored(d, n, query[place], key.slice(0, n));
  const [trained, weights] = [softmax(1, n, scores).weights, weigh(state, scores)];
  const [before, output] = [trained, weights].map((each) => averaged(d, n, each, values).output);
  const [usual, spent] = [trained, weights].map((each) => (n > 1 ? relative(n, each).spent : 0));
  const results = { scores, trained, weights, values, output, before: usual, ...strayed(d, output, before) };
  return RULES[state.rule] === "sink" ? results : { ...results, spent };
}

/** The data of all recorded heads, from the site or from Python. */
const load = (model) =>
  new Promise((resolve, reject) => {
    const here = () => globalThis.attentionData?.heads;
    if (here()) return resolve(here());
    if (model.send) {
      model.on("msg:custom", resolve);
      return model.send({ do: "load" });
    }
    const script = html("script", { src: `${SOURCE}`.replace(/\.js$/, "-data.js") });
    script.onload = () => (here() ? resolve(here()) : reject());
    script.onerror = reject;
    document.head.append(script);
  });

/** A token's keys with the largest scores as a state of another widget: its link, and what to know of it. */
function elsewhere([words, page, name, kind, count, reach], tokens, tau, { scores, values }) {
  if (scores.length < count) return [`${words}: it has ${count} keys, this token only ${scores.length}.`];
  const keys = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, count);
  keys.sort((a, b) => a - b);
  const logits = keys.map((key) => scores[key] / tau);
  const [low, high] = [Math.min(...logits), Math.max(...logits)];
  const [most, holding] = STEEPNESS[kind];
  const steep = Math.min(most, Math.max(1, (high - low) / (2 * reach)));
  const top = Math.min(reach, (high - low) / (2 * steep));
  const moved = logits.map((logit) => Math.max(-reach, top - (high - logit) / steep));
  const state = { ...holding(steep, moved), scores: moved };
  const notes = [keys.map((key) => quoted(tokens[key])).join(", ")];
  if (steep > 1) notes.push(`scores over ${show(steep)}, with ${Object.keys(state)[0]} to match`);
  if ((high - low) / steep > 2 * reach + 1e-9) notes.push("the lowest are cut at the edge");
  if (kind === "likelihood") {
    const column = (c) => keys.map((key) => values[key][c]);
    const spread = (c) => Math.max(...column(c)) - Math.min(...column(c));
    const widest = [...values[0].keys()].reduce((best, c) => (spread(c) > spread(best) ? c : best));
    const size = Math.max(1, ...column(widest).map((part) => Math.abs(part) / 4));
    state.value = column(widest).map((part) => part / size);
    notes.push(`values: coordinate ${widest + 1} of 64, where they differ most`);
    if (size > 1) notes.push(`over ${show(size)}`);
  }
  return [html("a", { href: page + toFragment(name, state) }, words), `: ${notes.join("; ")}.`];
}

/** The map: a cell for every head, a dot on those that are recorded. */
function atlas({ state, change, model }) {
  const [statistics, recorded] = [model.get("_statistics"), model.get("_recorded")];
  const [columns, rows] = [statistics[0].values.length, statistics[0].values[0].length];
  const frame = panel({
    title: "Every head; those with a dot open",
    height: 158,
    x: { range: [-0.6, columns - 0.4], ticks: [0, 5, 10, 15, 20, 25, columns - 1], label: "" },
    y: { range: [-0.55, rows - 0.45], ticks: [], label: "" },
  });
  const [width, height] = [frame.across(1) - frame.across(0), frame.up(0) - frame.up(1)];
  const box = (kind) => svg("rect", { class: kind, x: -width / 2, y: -height / 2, width, height });
  const cells = statistics[0].values.map((layer, column) =>
    layer.map((_, row) => {
      const cell = box("cell");
      put(cell, { transform: translation(frame.to([column, row])) });
      return cell;
    }),
  );
  const dots = recorded.map(([layer, head]) => {
    const [cx, cy] = frame.to([layer, head]);
    return svg("circle", { class: "here", cx, cy, r: 3.2 });
  });
  const names = cells[0].map((_, row) => svg("text", { x: 4, y: frame.up(row) + 3.5 }, `${row}`));
  const axes = svg(
    "g",
    { class: "grid", "aria-hidden": "true" },
    ...names,
    svg("text", { class: "axis", x: 4, y: 8 }, "head"),
    svg("text", { class: "axis", x: 148, y: 156 }, "layer"),
  );
  const limit = ([layer, head]) => ({ layer, head: Math.min(head, rows - 1) });
  const cursor = handle({
    panel: frame,
    label: "head on the map",
    symbol: "k",
    axes: ["layer", "head"],
    range: { low: 0, high: columns - 1 },
    perUnit: 1,
    value: () => whole(state()).slice(0, 2),
    move: (place) => change(limit(place)),
    mark: svg("g", { class: "mark cursor" }, box("edge"), box("line")),
  });
  frame.window.append(...cells.flat(), ...dots);
  frame.picture.append(axes, cursor.group);

  const place = (event) => {
    const [layer, head] = frame.from(event, frame.picture.getBoundingClientRect()).map(Math.round);
    return layer >= 0 && layer < columns && head >= 0 && head < rows ? [layer, head] : null;
  };
  // A finger is wider than a cell: a dot nearby is meant.
  frame.picture.addEventListener("click", (event) => {
    const spot = place(event);
    if (!spot || event.target.closest(".handle")) return;
    const far = ([layer, head]) => Math.max(Math.abs(layer - spot[0]), Math.abs(head - spot[1]));
    const near = recorded.filter((one) => far(one) <= (event.pointerType === "touch" ? 2 : 0));
    change(limit(near.sort((a, b) => far(a) - far(b))[0] ?? spot));
  });

  const menu = html(
    "select",
    { "aria-label": "What the map shows", ...OWN_KEYS },
    ...statistics.map(({ name }, number) => html("option", { value: number }, name)),
  );
  menu.addEventListener("input", () => change({ statistic: Number(menu.value) }));
  const step = (arrow, name, next) => {
    const button = html("button", { type: "button", "aria-label": name, ...OWN_KEYS }, arrow);
    const far = ([layer, head]) => layer * rows + head;
    button.addEventListener("click", () => {
      const here = far(whole(state()));
      change(limit(recorded.at(next((past) => recorded.filter((spot) => far(spot) < here + past).length))));
    });
    return button;
  };
  const back = step("◀", "Previous dot", (before) => before(0) - 1);
  const on = step("▶", "Next dot", (before) => before(1) % recorded.length);
  const [low, high] = [html("span"), html("span")];
  const ramp = html("span", { class: "ramp", "aria-hidden": "true" });
  const words = html("p", { class: "words" });
  frame.figure.append(
    html("div", { class: "key" }, menu, html("span", { class: "scale" }, low, ramp, high), back, on),
    words,
  );

  const say = (now, spot) => {
    const statistic = chosen(model, now);
    words.textContent = `${reading(statistic, spot)}. ${statistic.says}`;
  };
  frame.picture.addEventListener("pointermove", (event) => say(state(), place(event) ?? whole(state())));
  frame.picture.addEventListener("pointerleave", () => say(state(), whole(state())));
  return {
    frame,
    update(now) {
      const statistic = chosen(model, now);
      const { low: least, high: most, values } = statistic;
      const both = least < 0;
      const end = both ? Math.max(-least, most) : most - least;
      cells.forEach((column, layer) =>
        column.forEach((cell, head) => {
          const share = Math.max(both ? -1 : 0, Math.min(1, (values[layer][head] - (both ? 0 : least)) / end));
          put(cell, {
            class: share < 0 ? "cell below" : "cell",
            style: `--share: ${Math.abs(share).toFixed(3)}`,
          });
        }),
      );
      const all = values.flat();
      low.textContent = `${Math.min(...all) < least ? "≤ " : ""}${both ? -end : least}`.replace("-", "−");
      high.textContent = `${Math.max(...all) > most ? "≥ " : ""}${both ? end : most}`;
      ramp.classList.toggle("both", both);
      menu.value = Math.round(now.statistic);
      const spot = whole(now).slice(0, 2);
      cursor.place(frame.to(spot), reading(statistic, spot));
      say(now, spot);
    },
  };
}

/** The sentence: a button for every token; its weight as a number, a shade and a line below. */
function prose({ state, change, model }) {
  const tokens = model.get("_tokens");
  const words = html("p", { class: "words" });
  let shown = {};
  const marks = tokens.map((piece, place) => {
    const number = html("small", { "aria-hidden": "true", "data-symbol": "w" });
    const button = html("button", { type: "button", ...OWN_KEYS }, html("span", {}, piece.trim()), number);
    if (place && !piece.startsWith(" ")) button.className = "joined";
    button.addEventListener("click", () => change({ token: place }));
    return { button, number };
  });
  const list = html(
    "div",
    { class: "tokens", role: "group", translate: "no", "aria-label": "The sentence" },
    ...marks.map(({ button }) => button),
  );
  const at = (node) => marks.findIndex(({ button }) => button.contains(node));
  const pair = (place) => {
    const from = whole(state())[2];
    const { weights, trained, scores } = shown;
    marks.forEach(({ button }, other) =>
      button.classList.toggle("lit", place >= 0 && (other === from || other === place)),
    );
    const between = `From ${quoted(tokens[from])} to ${quoted(tokens[place] ?? "")}`;
    if (place > from) words.textContent = `${between}: no weight, as it comes later.`;
    else if (place < 0 || !weights) words.textContent = "";
    else {
      const [now, before, score] = [weights, trained, scores].map((all) => show(all[place]));
      words.textContent = `${between}: weight ${now}, as trained ${before}; score ${score}.`;
    }
  };
  const focused = () => at(document.activeElement);
  list.addEventListener("pointerover", (event) => pair(at(event.target)));
  list.addEventListener("pointerout", () => pair(focused()));
  list.addEventListener("focusin", (event) => pair(at(event.target)));
  list.addEventListener("focusout", () => pair(-1));
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = at(event.target);
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: marks.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    marks[next]?.button.focus();
  });
  return {
    figure: html(
      "figure",
      { style: "--shape: 1.5" },
      html("figcaption", {}, "Press a token to look from it; point at one for its weight"),
      list,
      words,
    ),
    update(now, results) {
      const from = whole(now)[2];
      shown = results;
      marks.forEach(({ button, number }, place) => {
        const weight = results.weights?.[place];
        const spoken = weight === undefined ? "" : `: weight ${show(weight)}`;
        put(button, {
          "aria-pressed": `${place === from}`,
          tabindex: `${place === from ? 0 : -1}`,
          style: `--share: ${(weight ?? 0).toFixed(4)}`,
          "aria-label": `${tokens[place].trim()}, token ${place}${spoken}`,
        });
        button.classList.toggle("later", place > from);
        number.textContent = weight >= 0.005 ? weight.toFixed(2) : "";
      });
      pair(focused());
    },
  };
}

function build(parts, store) {
  const { state, change, model } = parts;
  const [map, text] = [atlas(parts), prose(parts)];
  const notice = html("p", { class: "notice", role: "status" });
  const again = html("button", { type: "button", hidden: "", ...OWN_KEYS }, "Try again");
  const links = html("ul", { class: "points-key" });
  text.figure.append(html("div", { class: "actions" }, notice, again));
  const fetch = async () => {
    store.said = "Loading queries, keys and values …";
    try {
      store.data = await load(model);
    } catch {
      store.said = FAILED;
    }
    change({});
  };
  again.addEventListener("click", () => {
    store.said = "";
    change({});
    // The button that had the focus is gone.
    text.figure.querySelector("[tabindex='0']").focus();
  });
  // A notebook has no other pages.
  const targets = model.send ? [] : model.get("_elsewhere");
  return {
    panels: [map.frame, text],
    more: [links],
    needless: ({ rule }) => Object.keys(USED_BY).filter((name) => !USED_BY[name].split(" ").includes(RULES[rule])),
    update(now, results) {
      map.update(now);
      text.update(now, results);
      if (results.waiting && !store.said) fetch();
      const said = results.waiting ? store.said : "";
      notice.textContent = results.missing ? "This head is not recorded; those with a dot are." : said;
      again.hidden = said !== FAILED;
      const tau = RULES[now.rule] === "softmax" ? now.tau : 1;
      const lead = `The keys with the largest scores, at τ = ${show(tau)}, in other widgets:`;
      const states = results.values ? targets.map((one) => elsewhere(one, model.get("_tokens"), tau, results)) : [];
      links.replaceChildren(...(states[0] ? [[lead], ...states] : []).map((line) => html("li", {}, ...line)));
    },
  };
}

const columns = {
  row: "weights",
  plain: true,
  rows: ["as trained", "here"],
  names: [
    ["first token", "w"],
    ["largest", "w"],
    ["budget’s share", "rho_rel"],
    ["output moved by", "Delta"],
  ],
  of: (_, { trained, weights, before, spent, change }) =>
    [
      [trained, before, 0],
      [weights, spent, change],
    ].map(([all, share, moved]) => (all ? [all[0], Math.max(...all), share ?? "–", moved] : ["–", "–", "–", "–"])),
};

function describe(state, results, model) {
  const [layer, head, token] = whole(state);
  const said = `${reading(chosen(model, state), [layer, head])}.`;
  const { weights } = results;
  if (!weights) return said;
  const tokens = model.get("_tokens");
  const [, , says] = model.get("_recorded").find(([one, other]) => one === layer && other === head);
  const some = [...weights.keys()].filter((place) => weights[place]);
  const order = some.sort((a, b) => weights[b] - weights[a]).slice(0, 3);
  const most = order.map((place) => `${quoted(tokens[place])} ${show(weights[place])}`).join(", ");
  const none = weights.length - some.length;
  const idle = none ? ` ${none} of ${weights.length} tokens get exactly nothing.` : "";
  return `${said} As trained, it ${says}. From ${quoted(tokens[token])}: ${most}.${idle}`;
}

export function render({ model, el }) {
  const store = {};
  const compute = (state) => {
    const [layer, head, token] = whole(state);
    const value = chosen(model, state).values[layer][head];
    if (!model.get("_recorded").some(([one, other]) => one === layer && other === head))
      return { value, missing: true };
    const found = arrays(store.data ?? model.get("_first"), layer, head);
    return token < found?.query.length ? { value, ...attend(state, found, token) } : { value, waiting: true };
  };
  return mount({
    model,
    el,
    compute,
    build: (parts) => build(parts, store),
    columns,
    describe: (state, results) => describe(state, results, model),
  });
}
