// Items: find one, change its words, attributes and picture, retire it, put it back.

import { byId, clairo, element, pictureOf, priceOf, written } from "../page.js";
import { asking, nameOf, problemOf, showChanged, showProblem } from "./parts.js";

const PAGE_ITEMS = 48;
const SEARCH_DELAY_MS = 200;
let nextCursor = null;
let listing = new AbortController();

export function setUpItems() {
  let timer;
  byId("items-search").addEventListener("submit", (event) => event.preventDefault());
  byId("items-query").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => find(true), SEARCH_DELAY_MS);
  });
  byId("items-more").addEventListener("click", () => find(false));
}

export const showItems = () => find(true);

async function find(isFirst) {
  listing.abort();
  listing = new AbortController();
  const { signal } = listing;
  const query = byId("items-query").value.trim();
  try {
    const page = await clairo.get("items", { limit: PAGE_ITEMS, q: query, cursor: isFirst ? null : nextCursor }, { signal });
    const found = isFirst && query && !page.items.some((item) => item.item_id === query) ? await retiredOf(query, signal) : [];
    const cards = [...found, ...page.items].map(cardOf);
    const focused = document.activeElement.closest("#items-grid [data-item-id]")?.dataset.itemId;
    if (isFirst) byId("items-grid").replaceChildren(...cards);
    else byId("items-grid").append(...cards);
    const next = isFirst ? cards.find((card) => card.dataset.itemId === focused) : cards[0];
    if (focused || !isFirst) (next?.querySelector("button") ?? byId("items-query")).focus({ preventScroll: true });
    nextCursor = page.next_cursor;
    byId("items-more").hidden = nextCursor === null;
    const count = byId("items-grid").childElementCount;
    byId("items-count").textContent = count ? `${count}${nextCursor ? "+" : ""} shown` : "No item matches. A retired one is found by its whole id.";
    showProblem(byId("items-problem"), null);
  } catch (error) {
    showProblem(byId("items-problem"), error);
  }
}

