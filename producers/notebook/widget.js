// A view of a run. The kernel sets the parts of the picture as traits; each is drawn anew when it changes. Whatever a run says comes into the
// document as text alone: nothing here makes elements of texts.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8, HEIGHT = 160, LEFT = 52, RIGHT = 8, TOP = 6, BOTTOM = 20, DOTS = 40;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function link(address, text) {
  const safe = /^https?:\/\//.test(address ?? "");
  return safe ? make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text) : make("span", {}, text);
}

const badge = (status) => make("span", { class: `badge ${status.kind}` }, status.words);

const two = (number) => String(number).padStart(2, "0");

function duration(seconds) {
  if (seconds < 59.95) return seconds < 9.995 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const days = Math.floor(whole / 86400), hours = Math.floor((whole % 86400) / 3600), minutes = Math.floor((whole % 3600) / 60);
  if (days) return `${days}d ${hours}h`;
  return hours ? `${hours}h ${two(minutes)}m` : `${minutes}m ${two(whole % 60)}s`;
}

function moment(text) {
  if (!text) return document.createTextNode("–");
  const time = new Date(text), now = new Date();
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const year = time.getFullYear() === now.getFullYear() ? undefined : "numeric";
  const day = time.toDateString() === now.toDateString() ? "today" : time.toLocaleDateString([], { year, month: "short", day: "numeric" });
  return make("time", { datetime: text, title: text }, `${day} ${clock}`);
}

// What counts on: `tick` writes it anew each second.
const since = (text) => make("span", { "data-since": text });

function tick(root) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, (Date.now() - new Date(element.dataset.since)) / 1000);
    element.textContent = seconds < 60 ? `${Math.floor(seconds)} s` : duration(seconds);
  }
}

function short(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential(2) : String(+value.toPrecision(6));
}

// Round numbers from least to greatest, about so many.
function ticks(least, greatest, about) {
  const raw = (greatest - least) / about, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let at = Math.ceil(least / step) * step; at <= greatest + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

function range(lists) {
  let least = Infinity, greatest = -Infinity;
  for (const list of lists) for (const value of list) if (value != null) { least = Math.min(least, value); greatest = Math.max(greatest, value); }
  if (least > greatest) return null;
  if (least < greatest) return [least, greatest];
  const pad = Math.abs(least) / 10 || 1;
  return [least - pad, greatest + pad]; // one value has no extent
}

function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle; else high = middle;
  }
  return Math.abs(steps[low] - step) <= Math.abs(steps[high] - step) ? low : high;
}

// A run has the same line in every chart.
function inkOf(runs, run) {
  const place = Math.max(0, runs.findIndex((one) => one.run_id === run));
  return { stroke: `var(--curve-${place % COLOURS})`, "stroke-dasharray": place < COLOURS ? undefined : "6 4" };
}

function plot(chart, runs, width, readout) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": described(chart) });
  const across = range(chart.curves.map((curve) => curve.steps)), up = range(chart.curves.map((curve) => curve.values));
  if (!across || !up) {
    svg.append(draw("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no finite value"));
    return svg;
  }
  const x = (step) => LEFT + (step - across[0]) / (across[1] - across[0]) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value - up[0]) / (up[1] - up[0]) * (HEIGHT - BOTTOM - TOP);
  for (const value of ticks(...up, 6)) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const step of ticks(...across, Math.max(3, width / 60)).filter(Number.isInteger)) {
    svg.append(draw("line", { class: "grid", x1: x(step), x2: x(step), y1: TOP, y2: HEIGHT - BOTTOM }));
    svg.append(draw("text", { x: x(step), y: HEIGHT - 5, "text-anchor": "middle" }, short(step)));
  }
  for (const curve of chart.curves) svg.append(...lineOf(curve, x, y, inkOf(runs, curve.run_id)));
  const cursor = draw("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const wanted = across[0] + ((event.clientX - box.left) / box.width * width - LEFT) / (width - LEFT - RIGHT) * (across[1] - across[0]);
    const near = chart.curves.filter((curve) => curve.steps.length).map((curve) => [curve, nearest(curve.steps, wanted)]);
    const step = near.map(([curve, place]) => curve.steps[place]).reduce((one, other) => Math.abs(other - wanted) < Math.abs(one - wanted) ? other : one);
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
    const told = near.filter(([curve, place]) => curve.steps[place] === step);
    readout.textContent = `step ${short(step)}: ` + told.map(([curve, place]) => (near.length > 1 ? `${curve.label} ` : "") + short(curve.values[place])).join(", ");
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); readout.textContent = chart.note; });
  return svg;
}

