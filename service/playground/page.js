// Shared parts of the playground: the client of the API, page elements, pictures, words of values.
// Server data enters the page as text, never as HTML.

import { Clairo, ClairoProblem } from "../clairo.js";
import { askForKey, keptKey } from "./key.js";

export const byId = (id) => document.getElementById(id);

// Asks the user for a key after a 401, and sends again.
export const clairo = new Clairo({ key: keptKey(), askForKey });

// 0: it cannot be reached. 502 to 504: a proxy, a service that loads its bundle, a store that is away.
const AWAY = [0, 502, 503, 504];
const SHOWN_FIELDS = ["title", "attributes", "picture_url"];
const MODALITIES = { text: "words", image: "looks" };
const knownItems = new Map();

export const isAway = (error) => AWAY.includes(error.status);

export async function isReady() {
  try {
    return (await fetch(new URL("health/ready", clairo.url))).ok;
  } catch {
    return false;
  }
}

export function remember(item) {
  knownItems.set(item.item_id, item);
  return item;
}

// Whether the page has met the product as one posted after training.
export const isPosted = (itemId) => knownItems.get(itemId)?.origin === "posted";

export async function itemOf(itemId) {
  return knownItems.get(itemId) ?? remember(await clairo.item(itemId));
}

// Recommendations with what is shown of each item, so that none is asked for.
export async function recommendShown(body, options) {
  return (await recommendEach([body], options))[0];
}

export async function recommendEach(bodies, options) {
  const shown = bodies.map((body) => ({ ...body, fields: SHOWN_FIELDS }));
  if (shown.length === 1) return [await clairo.recommend(shown[0], options)];
  const { results } = await clairo.post("recommend/batch", { requests: shown }, options);
  return results.map(({ recommendation, problem }) => {
    if (problem) throw new ClairoProblem(problem);
    return recommendation;
  });
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
  const initial = element("span", { class: "initial", "aria-hidden": "true" }, Array.from(item.title || item.item_id)[0].toUpperCase());
  if (!item.picture_url) {
    frame.append(initial);
    return frame;
  }
  const picture = element("img", { alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(initial));
  if (keptKey()) showWithKey(picture, item.picture_url);
  else picture.src = clairo.pictureUrl(item);
  frame.append(picture);
  return frame;
}

const picturesWithKey = new Map();

// An img element's request cannot carry the key in a header, and this page's key may do more than a public one.
async function showWithKey(picture, url) {
  if (!picturesWithKey.has(url)) picturesWithKey.set(url, clairo.fetch(new URL(url, clairo.url).href).then(async (answer) => URL.createObjectURL(await answer.blob())));
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

// Pairs such as ["looks", 0.83]. Modalities that either product lacks are left out.
export function knownSimilarities(byModality) {
  const known = Object.entries(byModality).filter(([, cosine]) => cosine !== null);
  return known.map(([modality, cosine]) => [MODALITIES[modality] ?? modality, cosine]);
}
