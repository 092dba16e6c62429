/* What makes the pages live and quick to use; every page is whole without it.
   Parts marked data-live="TYPE,TYPE" (or "*") are fetched anew when such an event comes; nothing else is ever replaced. */
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const every = (selector, within = document) => [...within.querySelectorAll(selector)];

/* An element: make("p", {class: "soft"}, "text", another). Text is only ever text. */
function make(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/* ---- live: one stream, parts fetched anew */
const live = { parts: new Set(), timer: 0, busy: false, gap: 400, last: 0 };

function concerns(part, type) {
  const types = part.dataset.live;
  return type === "resync" || types === "*" || types.split(",").includes(type);
}

function happened(type) {
  for (const part of every("[data-live]")) if (part.id && concerns(part, type)) live.parts.add(part.id);
  plan();
}

function plan() {
  if (!live.parts.size || live.timer || live.busy || document.hidden) return;
  live.timer = setTimeout(refresh, Math.max(150, live.last + live.gap - performance.now()));
}

async function refresh() {
  const parts = [...live.parts];
  live.parts.clear();
  live.timer = 0;
  live.busy = true;
  const began = performance.now();
  try {
    await htmx.ajax("GET", location.pathname + location.search, {
      source: "#main", swap: "none",
      selectOOB: parts.map((id) => `#${CSS.escape(id)}:outerMorph`).join(","),
      headers: { "X-Parts": parts.join(" ") },
    });
  } finally {
    live.last = performance.now();
    live.gap = Math.max(400, 3 * (live.last - began)); // a slow page is asked less often
    live.busy = false;
    plan();
  }
}

/* What changes without an event, such as progress, is asked for now and then while it is shown. */
setInterval(() => {
  if (!one("#stream")) return;
  for (const part of every("[data-poll]")) live.parts.add(part.id);
  plan();
}, 3000);

function pulse(word, words) {
  const shown = one("#pulse");
  if (!shown) return;
  shown.className = `pulse ${word}`;
  one(".words", shown).textContent = words;
}

document.addEventListener("htmx:sse:before:message", (event) => {
  const message = event.detail.message;
  event.detail.cancelled = message.event !== "end"; // what it is about is fetched, the message itself is shown nowhere
  document.dispatchEvent(new CustomEvent("towpath:event", { detail: message }));
  if (event.target.id === "stream") happened(message.event);
});
document.addEventListener("htmx:sse:after:connection", () => pulse("on", "live"));
document.addEventListener("htmx:sse:error", () => pulse("off", "reconnecting"));
document.addEventListener("htmx:sse:close", ({ detail }) => (detail.reason === "message" ? pulse("", "ended") : pulse("off", "not live")));
document.addEventListener("visibilitychange", plan);

htmx.registerExtension("towpath", {
  htmx_config_request: (element, { ctx }) => {
    if (ctx.request.method !== "GET") ctx.request.headers["X-CSRF-Token"] = one("meta[name=csrf]").content;
  },
  /* What a person opened stays open when its part is fetched anew. */
  htmx_before_morph_attr: (element, { attrName }) =>
    !(attrName === "open" && element.tagName === "DETAILS") && !(attrName === "data-shown"),
  /* What a script filled in stays as long as it is of the same thing. */
  htmx_before_morph_node: (element, { newNode }) =>
    !(element.dataset?.shown && element.dataset.shown === newNode.dataset?.preview),
});

/* ---- the frame */
one(".menu")?.addEventListener("click", ({ currentTarget }) => {
  const isOpen = one(".top").classList.toggle("open");
  currentTarget.setAttribute("aria-expanded", String(isOpen));
});

document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (asked && !confirm(asked)) { event.preventDefault(); return; }
  if (event.target.method === "get") // an address without what is empty
    for (const field of event.target.elements) field.disabled ||= field.name && field.value === "" && field.type !== "submit";
});
addEventListener("pageshow", () => every("form[method=get] :disabled").forEach((field) => { field.disabled = false; }));

document.addEventListener("change", ({ target }) => {
  if (target.matches?.("[data-all]")) every(target.dataset.all).forEach((box) => { box.checked = target.checked; });
  if (target.matches?.("[data-all], [data-chosen]")) count();
  if (target.matches?.("[data-submit]")) target.form.requestSubmit();
});

function count() {
  const number = every("[data-chosen]:checked").length;
  every("[data-count]").forEach((shown) => { shown.textContent = number ? `${number} chosen` : "none chosen"; });
}

/* ---- keys */
const KEYS = [
  ["/", "to the filter"], ["j", "next row"], ["k", "row before"], ["Enter", "open it"], ["x", "choose the row"],
  ["n", "next page"], ["g", "then a letter: a page"], ["?", "these keys"], ["Esc", "leave a field, close this"],
];
let going = 0;

function rows() { return every("[data-row]").filter((row) => row.offsetParent); }

function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const row = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  const link = row && (one("a[data-main]", row) ?? one("a", row));
  link?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}

