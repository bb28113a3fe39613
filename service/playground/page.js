// Shared parts of the playground: API calls, page elements, the error banner.
// Server data enters the page as text, never as HTML.

import { askForKey, keptKey, keyHeaders } from "./key.js";

export const byId = (id) => document.getElementById(id);

export class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.title = document.title;
    this.status = document.status ?? 0;
    this.errors = document.errors ?? [];
  }
}

// Sends with the stored key. After a 401, asks the user for a key and sends again.
async function send(path, options) {
  const key = keptKey();
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...keyHeaders(key), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service cannot be reached", detail: "Check that it is running, then reload." });
  }
  if (answer.status !== 401) return answer;
  // Another call may have asked for a key meanwhile.
  const isThereAnother = keptKey() !== key || (await askForKey((await answer.clone().json()).detail));
  return isThereAnother ? send(path, options) : answer;
}

export async function call(path, options = {}) {
  const answer = await send(path, options);
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
  const picture = element("img", { alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(initial));
  if (keptKey()) showWithKey(picture, item.picture_url);
  else picture.src = item.picture_url;
  frame.append(picture);
  return frame;
}

const picturesWithKey = new Map();

// An img element's request cannot carry the key in a header.
async function showWithKey(picture, url) {
  if (!picturesWithKey.has(url)) picturesWithKey.set(url, send(url, {}).then(async (answer) => (answer.ok ? URL.createObjectURL(await answer.blob()) : "")));
  try {
    picture.src = await picturesWithKey.get(url);
  } catch {
    picturesWithKey.delete(url);
    picture.dispatchEvent(new Event("error"));
  }
}

// An attribute's value as people write it.
export function written(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? value.toLocaleString("en", { useGrouping: false, maximumFractionDigits: 6 }) : value;
}

export const priceOf = (item) => written(item.attributes.price ?? Object.values(item.attributes)[0] ?? "");

export function showError(error) {
  if (error.name === "AbortError") return;
  byId("banner-text").textContent = error.title ? `${error.title}: ${error.message}` : `Error in this page: ${error.message}`;
  byId("banner").hidden = false;
}
