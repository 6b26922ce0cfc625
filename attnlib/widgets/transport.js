// The simplex of plans: a point of the triangle is a plan for three keys; its cost, and the cheapest plan, follow.
import { apart, cheapest, place, price } from "laws";
import { awaken, color, dot, handle, leaders, mount, panel, put, show, svg, triangle } from "./shared.js";

const PRIORS = [
  [1 / 3, 1 / 3, 1 / 3],
  [0.1, 0.3, 0.6],
];
const LEVELS = [1, 2, 3, 4, 5, 6].map((step) => 0.05 * step * step); // above the least cost: even rings in a round bowl
const CELLS = 30;

/** A point of the square, moved sideways into the triangle. */
const inside = ([x, y]) => [Math.min(Math.max(x, y / 2), 1 - y / 2), y];

function compute({ tau, prior, point, scores }) {
  const { first, second, third } = place(...point);
  const plan = [first, second, third];
  const priors = PRIORS[prior];
  const { weights } = cheapest(tau, 3, scores, priors);
  return { plan, weights, priors, ...price(tau, 3, scores, priors, plan), ...apart(tau, 3, plan, weights) };
}

/** Pieces of the contours, as pairs of plans: the cost is taken at the corners of small triangles, straight between. */
function contours(cost) {
  const nodes = [];
  for (let up = 0; up <= CELLS; up++) {
    nodes.push([]);
    for (let along = 0; along <= CELLS - up; along++) {
      const plan = [CELLS - up - along, along, up].map((part) => part / CELLS);
      nodes[up].push({ plan, cost: cost(plan) });
    }
  }
  const pieces = [];
  const cut = (corners) => {
    const [low, middle, high] = corners.sort((a, b) => a.cost - b.cost);
    for (const level of LEVELS) {
      if (level <= low.cost || level > high.cost) continue;
      const between = (a, b) => {
        const share = (level - a.cost) / (b.cost - a.cost);
        return a.plan.map((part, key) => part + share * (b.plan[key] - part));
      };
      pieces.push([between(low, high), level > middle.cost ? between(middle, high) : between(low, middle)]);
    }
  };
  for (let up = 0; up < CELLS; up++)
    for (let along = 0; along < CELLS - up; along++) {
      cut([nodes[up][along], nodes[up][along + 1], nodes[up + 1][along]]);
      if (along) cut([nodes[up][along], nodes[up + 1][along], nodes[up + 1][along - 1]]);
    }
  return pieces;
}

function build({ state, change, replace }) {
  const left = triangle("All plans: a corner is one key alone");
  const right = panel({
    title: "Scores, and how much dearer p is than w",
    height: 289,
    x: { range: [-3.3, 3.3], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "score" },
    y: { range: [0, 6.6], ticks: [], label: "" },
  });
  const rings = svg("path", { class: "contour" });
  const best = svg("path", { d: "M0-9 9 0 0 9-9 0Z", class: "output-mark", "data-symbol": "w" });
  const plan = handle({
    panel: left,
    label: "plan",
    symbol: "p",
    axes: ["across", "up"],
    range: { low: 0, high: 1 },
    value: () => inside(state().point),
    move: (point) => change({ point: inside(point) }),
    mark: svg(
      "g",
      { class: "mark plan" },
      svg("circle", { r: 9 }),
      svg("text", { "text-anchor": "middle", dy: 3.5 }, "p"),
    ),
  });
  left.window.append(rings);
  left.picture.append(best, plan.group);
  const scores = state().scores.map((_, at) =>
    handle({
      panel: right,
      label: `score of key ${at + 1}`,
      symbol: "s",
      key: at,
      axes: ["score"],
      range: { low: -3, high: 3 },
      value: () => state().scores[at],
      move: ([score]) => replace("scores", at, score),
      mark: dot(at),
    }),
  );
  const bars = [
    ["excess", "J(p) − J(w)", 2.3],
    ["divergence", "τ KL(p ‖ w)", 1.1],
  ].map(([name, words, row]) => ({
    name,
    words,
    bar: svg("rect", { class: `gap ${name}`, x: right.area.left, y: right.up(row), height: 11 }),
    text: svg("text", { x: right.area.left, y: right.up(row) - 4 }),
  }));
  right.window.append(...bars.flatMap(({ bar, text }) => [bar, text]));
  right.picture.append(...scores.map(({ group }) => group));

  let drawn;
  return {
    panels: [left, right],
    update({ tau, scores: s, point }, { weights, priors, ...results }) {
      const shape = JSON.stringify([tau, s, priors]);
      if (shape !== drawn) {
        drawn = shape;
        const to = (plan) =>
          left
            .at(plan)
            .map((part) => part.toFixed(1))
            .join(" ");
        const pieces = contours((one) => price(tau, 3, s, priors, one).excess);
        put(rings, { d: pieces.map(([from, end]) => `M${to(from)}L${to(end)}`).join("") });
        put(best, {
          transform: `translate(${left
            .at(weights)
            .map((part) => part.toFixed(2))
            .join()})`,
        });
        scores.forEach((score, at) => score.place([right.across(s[at]), right.up(5.6 - 0.95 * at)]));
      }
      const [x, y] = inside(point);
      plan.place(left.to([x, y]));
      put(plan.group, { "aria-valuemin": `${y / 2}`, "aria-valuemax": `${1 - y / 2}` });
      for (const { name, words, bar, text } of bars) {
        put(bar, { width: Math.max(0, results[name]) * 90 });
        text.textContent = `${words} = ${show(results[name])}`;
      }
    },
  };
}

const columns = {
  count: "scores",
  names: [
    ["score", "s"],
    ["prior", "pi"],
    ["plan", "p"],
    ["weight", "w"],
  ],
  of: ({ scores }, { priors, plan, weights }) => scores.map((score, at) => [score, priors[at], plan[at], weights[at]]),
};

function describe(_, { excess, divergence, weights }) {
  return `The plan p costs ${show(excess)} more than w, and τ KL(p ‖ w) is ${show(divergence)}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
