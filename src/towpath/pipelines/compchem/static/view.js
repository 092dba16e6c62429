/* The page of one structure: fetches its product and draws it. */

import { Structure } from "./structure.js";

const place = document.querySelector("[data-product]");

async function show() {
  const answer = await fetch(`/api/v1/products/${encodeURIComponent(place.dataset.product)}/content`);
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    throw new Error(told?.error?.message ?? `the server answered ${answer.status}`);
  }
  await new Structure(place, await answer.text(), place.dataset.name).draw();
}

show().catch((error) => { place.textContent = `It cannot be drawn: ${error.message}`; place.setAttribute("role", "alert"); });
