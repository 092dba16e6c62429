/* <towpath-processing record="ID">: what happens to the files of a record, and what one may do about it.

   Speaks only the REST below /api/v1/workflows; keeps nothing, trusts nothing that it shows: text is only ever text.
   Attributes: record; server (where Towpath is: its address, default this page's); token, or token-url (answers
   {"token", "expires_in"}; asked again before it ends); without either the login's cookie is used.
   heading: what stands above it, default "Processing". It is light or dark as the page around it is (its color-scheme);
   theme="light" keeps it light.
   Events: "towpath-finished" with the processing as detail, when one ends while the panel is there; "towpath-token-ended",
   when another token is to be given by the property `token`. */

const HERE = import.meta.url;
const PAGE = 50; // rows that are shown at once, and more when asked for
const GAP = 200; // ms between two drawings that nobody asked for
const LIST = 100; // processings of an answer
const MANY = 8; // processings that changed at once, from which on the list is asked instead of each
const FILES = 30_000; // ms after which the files of the record are looked at again
const POLL = 3000; // ms between two questions without a stream, and about what goes on beside it
const RESULTS_OPEN = 12; // files up to which results are open by themselves
const LINES = 20_000; // of a log that are shown; the download has all

const SHEET = `
:host { --page: #f7f8f8; --card: #fff; --sunk: #eef1f2; --line: #d5dbde; --firm: #6f7c84; --text: #182026; --soft: #4d5a62;
  --accent: #0a6480; --accent-text: #fff; --mark: #fff3bf; --done: #1f7a3d; --running: #0a6fa8; --waiting: #66727a; --held: #8f5600;
  --failed: #c02626; --stopped: #7d4908; --good-soft: #e4f3e8; --bad-soft: #fbe7e6; --warn-soft: #fdf1da;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", Menlo, Consolas, monospace;
  display: block; color: var(--text); font: 15px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  container-type: inline-size; text-align: left; }
@supports (color: light-dark(red, red)) { :host { --page: light-dark(#f7f8f8, #12171a); --card: light-dark(#fff, #1a2125);
  --sunk: light-dark(#eef1f2, #232c31); --line: light-dark(#d5dbde, #36424a); --firm: light-dark(#6f7c84, #8b98a1);
  --text: light-dark(#182026, #e4eaed); --soft: light-dark(#4d5a62, #a9b6be); --accent: light-dark(#0a6480, #6cc7e0);
  --accent-text: light-dark(#fff, #06212a); --mark: light-dark(#fff3bf, #54470a); --done: light-dark(#1f7a3d, #58c27d);
  --running: light-dark(#0a6fa8, #55b4ec); --waiting: light-dark(#66727a, #9aa7b0); --held: light-dark(#8f5600, #f0a83c);
  --failed: light-dark(#c02626, #ff7b72); --stopped: light-dark(#7d4908, #d9a05b); --good-soft: light-dark(#e4f3e8, #173224);
  --bad-soft: light-dark(#fbe7e6, #3c1d1d); --warn-soft: light-dark(#fdf1da, #3a2d12); } }
:host([theme=light]) { color-scheme: light; }
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; border-radius: 3px; }
h2, h3, h4, p, ul, ol, dl { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h2 { font-size: 1.05rem; font-weight: 650; }
h3 { font-size: 1rem; font-weight: 650; overflow-wrap: anywhere; }
h4 { font-size: .95rem; font-weight: 600; }
.small { font-size: .87rem; }
.soft { color: var(--soft); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.row { display: flex; flex-wrap: wrap; gap: .35rem .7rem; align-items: center; }
.grow { flex: 1 1 12rem; min-width: 0; }
button, .button, input { font: inherit; color: inherit; min-height: 2rem; border: 1px solid var(--firm); border-radius: 4px; }
button, .button { background: var(--sunk); color: var(--text); padding: .2rem .7rem; cursor: pointer; text-decoration: none; display: inline-block; }
button:hover { border-color: var(--accent); }
button.main { background: var(--accent); border-color: var(--accent); color: var(--accent-text); font-weight: 600; }
button.plain { background: none; border-color: transparent; color: var(--accent); text-decoration: underline; text-underline-offset: .15em; padding: .2rem .3rem; }
button[aria-busy=true] { opacity: .6; }
input[type=search] { background: var(--card); padding: .2rem .5rem; width: 100%; max-width: 22rem; }
input[type=checkbox] { min-height: 0; width: 1.05rem; height: 1.05rem; accent-color: var(--accent); vertical-align: -.15em; }
header.top { display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: center; margin-bottom: .6rem; }
.pulse { font-size: .8rem; color: var(--soft); white-space: nowrap; }
.pulse::before, .dot { content: ""; display: inline-block; width: .55em; height: .55em; border-radius: 50%; margin-right: .35em; background: var(--waiting); }
.pulse.on::before { background: var(--done); } .pulse.off::before { background: var(--held); }
.dot { background: var(--accent); width: .7em; height: .7em; margin: 0; }
.filters { margin-bottom: .6rem; }
.filters button { border-radius: 1.2em; padding: .1rem .75rem; font-size: .87rem; min-height: 1.9rem; }
.filters button[aria-pressed=true], .larger[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--accent-text); }
.said { border-left: 4px solid var(--failed); background: var(--bad-soft); padding: .45rem .8rem; border-radius: 3px; margin: 0 0 .6rem; display: flex; gap: .6rem; align-items: flex-start; }
.said.good { border-color: var(--done); background: var(--good-soft); }
.said > span { flex: 1; overflow-wrap: anywhere; }
.file { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem .7rem; margin-bottom: .6rem; }
.work { border-top: 1px solid var(--line); margin-top: .5rem; padding-top: .5rem; }
.work.old { margin-left: .9rem; }
.state { font-weight: 600; white-space: nowrap; color: var(--c, var(--waiting)); }
.state::before { content: ""; display: inline-block; width: .62em; height: .62em; border-radius: 50%; background: var(--c, var(--waiting)); margin-right: .4em; }
.s-SUCCESS, .s-done { --c: var(--done); } .s-PARTIAL, .s-held { --c: var(--held); } .s-FAILURE, .s-failed, .s-poisoned, .s-rejected { --c: var(--failed); }
.s-running { --c: var(--running); } .s-stopped { --c: var(--stopped); } .s-waiting, .s-ready { --c: var(--waiting); }
.s-FAILURE::before, .s-failed::before, .s-poisoned::before, .s-rejected::before { border-radius: 1px; }
.s-PARTIAL::before, .s-held::before, .s-stopped::before { border-radius: 1px; transform: rotate(45deg) scale(.9); }
.s-running::before { background: none; border: .17em solid var(--c); }
.steps { display: flex; flex-wrap: wrap; gap: .35rem; margin: .4rem 0; }
.step { position: relative; overflow: hidden; border: 1px solid var(--line); border-radius: 1.2em; padding: .08rem .7rem; font-size: .85rem; background: var(--sunk); }
.step .state { font-weight: 400; color: var(--text); }
.step.now { border-color: var(--running); }
.step .bar { position: absolute; left: 0; bottom: 0; height: 3px; background: var(--running); }
.sentence { margin: .3rem 0; overflow-wrap: anywhere; max-width: 80ch; }
.sentence.s-FAILURE { background: var(--bad-soft); padding: .3rem .6rem; border-radius: 3px; }
.sentence.s-PARTIAL { background: var(--warn-soft); padding: .3rem .6rem; border-radius: 3px; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 600; }
.scroll { overflow: auto; max-height: 16rem; max-width: 100%; }
.body, .work > .scroll { margin: .3rem 0; }
.scroll th, .scroll td { white-space: nowrap; }
.attempts td:last-child { white-space: normal; min-width: 16rem; }
.logbox { margin-top: .5rem; }
.log { background: var(--page); border: 1px solid var(--line); border-radius: 4px; max-height: 22rem; overflow: auto; font-family: var(--mono); font-size: .82rem; line-height: 1.45; counter-reset: line; padding: .3rem 0; margin-top: .4rem; }
.log div { display: flex; padding-right: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.log .line::before { counter-increment: line; content: counter(line); flex: 0 0 auto; min-width: 4em; text-align: right; padding-right: 1em; color: var(--soft); user-select: none; white-space: nowrap; }
.log .head { font-weight: 600; background: var(--sunk); padding: .1rem .7rem; }
.log .bad { background: var(--bad-soft); } .log .warn { background: var(--warn-soft); } .log .found { background: var(--mark); }
.log .now { outline: 2px solid var(--accent); outline-offset: -2px; }
.results { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); grid-auto-flow: dense; gap: .6rem; margin-top: .5rem; }
.result { border: 1px solid var(--line); border-radius: 4px; padding: .45rem .6rem; min-width: 0; }
.result.wide { grid-column: 1 / -1; }
.result .name { font-weight: 600; overflow-wrap: anywhere; }
.result img { display: block; max-width: 100%; max-height: 20rem; margin: .3rem auto; background: #fff; border-radius: 2px; object-fit: contain; }
.result.wide img { max-height: none; }
.result pre { font-family: var(--mono); font-size: .82rem; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.json { font-family: var(--mono); font-size: .82rem; overflow-wrap: anywhere; }
.json details { margin-left: .9rem; } .json details > summary, details > summary { cursor: pointer; }
.json .leaf { margin-left: 1.75rem; }
.pager { margin: .6rem 0; }
@container (max-width: 34rem) { .file { padding: .5rem .6rem; } .work.old { margin-left: 0; } .filters button { min-height: 2.2rem; } .row > .end { width: 100%; } }
@media (prefers-reduced-motion: no-preference) { .s-running::before { animation: beat 1.6s ease-in-out infinite; } @keyframes beat { 50% { opacity: .35; } } }
@media (forced-colors: active) { .state::before, .dot { forced-color-adjust: none; } }
`;

