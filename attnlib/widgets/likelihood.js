// Gaussian variance against score: each key is a reading of one answer, as precise as its score says.
import { density, missed, pooled, readings } from "laws";
import {
  color,
  connect,
  guessing,
  keyMarks,
  leaders,
  mount,
  panel,
  polyline,
  put,
  scoreMarks,
  separate,
  show,
  svg,
} from "./shared.js";

function compute({ alpha, kappa, scores, value }) {
  return { ...readings(alpha, kappa, scores.length, scores), ...pooled(alpha, kappa, scores.length, scores, value) };
}

/** Where the value axis ends: every value fits, and at the start every bell that is not very wide. */
function ends({ alpha, kappa, scores, value }) {
  const { deviations } = readings(alpha, kappa, scores.length, scores);
  const tails = deviations.map((deviation) => Math.min(8, 3 * deviation));
  return [
    Math.floor(Math.min(-4.5, ...value.map((mean, key) => mean - tails[key]))),
    Math.ceil(Math.max(4.5, ...value.map((mean, key) => mean + tails[key]))),
  ];
}

function build({ state, replace, model }) {
  const shown = [-3.2, 3.2];
  const limits = [-5, 5]; // powers of ten that the variance axis shows
  const power = (exponent) => `10${[...`${exponent}`].map((sign) => "⁻⁰¹²³⁴⁵"["-012345".indexOf(sign)]).join("")}`;
  const ticks = [-3, -2, -1, 0, 1, 2, 3];
  const left = panel({
    title: "Variance against score",
    height: 270,
    x: { range: shown, ticks, label: "score" },
    y: { range: limits, ticks: [-4, -2, 0, 2, 4], label: "variance", write: power },
  });
  const span = ends(model.get("_initial"));
  const whole = Array.from({ length: span[1] - span[0] + 1 }, (_, step) => span[0] + step);
  const every = whole.length > 16 ? 2 : 1;
  const right = panel({
    title: "Each key’s Gaussian; the pooled one’s peak is 1",
    height: 270,
    x: { range: span, ticks: whole.filter((tick) => tick % every === 0), label: "value" },
    y: { range: [-0.11, 1.12], ticks: [0, 0.5, 1], label: "density" },
  });
  const law = svg("line", { class: "law", "data-symbol": "sigma" });
  const bell = svg("path", { class: "bell pooled", "data-symbol": "μ̂" });
  const center = svg("line", { class: "center", "data-symbol": "μ̂" });
  const whisker = svg("path", { class: "whisker", "data-symbol": "μ̂" });
  const scoreHandles = scoreMarks(left, { state, replace });
  const values = keyMarks(right, { state, replace }, { word: "value", name: "value" }, 4);
  const parts = state().scores.map((_, key) => ({
    bell: svg("path", { class: "bell", style: color(key), "data-key": key, "data-symbol": "sigma" }),
    value: values[key],
  }));
  left.window.append(law);
  left.picture.append(...scoreHandles.map(({ group }) => group));
  right.window.append(...parts.map(({ bell: shape }) => shape), bell, center, whisker);
  right.picture.append(...parts.map(({ value }) => value.group));

  const height = (variance) => Math.min(limits[1], Math.max(limits[0], Math.log10(variance)));
  const curve = (mean, deviation, peak) => {
    const points = [];
    for (let step = -16; step <= 16; step++) {
      const value = mean + (step / 4) * deviation;
      points.push(right.to([value, density(value, mean, deviation).density / peak]));
    }
    return polyline(points);
  };
  return {
    panels: [left, right],
    update({ alpha, kappa, scores, value: values }, { variances, deviations, estimate, deviation }) {
      const ends = readings(alpha, kappa, 2, shown).variances;
      const [y1, y2] = ends.map((variance) => left.up(Math.log10(variance)));
      put(law, { x1: left.across(shown[0]), y1, x2: left.across(shown[1]), y2 });
      const peak = density(estimate, estimate, deviation).density;
      const onLaw = separate(scores.map((score, key) => left.to([score, height(variances[key])])));
      const onAxis = separate(values.map((value) => right.to([value, 0])));
      parts.forEach(({ bell: shape, value }, key) => {
        scoreHandles[key].place(onLaw[key]);
        value.place(onAxis[key]);
        put(shape, { d: curve(values[key], deviations[key], peak) });
      });
      put(bell, { d: curve(estimate, deviation, peak) });
      connect(center, right.to([estimate, 0]), right.to([estimate, 1]));
      const [low, high] = [estimate - deviation, estimate + deviation].map((value) => right.across(value).toFixed(2));
      put(whisker, { d: `M${low} ${(right.up(1.06) - 4).toFixed(2)}v8m0-4H${high}m0-4v8` });
    },
  };
}

const columns = {
  count: "scores",
  names: [
    ["score", "s"],
    ["variance", "sigma"],
    ["weight", "w"],
  ],
  of: ({ scores }, { variances, weights }) => scores.map((score, key) => [score, variances[key], weights[key]]),
};

function describe({ kappa }, { estimate, deviation, weights }) {
  return `Estimate ${show(estimate)} ± ${show(deviation)} at κ = ${show(kappa)}. ${leaders(weights)}`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe, guess: guessing(missed) });
}