// Lists leave retired items out: their whole id finds them.
async function retiredOf(itemId, signal) {
  try {
    const item = await clairo.item(itemId, { signal });
    return item.is_retired ? [item] : [];
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

function cardOf(item) {
  const badge = item.is_retired ? ["retired", "badge popular"] : item.origin === "posted" ? ["new", "badge"] : null;
  return element(
    "li",
    { class: "product", "data-item-id": item.item_id },
    badge && element("span", { class: badge[1] }, badge[0]),
    element(
      "button",
      { class: "pick", type: "button", "aria-label": `Edit ${nameOf(item)}`, onclick: () => edit(item.item_id) },
      pictureOf(item),
      element("span", { class: "title", title: nameOf(item) }, nameOf(item)),
      element("span", { class: "foot" }, element("span", { class: "attribute" }, priceOf(item))),
    ),
  );
}

async function edit(itemId) {
  try {
    const [item, { attributes: types }] = await Promise.all([clairo.item(itemId), clairo.get("schema")]);
    byId("edit").replaceChildren(editorOf(item, types));
    if (!byId("edit").open) byId("edit").showModal();
  } catch (error) {
    showProblem(byId("items-problem"), error);
  }
}

function editorOf(item, types) {
  const texts = { title: "", description: "", ...item.texts };
  const textFields = Object.entries(texts).map(([name, text]) => ({ name, before: text, input: element(name === "title" ? "input" : "textarea", { maxlength: 20000, rows: 4, autocomplete: "off", dir: "auto" }) }));
  for (const { before, input } of textFields) input.value = before;
  const names = [...new Set([...Object.keys(item.attributes), ...Object.keys(types)])].toSorted();
  const attributeFields = names.map((name) => ({ name, before: item.attributes[name], ...inputOf(types[name]?.type, item.attributes[name]) }));
  const picture = element("input", { type: "file", accept: "image/jpeg,image/png,image/webp" });
  const problem = element("div", { role: "alert" });
  const save = element("button", { class: "primary", type: "submit" }, "Save changes");
  const close = () => byId("edit").close();
  const form = element(
    "form",
    { novalidate: true },
    element(
      "div",
      { class: "heading" },
      element("h2", { id: "edit-heading" }, nameOf(item), item.is_retired ? element("span", { class: "badge popular" }, "retired") : null),
      element("button", { class: "plain", type: "button", onclick: close }, "Close"),
    ),
    element("p", { class: "hint" }, item.item_id),
    element(
      "div",
      { class: "columns" },
      element("div", { class: "fields" }, element("div", { class: "picture-frame" }, ...pictureOf(item).childNodes), element("label", {}, "Another picture", picture)),
      element(
        "div",
        { class: "fields" },
        ...textFields.map(({ name, input }) => element("label", {}, name, input)),
        element("div", { class: "pair" }, ...attributeFields.map(({ name, input }) => element("label", {}, name, input))),
      ),
    ),
    problem,
    element("div", { class: "actions" }, item.is_retired ? restoring(item) : retiring(item), save),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const { input } of [...textFields, ...attributeFields]) input.removeAttribute("aria-invalid");
    save.disabled = true;
    try {
      const { patch, changes } = await patchOf(textFields, attributeFields, picture.files[0]);
      if (!changes.length) throw Object.assign(new Error("Change a field first."), { title: "Nothing differs" });
      const answer = await (await clairo.fetch(`items/${encodeURIComponent(item.item_id)}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(patch) })).json();
      close();
      const kept = answer.features_kept ? "" : " It is described by its new content from now on.";
      await after(`${nameOf(item)}: ${answer.outcome === "unchanged" ? "nothing changed" : changes.join("; ")}.${kept}`);
    } catch (error) {
      const wrong = new Set((error.errors ?? []).map(({ loc }) => String(loc.at(-1))));
      for (const { name, input } of [...textFields, ...attributeFields]) if (wrong.has(name)) input.setAttribute("aria-invalid", "true");
      problem.replaceChildren(problemOf(error));
    } finally {
      save.disabled = false;
    }
  });
  return form;
}

// An input for an attribute's type. `read()` gives the value to send, null for none; it throws for a wrong one.
function inputOf(type, value) {
  if (type === "boolean") {
    const input = element("select", {}, element("option", { value: "" }, "not set"), element("option", { value: "true" }, "yes"), element("option", { value: "false" }, "no"));
    input.value = value === undefined ? "" : String(value);
    return { input, read: () => (input.value === "" ? null : input.value === "true") };
  }
  const input = element("input", { maxlength: 1000, autocomplete: "off", inputmode: type === "number" ? "decimal" : null, placeholder: type === "list" ? "one, two" : null });
  input.value = value === undefined ? "" : written(value);
  return { input, read: () => readAs(type, input.value.trim()) };
}

function readAs(type, text) {
  if (text === "") return null;
  if (type === "list") return text.split(",").map((part) => part.trim()).filter((part) => part);
  if (type !== "number") return text;
  if (!Number.isFinite(Number(text))) throw Object.assign(new Error(`Got ${text}, expected a number such as 17.5.`), { title: "Not a number" });
  return Number(text);
}

// Only what differs, as JSON Merge Patch, and each difference in words.
async function patchOf(textFields, attributeFields, file) {
  const patch = {};
  const changes = [];
  const shown = (value) => (value === null || value === undefined || value === "" ? "nothing" : `“${written(value)}”`);
  for (const { name, before, input } of textFields) {
    if (input.value.trim() === before.trim()) continue;
    const value = input.value.trim() || null;
    if (["title", "description"].includes(name)) patch[name] = value;
    else patch.texts = { ...patch.texts, [name]: value };
    changes.push(name === "title" ? `title ${shown(before)} → ${shown(value)}` : `${name} changed`);
  }
  for (const { name, before, input, read } of attributeFields) {
    if (input.value.trim() === (before === undefined ? "" : typeof before === "boolean" ? String(before) : written(before))) continue;
    let value;
    try {
      value = read();
    } catch (error) {
      throw Object.assign(error, { errors: [{ loc: [name], msg: error.message }] });
    }
    patch.attributes = { ...patch.attributes, [name]: value };
    changes.push(`${name} ${shown(before)} → ${shown(value)}`);
  }
  if (file) {
    patch.picture = await base64Of(file);
    changes.push("another picture");
  }
  return { patch, changes };
}

async function base64Of(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32_768) text += String.fromCharCode(...bytes.subarray(start, start + 32_768));
  return btoa(text);
}

async function after(text) {
  showChanged(text);
  document.dispatchEvent(new Event("clairo-changed"));
  await find(true);
}

function retiring(item) {
  return asking("Retire", {
    question: () => "Never recommend it again? Histories keep it, and its id brings it back.",
    confirm: "Retire",
    isDanger: true,
    act: async () => {
      await clairo.fetch(`items/${encodeURIComponent(item.item_id)}`, { method: "DELETE" });
      byId("edit").close();
      await after(`${nameOf(item)} is retired: it is recommended no more. Search ${item.item_id} to restore it.`);
    },
  });
}

function restoring(item) {
  return asking("Restore", {
    question: () => "Recommend it again, with the content shown before?",
    confirm: "Restore",
    act: async () => {
      const { title, description, ...texts } = item.texts;
      const content = { ...(title === undefined ? {} : { title }), ...(description === undefined ? {} : { description }), texts, attributes: item.attributes };
      await clairo.fetch(`items/${encodeURIComponent(item.item_id)}`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
      byId("edit").close();
      await after(`${nameOf(item)} is restored and recommendable.`);
    },
  });
}
