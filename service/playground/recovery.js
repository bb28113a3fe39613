// The error banner. While the service is away, wait for it, then repeat what failed.

import { byId, isAway, isReady } from "./page.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 10_000;
const pending = new Map();
let isWaiting = false;
let isAboutAway = false;

// What can be repeated has a name: only its newest attempt is.
export function showError(error, name = null, repeat = null) {
  if (error.name === "AbortError") return;
  isAboutAway = isAway(error);
  if (isAboutAway && repeat) pending.set(name, repeat);
  byId("banner-text").textContent = isAboutAway
    ? `${error.title}. This page tries again until it answers.`
    : error.title ? `${error.title}: ${error.message}` : `Error in this page: ${error.message}`;
  byId("banner").hidden = false;
  if (isAboutAway) waitForService();
}

async function waitForService() {
  if (isWaiting) return;
  isWaiting = true;
  for (let wait = FIRST_WAIT_MS; isWaiting; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (!(await isReady())) continue;
    const repeats = [...pending.values()];
    pending.clear();
    await Promise.all(repeats.map((repeat) => repeat()));
    isWaiting = pending.size > 0;
  }
  // Unless a repetition ended in another error.
  if (isAboutAway) byId("banner").hidden = true;
}

byId("banner-close").addEventListener("click", () => (byId("banner").hidden = true));
