// A shop's page in strict TypeScript: uses every type of clairo.d.ts. Compiled by test_generated_clients.py, never run.

import { Clairo, ClairoProblem, connect } from "./clairo.js";
import type {
  ClairoRecommendationsEvents,
  Item,
  ItemList,
  ListName,
  ListQuery,
  RecommendAnswer,
  RecommendBody,
  TrackOptions,
  WindowQuery,
} from "./clairo.js";

const clairo: Clairo = connect({ key: "clairo_public", userId: null, askForKey: async (reason) => reason });
clairo.userId = "u-1";

const body: RecommendBody = { history: ["mug-12", { item_id: "mug-7", timestamp: 1 }], placement: "home", limit: 3 };
const answer: RecommendAnswer = await clairo.recommend(body, { signal: AbortSignal.timeout(1000) });
const shown: TrackOptions = { recommendationId: answer.recommendation_id, value: null };
for (const { item_id, rank, score } of answer.items) clairo.track(`click ${rank + score}`, item_id, shown);

const some: ListQuery = { limit: 3, filter: { attribute: "brand", equals: "Fjord" } };
const week: WindowQuery = { ...some, window: "7d" };
const lists: Record<Exclude<ListName, "recommend">, ItemList> = {
  similar: await clairo.similar("mug-12", some),
  "bought-together": await clairo.boughtTogether("mug-12"),
  complements: await clairo.complements({ item_ids: ["mug-12"], ...some }),
  popular: await clairo.popular(week),
  trending: await clairo.trending(),
  latest: await clairo.latest(week),
};
const item: Item = lists.latest.items[0]?.item ?? (await clairo.item(lists.similar.items[0]?.item_id ?? "mug-12"));

const list = document.querySelector("clairo-recommendations");
list?.addEventListener("clairo-failed", (event) => {
  const { detail } = event as ClairoRecommendationsEvents["clairo-failed"];
  if (detail instanceof ClairoProblem) console.warn(detail.status, detail.title, detail.errors[0]?.msg);
});
if (list) clairo.observe(list, item.item_id, { recommendationId: null });
await list?.reload();
await clairo.flush();

const picture: string | null = clairo.pictureUrl(item);
document.createElement("img").src = picture ?? "";
await clairo.get("/users/u-1", { limit: 3 });
await clairo.post("/complements", { item_ids: [] });
console.log((await clairo.fetch("/info")).status);

// @ts-expect-error: a service's address is given once.
clairo.url = "https://other.example";
// @ts-expect-error: an event needs an item.
clairo.track("view");
// @ts-expect-error: a list has no window of a number.
await clairo.popular({ window: 7 });