/* ---- drawing: what is to be shown as plain objects, and the elements that are there made like it. An element that stays
   the same thing stays the same element, and so keeps the focus, what is open in it, and what was typed. */
const h = (tag, props, ...children) => ({ tag, props: props ?? {}, children: children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false && one !== "") });

/* What would turn the text around it or steer a terminal is shown as a sign, not obeyed. */
const tame = (text) => String(text).replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

function set(element, name, value) {
  if (name.startsWith("on")) element[name] = value ?? null;
  else if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
}

function made(spec) {
  if (typeof spec !== "object") return document.createTextNode(tame(spec));
  if (spec instanceof Node) return spec;
  const element = document.createElement(spec.tag);
  element.shown = { tag: spec.tag, key: spec.props.key, props: {} };
  like(element, spec);
  return element;
}

function like(element, spec) {
  const before = element.shown.props;
  for (const name of Object.keys(before)) if (!(name in spec.props)) set(element, name, null);
  for (const [name, value] of Object.entries(spec.props)) if (name !== "key" && before[name] !== value) set(element, name, value);
  element.shown.props = spec.props;
  fill(element, spec.children);
}

function isSame(node, spec) {
  if (spec instanceof Node) return node === spec;
  if (typeof spec !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.shown?.tag === spec.tag && node.shown.key === spec.props.key;
}

function fill(parent, specs) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.shown?.key !== undefined) keyed.set(node.shown.key, node);
  let at = parent.firstChild;
  for (const spec of specs) {
    const key = spec.props?.key;
    let node = key !== undefined ? keyed.get(key) : at && isSame(at, spec) && at.shown?.key === undefined ? at : null;
    if (node && !isSame(node, spec)) node = null;
    if (node) {
      if (typeof spec !== "object") { if (node.data !== tame(spec)) node.data = tame(spec); }
      else if (!(spec instanceof Node)) like(node, spec);
    } else node = spec instanceof Node ? spec : made(spec);
    if (node === at) at = at.nextSibling;
    else if (node.parentNode !== parent || node.nextSibling !== at) {
      // What is in the way and is not wanted any more goes; so what stays is not moved, and keeps the focus.
      while (at && at !== node && !specs.some((other) => isSame(at, other))) { const gone = at; at = at.nextSibling; gone.remove(); }
      if (at === node) at = at.nextSibling;
      else parent.insertBefore(node, at);
    }
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

/* ---- words */
const SIZES = ["B", "kB", "MB", "GB", "TB"];
function size(bytes) {
  if (!(bytes >= 0)) return "";
  let n = 0;
  while (bytes >= 1000 && n < SIZES.length - 1) { bytes /= 1000; n += 1; }
  return `${bytes >= 100 || n === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${SIZES[n]}`;
}

function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const WORDS = { waiting: "waiting", running: "running", held: "held", done: "done", rejected: "refused", failed: "failed", stopped: "stopped" };
const isOver = (one) => Boolean(one.status);
const wordOf = (one) => (isOver(one) ? one.status : WORDS[one.state] ?? one.state);
const classOf = (one) => `s-${one.status ?? one.state}`;

const FILTERS = [
  ["all", "All"], ["on", "Going on"], ["SUCCESS", "SUCCESS"], ["PARTIAL", "PARTIAL"], ["FAILURE", "FAILURE"],
  ["todo", "Not started"], ["none", "No workflow"],
];

/* ---- asking the server */
class Refusal extends Error {
  constructor(status, told) {
    const hint = told?.hint ? ` (${told.hint})` : "";
    super(`${told?.message ?? told ?? `the server answered ${status}`}${hint}`);
    this.status = status;
    this.where = told?.where;
  }
}

class Server {
  constructor(panel) { this.panel = panel; this.secret = ""; this.until = 0; this.asking = null; }

  get base() { return new URL(this.panel.getAttribute("server") || "/", document.baseURI); }

  place(path) { return new URL(path, this.base); }

  async headers(extra = {}, change = false) {
    const token = await this.token();
    if (token) return { ...extra, Authorization: `Bearer ${token}` };
    const csrf = document.querySelector("meta[name=csrf]")?.content;
    return change && csrf ? { ...extra, "X-CSRF-Token": csrf } : extra;
  }

  async token() {
    const { panel } = this;
    if (panel.token) return panel.token;
    const from = panel.getAttribute("token-url");
    if (!from) return "";
    if (this.secret && performance.now() < this.until) return this.secret;
    this.asking ??= this.renew(from).finally(() => { this.asking = null; });
    return this.asking;
  }

  async renew(from) {
    const answer = await fetch(new URL(from, document.baseURI), { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw new Refusal(answer.status, "no permission for this panel could be got; load the page anew");
    const told = await answer.json();
    this.secret = told.token;
    const lasts = Number(told.expires_in) || 300;
    this.until = performance.now() + 1000 * Math.max(lasts - 30, lasts * 0.7); // anew before it ends
    return this.secret;
  }

  async fetch(path, { method = "GET", body, headers = {}, signal, again = true } = {}) {
    const isChange = method !== "GET";
    const more = body === undefined ? headers : { ...headers, "Content-Type": "application/json" };
    let answer;
    try {
      answer = await fetch(this.place(path), {
        method, signal, body: body === undefined ? undefined : JSON.stringify(body),
        headers: await this.headers(more, isChange), credentials: this.panel.token || this.panel.getAttribute("token-url") ? "omit" : "same-origin",
      });
    } catch (error) {
      if (error.name === "AbortError" || error instanceof Refusal) throw error;
      throw new Refusal(0, "the server cannot be reached; what goes on there goes on");
    }
    if (answer.status === 401 && again && this.panel.hasAttribute("token-url")) {
      this.secret = "";
      return this.fetch(path, { method, body, headers, signal, again: false });
    }
    if (!answer.ok) {
      let told = null;
      try { told = (await answer.json()).error; } catch { /* no JSON: the status must do */ }
      throw new Refusal(answer.status, told);
    }
    return answer;
  }

  async get(path, signal) { return (await this.fetch(path, { signal, headers: { Accept: "application/json" } })).json(); }

  async post(path, body = {}) {
    const headers = { Accept: "application/json", "Idempotency-Key": crypto.randomUUID?.() ?? `${Math.random()}${Date.now()}`.slice(2) };
    return (await this.fetch(path, { method: "POST", body, headers })).json();
  }
}

/* Server-Sent Events by fetch, which can send headers: calls `take(type, data, id)` for each until the stream ends. */
async function listen(server, path, take, { signal, last = "", opened = () => {} }) {
  const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
  const answer = await server.fetch(path, { headers, signal });
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", event = { type: "message", data: [], id: "" };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) take(event.type, event.data.join("\n"), event.id);
        event = { type: "message", data: [], id: "" };
        continue;
      }
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at), text = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (name === "event") event.type = text;
      else if (name === "data") event.data.push(text);
      else if (name === "id") event.id = text;
    }
  }
}

