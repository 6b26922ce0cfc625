// The simplex of plans: a point of the triangle is a plan for three keys; levels of its cost, and the cheapest plan.
import { apart, cheapest, giniCheapest, giniPrice, least, missed, place, price } from "laws";
import {
  connect,
  crossing,
  diamond,
  guessing,
  handle,
  leaders,
  letterMark,
  mount,
  panel,
  polyline,
  put,
  scoreLine,
  show,
  svg,
  translation,
  triangle,
} from "./shared.js";

const LEVELS = [1, 2, 3, 4, 5, 6].map((step) => 0.05 * step * step); // above the least cost: even rings in a round bowl
const CELLS = 30;

/** A point of the square, moved sideways into the triangle. */
const inside = ([x, y]) => [Math.min(Math.max(x, y / 2), 1 - y / 2), y];

/** What a plan costs, and the cheapest plan, with the evenness that is chosen. */
function market({ tau, gini, scores }) {
  if (!gini) {
    const { weights } = cheapest(tau, 3, scores);
    return { weights, lowest: least(tau, 3, scores).cost, cost: (plan) => price(tau, 3, scores, plan).cost };
  }
  const cost = (plan) => giniPrice(tau, 3, scores, plan).cost;
  const top = Math.max(...scores);
  const missing = (threshold) => 1 - giniCheapest(tau, 3, scores, threshold).mass; // grows with the threshold
  const { weights } = giniCheapest(tau, 3, scores, crossing(missing, top - 2 * tau, top));
  return { weights, lowest: cost(weights), cost };
}

function compute(state) {
  const { tau, scores, point } = state;
  const { first, second, third } = place(...point);
  const plan = [first, second, third];
  const { weights, lowest, cost } = market(state);
  const { divergence } = apart(tau, 3, plan, cheapest(tau, 3, scores).weights);
  return { plan, weights, lowest, cost: cost(plan), excess: cost(plan) - lowest, divergence };
}

/** Pieces of the levels, as pairs of plans: the cost is taken at the corners of small triangles, straight between. */
function contours(excess) {
  const nodes = [];
  for (let up = 0; up <= CELLS; up++) {
    nodes.push([]);
    for (let along = 0; along <= CELLS - up; along++) {
      const plan = [CELLS - up - along, along, up].map((part) => part / CELLS);
      nodes[up].push({ plan, height: excess(plan) });
    }
  }
  const pieces = LEVELS.map(() => []);
  const cut = (corners) => {
    const [low, middle, high] = corners.sort((a, b) => a.height - b.height);
    LEVELS.forEach((level, which) => {
      if (level <= low.height || level > high.height) return;
      const between = (a, b) => {
        const share = (level - a.height) / (b.height - a.height);
        return a.plan.map((part, key) => part + share * (b.plan[key] - part));
      };
      pieces[which].push([between(low, high), level > middle.height ? between(middle, high) : between(low, middle)]);
    });
  };
  for (let up = 0; up < CELLS; up++)
    for (let along = 0; along < CELLS - up; along++) {
      cut([nodes[up][along], nodes[up][along + 1], nodes[up + 1][along]]);
      if (along) cut([nodes[up][along], nodes[up + 1][along], nodes[up + 1][along - 1]]);
    }
  return pieces;
}

function build({ state, change, replace }) {
  const left = triangle("All plans, and levels of cost above the least");
  const right = panel({
    title: "Cost along the line from w through p",
    height: 200,
    x: { range: [-0.6, 1.6], ticks: [0, 1], label: "", write: (tick) => (tick ? "p" : "w") },
    y: { range: [-0.2, 3.2], ticks: [0, 1, 2, 3], label: "above the least cost" },
  });
  const line = scoreLine("Scores", { state, replace });
  const rings = svg("path", { class: "contour" });
  const names = LEVELS.map(() => svg("text", { class: "named", "text-anchor": "middle", "data-symbol": "J" }));
  const way = svg("line", { class: "law dashed" });
  const best = diamond({ "data-symbol": "w" });
  const plan = handle({
    panel: left,
    label: "plan",
    symbol: "p",
    axes: ["across", "up"],
    range: { low: 0, high: 1 },
    value: () => inside(state().point),
    move: (point) => change({ point: inside(point) }),
    mark: letterMark("p", "plan"),
  });
  left.window.append(rings, way, ...names);
  left.picture.append(best, plan.group);
  const curve = svg("path", { class: "center", "data-symbol": "J" });
  const ends = ["w", "p"].map((name) => svg("circle", { r: 5, class: "output-mark", "data-symbol": name }));
  right.window.append(curve, ...ends);

  let drawn;
  return {
    panels: [left, right, line],
    update(now, { weights, lowest, plan: tried, excess }) {
      const { cost } = market(now);
      const to = (plan) => left.pointOf(plan).map((part) => Number(part.toFixed(1)));
      const shape = JSON.stringify([now.tau, now.gini, now.scores]);
      if (shape !== drawn) {
        drawn = shape;
        const pieces = contours((plan) => cost(plan) - lowest);
        put(rings, {
          d: pieces
            .flat()
            .map(([from, end]) => `M${to(from).join(" ")}L${to(end).join(" ")}`)
            .join(""),
        });
        put(best, { transform: translation(left.pointOf(weights)) });
        pieces.forEach((ring, which) => {
          // A level's name stands where it is highest, or nowhere if it does not cross the triangle.
          const top = ring.map(([from]) => to(from)).sort((a, b) => a[1] - b[1])[0] ?? [-50, -50];
          put(names[which], { x: top[0], y: top[1] - 2 });
          names[which].textContent = `+${Number(LEVELS[which].toFixed(2))}`;
        });
        line.place(now.scores);
      }
      const [x, y] = inside(now.point);
      plan.place(left.to([x, y]));
      put(plan.group, { "aria-valuemin": `${y / 2}`, "aria-valuemax": `${1 - y / 2}` });
      connect(way, left.pointOf(weights), left.pointOf(tried));
      const points = [];
      for (let step = -24; step <= 64; step++) {
        const mixed = weights.map((part, key) => part + (step / 40) * (tried[key] - part));
        if (Math.min(...mixed) >= 0) points.push(right.to([step / 40, cost(mixed) - lowest]));
      }
      put(curve, { d: polyline(points) });
      [
        [0, 0],
        [1, excess],
      ].forEach((spot, which) => {
        const [cx, cy] = right.to(spot);
        put(ends[which], { cx, cy });
      });
    },
  };
}

const columns = {
  count: "scores",
  names: [
    ["score", "s"],
    ["plan", "p"],
    ["weight", "w"],
  ],
  of: ({ scores }, { plan, weights }) => scores.map((score, key) => [score, plan[key], weights[key]]),
};

function describe({ gini }, { excess, divergence, weights }) {
  const same = gini ? "" : `, which is τ KL(p ‖ w) = ${show(divergence)}`;
  return `The plan p costs ${show(excess)} more than w${same}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe, guess: guessing(missed) });
}
