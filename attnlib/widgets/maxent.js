// Maximum-entropy dial: the expected score is asked for, and the most even weights that reach it follow.
import { asked, balance, bound, evenness, missed, tangent, tilted } from "laws";
import {
  color,
  crossing,
  guessing,
  handle,
  leaders,
  mount,
  panel,
  polyline,
  put,
  scoreColumns,
  scoreMarks,
  separate,
  show,
  svg,
} from "./shared.js";

const ends = (scores) => [Math.min(...scores), Math.max(...scores)];

function compute({ dial, scores }, { apart }) {
  const n = scores.length;
  const [low, high] = ends(scores);
  const { expectation } = asked(dial, low, high);
  // With at most 16 keys and a dial from 0.02 to 0.98, alpha times the range is below 15/(0.02 e) = 276 in size.
  const reach = 300 / (high - low);
  const root = high - low > apart ? crossing((rate) => balance(rate, expectation, n, scores).slope, -reach, reach) : 0;
  const alpha = Math.abs(root) < 1e-16 * reach ? 0 : root; // at the plain mean, zero and not the last digit of it
  const { weights } = tilted(alpha, n, scores);
  const { dual } = bound(alpha, expectation, n, scores);
  return { expectation, alpha, weights, ...evenness(n, weights), dual };
}

// The values of alpha times the range at which the curve of largest entropies is drawn: dense near zero, then far out.
const ALONG = [];
for (let step = 1; step <= 24; step++) ALONG.push((step / 24) * (step / 24) * (step / 24) * 40);
ALONG.push(200, 2e3, 2e4);

function build({ state, change, replace, model }) {
  const { apart } = model.get("_constants"); // scores nearer to each other count as equal
  const count = state().scores.length;
  const ticks = [-3, -2, -1, 0, 1, 2, 3];
  const most = bound(0, 0, count, state().scores).dual; // log n
  const left = panel({
    title: "Weights on the scores, balanced at t",
    height: 270,
    x: { range: [-3.3, 3.3], ticks, label: "score" },
    y: { range: [-0.34, 1.02], ticks: [0, 0.5, 1], label: "weight" },
  });
  const right = panel({
    title: "Largest entropy for each t, and its tangent",
    height: 270,
    x: { range: [-3.3, 3.3], ticks, label: "t" },
    y: {
      range: [-0.12 * (most + 0.6), most + 0.6],
      ticks: [0, most],
      label: "",
      write: (tick) => (tick ? "log n" : "0"),
    },
  });
  const law = svg("path", { class: "law curve", "data-symbol": "alpha" });
  const stems = state().scores.map((_, key) =>
    svg("rect", { class: "bar", style: color(key), "data-key": key, "data-symbol": "w", width: 8 }),
  );
  const dome = svg("path", { class: "dome", "data-symbol": "H" });
  const line = svg("line", { class: "law dashed", "data-symbol": "D" });
  const drop = svg("line", { class: "center dashed", "data-symbol": "t" });
  const touch = svg("circle", { class: "output-mark", r: 6, "data-symbol": "H" });
  const mean = svg("line", { class: "mean center", "data-symbol": "s" });
  const name = svg("text", { "text-anchor": "middle", "data-symbol": "s" });
  name.textContent = "mean";
  const fraction = (score) => {
    const [low, high] = ends(state().scores);
    return high > low ? (score - low) / (high - low) : state().dial;
  };
  const pivot = handle({
    panel: { picture: left.picture, from: (event, box) => [fraction(left.from(event, box)[0])] },
    label: "expected score",
    symbol: "t",
    axes: ["dial"],
    range: { low: 0.02, high: 0.98 },
    value: () => state().dial,
    move: ([dial]) => change({ dial }),
    mark: svg("g", { class: "mark query" }, svg("path", { class: "pivot", d: "M0-10L10 7H-10Z" })),
  });
  const keys = scoreMarks(left, { state, replace });
  left.window.append(mean, name, law, ...stems);
  left.picture.append(pivot.group, ...keys.map(({ group }) => group));
  right.window.append(dome, line, drop, touch);

  return {
    panels: [left, right],
    update({ scores }, { alpha, expectation, weights, entropy, dual }) {
      const [low, high] = ends(scores);
      const places = separate(scores.map((score) => left.to([score, 0])));
      keys.forEach((mark, key) => mark.place(places[key]));
      stems.forEach((stem, key) =>
        put(stem, {
          x: left.across(scores[key]) - 4,
          y: left.up(weights[key]),
          height: left.up(0) - left.up(weights[key]),
        }),
      );
      const even = left.across(tilted(0, count, scores).mean);
      put(mean, { x1: even, x2: even, y1: left.up(0), y2: left.up(-0.2) });
      put(name, { x: even, y: left.up(-0.3) });
      pivot.place([left.across(expectation), left.up(0) + 26], show(expectation));
      // The exponential on which the tops of all weights lie, between the smallest and the largest score.
      const between = Array.from({ length: 33 }, (_, step) => asked(step / 32, low, high).expectation);
      put(law, {
        d: polyline(between.map((score) => left.to([score, bound(alpha, score, count, scores).share]))),
      });
      const along =
        high - low > apart
          ? [...ALONG.map((part) => -part / (high - low)).reverse(), 0, ...ALONG.map((part) => part / (high - low))]
          : [0];
      put(dome, {
        d: polyline(
          along.map((rate) => {
            const { mean } = tilted(rate, count, scores);
            return right.to([mean, bound(rate, mean, count, scores).dual]);
          }),
        ),
      });
      const [y1, y2] = [-3.3, 3.3].map((x) => right.up(tangent(alpha, expectation, dual, x).height));
      put(line, { x1: right.across(-3.3), x2: right.across(3.3), y1, y2 });
      const across = right.across(expectation);
      put(drop, { x1: across, x2: across, y1: right.up(0), y2: right.up(entropy) });
      put(touch, { cx: across, cy: right.up(entropy) });
    },
  };
}

function describe(_, { expectation, alpha, entropy, dual, weights }) {
  return `t = ${show(expectation)}, α = ${show(alpha)}, H = ${show(entropy)}, D = ${show(dual)}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns: scoreColumns, describe, guess: guessing(missed) });
}