/* Streams again and again, with growing pauses and jitter, from where it was; `told` hears "on", "off" and "none". */
async function follow(server, path, take, { signal, told = () => {}, isDone = () => false }) {
  let last = "", tries = 0;
  while (!signal.aborted && !isDone()) {
    const began = performance.now();
    try {
      await listen(server, path, (type, data, id) => { if (id) last = id; tries = 0; take(type, data); }, { signal, last, opened: () => told("on") });
      if (performance.now() - began > 5000) tries = 0;
    } catch (error) {
      if (signal.aborted) return;
      if ([401, 403, 404, 405, 406].includes(error.status)) { told("none", error); return; }
    }
    if (signal.aborted || isDone()) return;
    told("off");
    tries += 1;
    const pause = Math.min(30_000, 500 * 2 ** tries) * (0.5 + Math.random() / 2);
    await new Promise((on) => { const timer = setTimeout(on, pause); signal.addEventListener("abort", () => { clearTimeout(timer); on(); }, { once: true }); });
  }
}

/* ---- the log of a processing: all steps one after another, as they are written */
const BAD = /error|exception|traceback|critical|fatal|segmentation|killed/i, WARN = /warn|caveat/i;

class Log {
  constructor(panel, one) {
    this.panel = panel;
    this.id = one.id;
    this.name = `${one.title} ${one.n}`;
    this.stop = new AbortController();
    this.at = -1;
    this.isOver = false;
    this.pending = []; // what came and is not drawn yet
    this.took = 0; // ms that it took to draw what came last
    this.left = 0; // lines that came and are not shown any more
    const id = (what) => `${what}-${CSS.escape(one.id)}`;
    this.lines = made(h("div", { class: "log", tabindex: "0", role: "region", "aria-label": `Log of ${this.name}` }));
    this.waiting = made(h("p", { class: "small soft" }, "Waiting for the first line …"));
    this.follow = made(h("input", { type: "checkbox", id: id("follow") }));
    this.follow.checked = true;
    this.search = made(h("input", { type: "search", placeholder: "Search the log", "aria-label": `Search the log of ${this.name}` }));
    this.told = made(h("span", { class: "small soft", role: "status" }));
    this.element = made(h("div", { class: "logbox" },
      h("div", { class: "row" },
        h("span", { class: "grow" }, this.search), this.told,
        h("label", { class: "small", for: id("follow") }, this.follow, " Follow"),
        h("button", { type: "button", class: "error", onclick: () => this.error() }, "First error"),
        h("button", { type: "button", class: "download", onclick: () => this.download() }, "Download")),
      this.waiting, this.lines));
    this.lines.hidden = true;
    this.lines.addEventListener("wheel", ({ deltaY }) => { if (deltaY < 0) this.follow.checked = false; }, { passive: true });
    this.lines.addEventListener("keydown", ({ key }) => { if (["ArrowUp", "PageUp", "Home"].includes(key)) this.follow.checked = false; });
    this.follow.addEventListener("change", () => this.toEnd());
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.next(event.shiftKey ? -1 : 1); } });
    this.open = null;
    follow(panel.server, panel.path(`runs/${encodeURIComponent(one.id)}/log`), (type, data) => this.take(type, data), {
      signal: this.stop.signal, isDone: () => this.isOver,
      told: (word, error) => { if (word === "none") this.waiting.textContent = `The log cannot be shown: ${error.message}.`; },
    });
  }

  take(type, data) {
    const told = JSON.parse(data);
    if (type === "step") { if (!told.outcome) this.head(told); }
    else if (type === "line" || type === "lines") this.add(told.text);
    else if (type === "end") {
      this.write();
      this.isOver = true;
      this.follow.checked = false;
      if (this.lines.hidden) this.waiting.textContent = "Nothing was written.";
    }
  }

  head({ step, run }) {
    this.write();
    this.open = null;
    this.put(made(h("div", { class: "head" }, `${step}, run ${run}`)));
  }

  /* What comes quickly is drawn together, and of it only what stays. */
  add(text) {
    this.pending.push(text);
    this.writing ??= setTimeout(() => this.write(), Math.min(2000, Math.max(20, 4 * this.took)));
  }

  write() {
    clearTimeout(this.writing);
    this.writing = null;
    const text = this.pending.splice(0).join("");
    if (text === "") return;
    const began = performance.now();
    const lines = text.split("\n");
    const isWhole = text.endsWith("\n");
    if (isWhole) lines.pop();
    if (lines.length > LINES) {
      this.left += lines.splice(0, lines.length - LINES).length - (this.open ? 1 : 0);
      this.open = null;
    }
    if (this.open && lines.length) { this.open.append(tame(lines.shift())); this.mark(this.open); }
    let last = this.open;
    for (const line of lines) { last = made(h("div", { class: "line" }, line)); this.mark(last); this.put(last, false); }
    this.open = isWhole ? null : last;
    if (this.left) {
      this.lines.style.counterReset = `line ${this.left}`;
      this.waiting.textContent = `The first ${count(this.left, "line")} are left out here; the download has all.`;
      this.waiting.hidden = false;
    }
    if (this.search.value) this.find(true);
    this.toEnd();
    this.took = performance.now() - began;
  }

  put(element, end = true) {
    this.lines.hidden = false;
    this.waiting.hidden = !this.left;
    this.lines.append(element);
    while (this.lines.childElementCount > LINES) {
      const gone = this.lines.firstElementChild;
      if (gone.classList.contains("line")) this.left += 1;
      gone.remove();
    }
    if (end) this.toEnd();
  }

  toEnd() { if (this.follow.checked) this.lines.scrollTop = this.lines.scrollHeight; }

  mark(line) {
    const text = line.textContent;
    line.classList.toggle("bad", BAD.test(text));
    line.classList.toggle("warn", !BAD.test(text) && WARN.test(text));
  }

  show(line) {
    this.follow.checked = false;
    for (const other of this.lines.querySelectorAll(".now")) other.classList.remove("now");
    line.classList.add("now");
    this.lines.scrollTop = line.offsetTop - this.lines.offsetTop - this.lines.clientHeight / 2;
  }

  find(isMore = false) {
    const wanted = this.search.value.toLowerCase();
    let found = 0;
    for (const line of this.lines.querySelectorAll(".line")) {
      const is = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("found", is);
      found += is;
    }
    if (!isMore) { this.at = -1; }
    this.told.textContent = wanted === "" ? "" : `${found} found`;
  }

  next(by) {
    const found = [...this.lines.querySelectorAll(".found")];
    if (!found.length) return;
    this.at = (this.at + by + found.length) % found.length;
    this.show(found[this.at]);
    this.told.textContent = `${this.at + 1} of ${found.length}`;
  }

  error() {
    const first = this.lines.querySelector(".bad");
    if (first) { this.show(first); this.told.textContent = "first error"; } else this.told.textContent = "no error is named";
  }

  async download() {
    try {
      const answer = await this.panel.server.fetch(this.panel.path(`runs/${encodeURIComponent(this.id)}/log`), { headers: { Accept: "text/plain" } });
      save(await answer.blob(), `${this.id}.log`);
    } catch (error) { this.told.textContent = error.message; }
  }

  close() { this.stop.abort(); clearTimeout(this.writing); }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/* ---- a result and its preview; fetched when it comes into sight, two at once */
