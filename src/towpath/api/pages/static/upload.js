/* Shows how much of a delivery is sent. Without it the form is sent as any other. */
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  const shown = form.querySelector("[data-progress]");
  if (!shown || event.defaultPrevented) return;
  event.preventDefault();
  const bar = shown.querySelector("progress"), words = shown.querySelector("[role=status]"), button = form.querySelector("button");
  const done = (text) => { words.textContent = text; button.disabled = false; };
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("X-Requested-With", "towpath");
  request.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    bar.value = total ? loaded / total : 0;
    words.textContent = loaded < total ? `${Math.round((100 * loaded) / total)} % sent` : "sent; it is being verified";
  });
  request.addEventListener("load", () => {
    const to = request.getResponseHeader("X-Go");
    if (to) { location.assign(to); return; }
    done(`It was not taken (${request.status}${request.status === 413 ? ": it is too large" : ""}).`);
  });
  request.addEventListener("error", () => done("The connection broke; nothing was delivered. Try again."));
  shown.hidden = false;
  button.disabled = true;
  request.send(new FormData(form));
});
