// Diversity and filter of the recommendations.
// The filter's fields are the attributes of the newest products.

import { byId, clairo, element, remember, written } from "./page.js";
import { showError } from "./recovery.js";

const SAMPLED_ITEMS = 200;
const MAX_CHOICES = 60;
const fields = [];

// Filter and diversity as fields of POST /recommend.
export function wishes() {
  const conditions = fields.map((field) => field()).filter((condition) => condition !== null);
  if (byId("only-new").checked) conditions.push({ only_new: true });
  return {
    diversity: Number(byId("diversity").value),
    include_seen: byId("include-seen").checked,
    ...(conditions.length ? { filter: conditions.length === 1 ? conditions[0] : { all_of: conditions } } : {}),
  };
}

function clearFilter() {
  byId("only-new").checked = false;
  for (const input of byId("attributes").querySelectorAll("[name]")) input.value = "";
  showCount();
}

function setDiversity(diversity) {
  byId("diversity").value = diversity;
  byId("diversity-shown").textContent = diversity.toFixed(1);
}

export function setUpWishes(onChange) {
  let timer;
  byId("wishes-form").addEventListener("submit", (event) => event.preventDefault());
  byId("wishes-form").addEventListener("input", () => {
    setDiversity(Number(byId("diversity").value));
    showCount();
    clearTimeout(timer);
    timer = setTimeout(onChange, 150);
  });
  byId("wishes-clear").addEventListener("click", () => {
    clearFilter();
    onChange();
  });
}

// Loaded again after a product was added, which may have new attributes.
export async function loadAttributes() {
  try {
    const page = await clairo.get("items", { limit: SAMPLED_ITEMS });
    const values = new Map();
    for (const item of page.items.map(remember)) {
      for (const [name, value] of Object.entries(item.attributes)) {
        if (!values.has(name)) values.set(name, new Set());
        for (const single of [value].flat()) values.get(name).add(single);
      }
    }
    const chosen = new Map([...byId("attributes").querySelectorAll("[name]")].map((input) => [input.name, input.value]));
    fields.length = 0;
    const made = [...values].toSorted().map(([name, of]) => fieldOf(name, [...of])).filter((field) => field !== null);
    byId("attributes").replaceChildren(...made);
    for (const input of byId("attributes").querySelectorAll("[name]")) input.value = chosen.get(input.name) ?? "";
  } catch (error) {
    showError(error, "attributes", loadAttributes);
  }
}

function showCount() {
  const { filter } = wishes();
  const count = filter === undefined ? 0 : (filter.all_of ?? [filter]).length;
  byId("wishes-count").textContent = count ? `${count} active` : "";
  byId("wishes-clear").hidden = count === 0;
}

function fieldOf(name, values) {
  // Only chooses the field: the service reads the numbers.
  const numbers = values.filter((value) => typeof value === "number" || /^(\p{Sc}|[A-Z]{3})?\s*-?\d[\d.,'’\s]*(\p{Sc}|[A-Z]{3}|%)?$/u.test(String(value).trim()));
  if (numbers.length * 2 >= values.length) return rangeOf(name);
  return values.length <= MAX_CHOICES ? choiceOf(name, values) : null;
}

function choiceOf(name, values) {
  const choice = element(
    "select",
    { name, id: `attribute-${fields.length}` },
    element("option", { value: "" }, "any"),
    ...values.toSorted((left, right) => written(left).localeCompare(written(right))).map((value) => element("option", { value: JSON.stringify(value) }, written(value))),
  );
  fields.push(() => (choice.value === "" ? null : { attribute: name, equals: JSON.parse(choice.value) }));
  return element("div", { class: "choice" }, element("label", { for: choice.id }, name), choice);
}

function rangeOf(name) {
  const bound = (label) =>
    element("input", { type: "number", step: "any", name: `${name} ${label}`, "aria-label": `${name} ${label}`, placeholder: label });
  const [least, most] = [bound("from"), bound("to")];
  fields.push(() => {
    const range = {};
    if (least.value !== "" && least.validity.valid) range.gte = Number(least.value);
    if (most.value !== "" && most.validity.valid) range.lte = Number(most.value);
    return Object.keys(range).length ? { attribute: name, range } : null;
  });
  return element("fieldset", { class: "bounds" }, element("legend", {}, name), least, most);
}
