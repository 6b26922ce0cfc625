// Four roads: each holds the number that it had before the scores moved, and finds its weights from that.
import { balance, cheapest, expected, inverse, moved, softmax, straying, tilted } from "laws";
import { bars, crossing, mount, panel, put, scoreLine, show, svg } from "./shared.js";

const BEYOND = 1e6; // an inverse temperature at which the best keys alone have weight
const ROADS = [
  ["likelihood", "Likelihood holds α"],
  ["entropy", "Maximum entropy holds t"],
  ["budget", "Budget holds ρ"],
  ["transport", "Transport holds τ"],
];

/** What each road holds: all are read off the same weights, before anything moves. */
function held({ alpha, scores }) {
  const n = scores.length;
  const { weights } = softmax(alpha, n, scores);
  const even = Array(n).fill(1 / n);
  const { expectation } = expected(n, weights, scores);
  const spent = Math.max(0, straying(n, weights, even).spent);
  return { before: weights, even, expectation, spent, temperature: inverse(alpha).temperature };
}

function compute(state, constants, model) {
  const { alpha, stretch, shift, prior, shares } = state;
  const n = state.scores.length;
  const { before, even, ...numbers } = held(state);
  const { scores } = moved(stretch, shift, n, state.scores);
  const priors = prior ? model.get("_prior") : even;
  const weightsAt = (rate) => tilted(rate, n, scores, priors).weights;
  const slope = (rate) => balance(rate, numbers.expectation, n, scores, priors).slope;
  const left = (rate) => straying(n, weightsAt(rate), priors).spent - numbers.spent;
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const margin = constants.margin * (high - low); // nearer to an end rounding would decide about the weights
  const reachable = numbers.expectation > low + margin && numbers.expectation < high - margin;
  const end = numbers.expectation < (low + high) / 2 ? -BEYOND : BEYOND;
  return {
    ...numbers,
    before,
    moved: scores,
    reachable,
    likelihood: softmax(alpha, n, scores).weights,
    entropy: weightsAt(reachable ? crossing(slope, -BEYOND, BEYOND) : end),
    budget: weightsAt(crossing(left, 0, BEYOND)),
    transport: shares ? priors : cheapest(numbers.temperature, n, scores, priors).weights,
  };
}

function build({ state, replace }) {
  const count = state().scores.length;
  const ticks = Array.from({ length: count }, (_, key) => key + 1);
  const charts = ROADS.map(([name, title]) => {
    const chart = panel({
      title,
      height: 132,
      x: { range: [0.2, count + 0.5], ticks, label: "" },
      y: { range: [-0.01, 1.01], ticks: [0, 0.5, 1], label: "" },
    });
    const place = bars(chart, "w", count);
    const marks = ticks.map((key) =>
      svg("line", { class: "center", x1: chart.across(key - 0.4), x2: chart.across(key + 0.4) }),
    );
    chart.window.append(...marks);
    return { name, chart, place, marks };
  });
  const line = scoreLine("Scores before they move: drag them", { state, replace });
  return {
    panels: [line, ...charts.map(({ chart }) => chart)],
    update({ scores }, { before, ...results }) {
      line.place(scores);
      for (const { name, chart, place, marks } of charts) {
        place(results[name]);
        marks.forEach((mark, key) => put(mark, { y1: chart.up(before[key]), y2: chart.up(before[key]) }));
      }
    },
  };
}

const columns = {
  count: "scores",
  names: [
    ["score now", "s"],
    ["weight, α held", "alpha"],
    ["weight, t held", "t"],
    ["weight, ρ held", "rho"],
    ["weight, τ held", "tau"],
  ],
  of: (_, results) => results.moved.map((score, key) => [score, ...ROADS.map(([name]) => results[name][key])]),
};

function describe({ alpha }, results) {
  const { expectation, spent, temperature, reachable } = results;
  const sets = ROADS.map(([name]) => results[name]);
  const far = Math.max(...sets.flatMap((set) => sets.flatMap((other) => set.map((part, key) => part - other[key]))));
  const numbers = `α = ${show(alpha)}, t = ${show(expectation)}, ρ = ${show(spent)}, τ = ${show(temperature)}`;
  const parted = far < 1e-9 ? "the four roads agree" : `the roads part by up to ${show(far)}`;
  return `${numbers}: ${parted}.${reachable ? "" : " No weights have the expected score t now."}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute: (...given) => compute(...given, model), build, columns, describe });
}
