// The playground: a page over the public API alone. Builds a history by clicking, shows what comes next.
// Everything a server sent is put into the page as text, never as HTML.

const PAGE_ITEMS = 48;
const RECOMMENDED_ITEMS = 10;
const MAX_PICTURE_BYTES = 10 * 1024 * 1024;
const SEARCH_DELAY_MS = 200;
const FALLBACKS = {
  empty_history: "No history yet, so these are the most popular products.",
  unknown_history: "No product of this history is known, so these are the most popular ones.",
  catalogue_exhausted: "The catalogue has no more products than these.",
};
const SOURCES = { generative: "generated", dense: "similar", popular: "popular" };

const byId = (id) => document.getElementById(id);
const knownItems = new Map();
const userHistory = [];
let nextCursor = null;
let listing = new AbortController();
let recommending = new AbortController();
let pictureFile = null;
let lastProposedId = "";
let detailed = null;

// --- the API

class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.title = document.title;
    this.errors = document.errors ?? [];
  }
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service cannot be reached", detail: "Is it still running?" });
  }
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  const document = isJson ? await answer.json() : { title: `Status ${answer.status}`, detail: answer.statusText };
  if (!answer.ok) throw new Problem(document);
  return document;
}

async function itemOf(itemId) {
  if (!knownItems.has(itemId)) knownItems.set(itemId, await call(`/items/${encodeURIComponent(itemId)}`));
  return knownItems.get(itemId);
}

// --- small pieces of page

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function pictureOf(item) {
  const frame = element("span", { class: "picture" });
  const initial = element("span", { class: "initial", "aria-hidden": "true" }, item.title.slice(0, 1).toUpperCase());
  if (!item.picture_url) {
    frame.append(initial);
    return frame;
  }
  const picture = element("img", { src: item.picture_url, alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(initial));
  frame.append(picture);
  return frame;
}

function showError(error) {
  if (error.name === "AbortError") return;
  byId("banner-text").textContent = error.title ? `${error.title}: ${error.message}` : `This page has a fault: ${error.message}`;
  byId("banner").hidden = false;
}

// --- the catalogue

function productOf(item) {
  const attribute = item.attributes.price ?? Object.values(item.attributes)[0] ?? "";
  const card = element(
    "li",
    { class: "product", "data-item-id": item.item_id },
    item.origin === "posted" ? element("span", { class: "badge" }, "new") : null,
    element(
      "button",
      { class: "pick", type: "button", "aria-label": `Add ${item.title} to the history`, onclick: () => addToHistory(item) },
      pictureOf(item),
      element("span", { class: "title", title: item.title }, item.title),
    ),
    element(
      "span",
      { class: "foot" },
      element("span", { class: "attribute" }, attribute),
      element("button", { class: "plain", type: "button", "aria-label": `Details of ${item.title}`, onclick: () => showDetail(item.item_id) }, "Details"),
    ),
  );
  card.classList.toggle("is-chosen", userHistory.some((chosen) => chosen.item_id === item.item_id));
  return card;
}

async function loadPage(isFirst) {
  listing.abort();
  listing = new AbortController();
  const parameters = new URLSearchParams({ limit: PAGE_ITEMS, q: byId("query").value });
  if (!isFirst) parameters.set("cursor", nextCursor);
  try {
    const page = await call(`/items?${parameters}`, { signal: listing.signal });
    for (const item of page.items) knownItems.set(item.item_id, item);
    const cards = page.items.map(productOf);
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
        element("button", { type: "button", "aria-label": `Remove ${item.title} from the history`, onclick: () => removeFromHistory(place) }, "×"),
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
  byId("recommended").classList.add("is-waiting");
  const startedAt = performance.now();
  try {
    const answer = await call("/recommend", {
      method: "POST",
      signal,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ history: userHistory.map((item) => item.item_id), limit: RECOMMENDED_ITEMS }),
    });
    const milliseconds = Math.round(performance.now() - startedAt);
    const items = await Promise.all(answer.items.map((recommended) => itemOf(recommended.item_id)));
    if (signal.aborted) return;
    byId("recommended").replaceChildren(...answer.items.map((recommended, place) => recommendedOf(recommended, items[place])));
    byId("recommended-status").textContent = `${milliseconds} ms`;
    byId("fallback").textContent = FALLBACKS[answer.fallback_reason] ?? answer.fallback_reason ?? "";
    byId("fallback").hidden = !answer.fallback_reason;
    byId("recommended").classList.remove("is-waiting");
  } catch (error) {
    if (!signal.aborted) byId("recommended").classList.remove("is-waiting");
    showError(error);
  }
}

