// Scaling with sequence length: bytes held, operations, bytes moved and time; predicted, recorded, and measured here.
import { counted, limits, moved, roofline } from "laws";
import { color, handle, html, letterMark, mount, panel, polyline, put, svg, translation } from "./shared.js";

const SETTINGS = ["head_dim", "heads", "bytes_per_number"];
const SIZES = { float16: 2, bfloat16: 2, float32: 4, float64: 8 };
const WAYS = ["naive", "streaming"];
const POWERS = Array.from({ length: 15 }, (_, step) => 6 + step); // of two: the lengths that lines are drawn through
const whole = (state, names = ["length", ...SETTINGS]) => names.map((name) => Math.round(state[name]));
const superscript = (number) => [...`${number}`].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]).join("");

/** A quantity in a unit with a prefix, to three digits. */
function human(number, unit) {
  const steps = ["n", "µ", "m", "", "k", "M", "G", "T", "P", "E"];
  const power = Math.min(6, Math.max(-3, Math.floor(Math.log10(number) / 3 + 1e-9)));
  return `${Number((number / 1000 ** power).toPrecision(3))} ${steps[power + 3]}${unit}`;
}

/** What is counted at a length and these settings. */
const count = (model, length, settings) => counted(length, ...settings, model.get("_query_block"));

const floors = (counts, pace) =>
  WAYS.map(
    (way) => roofline(counts.flops, counts[`${way}_traffic`], pace.flops_per_second, pace.bytes_per_second).seconds,
  );

function compute(state, model) {
  const [length, ...settings] = whole(state);
  const counts = count(model, length, settings);
  const reach = model.get("_machines").map(([, capacity]) => limits(capacity, ...whole(state, SETTINGS)));
  return {
    ...counts,
    traffic: WAYS.map((way) => counts[`${way}_traffic`]),
    intensity: WAYS.map((way) => moved(counts.flops, counts[`${way}_traffic`]).intensity),
    seconds: floors(counts, model.get("rates")),
    naive_limits: reach.map(({ naive }) => naive),
    streaming_limits: reach.map(({ streaming }) => streaming),
  };
}

const SHAPES = [
  "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
  "M-3 -3h6v6h-6z",
  "M0 -4L4 3H-4z",
  "M0 -4.5L4 0L0 4.5L-4 0z",
  "M0 4L4 -3H-4z",
];
const shape = (method) => svg("path", { d: SHAPES[method], class: "bar", style: color(2 + method) });

