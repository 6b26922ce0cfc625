// Temperature sharpening: some scores at one temperature; how even the weights are at any temperature.
import { evenness, missed, softmax } from "laws";
import {
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

const REACH = 4; // ends of the scores; and of the temperature, in doublings

/** Entropy and effective number of keys at a temperature. */
const spread = (tau, scores) => evenness(tau, scores.length, scores, Math.max(...scores));

function compute({ tau, scores }) {
  return { weights: softmax(tau, scores.length, scores).weights, ...spread(tau, scores) };
}

function build({ state, change, replace }) {
  const count = state().scores.length;
  const across = { range: [-4.35, 4.35], ticks: [-4, -2, 0, 2, 4] };
  const chart = panel({
    title: "Weight of each score: drag the keys",
    height: 250,
    x: { ...across, label: "score" },
    y: { range: [-0.09, 1.09], ticks: [0, 0.5, 1], label: "weight" },
  });
  const place = scoreWeights(chart, { state, replace }, REACH);

  const dial = panel({
    title: "How even they are, at every temperature: drag τ",
    height: 250,
    x: {
      ...across,
      label: "temperature τ",
      write: (doublings) => (doublings < 0 ? `1/${2 ** -doublings}` : `${2 ** doublings}`),
    },
    y: { range: [-0.07 * count, 1.12 * count], ticks: [0, 1, count], label: "" },
  });
  const curves = ["entropy", "effective"].map((name) => ({
    name,
    line: svg("path", { class: `center ${name === "entropy" ? "dashed" : ""}`, "data-symbol": "H" }),
    point: svg("circle", { class: "output-mark", r: 5, "data-symbol": "H" }),
    word: svg("text", { class: "named", "data-symbol": "H" }),
  }));
  const stem = svg("line", { class: "law mean", "data-symbol": "tau", y1: dial.up(-0.07 * count), y2: dial.up(count) });
  const grip = handle({
    panel: dial,
    label: "temperature",
    symbol: "tau",
    axes: ["log₂ τ"],
    range: { low: -REACH, high: REACH },
    value: () => Math.log2(state().tau),
    move: ([doublings]) => change({ tau: 2 ** doublings }),
    mark: letterMark("τ"),
  });
  dial.window.append(stem, ...curves.flatMap(({ line, point, word }) => [line, point, word]));
  dial.picture.append(grip.group);

  return {
    panels: [chart, dial],
    update({ tau, scores }, results) {
      place(scores, results.weights);
      const grid = Array.from({ length: 8 * REACH + 1 }, (_, step) => step / 4 - REACH);
      const along = grid.map((doublings) => spread(2 ** doublings, scores));
      const here = dial.across(Math.log2(tau));
      for (const { name, line, point, word } of curves) {
        put(line, { d: polyline(grid.map((doublings, step) => dial.to([doublings, along[step][name]]))) });
        const height = dial.up(results[name]);
        put(point, { cx: here, cy: height });
        const side = here > 160 ? -8 : 8;
        put(word, {
          x: here + side,
          y: side < 0 ? height - 7 : height + 15,
          "text-anchor": side < 0 ? "end" : "start",
        });
        word.textContent = `${name === "entropy" ? "H" : "eᴴ"} = ${show(results[name])}`;
      }
      put(stem, { x1: here, x2: here });
      grip.place([here, dial.up(-0.07 * count) - 9], show(tau));
    },
  };
}

function describe({ tau }, { entropy, effective, weights }) {
  return `τ = ${show(tau)}: entropy ${show(entropy)}, ${show(effective)} effective keys. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns: scoreColumns, describe, guess: guessing(missed) });
}