function lineOf(curve, x, y, ink) {
  let path = "", drawing = false;
  const dots = [];
  curve.values.forEach((value, place) => {
    if (value == null) { drawing = false; return; }
    const at = `${x(curve.steps[place]).toFixed(1)} ${y(value).toFixed(1)}`;
    path += `${drawing ? "L" : "M"}${at}`;
    drawing = true;
    if (curve.values.length <= DOTS) {
      const [cx, cy] = at.split(" ");
      dots.push(draw("circle", { cx, cy, r: 2, style: `fill: ${ink.stroke}` }));
    }
  });
  return [draw("path", { class: "curve", d: path, style: `stroke: ${ink.stroke}`, "stroke-dasharray": ink["stroke-dasharray"] }), ...dots];
}

function described(chart) {
  const points = pointsOf(chart), last = chart.curves.length === 1 ? `, the last is ${short(chart.curves[0].values.at(-1))}` : "";
  const curves = chart.curves.length === 1 ? "1 curve" : `${chart.curves.length} curves`;
  return `${chart.name}: ${curves}, ${points} points drawn${last}; the table of metrics has the figures`;
}

const pointsOf = (chart) => chart.curves.reduce((sum, curve) => sum + curve.steps.length, 0);

function table(name, head, rows) {
  const cells = head.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row)));
  return make("div", { class: `scroll ${name}`, tabindex: "0", role: "region", "aria-label": name }, make("table", {}, make("thead", {}, make("tr", {}, ...cells)), body));
}

const cell = (content, kind) => make("td", { class: kind }, content);
const rowHead = (content) => make("th", { scope: "row" }, content);

function drawHead(place, model) {
  const run = model.get("run"), known = "run_id" in run;
  const title = make("h3", {}, known ? run.name : model.get("run_id"));
  place.replaceChildren(title);
  if (known) place.append(badge(run.status));
  const links = make("span", { class: "links" }, ...(known && run.experiment ? [link(run.experiment_page, run.experiment)] : []), link(model.get("page"), "Page of this run"));
  place.append(links);
}

function drawRun(place, run) {
  if (!("run_id" in run)) return;
  const lasted = run.ended_time ? run.duration : run.started && !run.ended ? since(run.started) : "–";
  const facts = [["Duration", lasted], ["Started", moment(run.started)], ...(run.ended_time ? [["Ended", moment(run.ended_time)]] : []), ...Object.entries(run.facts)];
  const trace = place.querySelector("details.trace")?.open ?? true;
  place.replaceChildren(
    ...(run.description ? [make("p", { class: "description" }, run.description)] : []),
    ...(run.verdict ? [verdict(run, trace)] : []),
    make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    ...timeline(run),
  );
}

function verdict(run, open) {
  const { why, reason, claimed, trace } = run.verdict;
  const parts = [make("p", {}, make("b", {}, run.status.words + (why ? `: ${why}` : "") + "."), reason ? ` ${reason}` : "")];
  if (claimed) parts.push(make("p", {}, "Nobody heard of the run in time, so this is a claim: it is withdrawn when the run is heard of again."));
  if (trace) parts.push(make("details", { class: "trace", ...(open ? { open: "" } : {}) }, make("summary", {}, "Traceback"), make("pre", { tabindex: "0" }, trace)));
  return make("div", { class: `verdict ${run.status.kind}`, role: "group", "aria-label": "Why" }, ...parts);
}

