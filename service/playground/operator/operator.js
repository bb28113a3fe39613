// The operator's page, over the public API alone: one room shown at a time, named by the url's fragment.
// Server data enters the page as text, never as HTML.

import { keptKey } from "../key.js";
import { byId, clairo, isAway, isReady } from "../page.js";
import { showBundles } from "./bundles.js";
import { showExperiments } from "./experiments.js";
import { setUpItems, showItems } from "./items.js";
import { showJobs } from "./jobs.js";
import { showLive } from "./live.js";
import { changeKey, showProblem } from "./parts.js";
import { showPlacements } from "./placements.js";

const ROOMS = { live: showLive, bundles: showBundles, experiments: showExperiments, placements: showPlacements, items: showItems, jobs: showJobs };
const RETRY_MS = 2_000;
let leaving = new AbortController();

async function enter() {
  const name = Object.hasOwn(ROOMS, location.hash.slice(1)) ? location.hash.slice(1) : "live";
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  for (const room of Object.keys(ROOMS)) byId(room).hidden = room !== name;
  for (const link of byId("rooms").children) {
    if (link.hash !== `#${name}`) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
  document.title = `${byId(`${name}-heading`).textContent} · CLAIRO operator`;
  try {
    showProblem(byId(`${name}-problem`), null);
    await ROOMS[name](signal);
  } catch (error) {
    if (signal.aborted) return;
    showProblem(byId(`${name}-problem`), error);
    if (isAway(error)) await enterOnceReady(signal);
  }
}

async function enterOnceReady(signal) {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    if (signal.aborted || !(await isReady())) continue;
    showServed();
    await enter();
  }
}

async function showServed() {
  try {
    const served = await clairo.get("info");
    byId("served").textContent = `${served.num_items.toLocaleString("en")} items · ${served.bundle_id}`;
  } catch (error) {
    byId("served").textContent = error.title ?? "The service cannot be reached";
  }
}

addEventListener("hashchange", () => {
  byId("changed").replaceChildren();
  enter();
  scrollTo(0, 0);
  document.querySelector("main > section:not([hidden]) h2").focus({ preventScroll: true });
});
document.addEventListener("clairo-changed", showServed);
document.querySelector(".skip").addEventListener("click", (event) => {
  // The fragment names the room.
  event.preventDefault();
  byId("content").focus();
});
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
byId("open-key").hidden = !keptKey();
byId("open-key").addEventListener("click", changeKey);
setUpItems();
showServed();
enter();