function build({ state, change, model }) {
  const across = {
    range: [5.6, 20.4],
    ticks: [6, 8, 10, 12, 14, 16, 18, 20],
    label: "T",
    write: (power) => `2${superscript(power)}`,
  };
  const chart = (title, low, high, ticks, units, label) =>
    panel({
      title,
      height: 300,
      x: across,
      y: { range: [low, high], ticks, label, write: (tick) => units[ticks.indexOf(tick)] },
    });
  const memory = chart(
    "Memory that is held; solid naive, dashed streaming",
    4,
    15.5,
    [6, 9, 12, 15],
    ["1 MB", "1 GB", "1 TB", "1 PB"],
    "",
  );
  const work = chart(
    "Operations (bold); bytes moved, streaming dashed",
    4.5,
    17.5,
    [9, 12, 15],
    ["10⁹", "10¹²", "10¹⁵"],
    "",
  );
  const time = chart(
    "Floor under the time, and measured points",
    -9,
    6,
    [-9, -6, -3, 0, 3, 6],
    ["1 ns", "1 µs", "1 ms", "1 s", "10³ s", "10⁶ s"],
    "",
  );

  // Four lines, two and two close to each other: one name stands above each pair.
  const machines = model.get("_machines");
  for (const [, capacity] of machines) {
    const y = memory.up(Math.log10(capacity));
    memory.window.append(svg("line", { class: "capacity", x1: memory.area.left, x2: memory.area.right, y1: y, y2: y }));
  }
  const names = [machines.slice(0, 2), machines.slice(2)].map((pair) => {
    const words = pair.map(([name, capacity]) => `${name} ${Math.round(capacity / 1e9)} GB`).join(", ");
    const y = memory.up(Math.log10(pair[1][1])) - 3;
    return svg("text", { class: "named", x: memory.across(7.3), y }, words);
  });
  const line = (frame, symbol, way, bold = "") => {
    const path = svg("path", { class: `center ${bold} ${way === "streaming" ? "dashed" : ""}`, "data-symbol": symbol });
    frame.window.append(path);
    return (heights) =>
      put(path, { d: polyline(heights.map((height, index) => frame.to([POWERS[index], Math.log10(height)]))) });
  };
  const lines = {
    held: [line(memory, "N", "naive"), line(memory, "S", "streaming")],
    flops: line(work, "F", "naive", "bold"),
    traffic: WAYS.map((way) => line(work, "Q", way)),
    seconds: WAYS.map((way) => line(time, "t", way)),
    gpu: WAYS.map((way) => line(time, "t", way, "gpu")),
  };
  const gpu = model.get("_gpu");
  const roofs = [
    [model.get("rates").machine, "center", 26],
    [gpu.machine, "center gpu", 40],
  ].flatMap(([name, kind, y]) => [
    svg("line", { class: kind, x1: 64, x2: 80, y1: y - 3, y2: y - 3 }),
    svg("text", { class: "named", x: 84, y }, name),
  ]);
  const handles = [
    [memory, "naive_held", "memory"],
    [work, "flops", "operations"],
    [time, "seconds", "time"],
  ].map(([frame, result, name]) => {
    const stem = svg("line", { class: "law mean", "data-symbol": "T", y1: frame.area.bottom, y2: frame.area.top });
    const grip = handle({
      panel: frame,
      label: `length T, at the ${name}`,
      symbol: "T",
      axes: ["log₂ T"],
      range: () => ({ low: 6, high: 20 }),
      value: () => Math.log2(state().length),
      // Whole numbers, and never the one that is there: a small step moves on where numbers are few.
      move: ([power]) =>
        change({ length: 2 ** power > state().length ? Math.ceil(2 ** power) : Math.floor(2 ** power) }),
      mark: letterMark("T"),
    });
    frame.window.append(stem);
    frame.picture.append(grip.group);
    return (power, results) => {
      const [x, y] = frame.to([power, Math.log10([results[result]].flat()[0])]);
      put(stem, { x1: x, x2: x });
      grip.place([x, Math.min(frame.area.bottom, Math.max(frame.area.top, y))], `${state().length}`);
    };
  });

  memory.window.append(...names); // above the line that goes with T
  time.window.append(...roofs);

  // What was measured: shapes as well as colours; pale where d, h or b are not those of the sliders.
  const methods = model.get("_methods");
  const clouds = [time, memory].map((frame) => frame.window.appendChild(svg("g", {})));
  const key = html("ul", { class: "points-key" });
  let marks = [];
  const scatter = () => {
    const points = model.get("points");
    marks = [];
    clouds.forEach((cloud) => cloud.replaceChildren());
    const draw = (point, frame, cloud, height) => {
      const mark = shape(methods.indexOf(point.method));
      put(mark, { transform: translation(frame.to([Math.log2(point.length), Math.log10(height)])) });
      cloud.append(mark);
      marks.push({ mark, own: point.own, settings: [point.head_dim, point.heads, SIZES[point.dtype]] });
    };
    for (const point of points.filter(({ seconds }) => seconds)) {
      draw(point, time, clouds[0], point.seconds);
      const size = SIZES[point.dtype] * point.heads * point.head_dim * point.length;
      // The peak is beside the inputs.
      if (point.peak_bytes) draw(point, memory, clouds[1], point.peak_bytes + 3 * size);
    }
    const absent = methods.filter((method) => !points.some((point) => point.method === method && point.seconds));
    key.replaceChildren(
      ...methods
        .filter((method) => !absent.includes(method))
        .map((method) => {
          const mine = points.filter((point) => point.method === method);
          const done = mine.filter(({ seconds }) => seconds);
          const source = [
            ...new Set(
              done.map(
                ({ machine, versions, date, own }) =>
                  `${own ? "measured here, on" : "recorded on"} ${machine}, ${Object.entries(versions)
                    .map((pair) => pair.join(" "))
                    .join(", ")}, ${date}`,
              ),
            ),
          ];
          const end = mine.findLast?.(({ seconds }) => !seconds);
          const limit = end ? `; T = ${end.length} ${end.note}` : "";
          const words = `${method}: ${done.length} points, ${source.join("; ")}${limit}.`;
          return html(
            "li",
            {},
            svg(
              "svg",
              { viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" },
              shape(methods.indexOf(method)),
            ),
            ` ${words}`,
          );
        }),
      ...(absent.length ? [html("li", {}, `No recorded points: ${absent.join(", ")}.`)] : []),
    );
  };

  const live = model.send && bench(model, methods); // a page without a kernel has nobody to ask
  const listen = () => {
    scatter();
    refresh();
  };
  let shown;
  const refresh = () => {
    const settings = whole(state(), SETTINGS).join();
    for (const { mark, own, settings: of } of marks)
      put(mark, { class: `bar${own ? " own" : ""}${of.join() === settings ? "" : " ahead"}` });
  };
  const redraw = () => {
    const pace = model.get("rates");
    const perLength = POWERS.map((power) => count(model, 2 ** power, whole(state(), SETTINGS)));
    WAYS.forEach((way, index) => {
      lines.held[index](perLength.map((counts) => counts[`${way}_held`]));
      lines.traffic[index](perLength.map((counts) => counts[`${way}_traffic`]));
      lines.seconds[index](perLength.map((counts) => floors(counts, pace)[index]));
      lines.gpu[index](perLength.map((counts) => floors(counts, gpu)[index]));
    });
    lines.flops(perLength.map(({ flops }) => flops));
    refresh();
  };
  const repace = () => {
    redraw();
    change({}); // the numbers, too, are for the machine's rates
  };
  const listeners = { "change:points": listen, "change:rates": repace, ...live?.listeners };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  scatter();
  return {
    panels: [memory, work, time],
    more: [key, ...(live ? [live.form] : [])],
    stop: () => Object.entries(listeners).forEach(([event, listener]) => model.off(event, listener)),
    update(now, results) {
      const settings = whole(now, SETTINGS).join();
      if (settings !== shown) redraw(); // the lines do not depend on T
      shown = settings;
      handles.forEach((place) => place(Math.log2(Math.round(now.length)), results));
    },
  };
}

/** With a kernel: ask for limits, measure there, show how far it is, and stop on demand. */
function bench(model, methods) {
  const field = (text, input) => html("label", {}, text, input);
  const method = html("select", {}, ...methods.map((name) => html("option", {}, name)));
  const seconds = html("input", { type: "number", min: 1, max: 600, value: 20 });
  const gigabytes = html("input", { type: "number", min: 0.1, step: 0.1, value: 2 });
  const start = html("button", { type: "button" }, "Measure on this machine");
  const stop = html("button", { type: "button" }, "Stop");
  const bar = html("progress", { "aria-label": "lengths measured", max: 1, value: 0 });
  const says = html("span", { role: "status" });
  const show = () => {
    const { running, done, of, says: text } = model.get("progress");
    start.disabled = running;
    stop.disabled = !running;
    bar.max = of;
    bar.value = done;
    if (says.textContent !== text) says.textContent = text;
  };
  start.addEventListener("click", () =>
    model.send({ do: "measure", method: method.value, seconds: seconds.value, gigabytes: gigabytes.value }),
  );
  stop.addEventListener("click", () => model.send({ do: "stop" }));
  show();
  const form = html(
    "div",
    { class: "bench" },
    field("Method", method),
    field("Time limit, s", seconds),
    field("Memory limit, GB", gigabytes),
    start,
    stop,
    bar,
    says,
  );
  return { form, listeners: { "change:progress": show } };
}

function describe(state, { flops, naive_held: naive, streaming_held: streaming, traffic, intensity, seconds }, model) {
  const both = (list, unit) => `${list.map((number) => human(number, unit)).join(" and ")}`;
  const bytes = `${both([naive, streaming], "B")} held, ${both(traffic, "B")} moved`;
  const pace = `${intensity.map((number) => number.toFixed(1)).join(" and ")} FLOP a byte`;
  const least = `at least ${both(seconds, "s")} on ${model.get("rates").machine}`;
  const work = human(flops, "FLOP");
  return `T = ${Math.round(state.length)}: ${work}. Naive and streaming: ${bytes}, ${pace}, ${least}.`;
}

export function render({ model, el }) {
  const machines = model.get("_machines");
  const of = (_, { naive_limits: naive, streaming_limits: streaming }) =>
    machines.map(([, capacity], row) => [
      `${capacity / 1e9}`,
      ...[naive, streaming].map((list) => `${Math.floor(list[row])}`),
    ]);
  return mount({
    model,
    el,
    build,
    compute: (state) => compute(state, model),
    describe: (state, results) => describe(state, results, model),
    columns: {
      row: "memory",
      plain: true,
      rows: machines.map(([name]) => name),
      names: [
        ["GB", "C"],
        ["T, naive", "N"],
        ["T, streaming", "S"],
      ],
      of,
    },
  });
}
