// The history: what a shopper viewed or bought, oldest first. It stands in the page's url, so a reload or a link keeps it.

import { byId, element, itemOf, pictureOf } from "./page.js";
import { showError } from "./recovery.js";

const PARAMETER = "item";
const userHistory = [];
let onChange;

export const historyIds = () => userHistory.map((item) => item.item_id);

export const isInHistory = (itemId) => userHistory.some((item) => item.item_id === itemId);

export function addToHistory(item) {
  userHistory.push(item);
  showHistory();
}

export async function loadHistory(itemIds) {
  const found = await Promise.allSettled(itemIds.map(itemOf));
  const failure = found.find((outcome) => outcome.status === "rejected" && outcome.reason.status !== 404);
  if (failure) return showError(failure.reason, "history", () => loadHistory(itemIds));
  const items = found.filter((outcome) => outcome.status === "fulfilled").map((outcome) => outcome.value);
  userHistory.splice(0, userHistory.length, ...items);
  showHistory();
  const missing = itemIds.length - items.length;
  byId("history-missing").textContent = missing ? `${missing} ${missing > 1 ? "products" : "product"} of this history left the catalogue.` : "";
}

function removeFromHistory(place) {
  userHistory.splice(place, 1);
  showHistory();
  (byId("history").querySelectorAll("button")[place] ?? byId("recommendations")).focus();
}

function showHistory() {
  const query = new URLSearchParams(historyIds().map((itemId) => [PARAMETER, itemId]));
  history.replaceState(null, "", userHistory.length ? `?${query}` : location.pathname);
  byId("history").replaceChildren(
    ...userHistory.map((item, place) =>
      element(
        "li",
        { title: item.title },
        pictureOf(item),
        element("button", { type: "button", "aria-label": `Remove ${item.title} from history`, onclick: () => removeFromHistory(place) }, "×"),
      ),
    ),
  );
  byId("history-missing").textContent = "";
  byId("clear").hidden = userHistory.length === 0;
  byId("history-hint").hidden = userHistory.length > 0;
  onChange();
}

// Calls `onHistory` at the start, and after each change.
export function setUpHistory(onHistory) {
  onChange = onHistory;
  byId("clear").addEventListener("click", () => {
    userHistory.length = 0;
    showHistory();
    byId("recommendations").focus({ preventScroll: true });
  });
  const linked = new URLSearchParams(location.search).getAll(PARAMETER);
  if (linked.length) loadHistory(linked);
  else onHistory();
}
