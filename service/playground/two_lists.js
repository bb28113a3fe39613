// Two lists of recommendations side by side. Each marks the products that the other lacks.

import { element, pictureOf, priceOf } from "./page.js";

// A list is { heading, items, mark }, with items of POST /recommend; `highlighted` is an item id.
export function twoLists(left, right, highlighted = null) {
  return element("div", { class: "two" }, columnOf(left, right, highlighted), columnOf(right, left, highlighted));
}

function columnOf({ heading, items, mark }, other, highlighted) {
  const inOther = new Set(other.items.map((item) => item.item_id));
  const rows = items.map((item) => {
    const isMarked = !inOther.has(item.item_id);
    return element(
      "li",
      { "data-item-id": item.item_id, class: item.item_id === highlighted ? "is-highlighted" : isMarked ? "is-marked" : null },
      element("span", { class: "rank" }, String(item.rank)),
      pictureOf(item),
      element("span", { class: "words" }, element("span", { class: "title" }, item.title), element("span", { class: "price" }, priceOf(item))),
      isMarked ? element("span", { class: "badge" }, mark) : null,
    );
  });
  return element("section", {}, element("h4", {}, heading), element("ol", {}, ...rows));
}
