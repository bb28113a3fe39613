// A product's details with similar products, and the form that adds a product.

import { byId, call, element, pictureOf, priceOf, Problem, remember, showError, written } from "./page.js";

const MAX_PICTURE_BYTES = 10 * 1024 * 1024;
const SIMILAR_ITEMS = 6;
let detailed = null;
let similarItems = [];
let pictureFile = null;
let lastProposedId = "";

// --- details

export async function showDetail(itemId) {
  try {
    const item = await call(`/items/${encodeURIComponent(itemId)}`);
    detailed = item;
    byId("detail-heading").textContent = item.title;
    byId("detail-picture").replaceChildren(...pictureOf(item).childNodes);
    const words = Object.values(item.texts).filter((text) => text !== item.title);
    const tokens = item.tokens.map((token) =>
      element("span", { class: "token", title: `token ${token.token}` }, token.features.map((feature) => `${feature.category}=${feature.value}`).join(" + ")),
    );
    const rows = [
      ["Id", item.item_id],
      ...Object.entries(item.attributes).map(([name, value]) => [name, written(value)]),
      ["Semantic id", item.semantic_id.join(" · ")],
      ["Tokens", ...tokens],
      ["Missing", item.missing_modalities.join(", ")],
    ].filter(([, ...values]) => values.some((value) => value !== ""));
    byId("detail-body").replaceChildren(
      ...words.map((text) => element("p", {}, text)),
      element("dl", {}, ...rows.flatMap(([name, ...values]) => [element("dt", {}, name), element("dd", {}, ...values)])),
    );
    byId("detail-prove").hidden = item.origin !== "posted";
    if (!byId("detail").open) byId("detail").showModal();
    byId("detail").scrollTop = 0;
    await showSimilar(itemId);
  } catch (error) {
    showError(error);
  }
}

async function showSimilar(itemId) {
  similarItems = [];
  byId("similar").replaceChildren();
  byId("similar-section").hidden = true;
  try {
    const answer = await call(`/items/${encodeURIComponent(itemId)}/similar?limit=${SIMILAR_ITEMS}`);
    if (detailed?.item_id !== itemId) return;
    similarItems = answer.items.map((similar) => remember(similar.item));
    byId("similar").replaceChildren(...answer.items.map(similarOf));
    byId("similar-section").hidden = answer.items.length === 0;
  } catch (error) {
    // A bundle of precomputed codes has no embeddings: no section.
    if (error.status !== 409) throw error;
  }
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
      element("span", { class: "figures" }, figuresOf(similar.modality_similarity)),
    ),
  );
}

// "text 0.83 · image 0.40". Modalities that either product lacks are left out.
export function figuresOf(byModality) {
  const known = Object.entries(byModality).filter(([, cosine]) => cosine !== null);
  return known.map(([modality, cosine]) => `${modality} ${cosine.toFixed(2)}`).join(" · ");
}

// --- adding a product

function choosePicture(file) {
  pictureFile = file ?? null;
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = pictureFile === null;
  byId("drop-text").hidden = pictureFile !== null;
  if (pictureFile === null) preview.removeAttribute("src");
  else preview.src = URL.createObjectURL(pictureFile);
}

function proposeId() {
  const { title, item_id: id } = byId("add-form").elements;
  if (id.value !== lastProposedId) return;
  const words = title.value.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60);
  lastProposedId = words && `${words}-${Math.random().toString(36).slice(2, 6)}`;
  id.value = lastProposedId;
}

function showAddProblem(problem) {
  const place = byId("add-problem");
  const errors = problem.errors ?? [];
  const fields = errors.map((error) => element("li", {}, `${error.loc.join(" → ") || "product"}: ${error.msg}`));
  place.replaceChildren(element("strong", {}, problem.title ?? "Error in this page"), fields.length ? element("ul", {}, ...fields) : problem.message);
  place.hidden = false;
  const wrong = new Set(errors.map((error) => String(error.loc.at(-1))));
  for (const input of byId("add-form").elements) if (input.name) input.setAttribute("aria-invalid", String(wrong.has(input.name)));
}

async function addProduct(event, onAdded) {
  event.preventDefault();
  const form = byId("add-form");
  byId("add-problem").hidden = true;
  if (pictureFile && pictureFile.size > MAX_PICTURE_BYTES) {
    showAddProblem(new Problem({ title: "The picture is too large", detail: `Got ${(pictureFile.size / 1024 / 1024).toFixed(1)} MiB, expected at most 10 MiB.` }));
    return;
  }
  const body = new FormData();
  for (const name of ["item_id", "title", "description"]) body.set(name, form.elements[name].value);
  if (pictureFile) body.set("picture", pictureFile);
  byId("add-submit").disabled = true;
  try {
    const attributes = ["category", "price"].map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value);
    const { attributes: types } = await call("/schema");
    const typed = attributes.map(([name, value]) => [name, types[name]?.type === "number" && Number.isFinite(Number(value)) ? Number(value) : value]);
    if (typed.length) body.set("attributes", JSON.stringify(Object.fromEntries(typed)));
    const item = remember(await call("/items", { method: "POST", body }));
    byId("add").close();
    form.reset();
    choosePicture(null);
    await onAdded(item);
    await showDetail(item.item_id);
  } catch (error) {
    showAddProblem(error);
  } finally {
    byId("add-submit").disabled = false;
  }
}

// onPick: add the product to the history. onProve: recommend it after a history of similar products.
export function setUpProducts({ onPick, onProve, onAdded }) {
  byId("open-add").addEventListener("click", () => {
    byId("add-problem").hidden = true;
    lastProposedId = byId("add-form").elements.item_id.value;
    byId("add").showModal();
    byId("add-form").elements.title.focus();
  });
  byId("add-form").addEventListener("submit", (event) => addProduct(event, onAdded));
  byId("add-form").elements.title.addEventListener("input", proposeId);
  byId("picture").addEventListener("change", (event) => choosePicture(event.target.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    byId("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("is-over", kind === "dragover");
      if (kind === "drop") choosePicture(event.dataTransfer.files[0]);
    });
  }
  byId("detail-pick").addEventListener("click", () => {
    byId("detail").close();
    onPick(detailed);
  });
  byId("detail-prove").addEventListener("click", () => {
    byId("detail").close();
    onProve(detailed, similarItems);
  });
}
