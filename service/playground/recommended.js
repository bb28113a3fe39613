// The recommendations for the history: the list with its badges, why each is there, and the phone's bar that leads back to it.

import { addToHistory, historyIds } from "./history.js";
import { byId, element, isPosted, knownSimilarities, pictureOf, priceOf, recommendShown } from "./page.js";
import { showError } from "./recovery.js";
import { wishes } from "./wishes.js";

const RECOMMENDED_ITEMS = 10;
const BAR_PICTURES = 3;
const FALLBACKS = {
  empty_history: "The history is empty: these are the most popular products.",
  unknown_history: "The catalogue lacks every product of this history: these are the most popular ones.",
  catalogue_exhausted: "The catalogue has no further products.",
  filter_exhausted: "No further products pass the filter.",
  group_exhausted: "No further products fit into their groups.",
};
const SOURCES = {
  generative: ["generated", "The model wrote this product as the next one."],
  dense: ["looks and words alike", "Its picture and words fit the history as a whole."],
  popular: ["popular", "Bought most often. Fills the list until the history says more."],
  trending: ["trending", "Bought more and more at the moment."],
  latest: ["latest", "Posted most recently."],
};

let recommending = new AbortController();
let explaining = null;
let isInView = true;

export async function recommend() {
  recommending.abort();
  recommending = new AbortController();
  const { signal } = recommending;
  byId("recommended").classList.add("is-waiting");
  const startedAt = performance.now();
  const body = { history: historyIds(), limit: RECOMMENDED_ITEMS, ...wishes() };
  explaining = null;
  try {
    const answer = await recommendShown(body, { signal });
    const milliseconds = Math.round(performance.now() - startedAt);
    // The first click on a "Why?" explains the whole list in one call.
    let whole = null;
    explaining = () => (whole ??= recommendShown({ ...body, explain: true }, { signal }));
    showRecommended(answer);
    byId("recommended-status").textContent = `${answer.items.length} in ${milliseconds} ms`;
  } catch (error) {
    showError(error, "recommendations", recommend);
  } finally {
    if (!signal.aborted) byId("recommended").classList.remove("is-waiting");
  }
}

function showRecommended(answer) {
  const rows = [...byId("recommended").children];
  const before = new Set(rows.map((row) => row.dataset.itemId));
  const focused = rows.findIndex((row) => row.contains(document.activeElement));
  const kind = document.activeElement.classList.contains("why") ? ".why" : ".take";
  byId("recommended").replaceChildren(...answer.items.map(recommendedOf));
  // The focus stays at its place in the list.
  if (focused >= 0) (byId("recommended").children[focused]?.querySelector(kind) ?? byId("recommendations")).focus({ preventScroll: true });
  const arrived = before.size ? [...byId("recommended").children].filter((row) => !before.has(row.dataset.itemId)) : [];
  for (const row of arrived) row.classList.add("is-arriving");
  const reason = FALLBACKS[answer.fallback_reason] ?? answer.fallback_reason ?? "";
  byId("fallback").textContent = reason;
  byId("fallback").hidden = !reason;
  const sources = new Set(answer.items.map((item) => item.source));
  const known = Object.entries(SOURCES).filter(([source]) => sources.has(source));
  byId("legend").replaceChildren(...known.flatMap(([source, [, words]]) => [element("dt", {}, badgeOf(source)), element("dd", {}, words)]));
  byId("changed-pictures").replaceChildren(...answer.items.slice(0, BAR_PICTURES).map(pictureOf));
  byId("changed").hidden = isInView || arrived.length === 0;
}

function badgeOf(source) {
  const isLearned = source === "generative" || source === "dense";
  return element("span", { class: isLearned ? `badge ${source}` : "badge popular" }, SOURCES[source]?.[0] ?? source);
}

function recommendedOf(item) {
  const because = element("div", { class: "because", id: `because-${item.rank}`, hidden: true });
  const why = element(
    "button",
    { class: "plain why", type: "button", "aria-expanded": "false", "aria-controls": because.id, "aria-label": `Why? Explain ${item.title}` },
    "Why?",
  );
  why.addEventListener("click", () => explain(item, why, because));
  return element(
    "li",
    { "data-item-id": item.item_id },
    element(
      "button",
      { class: "take", type: "button", "aria-label": `Add ${item.title} to history`, title: `score ${item.score.toFixed(3)}`, onclick: () => addToHistory(item) },
      element("span", { class: "rank" }, String(item.rank)),
      pictureOf(item),
      element(
        "span",
        { class: "words" },
        element("span", { class: "title" }, ...titleOf(item)),
        element("span", { class: "price" }, priceOf(item), badgeOf(item.source)),
      ),
    ),
    why,
    because,
  );
}

function titleOf(item) {
  return isPosted(item.item_id) ? [`${item.title} `, element("span", { class: "badge" }, "new")] : [item.title];
}

async function explain(item, why, because) {
  const isOpen = why.getAttribute("aria-expanded") === "true";
  why.setAttribute("aria-expanded", String(!isOpen));
  because.hidden = isOpen;
  if (isOpen || because.childElementCount) return;
  because.replaceChildren(element("p", {}, "Leaving out each product of the history in turn …"));
  try {
    const answer = await explaining();
    const { explanation } = answer.items.find((explained) => explained.item_id === item.item_id);
    const reasons = explanation.because_of.map((reason) => {
      const factor = Math.exp(reason.effect ?? 0);
      const effect = reason.effect === null ? [] : [`${factor.toFixed(factor < 10 ? 1 : 0)} times as likely with it`];
      const alike = knownSimilarities(reason.modality_similarity)
        .filter(([, cosine]) => cosine > 0)
        .map(([modality, cosine]) => `${modality} alike ${cosine.toFixed(2)}`);
      const figures = [...effect, ...alike];
      return element("li", {}, element("strong", {}, reason.title), figures.length ? ` ${figures.join(" · ")}` : "");
    });
    because.replaceChildren(element("p", {}, explanation.text), ...(reasons.length ? [element("ul", {}, ...reasons)] : []));
  } catch (error) {
    because.replaceChildren(element("p", {}, "The explanation failed."));
    showError(error);
  }
}

export function setUpRecommended() {
  const onVisible = ([{ isIntersecting }]) => {
    isInView = isIntersecting;
    if (isInView) byId("changed").hidden = true;
  };
  new IntersectionObserver(onVisible).observe(byId("recommended"));
  byId("changed").addEventListener("click", () => {
    byId("recommendations").scrollIntoView();
    byId("recommendations").focus({ preventScroll: true });
  });
}
