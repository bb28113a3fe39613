// Placements: rules as JSON, tried on a history before they are saved, lists before and after side by side.

import { byId, clairo, element, pictureOf, remember, itemOf } from "../page.js";
import { ago, asking, nameOf, problemOf, showChanged } from "./parts.js";

const PREVIEW_DELAY_MS = 400;
const SHOWN_ITEMS = 10;
const SAMPLED_ITEMS = 48;
const NAME = /^[a-z0-9][a-z0-9_\-]{0,62}$/;
// The history that drafts are tried on, and the products that the last preview listed.
const tried = [];
let listed = [];

export async function showPlacements(signal, chosen = null) {
  const { placements } = await clairo.get("placements", {}, { signal });
  if (!tried.length) {
    const { items } = await clairo.get("items", { limit: SAMPLED_ITEMS }, { signal });
    tried.push(...items.toSorted((one, other) => Boolean(other.picture_url) - Boolean(one.picture_url)).slice(0, 2).map(remember));
  }
  const open = (placement) => {
    for (const button of byId("placements-list").children) button.setAttribute("aria-pressed", String(button.dataset.name === (placement?.name ?? "")));
    byId("placement").replaceChildren(editorOf(placement, signal));
  };
  byId("placements-list").replaceChildren(
    ...[...placements, null].map((placement) =>
      element(
        "button",
        { class: "tab", type: "button", "data-name": placement?.name ?? "", "aria-pressed": "false", onclick: () => open(placement) },
        placement?.name ?? "New placement",
      ),
    ),
  );
  open(placements.find(({ name }) => name === chosen) ?? placements[0] ?? null);
}

function editorOf(placement, signal) {
  const name = element("input", { name: "name", maxlength: 63, autocomplete: "off", spellcheck: "false", placeholder: "home, product-page, basket …" });
  const rules = element("textarea", { class: "json", rows: 16, spellcheck: "false", autocomplete: "off" });
  rules.value = written(placement?.rules ?? { limit: SHOWN_ITEMS });
  const preview = element("div", { class: "preview", "aria-live": "polite" });
  const history = element("ul", { class: "history" });
  const refused = element("div", { role: "alert" });
  const search = element("input", { type: "search", placeholder: "Add a product by words or id", "aria-label": "Add a product to the history tried", maxlength: 200, autocomplete: "off" });
  const placeName = () => placement?.name ?? name.value.trim();
  let timer;
  let trying = new AbortController();

  async function tryIt() {
    trying.abort();
    trying = new AbortController();
    preview.classList.add("is-waiting");
    try {
      const draft = parsed(rules.value);
      const body = { rules: draft, request: { history: tried.map((item) => item.item_id) } };
      // A draft without a name is tried as one that is not saved.
      const path = `placements/${encodeURIComponent(NAME.test(placeName()) ? placeName() : "draft")}/preview`;
      const answer = await clairo.post(path, body, { signal: trying.signal });
      const lists = await Promise.all([listOf(answer.before, null), listOf(answer.after, answer.before)]);
      if (trying.signal.aborted) return;
      listed = await Promise.all(answer.before.items.map(({ item_id: itemId }) => itemOf(itemId)));
      refused.replaceChildren();
      preview.replaceChildren(
        element("div", {}, element("h4", {}, placement === null ? "Without a placement" : "Served now"), ...lists[0]),
        element("div", {}, element("h4", {}, "Under this draft"), ...lists[1]),
      );
      preview.classList.remove("is-waiting");
    } catch (error) {
      if (error.name !== "AbortError") refused.replaceChildren(problemOf(error));
    }
  }

  function showHistory() {
    history.replaceChildren(
      ...tried.map((item, place) => {
        const remove = element("button", { type: "button", "aria-label": `Remove ${nameOf(item)} from the history tried` }, "×");
        remove.addEventListener("click", () => {
          tried.splice(place, 1);
          showHistory();
          (history.querySelectorAll("button")[place] ?? search).focus();
        });
        return element("li", { title: nameOf(item) }, pictureOf(item), remove);
      }),
    );
    tryIt();
  }

  search.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    try {
      const { items } = await clairo.get("items", { q: search.value, limit: 1 });
      if (!items.length) throw Object.assign(new Error(`No product matches “${search.value}”.`), { title: "Product not found" });
      tried.push(remember(items[0]));
      search.value = "";
      showHistory();
    } catch (error) {
      refused.replaceChildren(problemOf(error));
    }
  });
  rules.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(tryIt, PREVIEW_DELAY_MS);
  });

  const add = (change) => () => {
    try {
      rules.value = written(change(parsed(rules.value), example()));
      tryIt();
    } catch (error) {
      refused.replaceChildren(problemOf(error));
    }
  };
  const adding = Object.entries(SNIPPETS).map(([text, change]) => element("button", { class: "plain", type: "button", onclick: add(change) }, text));

  const save = asking(placement === null ? "Save" : `Save as version ${placement.version + 1}`, {
    question: () => `Every request of ${placeName() || "this placement"} follows these rules within two seconds. ${differences(placement?.rules ?? {}, rules.value)}`,
    confirm: "Save",
    className: "primary",
    act: async () => {
      if (!NAME.test(placeName())) throw Object.assign(new Error(`Got “${placeName()}”, expected lower-case letters, digits, - and _.`), { title: "The placement needs a name" });
      const saved = await send(placeName(), "PUT", parsed(rules.value));
      showChanged(`${saved.name} is saved as version ${saved.version}. ${differences(placement?.rules ?? {}, rules.value)}`);
      await showPlacements(signal, saved.name);
    },
  });
  showHistory();
  return element(
    "div",
    { class: "editor" },
    element(
      "div",
      { class: "card fields" },
      element(
        "div",
        { class: "heading" },
        element("h3", {}, placement?.name ?? "New placement"),
        placement === null ? null : element("p", {}, `version ${placement.version}, saved ${ago(placement.saved_at)}`),
      ),
      placement === null ? element("label", {}, "Name", name, element("small", {}, "“default” applies to requests that name no placement.")) : null,
      element("label", {}, "Rules", rules),
      element("div", { class: "buttons", role: "group", "aria-label": "Add a rule" }, element("span", { class: "hint" }, "Add:"), ...adding),
      element("div", { class: "buttons" }, save, ...(placement === null ? [] : [earlier(placement, rules, tryIt, refused), deletion(placement, signal)])),
    ),
    element(
      "div",
      { class: "card" },
      element("h3", {}, "Preview"),
      element("p", { class: "hint" }, "For a shopper with this history, oldest first. Nothing is saved or counted."),
      history,
      search,
      refused,
      preview,
    ),
  );
}

