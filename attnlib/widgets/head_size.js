// Head size: a fresh query and many fresh keys; how the layer's weights are spread over them, largest first.
import { drawn, evenness, normal, scaling, softmax } from "laws";
import { handle, letterMark, mount, panel, polyline, put, show, svg } from "./shared.js";

const GOLDEN = 0x9e3779b9;
const fresh = new Map(); // scores over √d by head size and draw: a slider comes back to them

/** A uniform number from a counter: the 32-bit mixer that head_size.py has, too. */
function uniform(counter) {
  let number = counter | 0;
  for (let round = 0; round < 2; round++) number = Math.imul(number ^ (number >>> 16), 0x45d9f3b);
  return (((number ^ (number >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

function standardScores(count, size, draw) {
  const name = `${size}:${draw}`;
  if (!fresh.has(name)) {
    const offset = Math.imul(draw, GOLDEN);
    const number = (index) => normal(uniform(offset + 2 * index), uniform(offset + 2 * index + 1)).number;
    const vector = (row) => Array.from({ length: size }, (_, column) => number(row * size + column));
    const keys = Array.from({ length: count }, (_, row) => vector(row + 1));
    fresh.set(name, drawn(size, count, vector(0), keys).scores);
  }
  return fresh.get(name);
}

function layer(scores, factor) {
  const count = scores.length;
  const { weights } = softmax(factor, count, scores);
  const raw = scores.map((score) => factor * score);
  return { weights: weights.sort((a, b) => b - a), ...evenness(1, count, raw, Math.max(...raw)) };
}

function compute({ head_dim: size, scaled, draw_number: draw }, { keys }) {
  const scores = standardScores(keys, Math.round(size), Math.round(draw));
  const both = [1, 0].map((divided) => layer(scores, scaling(Math.round(size), divided).factor));
  const [divided, plain] = both;
  const here = scaled ? divided : plain;
  return { factor: scaling(Math.round(size), scaled).factor, ...here, divided, plain };
}

const POWERS = [0, 1, 2, 3, 4, 5, 6, 7, 8]; // of two: the sizes that the curves are drawn through

function build({ state, change, model }) {
  const count = model.get("_constants").keys;
  const chart = (title) => {
    const frame = panel({
      title,
      height: 230,
      x: { range: [-4, count + 1], ticks: [1, 16, 32, 48, 64], label: "" },
      y: { range: [-0.02, 1.05], ticks: [0, 0.5, 1], label: "weight" },
    });
    const bars = Array.from({ length: count }, (_, key) =>
      svg("rect", { class: "gap", "data-symbol": "w", x: frame.across(key + 0.6), width: 3.2 }),
    );
    const word = svg("text", { class: "named", x: frame.across(count), y: frame.up(0.8), "text-anchor": "end" });
    frame.window.append(...bars, word);
    return { ...frame, bars, word };
  };
  const dial = panel({
    title: "Effective keys at every head size: drag d",
    height: 230,
    x: { range: [-0.4, 8.4], ticks: [0, 2, 4, 6, 8], label: "d", write: (power) => `${2 ** power}` },
    y: { range: [-4, count + 4], ticks: [1, 32, count], label: "" },
  });
  const curves = [
    ["divided", 1],
    ["plain", 0],
  ].map(([name, divided]) => ({
    name,
    divided,
    line: svg("path", { class: `center ${divided ? "" : "dashed"}`, "data-symbol": divided ? "z" : "r" }),
    word: svg(
      "text",
      { class: "named", x: dial.across(8.3), "text-anchor": "end" },
      divided ? "divided" : "not divided",
    ),
  }));
  const grip = handle({
    panel: dial,
    label: "head size",
    symbol: "d",
    axes: ["log₂ d"],
    range: { low: 0, high: 8 },
    value: () => Math.log2(state().head_dim),
    move: ([power]) => change({ head_dim: 2 ** power }),
    mark: letterMark("d"),
  });
  dial.window.append(...curves.flatMap(({ line, word }) => [line, word]));
  dial.picture.append(grip.group);

  let drawn;
  const charts = {
    divided: chart("Divided by √d: keys by their weight"),
    plain: chart("Not divided: keys by their weight"),
  };
  return {
    panels: [dial, ...Object.values(charts)],
    update({ scaled, head_dim: size, draw_number: draw }, results) {
      if (draw !== drawn) {
        drawn = draw;
        for (const { divided, line, word } of curves) {
          const reach = (power) =>
            layer(standardScores(count, 2 ** power, Math.round(draw)), scaling(2 ** power, divided).factor).effective;
          const places = POWERS.map((power) => dial.to([power, reach(power)]));
          put(line, { d: polyline(places) });
          put(word, { y: places.at(-1)[1] - 8 });
        }
      }
      grip.place(dial.to([Math.log2(size), results.effective]), show(size));
      for (const [name, { bars, word, up, figure }] of Object.entries(charts)) {
        results[name].weights.forEach((weight, key) => put(bars[key], { y: up(weight), height: up(0) - up(weight) }));
        word.textContent = `${show(results[name].effective)} effective keys`;
        put(figure, { class: (name === "divided") === Boolean(scaled) ? "chosen" : "" });
      }
    },
  };
}

const columns = {
  row: "place",
  plain: true,
  rows: [1, 2, 3, 4],
  names: [["weight", "w"]],
  of: (_, { weights }) => weights.slice(0, 4).map((weight) => [weight]),
};

function describe({ head_dim: size, scaled }, { effective, weights }) {
  const how = scaled ? "divided by √d" : "not divided";
  const summary = `largest weight ${show(weights[0])}, ${show(effective)} effective keys of ${weights.length}`;
  return `d = ${Math.round(size)}, ${how}: ${summary}.`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
