"use strict";
// Keeps a page as it would be after a reload: when the server says that a run changed, the page is fetched again and the parts marked
// data-live are put in the place of the old ones. Without this script the pages are whole, only still.
(() => {
  const SETTLE = 250;
  const run = document.querySelector("[data-run]")?.dataset.run;
  const live = document.getElementById("live");
  const word = document.getElementById("live-word");
  let timer = null;
  let fetching = false;
  let again = false;

  function duration(seconds) {
    if (seconds < 59.95) return seconds < 9.995 ? seconds.toFixed(2) + " s" : seconds.toFixed(1) + " s";
    const whole = Math.round(seconds);
    const days = Math.floor(whole / 86400), hours = Math.floor((whole % 86400) / 3600), minutes = Math.floor((whole % 3600) / 60);
    const two = (number) => String(number).padStart(2, "0");
    if (days) return `${days}d ${hours}h`;
    return hours ? `${hours}h ${two(minutes)}m` : `${minutes}m ${two(whole % 60)}s`;
  }

  function showTimes(root) {
    const now = new Date();
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      const seconds = time.closest("table") ? undefined : "2-digit"; // a list has no room for them; the title has it all
      const clock = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds, hourCycle: "h23" });
      const year = moment.getFullYear() === now.getFullYear() ? undefined : "numeric";
      const day = moment.toLocaleDateString([], { year, month: "short", day: "numeric" });
      time.title = time.title || time.textContent;
      time.textContent = moment.toDateString() === now.toDateString() ? `today ${clock}` : `${day}, ${clock}`;
    }
  }

  function tick() {
    for (const since of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, (Date.now() - new Date(since.dataset.since)) / 1000);
      since.textContent = seconds < 60 ? `${Math.floor(seconds)} s` : duration(seconds);
    }
  }

  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (other) put(part, other);
      }
      tick();
      document.dispatchEvent(new CustomEvent("run-changed"));
    } catch {
      later(2000); // the server is away or slow; the stream comes back by itself
    } finally {
      fetching = false;
      if (again) { again = false; later(SETTLE); }
    }
  }

  // The reader's place stays: open details, scrolled boxes, and the focus.
  function put(part, other) {
    showTimes(other);
    const closed = [...part.querySelectorAll("details")].map((details) => details.open);
    const scrolled = [...part.querySelectorAll("pre, .scroll")].map((box) => [box.scrollTop, box.scrollLeft, box.scrollTop + box.clientHeight >= box.scrollHeight - 4]);
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.replaceWith(other);
    other.querySelectorAll("details").forEach((details, index) => { if (index < closed.length) details.open = closed[index]; });
    other.querySelectorAll("pre, .scroll").forEach((box, index) => {
      if (index >= scrolled.length) return;
      box.scrollTop = box.classList.contains("log") && scrolled[index][2] ? box.scrollHeight : scrolled[index][0];
      box.scrollLeft = scrolled[index][1];
    });
    if (focused) [...other.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused)?.focus();
  }

  function later(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(refresh, milliseconds);
  }

  function follow() {
    const stream = new EventSource("/api/v1/live" + (run ? "?run=" + encodeURIComponent(run) : ""));
    stream.addEventListener("open", () => {
      live.hidden = false;
      live.classList.remove("lost");
      word.textContent = "live";
      later(0); // what happened between the page and the stream
    });
    stream.addEventListener("change", () => { if (timer === null || !fetching) later(SETTLE); });
    stream.addEventListener("error", () => {
      live.hidden = false;
      live.classList.add("lost");
      word.textContent = "reconnecting";
      if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
    });
    addEventListener("pagehide", () => stream.close(), { once: true });
  }

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  showTimes(document);
  for (const log of document.querySelectorAll("pre.log, pre.trace")) log.scrollTop = log.scrollHeight;
  tick();
  setInterval(tick, 1000);
  // Figures change without a run.
  const every = Number(document.querySelector("[data-every]")?.dataset.every);
  if (every) setInterval(() => { if (!document.hidden) later(0); }, every * 1000);
  if (document.querySelector("[data-live]")) follow();
})();
