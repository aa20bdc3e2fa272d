// Keeps the pages current: the live feed, the grid, the chart, the dialogs. Text from outside only
// ever becomes textContent, so no name can become markup.
"use strict";

const REFRESH_MS = 1000;      // at most one refresh in this time, and
const SPREAD_MS = 500;        // so much more by chance: dashboards hear the same events at once
const IDLE_REFRESH_MS = 5000; // times go on although nothing happens
const CHART_MS = 10000;
const FEED_LINES = 200;

const byId = (id) => document.getElementById(id);
const rollout = byId("rollout");

function loginPage() {
  const form = byId("login");
  if (!form) return;
  const token = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  if (/^xr1?_/.test(token)) {
    byId("token").value = token;
    form.submit();
    return;
  }
  // A link from a chat opens this page although the browser is logged in: go on from here.
  fetch("/session", { headers: { accept: "application/json" } }).then((answer) => answer.json())
    .then((said) => { if (said.open) location.replace(form.elements.next.value); });
}

const nameOf = (one) => one.id + "|" + (one.getAttribute("href") ?? "") + "|" + JSON.stringify(one.dataset);

function dialogs() {
  let opener = "";
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ask], [data-part]");
    if (button) opener = nameOf(button);
    const ask = event.target.closest("[data-ask]");
    if (ask) byId("ask-" + ask.dataset.ask)?.showModal();
    if (ask?.dataset.ask === "pause") htmx.trigger("#pause-for", "asked");
    const part = event.target.closest("[data-part]");
    if (part) askPart(part.dataset);
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });
  // The browser gives focus back to the button that opened it; that may have been made anew since.
  document.addEventListener("close", (event) => {
    const here = document.activeElement;
    if (here !== document.body && !event.target.contains(here)) return;
    [...document.querySelectorAll("[data-ask], [data-part]")].find((one) => nameOf(one) === opener)?.focus();
  }, true);
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
}

// One dialog serves every wave and host: the button says which, and what is wanted of it.
const PART_WORDS = {
  pause: ["Pause", "No new step of it starts from the moment you press the button; what runs ends by itself. Everything else goes on."],
  resume: ["Resume", "Its steps start again, from the hosts as they are now."],
  approve: ["Approve", "It goes on as soon as nothing else holds it."],
  abort: ["Leave out", "The rollout goes on without this host: it is opened again and stays exposed. This cannot be taken back."],
};

function askPart(asked) {
  const dialog = byId("ask-part");
  const [word, says] = PART_WORDS[asked.action];
  byId("t-part").textContent = word + " " + asked.part + " " + asked.value + "?";
  byId("says-part").textContent = says;
  const go = byId("go-part");
  go.textContent = word;
  go.value = asked.action;
  go.className = "big " + asked.action;
  for (const name of ["wave", "host"]) {
    const field = dialog.querySelector("[name=" + name + "]");
    field.disabled = name !== asked.part;
    field.value = asked.value;
  }
  dialog.showModal();
}

