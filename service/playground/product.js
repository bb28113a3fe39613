// A product's details: its words, its tokens, and its nearest neighbours with the codes they share.

import { findAudience, offerAudience } from "./arrival.js";
import { addToHistory } from "./history.js";
import { byId, clairo, element, knownSimilarities, pictureOf, priceOf, remember, written } from "./page.js";
import { showError } from "./recovery.js";

const SIMILAR_ITEMS = 6;
let detailed = null;

// `arrivedAfterMs`: the product was added just now, and was recommendable after this time.
export async function showDetail(itemId, arrivedAfterMs = null) {
  try {
    const item = await clairo.item(itemId);
    detailed = item;
    byId("detail-heading").textContent = item.title;
    byId("detail-picture").replaceChildren(...pictureOf(item).childNodes);
    const seconds = ((arrivedAfterMs ?? 0) / 1000).toFixed(1);
    byId("detail-arrived").textContent = `Added. It can be recommended from now on: ${seconds} seconds after you pressed the button, without any training.`;
    byId("detail-arrived").hidden = arrivedAfterMs === null;
    const words = Object.values(item.texts).filter((text) => text !== item.title);
    const rows = [
      ["Id", item.item_id],
      ...Object.entries(item.attributes).map(([name, value]) => [name, written(value)]),
      ["Missing", item.missing_modalities.map((modality) => (modality === "image" ? "picture" : modality)).join(", ")],
    ].filter(([, value]) => value !== "");
    byId("detail-body").replaceChildren(
      ...words.map((text) => element("p", {}, text)),
      element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    );
    showTokens(item, []);
    byId("similar").replaceChildren();
    byId("similar-section").hidden = true;
    offerAudience(item);
    if (!byId("detail").open) byId("detail").showModal();
    byId("detail").scrollTop = 0;
    await showSimilar(item);
    if (arrivedAfterMs !== null && detailed === item) findAudience(item);
  } catch (error) {
    showError(error);
  }
}

// Features by token, as the generator writes them. Coloured: shared with a neighbour.
function showTokens(item, neighbours) {
  const cells = item.tokens.map((token) => {
    const features = token.features.map(({ category, value }) => {
      const sharing = neighbours.filter((neighbour) => neighbour.feature_set.some((feature) => feature.category === category && feature.value === value)).length;
      const isShared = sharing > 0 && category !== "collision";
      const title = `${category} = ${value}${isShared ? `, shared with ${sharing} of the neighbours below` : ""}`;
      return element("span", { class: isShared ? "code is-shared" : "code", title }, String(value));
    });
    return element("span", { class: "token" }, ...features);
  });
  byId("tokens").replaceChildren(...cells);
  byId("tokens").setAttribute("aria-label", `Tokens: ${item.tokens.map((token) => token.features.map((feature) => feature.value).join(" ")).join(", ")}`);
  const merged = item.tokens.some((token) => token.features.length > 1) ? ` in ${item.tokens.length} tokens` : "";
  const colours = neighbours.length ? " Coloured ones are shared with a neighbour below." : "";
  byId("tokens-text").textContent = `The model reads and writes this product as ${item.semantic_id.length} codes${merged}, made of its picture and words.${colours}`;
}

async function showSimilar(item) {
  let similar;
  try {
    similar = (await clairo.similar(item.item_id, { limit: SIMILAR_ITEMS })).items;
  } catch (error) {
    // A bundle of precomputed codes has no embeddings: no section.
    if (error.status !== 409) throw error;
    return;
  }
  const neighbours = await Promise.all(similar.map((entry) => clairo.item(remember(entry.item).item_id)));
  if (detailed !== item) return;
  byId("similar").replaceChildren(...similar.map(similarOf));
  byId("similar-section").hidden = similar.length === 0;
  showTokens(item, neighbours);
}

function similarOf(similar) {
  return element(
    "li",
    { "data-item-id": similar.item.item_id },
    element(
      "button",
      { type: "button", "aria-label": `Details of ${similar.item.title}`, onclick: () => showDetail(similar.item.item_id) },
      pictureOf(similar.item),
      element("span", { class: "title" }, similar.item.title),
      element("span", { class: "figures" }, priceOf(similar.item)),
      ...knownSimilarities(similar.modality_similarity).map(likenessOf),
    ),
  );
}

function likenessOf([modality, cosine]) {
  const bar = element("i");
  // Not an attribute, which the content security policy forbids.
  bar.style.width = `${Math.max(0, cosine) * 100}%`;
  return element("span", { class: "likeness" }, element("span", {}, modality), element("span", { class: "bar" }, bar), element("span", {}, cosine.toFixed(2)));
}

export function setUpProducts() {
  byId("detail-pick").addEventListener("click", () => {
    byId("detail").close();
    addToHistory(detailed);
  });
}