function help() {
  one("dialog.help")?.remove();
  const list = make("dl", { class: "pairs" });
  const tell = (key, text) => list.append(make("dt", {}, ...key.split(" ").flatMap((part) => [make("kbd", {}, part), " "])), make("dd", {}, text));
  for (const [key, text] of KEYS) tell(key, text);
  for (const link of every("[data-go]")) tell(`g ${link.dataset.go}`, link.textContent);
  const close = make("button", { type: "button" }, "Close");
  const shown = make("dialog", { class: "help", "aria-label": "Keys" }, make("h2", {}, "Keys"), list, make("p", {}, close));
  close.addEventListener("click", () => shown.close());
  document.body.append(shown);
  shown.showModal();
}

const DO = {
  "/": () => (one("[data-filter]") ?? one("main input:not([type=hidden])"))?.focus(),
  j: () => step(1), k: () => step(-1),
  n: () => one("[data-next]")?.click(),
  x: () => { one("[data-chosen]", document.activeElement.closest("[data-row]") ?? make("i"))?.click(); },
  g: () => { going = performance.now(); },
  "?": help,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || one("dialog[open]")) return;
  const link = performance.now() - going < 1500 && one(`[data-go="${CSS.escape(event.key)}"]`);
  going = 0;
  if (link) { event.preventDefault(); link.click(); return; }
  if (DO[event.key]) { event.preventDefault(); DO[event.key](); }
});
every(".keys").forEach((button) => { button.hidden = false; button.addEventListener("click", help); });

/* ---- views that a person keeps: in this browser only */
function views(place) {
  const kept = () => { try { return JSON.parse(localStorage.getItem("views") ?? "{}"); } catch { return {}; } };
  const keep = (all) => { localStorage.setItem("views", JSON.stringify(all)); show(); };
  const list = one("ul", place), form = one("form", place);
  function show() {
    list.replaceChildren(...Object.entries(kept()).map(([name, query]) => {
      const drop = make("button", { type: "button", class: "plain", "aria-label": `Forget ${name}` }, "×");
      drop.addEventListener("click", () => { const all = kept(); delete all[name]; keep(all); });
      return make("li", { class: "chip" }, make("a", { href: location.pathname + query }, name), drop);
    }));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep({ ...kept(), [form.elements.name.value]: location.search || "?" });
    form.reset();
  });
  place.hidden = false;
  show();
}
every("[data-views]").forEach(views);

/* ---- signing in by an address that the server printed: the secret is after the #, which no server sees */
if (one("#token") && location.hash.startsWith("#twp_")) {
  one("#token").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  one("#token").form.requestSubmit();
}

/* ---- previews: a picture, the head of a table, or text */
const wanted = []; // two are fetched at once: a browser has six connections to a server, and the stream needs one
let fetching = 0;

async function next() {
  if (fetching >= 2 || !wanted.length) return;
  fetching += 1;
  try { await preview(wanted.shift()); } finally { fetching -= 1; next(); }
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) { seen.unobserve(target); wanted.push(target); next(); }
}, { rootMargin: "300px" });

async function preview(place) {
  place.dataset.shown = place.dataset.preview;
  const waiting = make("p", { class: "empty small" }, "…");
  place.replaceChildren(waiting);
  try {
    const answer = await fetch(place.dataset.preview);
    const kind = answer.headers.get("Content-Type") ?? "";
    if (kind.startsWith("image/")) {
      place.replaceChildren(make("img", { src: URL.createObjectURL(await answer.blob()), alt: place.dataset.name ?? "preview" }));
      return;
    }
    const told = await answer.json();
    place.replaceChildren(shown(told));
  } catch { place.replaceChildren(make("p", { class: "empty" }, "The preview could not be fetched.")); }
}

function shown(told) {
  if (told.columns) {
    const row = (cells, name) => make("tr", {}, ...cells.map((cell) => make(name, {}, cell === null ? "" : String(cell))));
    const more = told.total > told.rows.length ? [make("p", { class: "small soft" }, `${told.rows.length} of ${told.total} rows`)] : [];
    return make("div", {}, make("table", {}, make("thead", {}, row(told.columns, "th")), make("tbody", {}, ...told.rows.map((cells) => row(cells, "td")))), ...more);
  }
  if (told.text !== undefined) return make("pre", {}, told.text);
  return make("p", { class: "empty" }, told.none ?? told.error?.message ?? "There is no preview.");
}

/* A wide drawing is shown around what it is about. */
for (const here of every(".scroll .here")) {
  const place = here.closest(".scroll");
  place.scrollLeft += here.getBoundingClientRect().left - place.getBoundingClientRect().left - place.clientWidth / 2;
  place.scrollTop += here.getBoundingClientRect().top - place.getBoundingClientRect().top - place.clientHeight / 2;
}

function watch() { every("[data-preview]:not([data-shown])").forEach((place) => seen.observe(place)); }
watch();
document.addEventListener("htmx:after:swap", watch);
