// What every part of the playground uses: the API, small pieces of page, the banner for errors.
// Everything a server sent is put into the page as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.title = document.title;
    this.status = document.status ?? 0;
    this.errors = document.errors ?? [];
  }
}

export async function call(path, options = {}) {
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

export function post(path, body, options = {}) {
  return call(path, { ...options, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

const knownItems = new Map();

export function remember(item) {
  knownItems.set(item.item_id, item);
  return item;
}

export async function itemOf(itemId) {
  return knownItems.get(itemId) ?? remember(await call(`/items/${encodeURIComponent(itemId)}`));
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function pictureOf(item) {
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

export const priceOf = (item) => item.attributes.price ?? Object.values(item.attributes)[0] ?? "";

export function showError(error) {
  if (error.name === "AbortError") return;
  byId("banner-text").textContent = error.title ? `${error.title}: ${error.message}` : `This page has a fault: ${error.message}`;
  byId("banner").hidden = false;
}
