// The alternatives: one ingredient of softmax attention is changed, and softmax's own weights and answer stay beside.
import { averaged, beside, likely, missed, ordered, pull, shares, softmax } from "laws";
import {
  color,
  connect,
  crossing,
  diamond,
  guessing,
  halo,
  keyMarks,
  letterMark,
  mount,
  panel,
  polyline,
  put,
  scoreWeights,
  separate,
  show,
  svg,
  translation,
} from "./shared.js";

const NOISES = ["gaussian", "laplace", "student"];
// What uses each quantity, and each formula by its number.
const USED_BY = {
  order: "evenness",
  noise: "gaussian laplace student",
  kappa: "gaussian laplace student",
  freedom: "student",
  absent: "absent",
  0: "evenness",
  1: "gaussian",
  2: "laplace",
  3: "student",
  4: "student",
  5: "absent",
  6: "evenness gaussian student absent",
};
const FLOOR = -8; // the lowest log-likelihood that is drawn, below the largest
const CELLS = 2400; // places at which a slope is taken: an eighth of the narrowest peak apart

const wayOf = ({ ingredient, noise }) => ["evenness", NOISES[noise], "absent"][ingredient];

const span = (count, low, high) => Array.from({ length: count + 1 }, (_, step) => low + (step / count) * (high - low));

const given = ({ freedom, kappa, scores, values }) => [freedom, kappa, scores.length, scores, values];

/** How likely an answer is, as a logarithm up to a constant. */
const likelihood = (state) => (place) => likely(...given(state), place)[NOISES[state.noise]];

/** Every answer by Student's noise that is likelier than those near it. */
function optima(state) {
  const slope = (place) => pull(...given(state), place).slope;
  // Beyond all values it points inwards.
  const places = span(CELLS, Math.min(...state.values) - 1, Math.max(...state.values) + 1);
  const slopes = places.map(slope);
  return places.flatMap((place, cell) =>
    slopes[cell] > 0 && slopes[cell + 1] <= 0 ? [crossing((x) => -slope(x), place, places[cell + 1])] : [],
  );
}

/** The likeliest of some answers: more than one where they tie. */
function likeliest(state, places) {
  const heights = places.map(likelihood(state));
  const most = Math.max(...heights);
  return places.filter((_, place) => heights[place] >= most - 1e-12 * Math.abs(most));
}

function compute(state) {
  const { order, absent, scores, values } = state;
  const way = wayOf(state);
  const n = scores.length;
  const plain = softmax(1, n, scores).weights;
  const by = (weights) => averaged(n, weights, values).mean;
  const results = { way, plain, mean: by(plain), weights: plain, answer: by(plain), optima: [], rest: 0 };
  if (way === "evenness") {
    const above = Math.max(order, 1 + 1e-8); // rounding would grow without bound towards 1, where softmax is
    const top = (above - 1) * Math.max(...scores);
    const missing = (nu) => 1 - ordered(above, n, scores, nu).mass; // grows with ν
    const nu = crossing(missing, top - 1, top);
    const weights = order < above ? plain : ordered(order, n, scores, nu).weights;
    return { ...results, weights, answer: by(weights), above, nu };
  }
  if (way === "laplace") {
    const ties = likeliest(state, values);
    return { ...results, answer: (Math.min(...ties) + Math.max(...ties)) / 2 };
  }
  if (way === "student") {
    const all = optima(state);
    const [answer] = likeliest(state, all);
    const { weights } = shares(...given(state), answer);
    return { ...results, answer, weights, optima: all.filter((place) => place !== answer) };
  }
  if (way === "absent") {
    const { weights } = beside(absent, n, scores);
    return { ...results, weights, answer: by(weights), rest: weights.reduce((rest, weight) => rest - weight, 1) };
  }
  return results;
}

