/* A run's log: lines as they are written, followed, searched. Without it the page has the whole log all the same. */
"use strict";

{
  const log = one("#log"), follow = one("#log-follow"), search = one("#log-search"), told = one("#log-found");
  const BAD = /error|exception|traceback|critical|fatal|segmentation|killed/i, WARN = /warn|caveat/i;
  let at = -1;

  function kind(line) {
    line.classList.toggle("bad", BAD.test(line.textContent));
    line.classList.toggle("warn", !line.classList.contains("bad") && WARN.test(line.textContent));
  }

  function add(text) {
    const lines = text.split("\n");
    if ("open" in log.dataset && log.lastElementChild) {
      log.lastElementChild.append(lines.shift());
      kind(log.lastElementChild);
    }
    const isOpen = lines.length ? lines.at(-1) !== "" : true;
    if (lines.at(-1) === "") lines.pop();
    const made = lines.map((line) => { const shown = make("div", {}, line); kind(shown); return shown; });
    log.append(...made);
    if (isOpen) log.dataset.open = ""; else delete log.dataset.open;
    log.hidden = false;
    one("#log-waiting").hidden = true;
    if (search.value) find(false);
    if (follow.checked) log.scrollTop = log.scrollHeight;
  }

  document.addEventListener("towpath:event", ({ detail }) => {
    if (detail.event === "log") add(JSON.parse(detail.data).text);
    if (detail.event === "end") {
      follow.checked = false;
      if (log.hidden) one("#log-waiting").textContent = "It wrote nothing.";
    }
  });

  /* ---- following: whoever scrolls up reads; at the end it follows again */
  log.addEventListener("wheel", ({ deltaY }) => { if (deltaY < 0) follow.checked = false; }, { passive: true });
  log.addEventListener("keydown", ({ key }) => { if (["ArrowUp", "PageUp", "Home"].includes(key)) follow.checked = false; });
  follow.addEventListener("change", () => { if (follow.checked) log.scrollTop = log.scrollHeight; });

  function show(line) {
    follow.checked = false;
    every(".now", log).forEach((other) => other.classList.remove("now"));
    line.classList.add("now");
    line.scrollIntoView({ block: "center" });
  }

  function find(isNew) {
    const wanted = search.value.toLowerCase();
    let found = 0;
    for (const line of log.children) {
      const is = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("found", is);
      found += is;
    }
    log.classList.toggle("searching", wanted !== "");
    told.textContent = wanted === "" ? "" : `${found} found`;
    if (isNew) at = -1;
  }
  search.addEventListener("input", () => find(true));
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const found = every(".found", log);
    if (!found.length) return;
    at = (at + (event.shiftKey ? -1 : 1) + found.length) % found.length;
    show(found[at]);
    told.textContent = `${at + 1} of ${found.length}`;
  });

  one("#log-error").addEventListener("click", () => {
    const first = one(".bad", log);
    if (first) show(first); else told.textContent = "no error is named";
  });

  one("[data-log-tools]").hidden = false;
  if (follow.checked) log.scrollTop = log.scrollHeight;
}