const wanted = [];
let fetching = 0;

async function pump() {
  if (fetching >= 2 || !wanted.length) return;
  fetching += 1;
  try { await wanted.shift()(); } finally { fetching -= 1; pump(); }
}

const isPicture = (one) => /^image\//.test(one.type) || /\.(png|jpe?g)$/i.test(one.name);
const isStructure = (one) => ["chem/view", "chem/xyz"].includes(one.type);
const isJson = (one) => /json/.test(one.type) || /\.json$/i.test(one.name);

class Result {
  constructor(panel, one) {
    this.panel = panel;
    this.one = one;
    this.body = made(h("div", { class: "body" }));
    const file = one.name || one.output;
    this.element = made(h("div", { class: "result" },
      h("div", { class: "name" }, file),
      h("p", { class: "small soft" }, [one.stage, one.output !== file && one.output, size(one.size)].filter(Boolean).join(" · ")),
      this.body,
      h("div", { class: "row" },
        isStructure(one) && h("button", { type: "button", class: "view", onclick: () => this.view() }, "Show in 3-D"),
        isPicture(one) && h("button", { type: "button", class: "larger", "aria-label": `Show ${file} larger`, "aria-pressed": "false", onclick: ({ currentTarget }) => currentTarget.setAttribute("aria-pressed", String(this.element.classList.toggle("wide"))) }, "Larger"),
        h("button", { type: "button", "aria-label": `Download ${file}`, onclick: () => this.download() }, "Download"))));
    if (one.preview || isPicture(one) || isJson(one)) panel.watch(this);
  }

  look() { wanted.push(() => this.preview()); pump(); }

  async preview() {
    try {
      if (isJson(this.one) && this.one.size <= 400_000) {
        const told = await this.panel.server.get(this.one.url);
        this.body.replaceChildren(made(h("div", { class: "json scroll", tabindex: "0", role: "region", "aria-label": `Content of ${this.one.name}` }, folded(told, "", 0))));
        return;
      }
      const answer = await this.panel.server.fetch(this.one.preview ?? this.one.url);
      const kind = answer.headers.get("Content-Type") ?? "";
      if (kind.startsWith("image/") || isPicture(this.one)) {
        this.body.replaceChildren(made(h("img", { alt: `${this.one.output} of ${this.one.stage}`, src: URL.createObjectURL(await answer.blob()) })));
      } else if (kind.includes("json")) this.body.replaceChildren(made(shown(await answer.json(), this.one)));
    } catch (error) { this.body.replaceChildren(made(h("p", { class: "small soft" }, `No preview: ${error.message}.`))); }
  }

  async view() {
    const button = this.element.querySelector(".view");
    button.setAttribute("aria-busy", "true");
    try {
      const { Structure } = await import(new URL("./structure.js", HERE));
      const text = await (await this.panel.server.fetch(this.one.url)).text();
      const place = document.createElement("div");
      this.element.classList.add("wide");
      this.body.replaceChildren(place);
      await new Structure(place, text, this.one.name || this.one.output).draw();
      button.remove();
    } catch (error) { this.body.replaceChildren(made(h("p", { class: "small soft", role: "alert" }, `It cannot be drawn: ${error.message}`))); }
    button.removeAttribute("aria-busy");
  }

