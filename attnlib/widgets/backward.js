// Advantage of each key: the gradient that comes from above, what each score receives of it, and one step along it.
import { softmax, output, valued, credit, passed, steps } from "laws";
import {
  bars,
  connect,
  diamond,
  dot,
  handle,
  leaders,
  letterMark,
  mount,
  panel,
  put,
  scoreWeights,
  show,
  svg,
  translation,
  triangle,
} from "./shared.js";

function compute({ tau, eta, gradient, scores, value }) {
  const count = scores.length;
  const { weights } = softmax(tau, count, scores);
  const { utilities } = valued(gradient, value, count, gradient.length);
  const { baseline, advantages } = credit(count, weights, utilities);
  const { gradients } = passed(tau, count, weights, advantages);
  const moved = steps(tau, eta, count, scores, gradients, advantages);
  return {
    weights,
    utilities,
    output: output(weights, value, count, gradient.length).output,
    baseline,
    advantages,
    gradients,
    plain: softmax(tau, count, moved.plain).weights,
    natural: softmax(tau, count, moved.natural).weights,
  };
}

function build({ state, change, replace }) {
  const axes = ["coordinate 1", "coordinate 2"];
  const axis = (label) => ({ range: [-2.6, 2.6], ticks: [-2, -1, 0, 1, 2], label });
  const plane = panel({
    title: "Values, output and upstream gradient",
    height: 300,
    x: axis(axes[0]),
    y: axis(axes[1]),
  });
  const chart = panel({
    title: "Utility (pale) and advantage of each key; dashed, the mean utility",
    height: 220,
    x: { range: [0.3, 3.5], ticks: [1, 2, 3], label: "key" },
    y: { range: [-4.9, 4.9], ticks: [-4, -2, 0, 2, 4], label: "" },
  });
  const received = panel({
    title: "What each score receives of it: the gradient",
    height: 220,
    x: { range: [0.3, 3.5], ticks: [1, 2, 3], label: "key" },
    y: { range: [-0.75, 0.75], ticks: [-0.5, 0, 0.5], label: "" },
  });
  const simplex = triangle("One step on the simplex, from the dot");
  const line = panel({
    title: "Weight of each score",
    height: 289,
    x: { range: [-3.2, 3.2], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "score" },
    y: { range: [-0.06, 1.06], ticks: [0, 0.25, 0.5, 0.75, 1], label: "weight" },
  });

  const star = diamond();
  const arrow = svg("line", { class: "arrow query", "data-symbol": "g" });
  const gradient = handle({
    panel: plane,
    label: "upstream gradient",
    symbol: "g",
    axes,
    range: { low: -1, high: 1 },
    value: () => state().gradient,
    move: (point) => change({ gradient: point }),
    mark: letterMark("g"),
  });
  const values = state().value.map((_, key) =>
    handle({
      panel: plane,
      label: `value ${key + 1}`,
      symbol: "v",
      key,
      axes,
      range: { low: -2.4, high: 2.4 },
      value: () => state().value[key],
      move: (point) => replace("value", key, point),
      mark: dot(key),
    }),
  );
  const place = scoreWeights(line, { state, replace });
  plane.picture.append(arrow, star, ...values.map(({ group }) => group), gradient.group);
  const mean = svg("line", { class: "law mean", "data-symbol": "u" });
  const draw = [
    bars(chart, "u", 3, { shift: -0.18, width: 0.3 }),
    bars(chart, "A", 3, { shift: 0.18, width: 0.3 }),
    bars(received, "delta", 3, { width: 0.5 }),
  ];
  // The scale stays; a bar that leaves it says how long it is.
  const lengths = [1, 2, 3].map((key) =>
    svg("text", { class: "named", "data-symbol": "delta", x: received.across(key), "text-anchor": "middle" }),
  );
  chart.window.append(mean);
  received.window.append(...lengths);
  const routes = ["plain", "natural"].map((name) => ({
    name,
    way: svg("line", { class: `route ${name}`, "data-symbol": "eta" }),
    end: svg(
      "g",
      { class: `route ${name}`, "data-symbol": "eta" },
      svg("circle", { r: 6 }),
      svg("text", name === "plain" ? { x: -6, dy: -8, "text-anchor": "end" } : { x: 9, dy: 3.5 }, name),
    ),
  }));
  const here = svg("circle", { r: 7, class: "here", "data-symbol": "w" });
  simplex.picture.append(...routes.map(({ way }) => way), here, ...routes.map(({ end }) => end));

  return {
    panels: [plane, chart, received, line, simplex],
    update(
      { gradient: g, scores, value },
      { weights, output: o, utilities, advantages, gradients, baseline, ...after },
    ) {
      gradient.place(plane.to(g));
      connect(arrow, plane.to([0, 0]), plane.to(g));
      put(star, { transform: translation(plane.to(o)) });
      values.forEach((mark, key) => mark.place(plane.to(value[key])));
      place(scores, weights);
      [utilities, advantages, gradients].forEach((numbers, which) => draw[which](numbers));
      gradients.forEach((number, key) => {
        const tip = received.up(Math.min(0.62, Math.max(-0.62, number)));
        put(lengths[key], { y: number < 0 ? tip + 12 : tip - 4 });
        lengths[key].textContent = show(tidy(number));
      });
      connect(mean, [chart.across(0.5), chart.up(baseline)], [chart.across(3.5), chart.up(baseline)]);
      const start = simplex.pointOf(weights);
      put(here, { cx: start[0], cy: start[1] });
      for (const { name, way, end } of routes) {
        connect(way, start, simplex.pointOf(after[name]));
        put(end, { transform: translation(simplex.pointOf(after[name])) });
      }
    },
  };
}

const tidy = (number) => (Math.abs(number) < 1e-12 ? 0 : number); // what rounding leaves of a mean taken away

const columns = {
  count: "scores",
  names: [
    ["utility", "u"],
    ["advantage", "A"],
    ["gradient", "delta"],
    ["weight", "w"],
  ],
  of: (_, { utilities, advantages, gradients, weights }) =>
    weights.map((weight, key) => [utilities[key], tidy(advantages[key]), tidy(gradients[key]), weight]),
};

function describe(_, { baseline, weights, plain, natural }) {
  const say = (step) => step.map(show).join(", ");
  const steps = `After a plain step ${say(plain)}; after a natural one ${say(natural)}.`;
  return `Mean utility g·o ${show(baseline)}. ${leaders(weights)} ${steps}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
