// Block pooling: four blocks of keys, each with its estimate; close neighbours merge first; the answer does not move.
import { merged, width } from "laws";
import { color, dot, handle, html, mount, panel, put, show, svg } from "./shared.js";

const LETTERS = "ABCD";
const FULL = 8; // the largest reach: everything has merged

/** The block of each key: in order, as equal in number as can be. */
const blockOf = (count) =>
  LETTERS.split("").flatMap((_, block) => Array(Math.floor(count / 4) + (block < count % 4)).fill(block));

/** One estimate from several: a key alone has its score as top, the sum 1, and its value as average. */
function merge(parts) {
  const top = Math.max(...parts.map((part) => part.top));
  const [tops, sums, averages] = ["top", "total", "average"].map((name) => parts.map((part) => part[name]));
  const { total, average } = merged(parts.length, top, tops, sums, averages);
  return { top, total, average };
}

const instead = (list, index, part) => list.map((old, other) => (other === index ? part : old));

function compute({ reach, places, scores, value }) {
  const keys = scores.map((score, key) => ({ top: score, total: 1, average: value[key] }));
  const home = blockOf(keys.length);
  const all = [...LETTERS].map((letter, block) => ({
    letters: letter,
    ...merge(keys.filter((_, key) => home[key] === block)),
  }));
  const row = [0, 1, 2, 3].sort((block, other) => places[block] - places[other]);
  const gaps = row.slice(1).map((block, index) => places[block] - places[row[index]]);
  const heights = [];
  const tree = [];
  while (gaps.length) {
    const closest = gaps.indexOf(Math.min(...gaps));
    const pair = [row[closest], row[closest + 1]];
    heights.push(...gaps.splice(closest, 1));
    row.splice(closest, 2, all.length);
    tree.push(pair);
    const [first, second] = pair.map((which) => all[which]);
    all.push({ letters: [...(first.letters + second.letters)].sort().join(""), ...merge([first, second]) });
  }
  const gone = new Set(tree.flatMap((pair, merger) => (heights[merger] <= reach ? pair : [])));
  const standing = all
    .map((_, index) => index)
    .filter((index) => !gone.has(index) && (index < 4 || heights[index - 4] <= reach));
  const [tops, sums, averages] = ["top", "total", "average"].map((name) => all.map((part) => part[name]));
  const last = all[6];
  const shares = merged(4, last.top, tops.slice(0, 4), sums.slice(0, 4), averages.slice(0, 4)).weights;
  return {
    tree,
    heights,
    standing,
    tops,
    sums,
    averages,
    members: all.map(({ letters }) => letters),
    weights: all.map(({ letters }) => [...letters].reduce((sum, letter) => sum + shares[LETTERS.indexOf(letter)], 0)),
    deviations: all.map(({ top, total }) => width(top, total).deviation),
    answer: last.average,
    off: Math.abs(last.average - merge(keys).average),
  };
}

