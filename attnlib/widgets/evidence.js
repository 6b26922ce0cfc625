// KL budget: the weights with the largest expected score that stay within a divergence of equal weights.
import { bought, missed, softmax, testing } from "laws";
import {
  connect,
  crossing,
  guessing,
  handle,
  leaders,
  letterMark,
  mount,
  panel,
  polyline,
  put,
  scoreColumns,
  scoreWeights,
  show,
  svg,
} from "./shared.js";

const ENDLESS = 1e300; // stands for the β that leaves the best keys alone: every other weight underflows to zero

function compute({ budget, scores }, { error }) {
  const count = scores.length;
  const top = Math.max(...scores);
  const spent = (beta) => bought(beta, count, scores, top).spent;
  const largest = spent(ENDLESS);
  const spendable = Math.min(budget, largest);
  let high = 1;
  while (spent(high) < spendable) high *= 2;
  const inside = () => (budget < largest ? crossing((beta) => spent(beta) - budget, 0, high) : ENDLESS);
  const beta = spendable > 0 ? inside() : 0;
  return {
    beta,
    ...bought(beta, count, scores, top),
    spent: spendable,
    largest,
    weights: softmax(beta, count, scores).weights,
    ...testing(error, spendable),
    error,
  };
}

function build({ state, change, replace }) {
  const count = state().scores.length;
  const left = panel({
    title: "Weight of each score; dashed, equal weights",
    height: 290,
    x: { range: [-3.2, 3.2], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "score" },
    y: { range: [-0.06, 1.06], ticks: [0, 0.25, 0.5, 0.75, 1], label: "weight" },
  });
  const right = panel({
    title: "What a budget buys; its slope is the price",
    height: 290,
    x: { range: [-0.1, 2.9], ticks: [0, 0.5, 1, 1.5, 2, 2.5], label: "budget ρ, in nats" },
    y: { range: [-3.2, 3.4], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "expected score" },
  });
  const level = svg("line", {
    class: "law mean",
    x1: left.across(-3.2),
    x2: left.across(3.2),
    y1: left.up(1 / count),
    y2: left.up(1 / count),
  });
  const limit = svg("line", { class: "law mean", "data-symbol": "rho" });
  const curve = svg("path", { class: "center", "data-symbol": "rho" });
  const tangent = svg("line", { class: "tangent", "data-symbol": "beta" });
  const budget = handle({
    panel: right,
    label: "budget",
    symbol: "rho",
    axes: ["nats"],
    range: { low: 0, high: 2.8 },
    value: () => state().budget,
    move: ([nats]) => change({ budget: nats }),
    mark: letterMark("ρ"),
  });
  left.window.append(level);
  const place = scoreWeights(left, { state, replace });
  right.window.append(limit, curve, tangent);
  right.picture.append(budget.group);
  return {
    panels: [left, right],
    update({ budget: nats, scores }, { weights, expectation, price, largest }) {
      connect(limit, right.to([largest, -3.2]), right.to([largest, 3.4]));
      place(scores, weights);
      const top = Math.max(...scores);
      const range = top - Math.min(...scores) || 1;
      const points = [];
      for (let step = 0; step <= 40; step++) {
        const { spent, expectation: gain } = bought(
          step === 40 ? ENDLESS : (5 * step) / (40 - step) / range,
          count,
          scores,
          top,
        );
        points.push(right.to([spent, gain]));
      }
      put(curve, { d: `${polyline(points)}H${right.across(2.9).toFixed(2)}` });
      // The tangent ends before it leaves the picture; the first nat's is upright.
      const reach = (across, up) => {
        const most = Math.min(1.5, up);
        const run = Math.min(0.5, across, most / price);
        return [run, Number.isFinite(price) ? run * price : most];
      };
      const [behind, fall] = reach(nats + 0.1, expectation + 3.2);
      const [ahead, rise] = reach(2.9 - nats, 3.4 - expectation);
      connect(tangent, right.to([nats - behind, expectation - fall]), right.to([nats + ahead, expectation + rise]));
      budget.place(right.to([nats, expectation]));
    },
  };
}

function describe({ budget }, { beta, price, expectation, spent, weights, draws, error }) {
  const rest = spent < budget ? ` ${show(budget - spent)} of the budget buys nothing.` : "";
  const bought =
    beta < ENDLESS ? `β = ${show(beta)}, price ${show(price)} per nat` : "β is infinite, and more budget buys nothing";
  const wait = draws < Infinity ? `on average at least ${show(draws)} draws` : "for ever";
  const observer = `An observer of draws waits ${wait} for evidence of ${1 / error} to 1 against equal weights.`;
  return `${bought}; expected score ${show(expectation)}.${rest} ${observer} ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns: scoreColumns, describe, guess: guessing(missed) });
}
