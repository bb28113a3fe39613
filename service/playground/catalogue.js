// The catalogue's grid: newest first, or what a search finds.

import { addToHistory, isInHistory } from "./history.js";
import { byId, clairo, element, pictureOf, priceOf, remember } from "./page.js";
import { showDetail } from "./product.js";
import { showError } from "./recovery.js";

const PAGE_ITEMS = 48;
const SEARCH_DELAY_MS = 200;
let nextCursor = null;
let listing = new AbortController();

function productOf(item) {
  return element(
    "li",
    { class: isInHistory(item.item_id) ? "product is-chosen" : "product", "data-item-id": item.item_id },
    item.origin === "posted" ? element("span", { class: "badge" }, "new") : null,
    element(
      "button",
      { class: "pick", type: "button", "aria-label": `Add ${item.title} to history`, onclick: () => addToHistory(item) },
      pictureOf(item),
      element("span", { class: "title", title: item.title }, item.title),
    ),
    element(
      "span",
      { class: "foot" },
      element("span", { class: "attribute" }, priceOf(item)),
      element("button", { class: "plain", type: "button", "aria-label": `Details of ${item.title}`, onclick: () => showDetail(item.item_id) }, "Details"),
    ),
  );
}

export async function loadPage(isFirst) {
  listing.abort();
  listing = new AbortController();
  const query = { limit: PAGE_ITEMS, q: byId("query").value, cursor: isFirst ? null : nextCursor };
  try {
    const page = await clairo.get("items", query, { signal: listing.signal });
    const cards = page.items.map(remember).map(productOf);
    if (isFirst) byId("grid").replaceChildren(...cards);
    else byId("grid").append(...cards);
    if (!isFirst) cards[0]?.querySelector("button").focus({ preventScroll: true });
    nextCursor = page.next_cursor;
    const count = byId("grid").childElementCount;
    byId("more").hidden = nextCursor === null;
    byId("nothing-found").hidden = count > 0;
    byId("catalogue-count").textContent = count ? `${count}${nextCursor ? "+" : ""} shown` : "";
    // On phones, history and recommendations stand above what was found.
    if (isFirst && query.q && byId("grid").getBoundingClientRect().top > innerHeight / 2) byId("catalogue-heading").scrollIntoView();
  } catch (error) {
    showError(error, "catalogue", () => loadPage(isFirst));
  }
}

export function markChosen() {
  for (const card of byId("grid").children) card.classList.toggle("is-chosen", isInHistory(card.dataset.itemId));
}

export function setUpCatalogue() {
  let timer;
  byId("query").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => loadPage(true), SEARCH_DELAY_MS);
  });
  byId("search").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => loadPage(false));
}