  async download() {
    try { save(await (await this.panel.server.fetch(this.one.url)).blob(), this.one.name || this.one.output); } catch (error) { this.panel.say(error.message); }
  }
}

/* A value of JSON, folded below its first level. */
function folded(value, name, depth) {
  const label = name === "" ? "" : `${name}: `;
  if (value === null || typeof value !== "object") return h("div", { class: "leaf" }, label, typeof value === "string" ? value : String(value));
  const entries = Object.entries(value);
  const head = Array.isArray(value) ? `[${count(value.length, "value")}]` : `{${count(entries.length, "entry").replace("entrys", "entries")}}`;
  if (!Object.values(value).some((one) => one !== null && typeof one === "object") && Array.isArray(value) && value.length <= 6) return h("div", { class: "leaf" }, label, JSON.stringify(value));
  const place = made(h("details", {}, h("summary", {}, label, h("span", { class: "soft" }, head))));
  const open = () => { if (place.childNodes.length === 1) place.append(...entries.slice(0, 200).map(([key, one]) => made(folded(one, key, depth + 1))), ...(entries.length > 200 ? [made(h("div", { class: "leaf soft" }, `and ${entries.length - 200} more`))] : [])); };
  place.addEventListener("toggle", open);
  if (depth === 0) { place.open = true; open(); }
  return place;
}

function shown(told, one) {
  if (told.columns) {
    const rows = told.rows.slice(0, 10);
    const more = (told.total ?? told.rows.length) - rows.length;
    return h("div", {},
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Head of ${one.output}` }, h("table", {}, h("thead", {}, h("tr", {}, told.columns.map((name) => h("th", { scope: "col" }, String(name))))), h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell === null ? "" : String(cell)))))))),
      more > 0 && h("p", { class: "small soft" }, `and ${count(more, "row")} more`));
  }
  if (told.text !== undefined) return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Head of ${one.output}` }, h("pre", {}, told.text));
  return h("p", { class: "small soft" }, told.none ?? told.error?.message ?? "There is no preview.");
}

/* What is the same for a workflow on the same files. */
const nameOf = (workflow, files) => [workflow, ...[...files].sort()].join("\0");

/* What is looked at first stands first. */
const rank = (one) => [isPicture, isStructure, (other) => Boolean(other.preview) && !isJson(other), isJson, () => true].findIndex((is) => is(one));

/* ---- the panel */
class Processing extends HTMLElement {
  static observedAttributes = ["record", "server", "token", "token-url"];

  #token = "";