function build({ state, replace }) {
  const left = panel({
    title: "Weight against score; rings: softmax",
    height: 270,
    x: { range: [-4.4, 4.4], ticks: [-4, -3, -2, -1, 0, 1, 2, 3, 4], label: "score" },
    y: { range: [-0.09, 1.09], ticks: [0, 0.5, 1], label: "weight" },
  });
  const right = panel({
    title: "Values and their answer; hollow: softmax’s",
    height: 270,
    x: { range: [-3.4, 3.4], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "value" },
    y: { range: [-11.4, 0.9], ticks: [], label: "" },
  });
  const row = -9.6;
  const scale = svg(
    "g",
    { class: "grid", "aria-hidden": "true" },
    ...[0, -2, -4, -6, FLOOR].flatMap((tick) => [
      svg("line", { x1: right.area.left, x2: right.area.right, y1: right.up(tick), y2: right.up(tick) }),
      svg("text", { x: right.area.left + 2, y: right.up(tick) - 3 }, `${tick}`.replace("-", "−")),
    ]),
    svg("text", { class: "axis", x: right.area.left + 24, y: right.area.top + 8 }, "log-likelihood"),
  );
  const curve = svg("path", { class: "dome", "data-symbol": "L" });
  const law = svg("path", { class: "law dashed", "data-symbol": "nu" });
  const [answer, plain] = ["output-mark", "output-mark hollow"].map((kind) =>
    diamond({ class: kind, "data-symbol": "μ̂" }),
  );
  const others = state().scores.map(() => svg("circle", { r: 4, class: "here" }));
  const values = keyMarks(right, { state, replace }, { word: "value" });
  const keys = state().scores.map((_, key) => {
    const shape = (tag, kind, rest) => svg(tag, { class: kind, style: color(key), "data-key": key, ...rest });
    return {
      ring: shape("circle", "ring", { r: 9 }),
      spoke: shape("line", "spoke", { "data-symbol": "w" }),
      share: shape("circle", "halo", { "data-symbol": "w" }),
      value: values[key],
    };
  });
  const [stem, spoke] = ["arrow", "spoke"].map((kind) => svg("line", { class: `${kind} query` }));
  const zeros = [left, right].map(() => letterMark("0", "plan"));
  zeros.forEach((zero) => put(zero, { "data-symbol": "s0" }));
  left.window.append(law, ...keys.map(({ ring }) => ring), stem, zeros[0]);
  const placeWeights = scoreWeights(left, { state, replace });
  right.window.append(
    scale,
    ...keys.flatMap(({ spoke, share }) => [spoke, share]),
    spoke,
    zeros[1],
    svg("svg", { width: 320, height: right.up(FLOOR) }, curve),
    ...others,
  );
  right.picture.append(...keys.map(({ value }) => value.group), plain, answer);

  const seen = (nodes, on) => nodes.forEach((node) => put(node, { display: on ? "inline" : "none" }));
  const grid = span(330, -3.3, 3.3);
  return {
    panels: [left, right],
    needless: (now) => Object.keys(USED_BY).filter((name) => !USED_BY[name].includes(wayOf(now))),
    update(now, { way, plain: soft, mean, weights, answer: best, optima: local, rest, above, nu }) {
      const { absent, scores, values } = now;
      const noisy = NOISES.includes(way);
      let height = () => row / 2;
      if (noisy) {
        const level = likelihood(now);
        const places = [...grid, ...values, best, ...local].sort((a, b) => a - b);
        const top = Math.max(...places.map(level));
        height = (place) => level(place) - top;
        put(curve, { d: polyline(places.map((place) => right.to([place, height(place)]))) });
      }
      if (nu !== undefined) {
        const line = span(200, -4.4, 4.4);
        const along = ordered(above, line.length, line, nu).weights;
        const below = line.filter((_, step) => along[step] <= 1);
        put(law, { d: polyline(below.map((score, step) => left.to([score, along[step]]))) });
      }
      const spot = (place) => right.to([place, Math.max(FLOOR, height(place))]);
      put(answer, { transform: translation(spot(best)) });
      put(plain, { transform: `${translation(spot(mean))} scale(1.5)` });
      others.forEach((mark, which) => {
        const [cx, cy] = spot(local[which] ?? 0);
        put(mark, { cx, cy, display: which < local.length ? "inline" : "none" });
      });
      placeWeights(scores, weights);
      const marked = way === "absent" ? [0, ...values] : values; // key 0 is the absent one
      const spots = separate(marked.map((value) => right.to([value, row]))).slice(-values.length);
      spots.forEach(([cx, cy], key) => {
        const { ring, spoke, share, value } = keys[key];
        value.place([cx, cy]);
        put(share, { cx, cy, r: halo(weights[key], 9, 28) });
        connect(spoke, [cx, cy], spot(best));
        put(spoke, { "stroke-width": 12 * weights[key] });
        const [x, y] = left.to([scores[key], soft[key]]);
        put(ring, { cx: x, cy: y });
      });
      const tips = scores.map((score, key) => left.to([score, weights[key]]));
      const tip = left.to([absent, rest]);
      connect(stem, left.to([absent, 0]), tip);
      connect(spoke, right.to([0, row]), spot(best));
      put(spoke, { "stroke-width": 12 * rest });
      put(zeros[0], { transform: translation(separate([...tips, tip]).at(-1)) });
      put(zeros[1], { transform: translation(right.to([0, row])) });
      seen([scale, curve], noisy);
      seen([law], way === "evenness");
      seen([stem, spoke, ...zeros], way === "absent");
      seen(
        keys.map((key) => key.spoke),
        !noisy,
      );
    },
  };
}

const columns = {
  count: "scores",
  names: [
    ["score", "s"],
    ["value", "v"],
    ["softmax weight", ""],
    ["weight here", "w"],
  ],
  of: ({ scores, values }, { plain, weights }) =>
    scores.map((score, key) => [score, values[key], plain[key], weights[key]]),
};

function describe(state, { way, mean, weights, answer, optima: local, rest }) {
  const both = `The answer is ${show(answer)}, softmax’s ${show(mean)}.`;
  const none = weights.filter((weight) => weight === 0).length;
  const idle = `${none || "none"} of ${weights.length} keys ${none > 1 ? "have" : "has"} exactly no weight`;
  const level = likelihood(state);
  const less = (place) => {
    const nats = level(answer) - level(place);
    return `${show(place)}, ${nats > 1e-9 ? `less likely by ${show(nats)} nats` : "as likely"}`;
  };
  const others = `${local.length > 1 ? "Other optima are" : "Another optimum is"} at ${local.map(less).join("; ")}.`;
  return {
    evenness: `γ = ${show(state.order)}: ${idle}. ${both}`,
    gaussian: `The answer is the mean by weight, as softmax has it: ${show(mean)}.`,
    laplace: `The answer is the median by weight, ${show(answer)}; softmax’s is the mean, ${show(mean)}.`,
    student: `${both} ${local.length ? others : "There is no other optimum."}`,
    absent: `The keys hold ${show(1 - rest)}, the absent key ${show(rest)}. ${both}`,
  }[way];
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe, guess: guessing(missed) });
}
