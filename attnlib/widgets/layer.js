// The query plane: keys and query as points; their scores, weights and output follow.
import { missed, output, scores, softmax } from "laws";
import {
  color,
  connect,
  diamond,
  dot,
  guessing,
  halo,
  handle,
  leaders,
  letterMark,
  mount,
  panel,
  put,
  show,
  svg,
  translation,
} from "./shared.js";

/** The convex hull of some points, counter-clockwise. */
function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (order) =>
    order
      .reduce((chain, point) => {
        while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
        return [...chain, point];
      }, [])
      .slice(0, -1);
  return [...half(sorted), ...half(sorted.reverse())];
}

function compute({ alpha, query, key, value }) {
  const products = scores(query, key, key.length, query.length).scores;
  const { weights } = softmax(alpha, key.length, products);
  return { scores: products, weights, output: output(weights, value, key.length, value[0].length).output };
}

function build({ state, change, replace }) {
  const axis = (label) => ({ range: [-3, 3], ticks: [-3, -2, -1, 0, 1, 2, 3], label });
  const left = panel({ title: "Query and keys", height: 330, x: axis("coordinate 1"), y: axis("coordinate 2") });
  const right = panel({ title: "Values and output", height: 330, x: axis("coordinate 1"), y: axis("coordinate 2") });
  const range = { low: -3, high: 3 };
  const axes = ["coordinate 1", "coordinate 2"];

  const hullShape = svg("polygon", { class: "hull", "data-symbol": "v" });
  const queryArrow = svg("line", { class: "arrow query", "data-symbol": "q" });
  const star = diamond({ "data-symbol": "o" });
  const query = handle({
    panel: left,
    label: "query",
    symbol: "q",
    axes,
    range,
    value: () => state().query,
    move: (point) => change({ query: point }),
    mark: letterMark("q"),
  });
  const parts = state().key.map((_, key) => ({
    arrow: svg("line", { class: "arrow", style: color(key), "data-key": key, "data-symbol": "k" }),
    ring: svg("circle", { class: "halo", style: color(key), "data-key": key, "data-symbol": "w" }),
    spoke: svg("line", { class: "spoke", style: color(key), "data-key": key, "data-symbol": "w" }),
    key: handle({
      panel: left,
      label: `key ${key + 1}`,
      symbol: "k",
      key,
      axes,
      range,
      value: () => state().key[key],
      move: (point) => replace("key", key, point),
      mark: dot(key),
    }),
    value: handle({
      panel: right,
      label: `value ${key + 1}`,
      symbol: "v",
      key,
      axes,
      range,
      value: () => state().value[key],
      move: (point) => replace("value", key, point),
      mark: dot(key),
    }),
  }));
  left.picture.append(
    ...parts.flatMap(({ arrow, ring }) => [arrow, ring]),
    queryArrow,
    ...parts.map(({ key }) => key.group),
    query.group,
  );
  right.picture.append(hullShape, ...parts.map(({ spoke }) => spoke), ...parts.map(({ value }) => value.group), star);

  return {
    panels: [left, right],
    update({ query: q, key: keys, value: values }, { weights, output: o }) {
      const origin = left.to([0, 0]);
      query.place(left.to(q));
      connect(queryArrow, origin, left.to(q));
      parts.forEach(({ arrow, ring, spoke, key, value }, index) => {
        const tip = left.to(keys[index]);
        key.place(tip);
        connect(arrow, origin, tip);
        put(ring, { cx: tip[0], cy: tip[1], r: halo(weights[index]) });
        const end = right.to(values[index]);
        value.place(end);
        connect(spoke, right.to(o), end);
        put(spoke, { "stroke-width": 12 * weights[index] });
      });
      put(star, { transform: translation(right.to(o)) });
      const corners = hull(values.map(right.to)).map((corner) => corner.map((part) => part.toFixed(2)).join());
      put(hullShape, { points: corners.join(" ") });
    },
  };
}

const columns = {
  count: "key",
  names: [
    ["score", "s"],
    ["weight", "w"],
  ],
  of: (_, { scores: all, weights }) => all.map((score, key) => [score, weights[key]]),
};

function describe({ alpha }, { weights, output: o }) {
  return `Output (${o.map(show).join(", ")}) at α = ${show(alpha)}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe, guess: guessing(missed) });
}
