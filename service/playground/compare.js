// Two bundles side by side, for the history and filter of this moment. The second one is an experiment's.

import { historyIds } from "./history.js";
import { byId, recommendEach } from "./page.js";
import { showError } from "./recovery.js";
import { twoLists } from "./two_lists.js";
import { wishes } from "./wishes.js";

const COMPARED_ITEMS = 10;
let bundleIds = [];

export function offerComparison(answeringIds) {
  bundleIds = answeringIds;
  byId("open-compare").hidden = bundleIds.length < 2;
}

async function compare() {
  const body = { history: historyIds(), limit: COMPARED_ITEMS, ...wishes() };
  try {
    const [one, other] = await recommendEach(bundleIds.map((bundleId) => ({ ...body, bundle_id: bundleId })));
    const common = one.items.filter((item) => other.items.some(({ item_id: itemId }) => itemId === item.item_id)).length;
    byId("compare-text").textContent = `The same history, asked of both bundles: ${common} of ${one.items.length} products are in both lists.`;
    const [left, right] = [one, other].map(({ bundle_id: heading, items }) => ({ heading, items, mark: "only here" }));
    byId("compare-lists").replaceChildren(twoLists(left, right));
    byId("compare").showModal();
  } catch (error) {
    showError(error);
  }
}

export function setUpComparison() {
  byId("open-compare").addEventListener("click", compare);
}
