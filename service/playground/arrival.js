// Who gets a posted product now: sample shoppers whose first ten recommendations have it, and their list without it.
// All of it over the API: histories, one list for each of those most like the product, and the same list with the product left out.

import { loadHistory } from "./history.js";
import { byId, clairo, element, itemOf, recommendEach } from "./page.js";
import { historyOf, listShoppers, picturesOf } from "./shoppers.js";
import { twoLists } from "./two_lists.js";

const TOP_ITEMS = 10;
const FAR_ITEMS = 50;
const ASKED_SHOPPERS = 60;
const ASKED_AT_ONCE = 20;
const SHOWN_SHOPPERS = 5;
const SHOWN_PICTURES = 6;
const NEIGHBOURS = 100;
// Pairs among the nearest neighbours, where the service knows no shopper.
const MADE_UP_PAIRS = [[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3], [0, 4], [1, 4], [0, 5], [4, 5]];

let searching = new AbortController();

export function offerAudience(item) {
  searching.abort();
  byId("audience").hidden = item.origin !== "posted";
  byId("audience-text").textContent = "";
  byId("audience-progress").hidden = true;
  byId("audience-list").replaceChildren();
  byId("audience-lists").replaceChildren();
  byId("audience-search").hidden = false;
  byId("audience-search").onclick = () => findAudience(item);
}

export async function findAudience(item) {
  searching = new AbortController();
  const { signal } = searching;
  byId("audience-search").hidden = true;
  const progress = byId("audience-progress");
  progress.hidden = false;
  progress.removeAttribute("value");
  byId("audience-text").textContent = "Reading the histories of sample shoppers …";
  try {
    const candidates = await likeliestFirst(item, signal);
    const asked = candidates.shoppers.slice(0, ASKED_SHOPPERS);
    const found = [];
    for (let start = 0; start < asked.length; start += ASKED_AT_ONCE) {
      progress.value = start / asked.length;
      byId("audience-text").textContent = `Asking what ${asked.length} shoppers get now …`;
      found.push(...(await placesOf(item, asked.slice(start, start + ASKED_AT_ONCE), signal)));
      found.sort((one, other) => one.rank - other.rank);
      await showFound(item, found, signal);
    }
    byId("audience-text").replaceChildren(...summary(found, asked.length, candidates));
  } catch (error) {
    if (signal.aborted) return;
    byId("audience-text").textContent = `${error.title ?? "Error in this page"}: ${error.message}`;
    byId("audience-search").hidden = false;
  } finally {
    if (!signal.aborted) progress.hidden = true;
  }
}

// Shoppers by how much of their history is like the product; made-up ones if the service knows none.
async function likeliestFirst(item, signal) {
  const { items } = await clairo.similar(item.item_id, { limit: NEIGHBOURS }, { signal });
  const nearest = items.map((similar) => similar.item.item_id);
  const similarity = new Map(items.map((similar) => [similar.item.item_id, similar.similarity]));
  const ids = await listShoppers({ signal });
  const known = await Promise.all(ids.map(async (name) => ({ name, history: await historyOf(name, { signal }) })));
  if (known.length === 0) {
    const pairs = MADE_UP_PAIRS.filter((pair) => pair.every((place) => place < nearest.length));
    return { isMadeUp: true, shoppers: pairs.map((pair) => ({ name: "somebody with", history: pair.map((place) => nearest[place]) })) };
  }
  const likeness = ({ history }) => history.reduce((sum, itemId) => sum + (similarity.get(itemId) ?? 0), 0);
  const isNewTo = ({ history }) => !history.includes(item.item_id);
  return { isMadeUp: false, count: known.length, shoppers: known.filter(isNewTo).toSorted((one, other) => likeness(other) - likeness(one)) };
}

async function placesOf(item, shoppers, signal) {
  const answers = await recommendEach(shoppers.map(({ history }) => ({ history, limit: FAR_ITEMS })), { signal });
  return shoppers.flatMap((shopper, place) => {
    const found = answers[place].items.find((recommended) => recommended.item_id === item.item_id);
    return found ? [{ ...shopper, rank: found.rank }] : [];
  });
}

function summary(found, numAsked, { isMadeUp, count }) {
  const inTop = found.filter(({ rank }) => rank <= TOP_ITEMS).length;
  const asked = isMadeUp
    ? `Asked were ${numAsked} made-up shoppers, each with two of its nearest neighbours: this service knows no real ones.`
    : `Asked were the ${numAsked} of ${count} sample shoppers whose histories are most like it.`;
  const outcome = inTop
    ? `In the first ten of ${inTop} ${inTop > 1 ? "shoppers" : "shopper"} now.`
    : found.length ? `In nobody's first ten yet. Its best place is ${found[0].rank}.` : `Among nobody's first ${FAR_ITEMS} yet.`;
  return [element("strong", {}, outcome), ` ${asked}`];
}

async function showFound(item, found, signal) {
  const inTop = found.filter(({ rank }) => rank <= TOP_ITEMS);
  const shown = (inTop.length ? inTop : found.slice(0, 1)).slice(0, SHOWN_SHOPPERS);
  const rows = await Promise.all(shown.map((shopper) => rowOf(item, shopper, signal)));
  if (!signal.aborted) byId("audience-list").replaceChildren(...rows);
}

async function rowOf(item, shopper, signal) {
  const titles = await Promise.all(shopper.history.slice(-2).map(async (itemId) => (await itemOf(itemId)).title));
  const name = shopper.name === "somebody with" ? `${shopper.name} ${titles.join(" and ")}` : shopper.name;
  const before = element("button", { class: "secondary", type: "button", "aria-label": `Before and after: the list of ${name}` }, "Before and after");
  before.addEventListener("click", () => showBeforeAndAfter(item, { ...shopper, name }, signal));
  const load = element("button", { class: "plain", type: "button", "aria-label": `Load the history of ${name}` }, "Load history");
  load.addEventListener("click", () => {
    byId("detail").close();
    loadHistory(shopper.history);
  });
  return element(
    "li",
    {},
    element("span", { class: "place" }, element("small", {}, "place "), String(shopper.rank)),
    element("span", { class: "who" }, element("span", { class: "name" }, name), await picturesOf(shopper.history, SHOWN_PICTURES)),
    element("span", { class: "choices" }, before, load),
  );
}

async function showBeforeAndAfter(item, shopper, signal) {
  const body = { history: shopper.history, limit: Math.max(TOP_ITEMS, shopper.rank) };
  try {
    const [before, after] = await recommendEach([{ ...body, exclude_item_ids: [item.item_id] }, body], { signal });
    const lists = twoLists(
      { heading: "Before", items: before.items, mark: "falls out" },
      { heading: "After", items: after.items, mark: "new" },
      item.item_id,
    );
    const text = `${shopper.name}: recommendations without “${item.title}”, and with it.`;
    byId("audience-lists").replaceChildren(element("p", { class: "hint" }, text), lists);
    byId("audience-lists").scrollIntoView({ block: "nearest" });
    byId("audience-lists").focus({ preventScroll: true });
  } catch (error) {
    if (!signal.aborted) byId("audience-text").textContent = `${error.title ?? "Error in this page"}: ${error.message}`;
  }
}

// A closed dialog asks nothing more.
byId("detail").addEventListener("close", () => searching.abort());
