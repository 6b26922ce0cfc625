// Temperature sharpening: the same scores at two temperatures; how many keys share the weight at any temperature.
import { drawn, evenness, gaussian, scaling, sharpened } from "laws";
import { awaken, color, dot, handle, leaders, mount, panel, put, show, svg } from "./shared.js";

const REACH = 4; // ends of the scores; and of the temperatures, in doublings
const RATES = ["alpha", "gamma"];
const spread = (rate, factor, scores) => evenness(rate, factor, scores.length, scores, Math.max(...scores));

function compute({ head_dim: size, scaled, scores, ...rates }) {
  const { factor } = scaling(size, scaled);
  const [weights, others] = RATES.map((name) => sharpened(rates[name], factor, scores.length, scores).weights);
  const both = RATES.map((name) => spread(rates[name], factor, scores));
  return {
    factor, weights, others,
    entropies: both.map(({ entropy }) => entropy), effective: both.map(({ effective }) => effective), divergences: both.map(({ divergence }) => divergence),
  };
}

/** A query and keys of standard normal numbers, and their scores over the root of d. */
function fresh(size, count) {
  const vector = () => Array.from({ length: size }, () => gaussian(1 - Math.random(), Math.random()).number);
  const { scores } = drawn(size, count, vector(), Array.from({ length: count }, vector));
  return scores.map((score) => Math.min(REACH, Math.max(-REACH, Math.round(100 * score) / 100)));
}

function build({ state, change, replace }) {
  const count = state().scores.length;
  const stand = { range: [-4.35, 4.35], ticks: [-4, -2, 0, 2, 4] };
  const sides = [["α", "w"], ["γ", "p"]].map(([letter, symbol], which) => {
    const chart = panel({ title: `Weight of each score at ${letter}`, height: 250, x: { ...stand, label: "score over √d" }, y: { range: [-0.17, 1.24], ticks: [0, 0.5, 1], label: "" } });
    const text = svg("text", { x: chart.across(0), y: chart.up(1.15), "text-anchor": "middle" });
    const marks = state().scores.map((_, at) => handle({
      panel: chart, label: `score of key ${at + 1}, at ${letter}`, symbol: "z", key: at, axes: ["score"], range: { low: -REACH, high: REACH },
      value: () => state().scores[at], move: ([score]) => replace("scores", at, score), mark: dot(at),
    }));
    const stems = marks.map((_, at) => svg("line", { class: "arrow", style: color(at), "data-key": at, "data-symbol": symbol }));
    chart.picture.append(text, ...stems, ...marks.map(({ group }) => group));
    return {
      chart,
      place(scores, weights, { entropies, effective, divergences }) {
        const words = `H = ${show(entropies[which])} · eᴴ = ${show(effective[which])} · KL = ${show(divergences[which])}`;
        if (text.textContent !== words) text.textContent = words;
        marks.forEach((mark, at) => {
          const [left, top] = chart.to([scores[at], weights[at]]);
          mark.place([left, top]);
          put(stems[at], { x1: left, x2: left, y1: chart.up(0), y2: top });
        });
      },
    };
  });

  const dial = panel({
    title: "Effective number of keys, at every temperature", height: 250, y: { range: [0, 1.15 * count], ticks: [1, count], label: "eᴴ" },
    x: { ...stand, label: "inverse temperature", write: (at) => (at < 0 ? `1/${2 ** -at}` : `${2 ** at}`) },
  });
  const curve = svg("path", { class: "center", "data-symbol": "H" });
  const unit = svg("line", { class: "law mean", "data-symbol": "r", y1: dial.up(0), y2: dial.up(1.15 * count) });
  const name = svg("text", { "data-symbol": "r", y: dial.up(0) - 5 });
  name.textContent = "1/r";
  const handles = RATES.map((rate, which) => handle({
    panel: dial, label: `inverse temperature ${"αγ"[which]}`, symbol: rate, axes: [`log₂ ${"αγ"[which]}`], range: { low: -REACH, high: REACH },
    value: () => Math.log2(state()[rate]), move: ([doublings]) => change({ [rate]: 2 ** doublings }),
    mark: svg("g", { class: "mark query" }, svg("circle", { r: 9 }), svg("text", { "text-anchor": "middle", dy: 3.5 }, "αγ"[which])),
  }));
  dial.window.append(unit, name, curve);
  dial.picture.append(...handles.map(({ group }) => group));

  return {
    panels: [...sides.map(({ chart }) => chart), dial],
    follow: (changed, value) => {
      if (changed !== "head_dim" && changed !== "scaled") return {};
      return { scores: fresh(Math.round(changed === "head_dim" ? value : state().head_dim), count) };
    },
    update(now, results) {
      const { factor, weights, others, effective } = results;
      sides.forEach(({ place }, which) => place(now.scores, which ? others : weights, results));
      const points = [];
      for (let doublings = -REACH; doublings <= REACH; doublings += 0.25)
        points.push(dial.to([doublings, spread(2 ** doublings, factor, now.scores).effective]).map((part) => part.toFixed(2)).join(" "));
      put(curve, { d: `M${points.join("L")}` });
      const across = dial.across(-Math.log2(factor));
      put(unit, { x1: across, x2: across });
      put(name, { x: across + 5 });
      handles.forEach((mark, which) => mark.place([dial.across(Math.log2(now[RATES[which]])), dial.up(effective[which])]));
    },
  };
}

const columns = {
  count: "scores",
  names: [["score over √d", "z"], ["weight at γ", "p"], ["weight at α", "w"]],
  of: ({ scores }, { weights, others }) => scores.map((score, at) => [score, others[at], weights[at]]),
};

function describe(_, { effective, weights, entropies }) {
  const one = (letter, which) => `${letter}: entropy ${show(entropies[which])}, ${show(effective[which])} effective keys`;
  return `${one("α", 0)}. ${leaders(weights)} ${one("γ", 1)}.`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