function timeline(run) {
  if (!run.steps.length) return [];
  const bar = make("div", { class: "bar", "aria-hidden": "true" }), list = make("ol", { class: "steps", "aria-label": "Timeline" });
  if (run.steps_before) list.append(make("li", { class: "small" }, `${run.steps_before} statuses before`));
  run.steps.forEach((step, place) => {
    const next = run.steps[place + 1]?.time, last = !next && run.ended;
    const seconds = last ? 0 : Math.max(0, (new Date(next ?? Date.now()) - new Date(step.time)) / 1000);
    const part = make("i", { class: step.status.kind, title: step.status.words });
    part.style.flex = `${seconds * 1e6} 0 4px`; // the parts of less than one in sum would not fill the bar
    bar.append(part);
    const lasted = last ? moment(step.time) : next ? duration(seconds) : since(step.time);
    list.append(make("li", {}, badge(step.status), make("span", { class: "small" }, lasted)));
  });
  return [bar, list];
}

function drawCharts(place, part) {
  place.hidden = !part.charts?.length;
  if (place.hidden) return;
  const key = make("ul", { class: "key", "aria-label": "Runs in the charts" }, ...part.runs.map((run) => {
    const sample = draw("svg", { width: 22, height: 8, "aria-hidden": "true" });
    const ink = inkOf(part.runs, run.run_id);
    sample.append(draw("path", { d: "M0 4H22", "stroke-width": 3, style: `stroke: ${ink.stroke}`, "stroke-dasharray": ink["stroke-dasharray"] }));
    return make("li", {}, sample, run.label);
  }));
  key.hidden = part.runs.length < 2;
  const cards = make("div", { class: "charts" });
  place.replaceChildren(make("h4", {}, "Charts"), key, cards);
  for (const chart of part.charts) {
    const readout = make("p", { class: "small readout" }, chart.note);
    const card = make("div", { class: "chart", "data-points": pointsOf(chart) }, make("h5", {}, chart.name));
    cards.append(card);
    card.append(plot(chart, part.runs, Math.max(200, card.clientWidth - 24), readout), readout);
  }
  if (part.left) place.append(make("p", { class: "small" }, `${part.left} more metrics are not drawn.`));
}

function drawFigures(place, part) {
  place.hidden = !part.rows?.length;
  if (place.hidden) return;
  const rows = part.rows.map((row) => row.kind
    ? [rowHead(row.name), make("td", { class: "text", colspan: "3" }, row.last || row.kind.replaceAll("_", " ")), cell(row.times.toLocaleString(), "right")]
    : [rowHead(row.name), cell(row.last, "right"), cell(row.least, "right"), cell(row.greatest, "right"), cell(row.times.toLocaleString(), "right")]);
  place.replaceChildren(make("h4", {}, "Metrics"), table("metrics", [["Name"], ["Last", "right"], ["Least", "right"], ["Greatest", "right"], ["Points", "right"]], rows));
  if (part.left) place.append(make("p", { class: "small" }, `${part.left} more are left out.`));
}

function drawChildren(place, part) {
  place.hidden = !part.rows?.length;
  if (place.hidden) return;
  const counts = part.counts.map((one) => make("span", { class: `count ${one.status.kind}` }, `${one.count} ${one.status.words.toLowerCase()}`));
  const rows = part.rows.map((child) => [
    cell(badge(child.status)), rowHead(link(child.page, child.name)), cell(moment(child.started), "started"),
    cell(child.running ? since(child.started) : child.duration || "–", "right"), cell(child.why, "why"),
  ]);
  const head = [["Status"], ["Run"], ["Started", "started"], ["Duration", "right"], ["Why"]];
  place.replaceChildren(make("h4", {}, "Children ", make("span", { class: "of" }, part.total.toLocaleString()), ...counts), table("children", head, rows));
  if (part.more) place.append(make("p", { class: "small" }, `The newest ${part.rows.length} are shown. `, link(part.page, "All children")));
}

function drawPairs(place, run) {
  const titles = Object.keys(run.pairs ?? {});
  place.hidden = !titles.length;
  place.querySelector(".columns").replaceChildren(...titles.map((title) => {
    const rows = Object.entries(run.pairs[title]).map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", value === null ? { class: "small" } : {}, value ?? "no value")));
    const left = run.pairs_left[title] ? [make("p", { class: "small" }, `${run.pairs_left[title]} more are left out.`)] : [];
    return make("div", {}, make("h4", {}, title), make("dl", { class: "pairs" }, ...rows), ...left);
  }));
}