const written = (rules) => JSON.stringify(rules, null, 2);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(error.message), { title: "The rules are not JSON" });
  }
}

// Rules to start from.
const SNIPPETS = {
  filter: (rules, { condition }) => ({ ...rules, filter: condition }),
  boost: (rules, { condition }) => ({ ...rules, boost: [...(rules.boost ?? []), { filter: condition, factor: 1.5 }] }),
  bury: (rules, { condition }) => ({ ...rules, bury: [...(rules.bury ?? []), { filter: condition, factor: 1.5 }] }),
  "at most 2 of each": (rules, { condition }) => ({ ...rules, group: { attribute: condition.attribute, limit: 2 } }),
  pin: (rules, { itemId }) => ({ ...rules, pin: [...(rules.pin ?? []), { item_id: itemId, rank: (rules.pin?.length ?? 0) + 1 }] }),
};

// What the rules to start from name: the last product that the preview listed, and an attribute of it.
function example() {
  const item = listed.at(-1) ?? tried.at(-1);
  const [attribute, value] = Object.entries(item?.attributes ?? {}).find(([, found]) => typeof found === "string") ?? ["brand", "Fjord"];
  return { condition: { attribute, equals: value }, itemId: item?.item_id ?? "" };
}

function differences(before, text) {
  let after;
  try {
    after = parsed(text);
  } catch {
    return "";
  }
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const [added, removed] = [names.filter((name) => !(name in before)), names.filter((name) => !(name in after))];
  const changed = names.filter((name) => name in before && name in after && JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  const parts = [["added", added], ["changed", changed], ["removed", removed]].filter(([, of]) => of.length).map(([what, of]) => `${what}: ${of.join(", ")}`);
  return parts.length ? `Rules ${parts.join("; ")}.` : "No rule differs.";
}

async function listOf(answer, before) {
  const items = await Promise.all(answer.items.slice(0, SHOWN_ITEMS).map(({ item_id: itemId }) => itemOf(itemId)));
  const ranks = before && new Map(before.items.map((item) => [item.item_id, item.rank]));
  const rows = items.map((item, place) => {
    const { rank, rules } = answer.items[place];
    const move = ranks === null ? 0 : ranks.has(item.item_id) ? ranks.get(item.item_id) - rank : null;
    return element(
      "li",
      { "data-item-id": item.item_id },
      element("span", { class: "rank" }, String(rank)),
      pictureOf(item),
      element("span", { class: "words" }, element("span", { class: "title" }, nameOf(item)), ...rules.map((rule) => element("span", { class: "badge popular" }, rule))),
      move === 0 ? null : element("span", { class: "move" }, move === null ? "in" : `${move > 0 ? "▲" : "▼"} ${Math.abs(move)}`, element("span", { class: "unseen" }, move === null ? ", new in the list" : " places")),
    );
  });
  const warnings = answer.warnings.map((warning) => element("p", { class: "hint warning" }, warning));
  return [rows.length ? element("ol", { class: "placed" }, ...rows) : element("p", { class: "empty" }, "No product passes."), ...warnings];
}

async function send(name, method, body) {
  const sent = { method, headers: { "Content-Type": "application/json" }, ...(body === null ? {} : { body: JSON.stringify(body) }) };
  const answer = await clairo.fetch(`placements/${encodeURIComponent(name)}`, sent);
  return answer.status === 204 ? null : answer.json();
}

// Loads the version before into the draft; saving makes it the newest.
function earlier(placement, rules, tryIt, refused) {
  let version = placement.version;
  const button = element("button", { class: "secondary", type: "button", disabled: version === 1 }, "Earlier version");
  button.addEventListener("click", async () => {
    try {
      version -= 1;
      button.disabled = version === 1;
      const found = await clairo.get(`placements/${encodeURIComponent(placement.name)}`, { version });
      rules.value = written(found.rules);
      button.textContent = `Showing version ${version}; one earlier`;
      await tryIt();
    } catch (error) {
      // A version that deleted the placement has no rules: the next press goes further back.
      refused.replaceChildren(problemOf(error));
    }
  });
  return button;
}

function deletion(placement, signal) {
  return asking("Delete", {
    question: () => `Delete ${placement.name}? Requests that name it are refused from then on. Its versions stay readable.`,
    confirm: "Delete",
    isDanger: true,
    act: async () => {
      await send(placement.name, "DELETE", null);
      showChanged(`${placement.name} is deleted: requests that name it are refused.`);
      await showPlacements(signal);
    },
  });
}