function gridKeys(grid) {
  const squares = () => [...grid.querySelectorAll(".sq")];
  const first = grid.querySelector(".sq");
  if (first) first.tabIndex = 0;
  const say = (square) => { byId("pointed").textContent = square.getAttribute("aria-label"); };
  grid.addEventListener("pointerover", (event) => {
    if (event.target.matches(".sq")) say(event.target);
  });
  grid.addEventListener("focusin", (event) => {
    if (event.target.matches(".sq")) say(event.target);
  });
  grid.addEventListener("keydown", (event) => {
    const all = squares();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const to = neighbour(all, at, event.key);
    if (to === undefined) return;
    event.preventDefault();
    all[at].tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
}

function neighbour(all, at, key) {
  if (key === "ArrowRight") return all[at + 1];
  if (key === "ArrowLeft") return all[at - 1];
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  const here = all[at].getBoundingClientRect();
  const below = key === "ArrowDown";
  const others = (below ? all.slice(at + 1) : all.slice(0, at).reverse());
  return others.find((one) => {
    const box = one.getBoundingClientRect();
    const away = below ? box.top > here.top + 4 : box.top < here.top - 4;
    return away && Math.abs(box.left - here.left) < here.width;
  });
}

function paintGrid(said) {
  if (String(said.generation) !== rollout.dataset.generation) {
    // A new plan has other waves; but what somebody is typing is not taken from them.
    if (!document.querySelector("dialog[open]")) setTimeout(() => location.reload(), Math.random() * SPREAD_MS);
    return;
  }
  const squares = byId("grid").querySelectorAll(".sq");
  let place = 0;
  for (let n = 0; n < said.letters.length; n++) {
    const silent = said.letters[n] === "~";
    if (silent) n++;
    const look = "sq s-" + said.letters[n] + (silent ? " silent" : "");
    const square = squares[place++];
    if (square && square.className !== look) {
      square.className = look;
      relabel(square, said.letters[n]);
    }
  }
  for (const wave of byId("grid").querySelectorAll(".wave")) {
    wave.classList.toggle("busy", said.busy.includes(Number(wave.dataset.wave)));
  }
  for (const count of document.querySelectorAll("[data-count]")) {
    const hosts = said.counts[count.dataset.count] ?? 0;
    count.textContent = hosts;
    count.parentElement.hidden = !hosts && !"wf".includes(count.dataset.count);
  }
}

const MEANING = { w: "waiting its turn", d: "closed, being emptied", r: "rebooting",
  f: "fixed, used again", b: "blocked", o: "opened again by an abort", u: "needs no reboot" };

function relabel(square, letter) {
  const name = decodeURIComponent(square.getAttribute("href").slice("/hosts/".length));
  const label = name + ": " + MEANING[letter];
  square.title = label;
  square.setAttribute("aria-label", label);
}

// Who walks through the cards by keyboard keeps their place when the cards are made anew.
function keepFocus() {
  const reachable = (box) => [...box.querySelectorAll("a[href], button")];
  let kept = null;
  byId("live").addEventListener("htmx:beforeSwap", () => {
    const here = document.activeElement;
    const box = here?.closest("#live, #cards");
    kept = box && { id: box.id, name: nameOf(here), at: reachable(box).indexOf(here) };
  });
  byId("live").addEventListener("htmx:afterSettle", () => {
    if (!kept || document.activeElement !== document.body) return;
    const all = reachable(byId(kept.id));
    const away = (one) => Math.abs(all.indexOf(one) - kept.at);
    const same = all.filter((one) => nameOf(one) === kept.name).sort((a, b) => away(a) - away(b));
    same[0]?.focus({ preventScroll: true });
  });
}

function getJson(path) {
  return fetch(path, { headers: { accept: "application/json" } }).then((answer) => {
    if (answer.status === 401) location.reload();
    return answer.ok ? answer.json() : Promise.reject(new Error(path + ": " + answer.status));
  });
}

// The chart: what was, and from now on the forecast's cone: four runs in five end up inside it.
let chart = null;

function chartData(curve, cone) {
  const times = [...curve.points, ...cone].map((p) => p.at_s);
  if (curve.deadline_at_s) times.push(curve.deadline_at_s);
  times.sort((a, b) => a - b);
  const line = (points, key) => {
    const known = new Map(points.map((p) => [p.at_s, p[key]]));
    return times.map((at) => known.get(at) ?? null);
  };
  return [times, line(curve.points, "hosts"), line(cone, "hosts_p90"), line(cone, "hosts_p10"),
    line(cone, "hosts_p50"), curve.knows_guests ? line(curve.points, "guests") : times.map(() => null)];
}

function chartOptions(box, knowsGuests, deadline) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const hours = (_, splits) => splits.map((s) => utc(s, splits[splits.length - 1] - splits[0]));
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  const steps = uPlot.paths.stepped({ align: 1 });
  return {
    width: box.clientWidth, height: 280,
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high)] }, g: { range: (_, low, high) => [0, Math.max(1, high)] } },
    axes: [{ ...axis, values: hours }, { ...axis, label: "hosts", size: 54, labelSize: 20 },
      { ...axis, label: "guests", scale: "g", side: 1, grid: { show: false }, show: knowsGuests, size: 60, labelSize: 20 }],
    series: [{},
      { label: "hosts", stroke: colour("--blocked"), width: 2, paths: steps, fill: colour("--bad-soft"), points: { show: false } },
      { label: "nine in ten", stroke: colour("--draining"), width: 1, dash: [2, 4], spanGaps: true, points: { show: false }, value: (_, v) => v === null ? "–" : v.toFixed(0) },
      { label: "one in ten", stroke: colour("--draining"), width: 1, dash: [2, 4], spanGaps: true, points: { show: false } },
      { label: "forecast", stroke: colour("--draining"), width: 2, dash: [6, 4], spanGaps: true, points: { show: false }, value: (_, v) => v === null ? "–" : v.toFixed(0) },
      { label: "guests", scale: "g", show: knowsGuests, stroke: colour("--rebooting"), width: 1.5, paths: steps, points: { show: false } }],
    bands: [{ series: [2, 3], fill: colour("--warn-soft") || colour("--bad-soft") }],
    hooks: { draw: [(u) => deadlineLine(u, deadline, colour("--bad"))] },
    legend: { live: false }, cursor: { show: false },
  };
}

// Everything is in UTC, as in logs; with the date where the picture spans more than a day.
function utc(seconds, span) {
  const text = new Date(seconds * 1000).toISOString();
  return span > 86400 ? text.slice(5, 16).replace("T", " ") : text.slice(11, 16);
}