function drawLog(place, part) {
  place.hidden = !part.lines?.length;
  if (place.hidden) return;
  const lines = part.lines.map(([text, wrong]) => make("span", wrong ? { class: "stderr" } : {}, text + "\n"));
  const log = make("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "The end of the log" }, ...lines);
  place.replaceChildren(make("h4", {}, "Log ", make("span", { class: "of" }, part.more ? `last ${part.lines.length} lines` : `${part.lines.length} lines`)), log);
}

// The reader's place stays: scrolled boxes, and the focus.
function keepingPlace(place, redraw) {
  const boxes = () => [...place.querySelectorAll(".scroll, pre")];
  const targets = () => [...place.querySelectorAll("a, summary, [tabindex]")];
  const scrolled = boxes().map((box) => [box.scrollTop, box.scrollLeft, box.scrollTop + box.clientHeight >= box.scrollHeight - 4]);
  const focused = targets().indexOf(place.getRootNode().activeElement);
  redraw();
  boxes().forEach((box, index) => {
    const [top, left, atEnd] = scrolled[index] ?? [0, 0, true];
    box.scrollTop = atEnd && box.classList.contains("log") ? box.scrollHeight : top;
    box.scrollLeft = left;
  });
  if (focused >= 0) targets()[focused]?.focus({ preventScroll: true });
}

const STATES = { live: "live", final: "final: the run has ended" };

function drawFreshness(place, part) {
  place.className = `fresh ${part.state}`;
  place.textContent = part.message || STATES[part.state] || "";
}

function render({ model, el }) {
  const part = (name) => make("div", { class: `${name}-part` });
  const head = make("div", { class: "title" }), run = part("run"), charts = part("charts"), figures = part("figures"), children = part("children"), log = part("log");
  const fresh = make("p", { class: "fresh", role: "status" }), spoken = make("p", { class: "spoken", role: "status" });
  const pairs = make("details", {}, make("summary", {}, "Parameters, tags, properties"), make("div", { class: "columns" }));
  const frame = make("div", { class: "frame", role: "region", "aria-label": "Run" }, head, fresh, spoken, run, charts, figures, children, log, pairs);
  el.classList.add("runherald-run");
  el.replaceChildren(frame);

  // A screen reader hears of a status once, and of nothing else that moves.
  const speak = () => {
    const { name, status } = model.get("run");
    const text = status ? `${name}: ${status.words}` : "";
    if (spoken.textContent !== text) spoken.textContent = text;
  };
  const places = [
    ["run", head, () => drawHead(head, model)],
    ["run", run, () => drawRun(run, model.get("run"))],
    ["run", pairs, () => drawPairs(pairs, model.get("run"))],
    ["run", spoken, speak],
    ["charts", charts, () => drawCharts(charts, model.get("charts"))],
    ["figures", figures, () => drawFigures(figures, model.get("figures"))],
    ["children", children, () => drawChildren(children, model.get("children"))],
    ["log", log, () => drawLog(log, model.get("log"))],
    ["freshness", fresh, () => drawFreshness(fresh, model.get("freshness"))],
  ];
  const draws = places.map(([trait, place, redraw]) => [`change:${trait}`, () => { keepingPlace(place, redraw); tick(place); }]);
  for (const [change, redraw] of draws) {
    redraw();
    model.on(change, redraw);
  }

  const clock = setInterval(() => tick(el), 1000);
  let width = 0;
  const resizes = new ResizeObserver(() => {
    if (Math.abs(el.clientWidth - width) < 2) return;
    width = el.clientWidth;
    drawCharts(charts, model.get("charts"));
  });
  resizes.observe(el);

  // The kernel reads nothing while nobody looks. In a notebook without one there is nobody to tell.
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const tell = (kind) => { try { model.send({ kind, view }); } catch { /* no kernel */ } };
  tell("here");
  return () => {
    clearInterval(clock);
    resizes.disconnect();
    for (const [change, redraw] of draws) model.off(change, redraw);
    tell("gone");
  };
}

export default { render };