  constructor() {
    super();
    this.root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(SHEET);
    this.root.adoptedStyleSheets = [sheet];
    this.server = new Server(this);
    this.frame = made(h("section", { "aria-label": "Processing of the files of this record" }));
    this.live = made(h("div", { class: "unseen", role: "status", "aria-live": "polite" }));
    this.root.append(this.frame, this.live);
    this.root.addEventListener("pointerdown", () => this.noticed());
    this.root.addEventListener("keydown", () => this.noticed());
    this.sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting) { this.sight.unobserve(target); target.result.look(); }
    }, { rootMargin: "200px" });
    this.reset();
  }

  get token() { return this.#token || this.getAttribute("token") || ""; }

  set token(value) {
    const had = this.#token;
    this.#token = value ?? "";
    if (this.isConnected && had !== this.#token) this.begin();
  }

  get record() { return this.getAttribute("record") ?? ""; }

  path(rest) { return `/api/v1/workflows/${rest}`; }

  here(rest) { return this.path(`${encodeURIComponent(this.record)}/${rest}`); }

  reset() {
    this.offers = []; // workflows that apply, with their files and why
    this.unmatched = new Map();
    this.works = new Map(); // processings by id
    this.logs = new Map();
    this.results = new Map();
    this.open = new Map(); // what a person opened or closed
    this.fresh = new Set(); // what ended while nobody looked
    this.busy = new Set();
    this.dirty = new Set();
    this.filter = "all";
    this.search = "";
    this.most = PAGE;
    this.said = null;
    this.pulse = "";
    this.isLoaded = false;
    this.looked = this.drawn = 0;
    this.trouble = "";
    this.spoken = [];
  }

  connectedCallback() {
    this.onVisible = () => { if (!document.hidden) { this.untitle(); this.catchUp(); } };
    document.addEventListener("visibilitychange", this.onVisible);
    this.tick = setInterval(() => this.ticked(), 1000);
    this.begin();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.onVisible);
    clearInterval(this.tick);
    this.end();
    this.untitle();
  }

  attributeChangedCallback(name, before, after) { if (this.isConnected && before !== after && before !== null) this.begin(name === "record"); }

  begin(isAnother = false) {
    this.end();
    if (isAnother) this.reset();
    this.stop = new AbortController();
    this.load(this.stop.signal);
  }

  end() {
    this.stop?.abort();
    for (const log of this.logs.values()) log.close();
    this.logs.clear();
  }

  /* What there is, then what happens. */
  async load(signal) {
    this.draw();
    try {
      await Promise.all([this.loadOffers(signal), this.loadWorks(signal)]);
      if (signal.aborted) return;
      this.trouble = "";
      this.isLoaded = true;
      this.draw();
    } catch (error) {
      if (signal.aborted) return;
      this.missed(error, signal);
      this.draw();
      if ([401, 403, 404].includes(error.status)) return;
      setTimeout(() => { if (!signal.aborted) this.load(signal); }, POLL * (1 + Math.random()));
      return;
    }
    follow(this.server, this.here("events"), (type, data) => this.happened(type, data), {
      signal, told: (word) => this.heard(word),
    });
    this.poll(signal);
  }

  async loadOffers(signal) {
    const told = await this.server.fetch(this.path("available"), { method: "POST", body: { record: this.record }, signal });
    const { workflows, unmatched } = await told.json();
    this.looked = performance.now();
    this.offers = workflows;
    this.unmatched = new Map(unmatched.map((one) => [one.key, one.why]));
  }

  async loadWorks(signal) {
    let cursor = "";
    do {
      const more = cursor ? `&after=${encodeURIComponent(cursor)}` : "";
      const told = await this.server.get(`${this.here("list")}?limit=${LIST}${more}`, signal);
      for (const one of told.items) this.take(one);
      cursor = told.next;
      if (cursor) this.plan();
    } while (cursor && !signal.aborted);
  }

  /* ---- news */
  heard(word) {
    const before = this.pulse;
    this.pulse = word === "on" ? "on" : "off";
    if (word === "on" && before !== "on") this.catchUp(before === "off");
    if (before !== this.pulse) this.plan();
  }

  happened(type, data) {
    if (type === "resync") { this.catchUp(); return; }
    let told = {};
    try { told = JSON.parse(data); } catch { return; }
    if (told.item) this.dirty.add(told.item);
    this.refreshing ??= setTimeout(() => this.refresh(), 250);
  }

  async refresh() {
    this.refreshing = null;
    const { signal } = this.stop;
    const items = [...this.dirty];
    this.dirty.clear();
    const byItem = new Map([...this.works.values()].map((one) => [one.item, one.id]));
    try {
      const ids = items.map((item) => byItem.get(item));
      if (ids.length > MANY || ids.includes(undefined)) await this.newest(signal);
      if (ids.includes(undefined)) await this.loadOffers(signal);
      const asked = ids.filter((id) => id !== undefined);
      if (asked.length <= MANY) await Promise.all(asked.map((id) => this.ask(id, signal)));
      else await this.newest(signal, "Pending,Running,Held");
    } catch (error) { this.missed(error, signal); }
    this.plan();
  }

  async ask(id, signal) { this.take(await this.server.get(this.path(`runs/${encodeURIComponent(id)}`), signal)); }

  async newest(signal, status = "") {
    const told = await this.server.get(`${this.here("list")}?limit=${LIST}${status ? `&status=${status}` : ""}`, signal);
    for (const one of told.items) this.take(one);
    return new Set(told.items.map((one) => one.id));
  }

  /* Without a stream everything is asked for; with one only how far what goes on has come. */
  async poll(signal) {
    while (!signal.aborted) {
      await new Promise((on) => { setTimeout(on, POLL * (0.9 + Math.random() / 5)); });
      if (signal.aborted) return;
      const on = [...this.works.values()].filter((one) => !isOver(one));
      const areOld = performance.now() - this.looked > FILES && !document.hidden;
      if (this.pulse === "on" && !areOld && (document.hidden || !on.length)) continue;
      try {
        if (areOld) await this.loadOffers(signal);
        await this.newest(signal);
        const still = on.length ? await this.newest(signal, "Pending,Running,Held") : new Set();
        const gone = on.filter((one) => !still.has(one.id) && !isOver(this.works.get(one.id)));
        await Promise.all(gone.slice(0, MANY).map((one) => this.ask(one.id, signal)));
        this.trouble = "";
      } catch (error) { this.missed(error, signal); }
      this.plan();
    }
  }

  async catchUp(withFiles = true) {
    const signal = this.stop?.signal;
    if (!this.isLoaded || !signal || signal.aborted) return;
    try { await Promise.all([withFiles && this.loadOffers(signal), this.newest(signal)]); } catch (error) { this.missed(error, signal); }
    this.plan();
  }

  missed(error, signal) {
    if (signal.aborted) return;
    this.trouble = error.message;
    if (error.status !== 401) return;
    this.trouble = "The permission for this panel has ended: load the page anew. What goes on goes on.";
    this.stop.abort(); // a token that has ended is not sent again and again
    this.dispatchEvent(new CustomEvent("towpath-token-ended", { bubbles: true, composed: true }));
  }

  take(one) {
    const before = this.works.get(one.id);
    const kept = { ...one, attempts: one.attempts ?? before?.attempts, at: performance.now() };
    this.works.set(one.id, kept);
    if (!this.isLoaded) return;
    if (!before) this.speak(`${one.file}: ${one.title} began`);
    else if (wordOf(before) !== wordOf(one)) this.speak(`${one.file}: ${one.title} ${one.n}: ${wordOf(one)}. ${isOver(one) ? one.sentence : ""}`);
    if (isOver(one) && !(before && isOver(before))) this.finished(kept);
    if (before && isOver(before) && !isOver(one) && kept.attempts) this.ask(one.id, this.stop.signal).catch(() => {});
  }

  finished(one) {
    this.dispatchEvent(new CustomEvent("towpath-finished", { detail: one, bubbles: true, composed: true }));
    if (!document.hidden) return;
    this.fresh.add(one.id);
    this.named ??= document.title;
    document.title = `(${this.fresh.size}) ${this.named}`;
  }

  untitle() {
    if (this.named !== undefined) { document.title = this.named; this.named = undefined; }
  }

  noticed() {
    if (!this.fresh.size || document.hidden) return;
    this.fresh.clear();
    this.plan();
  }

  /* Said to who does not see it: a few sentences at once, or how many. */
  speak(text) {
    this.spoken.push(text);
    this.speaking ??= setTimeout(() => {
      this.speaking = null;
      const said = this.spoken.splice(0);
      this.live.textContent = said.length > 4 ? `${said.length} changes. ${said.at(-1)}` : said.join(". ");
    }, 700);
  }

  say(text, isGood = false) { this.said = { text, isGood }; this.draw(); }

  /* ---- doing */
  async act(key, do_) {
    if (this.busy.has(key)) return;
    this.busy.add(key);
    this.said = null;
    this.draw();
    try { await do_(); } catch (error) { if (error.name !== "AbortError") this.said = { text: `${error.message}${error.where ? ` See ${error.where}.` : ""}` }; }
    this.busy.delete(key);
    this.draw();
  }

  start(body, key) {
    return this.act(key, async () => {
      const told = await this.server.post(this.here("start"), body);
      for (const one of told.workflows) this.take(one);
      const refused = told.refused.map((one) => `${one.files.join(", ")}: ${one.why}`);
      if (!told.workflows.length || refused.length) this.said = { text: [`${count(told.workflows.length, "processing")} started.`, ...refused.slice(0, 5)].join(" "), isGood: told.workflows.length > 0 };
      else this.speak(`${count(told.workflows.length, "processing")} started`);
    });
  }

  async change(one, verb) {
    await this.act(`${verb} ${one.id}`, async () => {
      const told = await this.server.post(this.path(`runs/${encodeURIComponent(one.id)}/${verb}`));
      if (told?.id) this.take(told);
      else await this.ask(one.id, this.stop.signal);
      if (verb === "retry" && this.logs.has(one.id)) this.reopen(one);
    });
  }

  log(one) {
    const log = this.logs.get(one.id);
    if (log) { log.close(); this.logs.delete(one.id); } else this.logs.set(one.id, new Log(this, one));
    this.draw();
  }

  reopen(one) {
    this.logs.get(one.id).close();
    this.logs.set(one.id, new Log(this, one));
  }

  isOpen(key, otherwise = false) { return this.open.get(key) ?? otherwise; }

  toggle(key, now) { this.open.set(key, !now); this.draw(); }

  async attempts(one) {
    const key = `attempts ${one.id}`;
    this.toggle(key, this.isOpen(key));
    if (this.isOpen(key)) await this.act(key, () => this.ask(one.id, this.stop.signal));
  }

  watch(result) { result.element.result = result; this.sight.observe(result.element); }

  result(one) {
    if (!this.results.has(one.product)) this.results.set(one.product, new Result(this, one));
    return this.results.get(one.product).element;
  }

  /* ---- what there is, as rows: one for each file */
  rows() {
    const rows = new Map();
    const row = (key) => { if (!rows.has(key)) rows.set(key, { key, offers: [], works: [], size: null, why: "" }); return rows.get(key); };
    for (const offer of this.offers) for (const key of offer.files) row(key).offers.push(offer);
    for (const [key, why] of this.unmatched) row(key).why = why;
    for (const one of this.works.values()) {
      row(one.file).works.push(one);
      for (const file of one.files ?? []) if (file.size >= 0) row(file.key).size ??= file.size;
    }
    for (const one of rows.values()) {
      one.works.sort((a, b) => b.n - a.n || b.item - a.item);
      one.latest = [...new Map([...one.works].reverse().map((work) => [work.workflow, work])).values()];
      one.todo = one.offers.filter((offer) => !this.workOf(offer));
    }
    return [...rows.values()].sort((a, b) => a.key.localeCompare(b.key, undefined, { numeric: true }));
  }

  workOf(offer) { return this.byFiles.get(nameOf(offer.name, offer.files)) ?? null; }

  is(row, filter) {
    if (filter === "all") return true;
    if (filter === "on") return row.latest.some((one) => !isOver(one));
    if (filter === "todo") return row.todo.length > 0;
    if (filter === "none") return !row.offers.length && !row.works.length;
    return row.latest.some((one) => one.status === filter);
  }

  /* Draws soon; what happens quickly is drawn together. */
  plan() { this.drawing ??= setTimeout(() => { this.drawing = null; this.draw(); }, Math.max(20, this.drawn + GAP - performance.now())); }

  draw() {
    this.byFiles = new Map([...this.works.values()].sort((a, b) => a.item - b.item).map((one) => [nameOf(one.workflow, (one.files ?? []).map((file) => file.key)), one]));
    this.drawn = performance.now();
    const held = this.root.activeElement;
    const place = held?.closest?.("[data-file]")?.dataset.file;
    const rows = this.rows();
    const found = this.search.toLowerCase();
    const chosen = rows.filter((row) => this.is(row, this.filter) && (!found || row.key.toLowerCase().includes(found) || row.works.some((one) => `${one.title} ${one.id}`.toLowerCase().includes(found))));
    const some = chosen.slice(0, this.most);
    fill(this.frame, [
      this.viewTop(rows),
      this.said && h("p", { key: "said", class: `said${this.said.isGood ? " good" : ""}`, role: "alert" }, h("span", {}, this.said.text), h("button", { type: "button", class: "plain", "aria-label": "Close this message", onclick: () => { this.said = null; this.draw(); } }, "×")),
      this.trouble && h("p", { key: "trouble", class: "said", role: "alert" }, h("span", {}, this.trouble)),
      rows.length > 1 && this.viewFilters(rows),
      !this.isLoaded && !this.trouble && !rows.length && h("p", { key: "wait", class: "soft" }, "Looking at the files of the record …"),
      this.isLoaded && !rows.length && h("p", { key: "none", class: "soft" }, "The record has no files yet. What you add to it appears here by itself."),
      this.isLoaded && rows.length > 0 && !chosen.length && h("p", { key: "nothing", class: "soft" }, "No file is like that."),
      h("ul", { key: "rows", class: "rows" }, some.map((row) => this.viewRow(row, rows.length))),
      chosen.length > some.length && h("p", { key: "pager", class: "pager row" },
        h("button", { type: "button", class: "more", onclick: () => { this.most += PAGE; this.draw(); } }, `Show ${Math.min(PAGE, chosen.length - some.length)} more`),
        h("span", { class: "small soft" }, `${some.length} of ${count(chosen.length, "file")} shown`)),
    ].filter(Boolean));
    if (held && !held.isConnected && place !== undefined) this.root.querySelector(`[data-file="${CSS.escape(place)}"] h3`)?.focus();
  }

  viewTop(rows) {
    const todo = this.offers.filter((offer) => !this.workOf(offer));
    const going = [...this.works.values()].filter((one) => !isOver(one)).length;
    const words = { on: "live", off: "asking every 3 s" }[this.pulse] ?? "connecting";
    return h("header", { key: "top", class: "top" },
      h("h2", {}, this.getAttribute("heading") || "Processing", this.fresh.size > 0 && h("span", { class: "dot fresh", role: "img", "aria-label": `${this.fresh.size} finished while you were away`, title: "finished while you were away" })),
      h("span", { class: "small soft grow" }, this.isLoaded && `${count(rows.length, "file")}${going ? `, ${going} going on` : ""}`),
      this.isLoaded && h("span", { class: `pulse ${this.pulse}` }, words),
      todo.length > 0 && h("button", { type: "button", class: "main all", "aria-busy": this.busy.has("all"), onclick: () => this.start({}, "all") }, this.works.size ? `Start all (${todo.length} not started)` : `Start all ${todo.length > 1 ? `(${todo.length})` : ""}`));
  }

  viewFilters(rows) {
    return h("div", { key: "filters", class: "filters row" },
      h("span", { class: "grow" }, h("input", { type: "search", class: "find", placeholder: "Find a file", "aria-label": "Find a file", oninput: (event) => { this.search = event.target.value; this.most = PAGE; this.plan(); } })),
      h("div", { class: "row", role: "group", "aria-label": "Show only" }, FILTERS.map(([name, words]) => {
        const n = rows.filter((row) => this.is(row, name)).length;
        return (n > 0 || name === this.filter) && h("button", { key: name, type: "button", "data-filter": name, "aria-pressed": String(this.filter === name), onclick: () => { this.filter = name; this.most = PAGE; this.draw(); } }, `${words} ${n}`);
      })));
  }

  viewRow(row, total) {
    const works = row.latest;
    const shared = row.offers.map((offer) => this.workOf(offer)).filter((one) => one && one.file !== row.key);
    return h("li", { key: row.key, class: "file", "data-file": row.key },
      h("div", { class: "row" },
        h("h3", { tabindex: "-1" }, row.key), h("span", { class: "small soft" }, row.size !== null && size(row.size)),
        row.works.some((one) => this.fresh.has(one.id)) && h("span", { class: "dot", role: "img", "aria-label": "finished while you were away", title: "finished while you were away" })),
      !row.offers.length && row.why && h("p", { class: "soft why" }, `No workflow: ${row.why.replace(/^no workflow(: | )/, (all, end) => end === " " ? "none " : "")}.`.replace(/\.\.$/, ".")),
      row.todo.map((offer) => h("div", { key: `offer ${offer.name} ${offer.files.join("/")}`, class: "work offer row" },
        h("div", { class: "grow" }, h("h4", {}, offer.title || offer.name), h("p", { class: "small soft why" }, offer.why)),
        h("button", { type: "button", class: "start", "aria-label": `Start ${offer.title || offer.name} on ${offer.files.join(" and ")}`, "aria-busy": this.busy.has(`${offer.name} ${offer.files.join("/")}`),
          onclick: () => this.start({ name: offer.name, files: offer.files }, `${offer.name} ${offer.files.join("/")}`) }, "Start"))),
      works.map((one) => this.viewWork(one, row, total)),
      shared.map((one) => h("p", { key: `shared ${one.id}`, class: "small soft work" }, `It is taken along in ${one.title} ${one.n} of ${one.file}: ${wordOf(one)}.`)));
  }

  viewWork(one, row, total, isOld = false) {
    const earlier = isOld ? [] : row.works.filter((other) => other.workflow === one.workflow && other.id !== one.id);
    const olderKey = `older ${one.workflow} ${row.key}`;
    const resultsKey = `results ${one.id}`;
    const isShown = this.isOpen(resultsKey, !isOld && total <= RESULTS_OPEN);
    const attemptsKey = `attempts ${one.id}`;
    const tried = (one.steps ?? []).reduce((sum, step) => sum + (step.attempts ?? 0), 0);
    const canRetry = ["failed", "stopped"].includes(one.state);
    const log = this.logs.get(one.id);
    const button = (verb, words, title, kind = "") => h("button", { key: verb, type: "button", class: `${verb} ${kind}`, title, "aria-label": `${words}: ${one.title} ${one.n} of ${one.file}`, "aria-busy": this.busy.has(`${verb} ${one.id}`), onclick: () => this.change(one, verb) }, words);
    return h("article", { key: `work ${isOld ? "old " : ""}${one.id}`, class: `work${isOld ? " old" : ""}`, "data-id": one.id, "aria-label": `${one.title} ${one.n} of ${one.file}` },
      h("div", { class: "row" },
        h("h4", {}, `${one.title} `, h("span", { class: "soft" }, `${one.n}`)),
        h("span", { class: `state ${classOf(one)}` }, wordOf(one)),
        h("span", { class: "small soft grow" }, h("span", { class: "elapsed", "data-id": one.id, title: "time since it began" }, lasting(this.elapsed(one))), one.by && ` · by ${one.by}`),
        h("div", { class: "row end" },
          !isOver(one) && button("stop", "Stop", "end what goes on; what is done is kept"),
          canRetry && button("retry", "Try again", "only the steps that failed or were stopped"),
          isOver(one) && button("resubmit", "Run again", "all of it anew, under the next number"))),
      one.why && h("p", { class: "small soft why" }, one.why),
      h("ol", { class: "steps", "aria-label": "Steps" }, (one.steps ?? []).map((step) => this.viewStep(step))),
      one.sentence && h("p", { class: `sentence ${isOver(one) ? `s-${one.status}` : ""}` }, one.sentence),
      h("div", { class: "row" },
        h("button", { key: "log", type: "button", class: "plain logs", "aria-expanded": String(Boolean(log)), onclick: () => this.log(one) }, log ? "Hide the log" : "Log"),
        (one.results ?? []).length > 0 && h("button", { key: "results", type: "button", class: "plain result-toggle", "aria-expanded": String(isShown), onclick: () => this.toggle(resultsKey, isShown) }, `Results (${one.results.length})`),
        tried > 0 && h("button", { key: "attempts", type: "button", class: "plain tried", "aria-expanded": String(this.isOpen(attemptsKey)), onclick: () => this.attempts(one) }, `Attempts (${tried})`),
        earlier.length > 0 && h("button", { key: "older", type: "button", class: "plain older", "aria-expanded": String(this.isOpen(olderKey)), onclick: () => this.toggle(olderKey, this.isOpen(olderKey)) }, `Earlier (${earlier.length})`)),
      log && h("div", { key: "logbox" }, log.element),
      this.isOpen(attemptsKey) && this.viewAttempts(one),
      isShown && (one.results ?? []).length > 0 && h("div", { key: "shown", class: "results" }, [...one.results].sort((a, b) => rank(a) - rank(b)).map((result) => this.result(result))),
      this.isOpen(olderKey) && earlier.map((other) => this.viewWork(other, row, total, true)));
  }

  viewStep(step) {
    const word = step.state === "running" && step.fraction != null ? `${Math.round(100 * step.fraction)} %` : step.status && step.status !== "SUCCESS" && step.state !== "stopped" ? step.status : WORDS[step.state] ?? step.state;
    const told = [step.sentence, step.note, step.waits].filter(Boolean).join(" · ");
    return h("li", { key: step.name, class: `step${step.state === "running" ? " now" : ""}`, title: told || null },
      h("span", { class: `state s-${step.state === "stopped" ? "stopped" : step.status ?? step.state}` }, step.name), " ",
      h("span", { class: "soft" }, word, step.seconds != null && step.state !== "running" && ` ${lasting(step.seconds)}`),
      step.attempts > 1 && h("span", { class: "soft" }, ` · ${step.attempts} tries`),
      step.fraction != null && step.state === "running" && h("span", { class: "bar", role: "progressbar", "aria-label": step.name, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(100 * step.fraction)), style: `width: ${Math.round(100 * step.fraction)}%` }));
  }

  viewAttempts(one) {
    const all = one.attempts ?? [];
    if (!all.length) return h("p", { key: "attempts", class: "small soft" }, "…");
    return h("div", { key: "attempts", class: "scroll attempts", tabindex: "0", role: "region", "aria-label": `Attempts of ${one.title} ${one.n}` }, h("table", {},
      h("thead", {}, h("tr", {}, ["Step", "Run", "Outcome", "Took", "What it says"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, all.map((each) => h("tr", { key: each.run }, h("td", {}, each.step), h("td", {}, each.run), h("td", {}, each.outcome), h("td", {}, lasting(each.seconds)),
        h("td", {}, [...(each.reasons ?? []), ...(each.caveats ?? []), each.error].filter(Boolean).join("; ")))))));
  }

  elapsed(one) { return isOver(one) || one.elapsed === null ? one.elapsed : one.elapsed + (performance.now() - one.at) / 1000; }

  ticked() {
    if (document.hidden) return;
    for (const shown_ of this.root.querySelectorAll(".elapsed")) {
      const one = this.works.get(shown_.dataset.id);
      if (one && !isOver(one)) shown_.firstChild ? (shown_.firstChild.data = lasting(this.elapsed(one))) : shown_.append(lasting(this.elapsed(one)));
    }
  }
}

customElements.get("towpath-processing") ?? customElements.define("towpath-processing", Processing);
export { Processing };
