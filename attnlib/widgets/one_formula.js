// Four roads at once: each finds its weights from its own reading of the one parameter.
import { balance, bought, carried, inverse, lowest, precise, softmax, tilted } from "laws";
import { awaken, bars, crossing, dot, handle, leaders, mount, panel, show, svg } from "./shared.js";

const SHARPEST = 5; // the ends of the slider for α
const EVENEST = 0.2;
const BEYOND = 64; // an α that no reading within these ends can come from

/** What α amounts to on the other roads. */
function read(alpha, scores) {
  const { spent } = bought(alpha, scores.length, scores, Math.max(...scores));
  const { expectation } = tilted(alpha, scores.length, scores);
  return { alpha, expectation, budget: Math.max(0, spent), temperature: inverse(alpha).temperature };
}

/** The α that a reading comes from. */
const back = {
  alpha: (alpha) => alpha,
  expectation: (target, scores) => crossing((alpha) => balance(alpha, target, scores.length, scores).slope, 0, BEYOND),
  budget: (nats, scores) => crossing((alpha) => bought(alpha, scores.length, scores, Math.max(...scores)).spent - nats, 0, BEYOND),
  temperature: (tau) => inverse(tau).temperature,
};

function compute({ alpha, scores }) {
  const n = scores.length;
  const now = read(alpha, scores);
  const { expectation, budget, temperature } = now;
  return {
    ...now,
    likelihood: precise(alpha, 1, n, scores).weights,
    entropy: tilted(back.expectation(expectation, scores), n, scores).weights,
    spending: softmax(back.budget(budget, scores), n, scores).weights,
    weights: carried(temperature, n, scores, lowest(temperature, n, scores).least).weights,
  };
}

function build({ state, change, replace }) {
  const count = state().scores.length;
  const ticks = Array.from({ length: count }, (_, at) => at + 1);
  const roads = [["likelihood", "Likelihood: precisions, from α"], ["entropy", "Maximum entropy, from t"], ["spending", "Budget, from ρ"], ["weights", "Transport, from τ"]].map(([name, title]) => {
    const chart = panel({ title, height: 150, x: { range: [0.5, count + 0.5], ticks, label: "" }, y: { range: [-0.01, 1.01], ticks: [0, 0.5, 1], label: "" } });
    return { name, chart, place: bars(chart, "w", count) };
  });
  const line = panel({ title: "The same scores for all four", height: 70, x: { range: [-3.2, 3.2], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "" }, y: { range: [-1, 1], ticks: [], label: "" } });
  const scores = state().scores.map((_, at) => handle({
    panel: line, label: `score of key ${at + 1}`, symbol: "s", key: at, axes: ["score"], range: { low: -3, high: 3 },
    value: () => state().scores[at], move: ([score]) => replace("scores", at, score), mark: dot(at),
  }));
  line.picture.append(...scores.map(({ group }) => group));

  // Every reading has a scale of its own; those of t and ρ reach as far as α does.
  const dial = panel({ title: "One number, read in four ways: drag any of them", height: 170, x: { range: [-0.06, 1.06], ticks: [], label: "" }, y: { range: [0, 4], ticks: [], label: "" } });
  let reached = {}; // the readings at both ends of α, which the scores alone decide
  const ends = (name) => {
    const { scores: all } = state();
    if (reached.all !== all) reached = { all, readings: [EVENEST, SHARPEST].map((alpha) => read(alpha, all)) };
    const found = reached.readings.map((reading) => reading[name]);
    return { low: Math.min(...found), high: Math.max(...found) };
  };
  const readings = [["alpha", "alpha", "α"], ["expectation", "t", "t"], ["budget", "rho", "ρ"], ["temperature", "tau", "τ"]].map(([name, symbol, letter], row) => {
    const scaled = (fraction) => {
      const { low, high } = ends(name);
      return low + fraction * (high - low);
    };
    const height = dial.up(3.5 - row);
    const texts = [0, 1].map((end) => svg("text", { x: dial.across(end), y: height + 22, "text-anchor": "middle" }));
    dial.picture.append(svg("line", { class: "law", x1: dial.across(0), x2: dial.across(1), y1: height, y2: height }), ...texts);
    const mark = handle({
      panel: { picture: dial.picture, from: (event, box) => [scaled(dial.from(event, box)[0])] }, label: { alpha: "inverse temperature", t: "expected score", rho: "budget", tau: "temperature" }[symbol],
      symbol, axes: [letter], range: () => ends(name), value: () => read(state().alpha, state().scores)[name],
      move: ([value]) => change({ alpha: Math.min(SHARPEST, Math.max(EVENEST, ends(name).high > ends(name).low ? back[name](value, state().scores) : state().alpha)) }),
      mark: svg("g", { class: "mark query" }, svg("circle", { r: 9 }), svg("text", { "text-anchor": "middle", dy: 3.5 }, letter)),
    });
    dial.picture.append(mark.group);
    return { name, texts, mark, height };
  });

  return {
    panels: [dial, line, ...roads.map(({ chart }) => chart)],
    update({ scores: all }, results) {
      for (const { name, place } of roads) place(results[name]);
      scores.forEach((mark, at) => mark.place([line.across(all[at]), line.up(0)]));
      for (const { name, texts, mark, height } of readings) {
        const { low, high } = ends(name);
        texts.forEach((text, end) => {
          const label = show(end ? high : low);
          if (text.textContent !== label) text.textContent = label;
        });
        mark.place([dial.across(high > low ? (results[name] - low) / (high - low) : 0.5), height]);
      }
    },
  };
}

const columns = {
  count: "scores",
  names: [["score", "s"], ["weight", "w"]],
  of: ({ scores }, { weights }) => scores.map((score, at) => [score, weights[at]]),
};

function describe(_, { alpha, expectation, budget, temperature, likelihood, entropy, spending, weights }) {
  const apart = Math.max(...[likelihood, entropy, spending].flatMap((other) => other.map((weight, at) => Math.abs(weight - weights[at]))));
  const readings = `α = ${show(alpha)}, expected score ${show(expectation)}, budget ${show(budget)} nats, temperature ${show(temperature)}`;
  return `${readings}: four sets of weights that differ by at most ${apart.toExponential(0).replace("-", "−")}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
