"use strict";
// Draws the curves of a run's page with uPlot, and puts new data into the same charts when the run changes.
(() => {
  const place = document.getElementById("charts");
  const section = document.getElementById("charts-section");
  const more = document.getElementById("charts-more");
  const address = location.pathname.replace(/\/$/, "") + "/charts";
  const key = document.getElementById("charts-key");
  const COLOURS = 8, HEIGHT = 190, MANY = 6;
  const shown = new Map();
  let answer = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shape = (chart) => answer.runs.length + "\u0001" + chart.curves.map((curve) => curve.run_id + "\u0000" + curve.label).join("\u0001");

  // A run has the same line in every chart.
  function line(run) {
    const index = answer.runs.findIndex((one) => one.run_id === run);
    return { stroke: colour(`--curve-${index % COLOURS}`), dash: index < COLOURS ? undefined : [6, 4] };
  }

  function showKey() {
    key.hidden = answer.runs.length <= MANY; // a few are told apart by the legend of each chart
    key.replaceChildren(...answer.runs.map((run) => {
      const item = document.createElement("li");
      const sample = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const { stroke: ink, dash } = line(run.run_id);
      for (const [name, value] of Object.entries({ width: 22, height: 8, "aria-hidden": "true" })) sample.setAttribute(name, value);
      for (const [name, value] of Object.entries({ d: "M0 4H22", stroke: ink, "stroke-width": 3, "stroke-dasharray": dash ? dash.join(" ") : "none" })) stroke.setAttribute(name, value);
      sample.append(stroke);
      const link = document.createElement("a");
      link.href = "/runs/" + encodeURIComponent(run.run_id);
      link.textContent = run.label;
      item.append(sample, link);
      return item;
    }));
  }

  function dataOf(chart) {
    return uPlot.join(chart.curves.map((curve) => [curve.steps, curve.values]));
  }

  function axis(more) {
    return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui", ...more };
  }

  const short = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(1);
    return String(+value.toPrecision(6));
  };

  function draw(chart, card) {
    const one = chart.curves.length === 1;
    return new uPlot({
      width: Math.max(200, card.clientWidth - 30),
      height: HEIGHT,
      scales: { x: { time: false } },
      axes: [axis({ size: 28, values: (_, splits) => splits.map((step) => Number.isInteger(step) ? short(step) : "") }), axis({ size: 56, values: (_, splits) => splits.map(short) })],
      legend: { show: chart.curves.length <= MANY },
      cursor: { drag: { x: true, y: false } },
      series: [
        { label: "step" },
        ...chart.curves.map((curve) => ({
          label: one ? chart.name : curve.label,
          ...line(curve.run_id),
          width: 1.6,
          spanGaps: false,
          points: { show: curve.values.length <= 40, size: 4 },
          value: (_, value) => value == null ? "–" : short(value),
        })),
      ],
    }, dataOf(chart), card.querySelector(".plot"));
  }

  function cardOf(chart) {
    const card = document.createElement("article");
    card.className = "chart";
    const title = document.createElement("h3");
    title.textContent = chart.name;
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.setAttribute("role", "img");
    const note = document.createElement("p");
    note.className = "small";
    card.append(title, plot, note);
    return card;
  }

  function describe(chart, card) {
    const points = chart.curves.reduce((sum, curve) => sum + curve.steps.length, 0);
    card.dataset.points = points;
    card.querySelector(".plot").setAttribute("aria-label", `${chart.name}: ${chart.curves.length} curves, ${points} points drawn; the table of metrics has the figures`);
    card.querySelector(".small").textContent = chart.note;
  }

  function show() {
    section.hidden = answer.charts.length === 0;
    showKey();
    more.hidden = answer.more === 0;
    more.textContent = `${answer.more} more metrics are not drawn.`;
    const wanted = new Set(answer.charts.map((chart) => chart.name));
    for (const [name, old] of shown) {
      if (!wanted.has(name)) { old.plot.destroy(); old.card.remove(); shown.delete(name); }
    }
    for (const chart of answer.charts) {
      const old = shown.get(chart.name);
      const card = old ? old.card : cardOf(chart);
      place.append(card); // in the order of the answer
      if (old && old.shape === shape(chart)) {
        old.plot.setData(dataOf(chart));
      } else {
        old?.plot.destroy();
        shown.set(chart.name, { card, plot: draw(chart, card), shape: shape(chart) });
      }
      describe(chart, card);
    }
  }

  function redraw() {
    for (const [, old] of shown) { old.plot.destroy(); old.card.remove(); }
    shown.clear();
    if (answer) show();
  }

  let loading = false, again = false;
  async function load() {
    if (loading) { again = true; return; }
    loading = true;
    try {
      const reply = await fetch(address);
      if (reply.ok) { answer = await reply.json(); show(); }
    } catch {
      // the next change tries again
    } finally {
      loading = false;
      if (again) { again = false; load(); }
    }
  }

  let resizing = null;
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { for (const { card, plot } of shown.values()) plot.setSize({ width: Math.max(200, card.clientWidth - 30), height: HEIGHT }); }, 100);
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("run-changed", load);
  load();
})();
