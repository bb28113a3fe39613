// The playground, over the public API alone: click a history together, see recommendations and why.
// Server data enters the page as text, never as HTML.

import { askForKey, keptKey } from "./key.js";
import { byId, clairo, element, itemOf, pictureOf, priceOf, remember, showError } from "./page.js";
import { figuresOf, setUpProducts, showDetail } from "./product.js";
import { clearFilter, loadAttributes, setDiversity, setUpWishes, wishes } from "./wishes.js";

const PAGE_ITEMS = 48;
const RECOMMENDED_ITEMS = 10;
const MOST_RECOMMENDED_ITEMS = 100;
const PROVING_ITEMS = 2;
const SEARCH_DELAY_MS = 200;
const FALLBACKS = {
  empty_history: "The history is empty: these are the most popular products.",
  unknown_history: "The catalogue lacks every product of this history: these are the most popular ones.",
  catalogue_exhausted: "The catalogue has no further products.",
  filter_exhausted: "No further products pass the filter.",
};
const SOURCES = { generative: "generated", dense: "similar", popular: "popular" };

const userHistory = [];
let nextCursor = null;
let listing = new AbortController();
let recommending = new AbortController();
let explaining = null;
let proving = null;

// --- the catalogue

function productOf(item) {
  const card = element(
    "li",
    { class: "product", "data-item-id": item.item_id },
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
  card.classList.toggle("is-chosen", userHistory.some((chosen) => chosen.item_id === item.item_id));
  return card;
}

async function loadPage(isFirst) {
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
  } catch (error) {
    showError(error);
  }
}

// --- history and recommendations

function addToHistory(item) {
  userHistory.push(item);
  showHistory();
}

function removeFromHistory(place) {
  userHistory.splice(place, 1);
  showHistory();
  (byId("history").querySelectorAll("button")[place] ?? byId("recommendations")).focus();
}

function showHistory() {
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
  byId("clear").hidden = userHistory.length === 0;
  byId("history-hint").hidden = userHistory.length > 0;
  const chosen = new Set(userHistory.map((item) => item.item_id));
  for (const card of byId("grid").children) card.classList.toggle("is-chosen", chosen.has(card.dataset.itemId));
  recommend();
}

async function recommend() {
  recommending.abort();
  recommending = new AbortController();
  const { signal } = recommending;
  const proved = proving;
  proving = null;
  byId("recommended").classList.add("is-waiting");
  const startedAt = performance.now();
  const limit = proved ? MOST_RECOMMENDED_ITEMS : RECOMMENDED_ITEMS;
  const body = { history: userHistory.map((item) => item.item_id), limit, ...wishes() };
  explaining = null;
  try {
    const { answer, among } = proved ? await recommendProving(proved, body, signal) : { answer: await clairo.recommend(body, { signal }) };
    const milliseconds = Math.round(performance.now() - startedAt);
    const shown = answer.items.filter((recommended) => recommended.rank <= RECOMMENDED_ITEMS || recommended.item_id === proved?.item_id);
    const items = await Promise.all(shown.map((recommended) => itemOf(recommended.item_id)));
    if (signal.aborted) return;
    // The first click on a "Why?" explains the whole list in one call.
    let whole = null;
    explaining = () => (whole ??= clairo.recommend({ ...body, explain: true }, { signal }));
    byId("recommended").replaceChildren(...shown.map((recommended, place) => recommendedOf(recommended, items[place])));
    byId("recommended-status").textContent = `${milliseconds} ms`;
    showReason(answer, proved, among);
    byId("recommended").classList.remove("is-waiting");
  } catch (error) {
    if (!signal.aborted) byId("recommended").classList.remove("is-waiting");
    showError(error);
  }
}

// The first list that has the new product: of all products, of its category, or of new ones.
async function recommendProving(proved, body, signal) {
  const { category } = proved.attributes;
  const attempts = [
    ["", {}],
    ...(category ? [[` in category “${category}”`, { filter: { attribute: "category", equals: category } }]] : []),
    [" among products posted after training", { filter: { only_new: true } }],
  ];
  for (const [among, narrowed] of attempts) {
    Object.assign(body, narrowed);
    const answer = await clairo.recommend(body, { signal });
    if (answer.items.some((recommended) => recommended.item_id === proved.item_id) || among === attempts.at(-1)[0]) return { answer, among };
  }
}