function recommendedOf(recommended, item) {
  const isGenerated = recommended.source === "generative";
  return element(
    "li",
    { "data-item-id": recommended.item_id },
    element(
      "button",
      { type: "button", title: `score ${recommended.score.toFixed(3)}; click to add it to the history`, onclick: () => addToHistory(item) },
      element("span", { class: "rank" }, String(recommended.rank)),
      pictureOf(item),
      element("span", { class: "title" }, item.title),
      element("span", { class: isGenerated ? "badge" : "badge popular" }, SOURCES[recommended.source] ?? recommended.source),
    ),
  );
}

// --- details of one product

async function showDetail(itemId) {
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
      ...Object.entries(item.attributes),
      ["Semantic id", item.semantic_id.join(" · ")],
      ["Tokens", ...tokens],
      ["Without", item.missing_modalities.join(", ")],
    ].filter(([, ...values]) => values.some((value) => value !== ""));
    byId("detail-body").replaceChildren(
      ...words.map((text) => element("p", {}, text)),
      element("dl", {}, ...rows.flatMap(([name, ...values]) => [element("dt", {}, name), element("dd", {}, ...values)])),
    );
    byId("detail").showModal();
  } catch (error) {
    showError(error);
  }
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
  const fields = problem.errors.map((error) => element("li", {}, `${error.loc.join(" → ") || "product"}: ${error.msg}`));
  place.replaceChildren(element("strong", {}, problem.title ?? "This page has a fault"), fields.length ? element("ul", {}, ...fields) : problem.message);
  place.hidden = false;
  const wrong = new Set(problem.errors.map((error) => String(error.loc.at(-1))));
  for (const input of byId("add-form").elements) if (input.name) input.setAttribute("aria-invalid", String(wrong.has(input.name)));
}

async function addProduct(event) {
  event.preventDefault();
  const form = byId("add-form");
  byId("add-problem").hidden = true;
  if (pictureFile && pictureFile.size > MAX_PICTURE_BYTES) {
    showAddProblem(new Problem({ title: "The picture is too large", detail: `It has ${(pictureFile.size / 1024 / 1024).toFixed(1)} MiB; up to 10 MiB are read.` }));
    return;
  }
  const body = new FormData();
  for (const name of ["item_id", "title", "description"]) body.set(name, form.elements[name].value);
  if (pictureFile) body.set("picture", pictureFile);
  byId("add-submit").disabled = true;
  try {
    const item = await call("/items", { method: "POST", body });
    knownItems.set(item.item_id, item);
    byId("add").close();
    form.reset();
    choosePicture(null);
    byId("query").value = "";
    await loadPage(true);
    recommend();
    showServed();
    showDetail(item.item_id);
  } catch (error) {
    showAddProblem(error);
  } finally {
    byId("add-submit").disabled = false;
  }
}

// --- the page as a whole

async function showServed() {
  try {
    const served = await call("/info");
    byId("served").textContent = `${served.num_items.toLocaleString("en")} products · ${served.bundle_id}`;
    byId("served").title = `preset ${served.preset}, catalogue version ${served.catalogue_version}`;
    byId("open-add").disabled = !served.can_ingest;
    byId("open-add").title = served.can_ingest ? "" : "This bundle was trained on ready-made codes and takes no new products";
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
byId("open-add").addEventListener("click", () => {
  byId("add-problem").hidden = true;
  lastProposedId = byId("add-form").elements.item_id.value;
  byId("add").showModal();
  byId("add-form").elements.title.focus();
});
byId("add-form").addEventListener("submit", addProduct);
byId("detail-pick").addEventListener("click", () => {
  byId("detail").close();
  addToHistory(detailed);
});
byId("add-form").elements.title.addEventListener("input", proposeId);
byId("picture").addEventListener("change", (event) => choosePicture(event.target.files[0]));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
for (const kind of ["dragover", "dragleave", "drop"]) {
  byId("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("is-over", kind === "dragover");
    if (kind === "drop") choosePicture(event.dataTransfer.files[0]);
  });
}

showServed();
loadPage(true);
recommend();