function deadlineLine(u, deadline, colour) {
  if (!deadline) return;
  const x = u.valToPos(deadline, "x", true);
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, u.bbox.top);
  ctx.lineTo(x, u.bbox.top + u.bbox.height);
  ctx.stroke();
  ctx.textAlign = "right";
  ctx.fillText("deadline", x - 6 * devicePixelRatio, u.bbox.top + 14 * devicePixelRatio);
  ctx.restore();
}

function drawChart(curve, said) {
  const box = byId("burn");
  const data = chartData(curve, said.cone);
  if (chart) chart.destroy();
  chart = new uPlot(chartOptions(box, curve.knows_guests, curve.deadline_at_s), data, box);
  const last = curve.points[curve.points.length - 1];
  const clock = (s) => utc(last.at_s + s, Infinity) + " UTC";
  let words = last.hosts + " hosts" + (curve.knows_guests ? " and " + last.guests + " guests" : "") + " are exposed";
  const staying = said.cone.length ? Math.round(said.cone[said.cone.length - 1].hosts_p50) : 0;
  const safe = staying ? "all but " + staying + " hosts" : "all hosts";
  if (curve.left_p50_s) words += "; at this pace " + safe + " are safe by " + clock(curve.left_p50_s);
  if (curve.left_p90_s) words += ", in nine of ten runs by " + clock(curve.left_p90_s);
  if (curve.deadline_at_s) words += "; the deadline is " + utc(curve.deadline_at_s, Infinity) + " UTC";
  if (said.late_hosts.length) words += ", which " + said.late_hosts.length + " hosts are likely to miss";
  if (said.guest_hours_to_come !== null) words += "; guest-hours on exposed hosts: " +
    said.guest_hours_so_far.toFixed(0) + " so far, " + said.guest_hours_to_come.toFixed(0) + " to come";
  for (const one of said.assuming) words += "; " + one.text;
  byId("burn-words").textContent = words + ".";
}

function addToFeed(said) {
  const line = document.createElement("li");
  const happening = said.happening;
  line.className = "new k-" + happening.kind.replace(/[^a-z_]/g, "");
  const time = document.createElement("time");
  time.dateTime = happening.at;
  time.textContent = happening.at.slice(11, 19);
  const kind = document.createElement("span");
  kind.className = "kind";
  kind.textContent = printable(happening.kind);
  const text = document.createElement("span");
  text.className = "text";
  text.textContent = printable(happening.text);
  line.append(time, kind, text);
  const feed = byId("feed");
  feed.prepend(line);
  while (feed.children.length > FEED_LINES) feed.lastChild.remove();
}

const printable = (text) => text.slice(0, 500)
  .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => "\\x" + c.codePointAt(0).toString(16).padStart(2, "0"));

function follow() {
  const api = "/api/v1/rollouts/" + encodeURIComponent(rollout.dataset.rollout);
  let due = null, cards = Date.now(), charted = 0;
  const refresh = () => {
    due = null;
    cards = Date.now();
    htmx.trigger("#live", "refresh");
    if (cards - charted >= CHART_MS) draw();
  };
  const draw = () => {
    charted = Date.now();
    Promise.all([getJson(api + "/exposure"), getJson(api + "/forecast")])
      .then(([curve, said]) => drawChart(curve, said)).catch(report);
  };
  const soon = () => { due ??= setTimeout(refresh, Math.max(0, REFRESH_MS + Math.random() * SPREAD_MS - (Date.now() - cards))); };
  const report = () => linkIs("down", "no answer: what you see may be old");
  byId("live").addEventListener("htmx:afterSwap", () => paintGrid(JSON.parse(byId("grid-now").dataset.grid)));
  for (const failed of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) byId("live").addEventListener(failed, report);
  draw();
  const feed = new EventSource("/api/v1/events?rollout=" + encodeURIComponent(rollout.dataset.rollout)
    + "&since=" + encodeURIComponent(rollout.dataset.since));
  feed.onopen = () => { linkIs("up", "live"); soon(); };
  feed.onerror = () => linkIs("down", "connection lost, trying again: what you see may be old");
  feed.addEventListener("happening", (event) => { addToFeed(JSON.parse(event.data)); soon(); });
  setInterval(() => { if (!document.hidden && rollout.dataset.ended === "0") soon(); }, IDLE_REFRESH_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  let wide = byId("burn").clientWidth;
  window.addEventListener("resize", () => {
    if (chart && byId("burn").clientWidth !== wide) {
      wide = byId("burn").clientWidth;
      chart.setSize({ width: wide, height: 280 });
    }
  });
}

function linkIs(look, words) {
  const link = byId("link");
  if (link.textContent !== words) link.textContent = words;
  link.className = "link " + look;
}

loginPage();
window.addEventListener("hashchange", loginPage); // a link opened where the form is shown already
dialogs();
if (rollout) {
  gridKeys(byId("grid"));
  keepFocus();
  follow();
}