function showReason(answer, proved, among) {
  let reason = FALLBACKS[answer.fallback_reason] ?? answer.fallback_reason ?? "";
  if (proved) {
    const found = answer.items.find((recommended) => recommended.item_id === proved.item_id);
    const history = userHistory.map((item) => `“${item.title}”`).join(" and ");
    reason = found
      ? `After ${history}, your “${proved.title}” is recommendation number ${found.rank}${among}.`
      : `After ${history}, your “${proved.title}” is not recommended.`;
    byId("recommended").querySelector(`[data-item-id="${CSS.escape(proved.item_id)}"]`)?.classList.add("is-proved");
    byId("recommendations").focus();
  }
  byId("fallback").textContent = reason;
  byId("fallback").hidden = !reason;
}

function recommendedOf(recommended, item) {
  const isGenerated = recommended.source !== "popular";
  const because = element("div", { class: "because", id: `because-${recommended.rank}`, hidden: true });
  const why = element(
    "button",
    { class: "plain why", type: "button", "aria-expanded": "false", "aria-controls": because.id, "aria-label": `Why ${item.title}?` },
    "Why?",
  );
  why.addEventListener("click", () => explain(recommended, why, because));
  return element(
    "li",
    { "data-item-id": recommended.item_id },
    element(
      "button",
      { class: "take", type: "button", title: `score ${recommended.score.toFixed(3)}; click to add to history`, onclick: () => addToHistory(item) },
      element("span", { class: "rank" }, String(recommended.rank)),
      pictureOf(item),
      element("span", { class: "words" }, element("span", { class: "title" }, item.title), element("span", { class: "price" }, priceOf(item))),
      element("span", { class: isGenerated ? "badge" : "badge popular" }, SOURCES[recommended.source] ?? recommended.source),
    ),
    why,
    because,
  );
}

async function explain(recommended, why, because) {
  const isOpen = why.getAttribute("aria-expanded") === "true";
  why.setAttribute("aria-expanded", String(!isOpen));
  because.hidden = isOpen;
  if (isOpen || because.childElementCount) return;
  because.replaceChildren(element("p", {}, "Leaving out each product of the history in turn …"));
  try {
    const answer = await explaining();
    const { explanation } = answer.items.find((item) => item.item_id === recommended.item_id);
    const reasons = explanation.because_of.map((reason) => {
      const factor = Math.exp(reason.effect ?? 0);
      const effect = reason.effect === null ? [] : [`${factor.toFixed(factor < 10 ? 1 : 0)} times as likely with it`];
      const figures = [...effect, figuresOf(reason.modality_similarity)].filter((figure) => figure);
      return element("li", {}, element("strong", {}, reason.title), figures.length ? ` ${figures.join(" · ")}` : "");
    });
    because.replaceChildren(element("p", {}, explanation.text), ...(reasons.length ? [element("ul", {}, ...reasons)] : []));
  } catch (error) {
    because.replaceChildren(element("p", {}, "The explanation failed."));
    showError(error);
  }
}

// Recommend a posted product, after a history of the products most similar to it.
function prove(item, similarItems) {
  userHistory.splice(0, userHistory.length, ...similarItems.slice(0, PROVING_ITEMS));
  clearFilter();
  setDiversity(0);
  proving = item;
  showHistory();
}

// --- the page as a whole

async function showServed() {
  try {
    const served = await clairo.get("info");
    byId("served").textContent = `${served.num_items.toLocaleString("en")} products · ${served.bundle_id}`;
    byId("served").title = `preset ${served.preset}, catalogue version ${served.catalogue_version}`;
    byId("open-add").disabled = !served.can_ingest;
    byId("open-add").title = served.can_ingest ? "" : "This bundle has no encoders and takes no new products";
  } catch (error) {
    showError(error);
  }
}

let searchTimer;
byId("query").addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => loadPage(true), SEARCH_DELAY_MS);
});
byId("search").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => loadPage(false));
byId("clear").addEventListener("click", () => {
  userHistory.length = 0;
  showHistory();
});
byId("banner-close").addEventListener("click", () => (byId("banner").hidden = true));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
byId("open-key").hidden = !keptKey();
byId("open-key").addEventListener("click", async () => {
  if (await askForKey("Enter another key. Browsing needs scope read, adding products write.")) location.reload();
});
setUpWishes(recommend);
setUpProducts({
  onPick: addToHistory,
  onProve: prove,
  onAdded: async () => {
    byId("query").value = "";
    await loadPage(true);
    await loadAttributes();
    recommend();
    showServed();
  },
});

showServed();
loadPage(true);
loadAttributes();
recommend();
