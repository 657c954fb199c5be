"use strict";
// Draws what the tables beneath say. Without this file, or without uPlot, the tables say it all.

const drawn = new Map(); // by the drawing's id: the chart, and what it was drawn of
const HEIGHT = 240;

const tableOf = (place) => document.getElementById(place.dataset.draws);
const numbersIn = (table) => [...table.tBodies[0].rows].map((row) => ({
  at: Number(row.dataset.at),
  of: [...row.querySelectorAll("td[data-n]")].map((cell) => Number(cell.dataset.n) / Number(table.dataset.scale)),
}));
const colour = (name) => {
  const probe = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.classList.add("hidden", "probe", name);
  svg.append(probe);
  (document.querySelector(".chart") ?? document.body).append(svg);
  const found = getComputedStyle(probe).fill;
  svg.remove();
  return found;
};
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const told = (value, unit) => (value === null || value === undefined ? "" : `${number.format(value)} ${unit}`);
const clock = (second) => (second === null || second === undefined ? "" : `${new Date(second * 1000).toISOString().slice(0, 16).replace("T", " ")}Z`);
// The page tells all times in UTC, so the axis does.
const inUtc = (second) => uPlot.tzDate(new Date(second * 1000), "Etc/UTC");

const DAY = 86400;
const TIMES = [ // from which distance on, what is written, and what is added where a day or a year begins
  [28 * DAY, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [DAY, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{MM}-{DD}", null, null, null, null, null, 1],
];
const axes = (unit) => {
  const ink = colour("ink"), line = colour("line");
  const plain = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
  return [
    { ...plain, values: TIMES },
    { ...plain, size: (chart, values) => 24 + 7 * Math.max(0, ...(values ?? []).map((one) => one.length)),
      values: (chart, ticks) => ticks.map((one) => number.format(one)), label: unit, labelSize: 18, labelFont: "12px system-ui, sans-serif" },
  ];
};
const common = (place, unit) => ({
  width: Math.max(240, place.parentElement.clientWidth),
  height: HEIGHT,
  tzDate: inUtc,
  axes: axes(unit),
  cursor: { drag: { x: false, y: false }, y: false },
  legend: { live: true },
});

// The tallest sum is drawn first and the others over it, so that each shows its own part.
const stack = (place, table) => {
  const rows = numbersIn(table), unit = table.dataset.unit, step = Number(table.dataset.step);
  const names = [...table.tHead.querySelectorAll(".name")].map((one) => one.textContent);
  const sums = names.map((_, last) => rows.map((row) => row.of.slice(0, last + 1).reduce((a, b) => a + b, 0)));
  const bars = uPlot.paths.bars({ size: [0.8, 64], align: 1 });
  const order = names.map((_, index) => index).reverse();
  return {
    options: {
      ...common(place, unit),
      scales: { x: { range: (chart, from, to) => [from, to + step] }, y: { range: (chart, from, to) => [0, to > 0 ? to * 1.08 : 1] } },
      series: [
        { label: "from", value: (chart, value) => clock(value) },
        ...order.map((index) => ({
          label: names[index], paths: bars, points: { show: false }, fill: colour(`s${index}`), stroke: colour(`s${index}`), width: 0,
          value: (chart, value, series, at) => told(at === null || at === undefined ? null : rows[at]?.of[index], unit),
        })),
      ],
    },
    data: [rows.map((row) => row.at), ...order.map((index) => sums[index])],
  };
};

const use = (place, table) => {
  const rows = numbersIn(table), unit = table.dataset.unit, scale = Number(table.dataset.scale);
  const cap = Number(table.dataset.cap) / scale, held = Number(table.dataset.held) / scale;
  const reaches = Number(table.dataset.reaches ?? 0), ends = Number(table.dataset.ends ?? 0);
  const last = rows[rows.length - 1], first = rows[0];
  const seen = Math.max(last.at - first.at, 60);
  // What lies further ahead than three times what is seen would flatten all that is known.
  const until = Math.min(ends || Infinity, reaches ? Math.max(reaches, last.at + seen / 10) : last.at + seen / 10, last.at + 3 * seen);
  const ahead = reaches ? Math.min(1, (until - last.at) / (reaches - last.at)) : 0;
  const goes = last.of[0] + held + ahead * (cap - last.of[0] - held);
  const at = [...rows.map((row) => row.at), until];
  const spent = [...rows.map((row) => row.of[0]), null];
  const line = [...rows.map(() => null), reaches ? goes : null];
  line[rows.length - 1] = reaches ? last.of[0] + held : null;
  return {
    options: {
      ...common(place, unit),
      scales: { y: { range: (chart, from, to) => [0, Math.max(to, cap) * 1.08 || 1] } },
      series: [
        { label: "by", value: (chart, value) => clock(value) },
        { label: "spent", stroke: colour("s0"), fill: `color-mix(in oklch, ${colour("s0")} 18%, transparent)`, width: 2, points: { show: false }, value: (chart, value) => told(value, unit) },
        { label: "at this rate", stroke: colour("s1"), width: 2, dash: [2, 5], points: { show: false }, value: (chart, value) => told(value, unit) },
        { label: "cap", stroke: colour("bad"), width: 2, dash: [10, 5], points: { show: false }, value: (chart, value) => told(value, unit) },
      ],
    },
    data: [at, spent, line, at.map(() => cap)],
  };
};

const kinds = { stack, use };

const draw = (place) => {
  const table = tableOf(place);
  const before = drawn.get(place.id);
  const of = table ? `${table.outerHTML}` : "";
  if (before?.of === of && before.place === place) return;
  before?.chart.destroy();
  drawn.delete(place.id);
  if (!table) return;
  const { options, data } = kinds[place.dataset.kind](place, table);
  const chart = new uPlot(options, data, place);
  drawn.set(place.id, { chart, of, place });
  reach(place, chart, table);
};

// By keys: left and right go from step to step, and what each is is said.
const reach = (place, chart, table) => {
  const count = chart.data[0].length;
  place.tabIndex = 0;
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", `${place.parentElement.querySelector("h2, h3").textContent}; a table beneath says the same`);
  place.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -count, End: count }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const now = chart.cursor.idx ?? (by > 0 ? -1 : count);
    const next = Math.min(Math.max(now + by, 0), count - 1);
    chart.setCursor({ left: chart.valToPos(chart.data[0][next], "x"), top: 0 });
  };
};

const look = () => {
  for (const [id, one] of drawn) if (!one.place.isConnected) { one.chart.destroy(); drawn.delete(id); }
  document.querySelectorAll(".drawing[data-draws]").forEach(draw);
};
const anew = () => {
  for (const one of drawn.values()) one.of = "";
  look();
};

if (window.uPlot) {
  look();
  document.body.addEventListener("htmx:after:swap", look);
  document.addEventListener("theme", anew);
  new ResizeObserver(() => {
    for (const { chart, place } of drawn.values()) {
      const width = Math.max(240, place.parentElement.clientWidth);
      if (width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  }).observe(document.getElementById("main"));
}
