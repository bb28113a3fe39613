// Sample shoppers: users that the service knows, and what it knows of each. One click loads a history.

import { loadHistory } from "./history.js";
import { byId, clairo, element, itemOf, pictureOf } from "./page.js";
import { showError } from "./recovery.js";

const OFFERED_SHOPPERS = 3;
const LISTED_SHOPPERS = 200;
const SHOWN_PICTURES = 3;
const MAX_HISTORY_ITEMS = 50;
// Events that never become part of a history, unless a bundle's rules say otherwise.
const UNREAD_EVENTS = ["impression", "dislike"];
let shopperIds = [];
let offered = 0;

// Ids of shoppers with something to read, at most `LISTED_SHOPPERS`.
export async function listShoppers(options) {
  const { users } = await clairo.get("users", { limit: LISTED_SHOPPERS }, options);
  return users.filter((user) => user.num_events + user.num_bundle_items > 0).map((user) => user.user_id);
}

// Item ids, oldest first, each at its newest place.
export async function historyOf(shopperId, options) {
  const user = await clairo.get(`users/${encodeURIComponent(shopperId)}`, { limit: 1000 }, options);
  const acted = user.events.filter((event) => !UNREAD_EVENTS.includes(event.type)).map((event) => event.item_id);
  const newestFirst = new Set([...user.bundle_item_ids, ...acted].reverse());
  return [...newestFirst].slice(0, MAX_HISTORY_ITEMS).reverse();
}

// The newest pictures of a history. An item that left the catalogue has none.
export async function picturesOf(itemIds, count) {
  const found = await Promise.allSettled(itemIds.slice(-count).map(itemOf));
  return element("span", { class: "stack" }, ...found.filter((outcome) => outcome.value).map((outcome) => pictureOf(outcome.value)));
}

async function buttonOf(shopperId) {
  const itemIds = await historyOf(shopperId);
  const label = `Load the history of ${shopperId}: ${itemIds.length} products`;
  return element(
    "button",
    { class: "shopper", type: "button", "aria-label": label, onclick: () => loadHistory(itemIds) },
    await picturesOf(itemIds, SHOWN_PICTURES),
    element("span", { class: "name" }, shopperId),
  );
}

async function offerShoppers() {
  const ids = shopperIds.slice(offered, offered + OFFERED_SHOPPERS);
  byId("shopper-list").replaceChildren(...(await Promise.all(ids.map(async (id) => element("li", {}, await buttonOf(id))))));
  byId("shoppers").hidden = ids.length === 0;
  byId("other-shoppers").hidden = shopperIds.length <= OFFERED_SHOPPERS;
}

export async function loadShoppers() {
  try {
    shopperIds = await listShoppers();
    await offerShoppers();
  } catch (error) {
    showError(error, "shoppers", loadShoppers);
  }
}

export function setUpShoppers() {
  byId("other-shoppers").addEventListener("click", () => {
    offered = offered + OFFERED_SHOPPERS < shopperIds.length ? offered + OFFERED_SHOPPERS : 0;
    offerShoppers().catch(showError);
  });
}
