// What pages do by themselves: the reader's own time, news as they come, dialogs, charts, keys.
"use strict";

(function () {
  const pad = (number) => String(number).padStart(2, "0");
  const clock = (at) => `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const day = (at) => `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;

  // Times are sent in UTC and read in the reader's own zone; UTC is told on hover.
  function localise(root) {
    for (const time of root.querySelectorAll("time[data-form]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const today = day(at) === day(new Date());
      time.textContent = time.dataset.form === "time" || today ? clock(at) : `${day(at)} ${clock(at)}`;
      time.title = `${time.dateTime.replace("T", " ").replace("Z", "")} UTC`;
      time.removeAttribute("data-form");
    }
  }

  // News: whatever happened, the page asks for what it shows anew, at most about once a second.
  const stream = document.getElementById("stream");
  const PAUSE = 700;
  const SILENCE = 15000;
  let heard = Date.now();
  let waiting = 0;
  let asked = 0;
  let stale = false;

  function refresh() {
    if (waiting || document.hidden) return;
    waiting = window.setTimeout(() => {
      waiting = 0;
      asked = Date.now();
      document.body.dispatchEvent(new CustomEvent("refresh"));
    }, Math.max(0, asked + PAUSE - Date.now()));
  }

  function alive() {
    heard = Date.now();
    if (stale) refresh();
    stale = false;
    stream.dataset.state = "live";
    stream.textContent = "Live";
  }

  function lost() {
    if (stale) return;
    stale = true;
    stream.dataset.state = "stale";
    stream.textContent = `Stale since ${clock(new Date(heard))}`;
  }

  function listen() {
    const source = new EventSource("/api/v1/events");
    source.addEventListener("alive", alive);
    source.addEventListener("event", () => { alive(); refresh(); });
    source.addEventListener("gap", () => { alive(); refresh(); });
    source.addEventListener("error", () => {
      lost();
      // A refusal ends the stream for good; it is opened anew.
      if (source.readyState === EventSource.CLOSED) window.setTimeout(listen, 3000);
    });
    window.addEventListener("pagehide", () => source.close(), { once: true });
  }

  // Charts
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  async function draw(place) {
    let curve;
    try {
      const reply = await fetch(place.dataset.chart, { headers: { accept: "application/json" } });
      if (!reply.ok) throw new Error(String(reply.status));
      curve = await reply.json();
    } catch {
      if (!place.chart) place.querySelector(".wait").textContent = "The curve cannot be read now.";
      return;
    }
    const wait = place.querySelector(".wait");
    if (curve.points.length < 2) {
      wait.textContent = "Nothing is booked yet. The curve begins with the first fill.";
      return;
    }
    if (wait) wait.remove();
    const data = [curve.points.map((one) => one.at), curve.points.map((one) => one.booked / 1e6)];
    if (place.chart) {
      place.chart.setData(data);
      return;
    }
    const axis = { stroke: css("--faint"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const money = (value) => `${value < 0 ? "−" : ""}$${Math.abs(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
    const long = curve.span >= 3600;
    const times = (_, ticks) => ticks.map((at) => { const when = new Date(at * 1000); return long ? day(when).slice(5) : clock(when); });
    place.chart = new uPlot({
      width: place.clientWidth - 20,
      height: place.clientHeight - 10,
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => { const room = Math.max((high - low) * 0.1, 0.05); return [Math.min(low, 0) - room, Math.max(high, 0) + room]; } } },
      axes: [{ ...axis, values: times, space: 90 }, { ...axis, size: 64, values: (_, ticks) => ticks.map(money) }],
      series: [{}, { stroke: css("--accent"), width: 1.75, fill: `color-mix(in srgb, ${css("--accent")} 9%, transparent)`, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
      hooks: { setCursor: [(chart) => {
        const at = chart.cursor.idx;
        const told = document.getElementById(place.dataset.tells);
        if (!told) return;
        told.textContent = at == null ? "" : `${money(data_of(chart, 1, at))} at ${clock(new Date(data_of(chart, 0, at) * 1000))}`;
      }] },
    }, data, place);
    new ResizeObserver(() => place.chart.setSize({ width: place.clientWidth - 20, height: place.clientHeight - 10 })).observe(place);
  }
  const data_of = (chart, series, at) => chart.data[series][at];

  function charts() {
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
  }

  // Dialogs: opened by buttons that name them, closed by their own.
  document.addEventListener("click", (event) => {
    const opens = event.target.closest("[data-open]");
    if (opens) document.getElementById(opens.dataset.open).showModal();
    const closes = event.target.closest("[data-close]");
    if (closes) closes.closest("dialog").close();
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const dialog = event.target.closest && event.target.closest("dialog");
    if (dialog && event.detail.successful) dialog.close();
  });
  document.body.addEventListener("htmx:sendError", () => {
    document.getElementById("notice").innerHTML = "<p class=\"notice bad\">The process does not answer; nothing was changed, as far as this page knows. Look again when it does.</p>";
  });

  // What is being corrected is not called wrong any more.
  document.addEventListener("input", (event) => {
    if (event.target.getAttribute("aria-invalid") !== "true") return;
    event.target.removeAttribute("aria-invalid");
    const words = document.getElementById(`${event.target.id}-wrong`);
    if (words) words.hidden = true;
  });

  // Keys: g and a letter goes to a page, / to the first search field.
  const PAGES = { h: "/", a: "/activity", f: "/following", l: "/leaders", p: "/positions", k: "/accounts", o: "/operations" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    } else if (event.key === "g") {
      going = Date.now();
    } else if (Date.now() - going < 1200 && PAGES[event.key]) {
      window.location.assign(PAGES[event.key]);
    }
  });

  document.body.addEventListener("htmx:load", (event) => localise(event.target));
  document.body.addEventListener("refresh", charts);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  window.setInterval(() => { if (Date.now() - heard > SILENCE) lost(); }, 1000);
  localise(document);
  charts();
  listen();
})();
