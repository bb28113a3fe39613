// Types of clairo.js. Fields are those of the service's API; /docs describes them.

export interface Item {
  item_id: string;
  title: string;
  attributes: Record<string, unknown>;
  picture_url: string | null;
}

export interface RecommendBody {
  /** Oldest first. Without `history`, `user_id` and `session_id`, the visitor's own. */
  history?: (string | { item_id: string; timestamp: number | string })[];
  user_id?: string;
  session_id?: string;
  limit?: number;
  filter?: object;
  [field: string]: unknown;
}

export interface RecommendedItem {
  item_id: string;
  rank: number;
  score: number;
  source: string;
  [field: string]: unknown;
}

export interface RecommendAnswer {
  /** Pass it to `track` and `observe`. */
  recommendation_id: string;
  fallback_reason: string | null;
  items: RecommendedItem[];
  [field: string]: unknown;
}

/** Items similar to one, bought together, complements of a cart, or popular ones. */
export interface ItemList {
  items: { item_id?: string; item?: Item; [field: string]: unknown }[];
  [field: string]: unknown;
}

export interface ListQuery {
  limit?: number;
  filter?: object;
}

export interface WindowQuery extends ListQuery {
  /** Such as `7d`. */
  window?: string;
}

export interface ClairoOptions {
  /** A key of scope `public`. */
  key?: string;
  /** Of the service, by default the address of this module. */
  url?: string;
  /** The shop's id of a signed-in user. Visitors without one get a session of this browser. */
  userId?: string | null;
  /** Called after a 401 with its reason; resolves to another key, or to an empty text to give up. */
  askForKey?: ((reason: string) => Promise<string>) | null;
}

export interface TrackOptions {
  /** Of the answer that showed the item. */
  recommendationId?: string | null;
  /** For conditions of the dataset's `[events]`, such as a rating. */
  value?: number | null;
}

/** A problem document of the service. Status 0: the service cannot be reached. */
export class ClairoProblem extends Error {
  title: string;
  status: number;
  errors: { loc: (string | number)[]; msg: string }[];
  requestId: string | null;
}

/** Calls throw a ClairoProblem. `options` are those of fetch. */
export class Clairo {
  constructor(options?: ClairoOptions);
  key: string;
  readonly url: string;
  userId: string | null;

  recommend(body: RecommendBody, options?: RequestInit): Promise<RecommendAnswer>;
  /** Items that go with a cart. */
  complements(body: { item_ids: string[] } & ListQuery, options?: RequestInit): Promise<ItemList>;
  similar(itemId: string, query?: ListQuery, options?: RequestInit): Promise<ItemList>;
  boughtTogether(itemId: string, query?: ListQuery, options?: RequestInit): Promise<ItemList>;
  popular(query?: WindowQuery, options?: RequestInit): Promise<ItemList>;
  trending(query?: WindowQuery, options?: RequestInit): Promise<ItemList>;
  latest(query?: WindowQuery, options?: RequestInit): Promise<ItemList>;
  item(itemId: string, options?: RequestInit): Promise<Item>;
  /** For `<img>`: with the public key. Null without a picture. */
  pictureUrl(item: Pick<Item, "picture_url">): string | null;

  /** Any other call. */
  get(path: string, query?: Record<string, unknown>, options?: RequestInit): Promise<any>;
  post(path: string, body: unknown, options?: RequestInit): Promise<any>;
  fetch(path: string, options?: RequestInit): Promise<Response>;

  /** Record an event: `view`, `click`, `cart`, `purchase` or a type of your own. Kept until the service has it. */
  track(type: string, itemId: string, options?: TrackOptions): void;
  /** Send waiting events now. */
  flush(): Promise<void>;
  /** Record one impression once half of the element was visible for a second. */
  observe(element: Element, itemId: string, options?: Pick<TrackOptions, "recommendationId">): void;
}

/** Create the client that the page's `<clairo-recommendations>` use. Call it once. */
export function connect(options?: ClairoOptions): Clairo;

export type ListName = "recommend" | "similar" | "bought-together" | "complements" | "popular" | "trending" | "latest";

/**
 * Attributes: `list` (a ListName, by default recommend), `placement`, `item-id`, `item-ids` and `candidates` (JSON
 * lists), `filter` (JSON), `window`, `limit`, `heading`, and `href` with `{item_id}` in it.
 * Parts for CSS: heading, list, item, link, picture, title, price.
 */
export interface ClairoRecommendationsElement extends HTMLElement {
  /** Load again, after a change elsewhere on the page. */
  reload(): Promise<void>;
}

export interface ClairoRecommendationsEvents {
  "clairo-loaded": CustomEvent<RecommendAnswer | ItemList>;
  "clairo-failed": CustomEvent<ClairoProblem | Error>;
}

declare global {
  interface HTMLElementTagNameMap {
    "clairo-recommendations": ClairoRecommendationsElement;
  }
}