function build({ state, change, replace }) {
  const home = blockOf(state().scores.length);
  const ticks = [-3, -2, -1, 0, 1, 2, 3];
  const cloud = panel({
    title: "The keys: score across, value up",
    height: 250,
    x: { range: [-3.4, 3.4], ticks, label: "score" },
    y: { range: [-3.6, 3.6], ticks, label: "value" },
  });
  const order = panel({
    title: "Drag a block towards another; the closest merge first",
    height: 250,
    x: { range: [-0.5, 8.5], ticks: [], label: "" },
    y: { range: [-1.1, 8.6], ticks: [], label: "" },
  });
  const forest = panel({
    title: "Each estimate ± one standard deviation, and the answer",
    height: 250,
    x: { range: [-4.6, 4.2], ticks, label: "value" },
    y: { range: [7.5, -0.5], ticks: [], label: "" },
  });

  const keys = home.map((block, key) =>
    handle({
      panel: cloud,
      label: `key ${key + 1}, in block ${LETTERS[block]}`,
      symbol: "M",
      key: block,
      axes: ["score", "value"],
      range: { low: -3, high: 3 },
      value: () => [state().scores[key], state().value[key]],
      move: ([score, value]) =>
        change({ scores: instead(state().scores, key, score), value: instead(state().value, key, value) }),
      mark: dot(block, { text: `${LETTERS[block]}${key + 1}` }),
    }),
  );
  cloud.picture.append(...keys.map(({ group }) => group));

  const level = svg("line", { class: "law mean", x1: order.across(-0.5), x2: order.across(8.5) });
  const word = svg("text", { x: order.across(-0.4) });
  word.textContent = "reach";
  const branches = [0, 1, 2].map((merger) => svg("path", { "data-key": 4 + merger, style: color(4 + merger) }));
  const names = [0, 1, 2].map(() => svg("text", { class: "named" }));
  const leaves = [...LETTERS].map((letter, block) =>
    handle({
      panel: order,
      label: `place of block ${letter}`,
      symbol: "ℓ",
      key: block,
      axes: ["place"],
      range: { low: 0, high: FULL },
      value: () => state().places[block],
      move: ([place]) => replace("places", block, place),
      mark: svg(
        "g",
        { class: "mark" },
        svg("rect", { x: -10, y: -10, width: 20, height: 20, rx: 3, class: "fill", style: color(block) }),
        svg("text", { "text-anchor": "middle", dy: 3.5 }, letter),
      ),
    }),
  );
  order.picture.append(level, word, ...branches, ...names, ...leaves.map(({ group }) => group));

  const line = svg("line", { class: "center", y1: forest.up(-0.5), y2: forest.up(7.5), "data-symbol": "o" });
  const rows = Array.from({ length: 7 }, (_, row) => {
    const whisker = svg("line", { class: "arrow", style: color(row), "data-key": row, "data-symbol": "sigma" });
    const mark = svg("rect", { class: "bar", style: color(row), "data-key": row, "data-symbol": "o" });
    const text = svg("text", { x: forest.across(-4.5), y: forest.up(row + 0.5) + 3.5 });
    return { group: svg("g", {}, whisker, mark), whisker, mark, text };
  });
  forest.window.append(line, ...rows.flatMap(({ group, text }) => [group, text]));

  // Played, the reach grows; where motion is not wanted, it jumps from one merger to the next.
  const play = html("button", { type: "button", "aria-pressed": "false" }, "Play");
  const next = html("button", { type: "button" }, "Merge next");
  const shuffle = html("button", { type: "button" }, "Shuffle the blocks");
  const further = (results) => results.heights.find((height) => height > state().reach) ?? 0;
  let timer, last;
  const stop = () => {
    clearTimeout(timer);
    play.setAttribute("aria-pressed", "false");
  };
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const step = () => {
    if (state().reach !== last) return stop(); // the reader has taken over
    last = still() ? further(compute(state())) || FULL : Math.min(FULL, Math.round(100 * last + 4) / 100);
    change({ reach: last });
    if (last < FULL) timer = setTimeout(step, still() ? 1200 : 25);
    else stop();
  };
  play.addEventListener("click", () => {
    if (play.getAttribute("aria-pressed") === "true") return stop();
    play.setAttribute("aria-pressed", "true");
    last = state().reach < FULL ? state().reach : 0;
    if (last === 0) change({ reach: 0 });
    timer = setTimeout(step, 300);
  });
  next.addEventListener("click", () => change({ reach: further(compute(state())) }));
  shuffle.addEventListener("click", () =>
    change({ places: state().places.map(() => Math.round(100 * FULL * Math.random()) / 100) }),
  );

  return {
    panels: [cloud, order, forest],
    more: [html("div", { class: "actions wide" }, play, next, shuffle)],
    stop,
    update(
      { reach, places, scores, value },
      { tree, heights, standing, averages, deviations, weights, members, answer },
    ) {
      keys.forEach((mark, key) => mark.place(cloud.to([scores[key], value[key]])));
      const middle = [...places];
      const floor = [0, 0, 0, 0];
      tree.forEach(([first, second], merger) => {
        const [[x1, y1], [x2, y2], [x, y]] = [
          [middle[first], floor[first]],
          [middle[second], floor[second]],
          [(middle[first] + middle[second]) / 2, heights[merger]],
        ].map(order.to);
        put(branches[merger], {
          d: `M${x1.toFixed(2)} ${y1.toFixed(2)}V${y.toFixed(2)}H${x2.toFixed(2)}V${y2.toFixed(2)}`,
          class: heights[merger] <= reach ? "branch" : "branch ahead",
        });
        put(names[merger], { x: x + 4, y: y - 4 });
        if (names[merger].textContent !== members[4 + merger]) names[merger].textContent = members[4 + merger];
        middle.push((middle[first] + middle[second]) / 2);
        floor.push(heights[merger]);
      });
      leaves.forEach((mark, block) => mark.place(order.to([places[block], 0])));
      const up = order.up(reach);
      put(level, { y1: up, y2: up });
      put(word, { y: up - 4 });
      rows.forEach(({ whisker, mark, text, group }, row) => {
        const [x, y] = forest.to([averages[row], row + 0.5]);
        const size = 5 + 9 * weights[row];
        put(whisker, {
          x1: forest.across(averages[row] - deviations[row]),
          x2: forest.across(averages[row] + deviations[row]),
          y1: y,
          y2: y,
        });
        put(mark, { x: x - size / 2, y: y - size / 2, width: size, height: size });
        if (text.textContent !== members[row]) text.textContent = members[row];
        put(group, { class: standing.includes(row) ? "" : "ahead" });
      });
      const x = forest.across(answer);
      put(line, { x1: x, x2: x });
    },
  };
}

const columns = {
  row: "",
  rows: ["A", "B", "C", "D", "merge 1", "merge 2", "merge 3"],
  names: [
    ["largest score", "M"],
    ["sum", "ℓ"],
    ["average", "o"],
    ["share", "w"],
  ],
  of: (_, { tops, sums, averages, weights }) => tops.map((top, row) => [top, sums[row], averages[row], weights[row]]),
};

function describe(_, { members, standing, answer, off }) {
  const names = standing.map((estimate) => members[estimate]).join(", ");
  const same = off < 1e-12 ? "equal to the average of all keys at once" : `off the average of all keys by ${show(off)}`;
  return `Not merged yet: ${names}. The answer is ${show(answer)}, ${same}.`;
}

export function render({ model, el }) {
  return mount({ model, el, compute, build, columns, describe });
}
