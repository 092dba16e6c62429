/* The panel in a frame of another site. The token comes after the # of the address, which no server sees:
   #token=…; who frames it gives another one by changing that. Tells who frames it how high it is, and what finished. */

import { Processing } from "./processing.js";

const place = document.querySelector("[data-record]");
const panel = document.createElement("towpath-processing");

function token() { return new URLSearchParams(location.hash.slice(1)).get("token") ?? ""; }

function tell(what) { if (parent !== window) parent.postMessage({ towpath: what }, "*"); }

function begin() {
  if (!token()) { place.textContent = "This panel needs a token of the site that shows it. Load that site's page anew."; return; }
  panel.token = token();
  if (!panel.isConnected) place.replaceChildren(panel);
}

panel.setAttribute("record", place.dataset.record);
panel.addEventListener("towpath-finished", ({ detail }) => tell({ finished: { id: detail.id, file: detail.file, status: detail.status } }));
panel.addEventListener("towpath-token-ended", () => tell({ token: "ended" }));
addEventListener("hashchange", begin);
new ResizeObserver(() => tell({ height: document.documentElement.scrollHeight })).observe(document.body);
if (panel instanceof Processing) begin();
