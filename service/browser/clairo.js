// CLAIRO in a shop's pages: calls, feedback, impressions and <clairo-recommendations>. One module, no build step.
// Types and descriptions are in clairo.d.ts; docs/storefront.md has a page to copy.

const VISITOR = "clairo-visitor";
const KEPT_EVENT = "clairo-event:";
const MAX_KEPT_EVENTS = 500;
const MAX_BATCH_EVENTS = 50;
const SEND_MS = 2_000;
const SEND_TIMEOUT_MS = 30_000;
const MAX_RETRY_MS = 60_000;
const SEEN_SHARE = 0.5;
const SEEN_MS = 1_000;
const REFUSED = 422;
const storage = openStorage();

// A problem document of the service (RFC 9457). Status 0: it cannot be reached.
export class ClairoProblem extends Error {
  constructor(document) {
    super(document.detail);
    this.name = "ClairoProblem";
    this.title = document.title;
    this.status = document.status ?? 0;
    this.errors = document.errors ?? [];
    this.requestId = document.request_id ?? null;
  }
}

export class Clairo {
  #askForKey;
  #outbox = new Outbox(this, (body) => this.#beacon(body));
  #seen = null;
  #shown = new WeakMap();

  constructor({ key = "", url = new URL(".", import.meta.url).href, userId = null, askForKey = null } = {}) {
    this.key = key;
    this.url = url.endsWith("/") ? url : `${url}/`;
    this.userId = userId;
    this.#askForKey = askForKey;
  }

  // --- calls. Options are those of fetch, such as `signal`.

  recommend(body, options) {
    const isForSomebody = ["history", "user_id", "session_id"].some((name) => name in body);
    return this.post("recommend", isForSomebody ? body : { ...this.#visitor(), ...body }, options);
  }

  complements(body, options) {
    return this.post("complements", body, options);
  }

  similar(itemId, query, options) {
    return this.get(`items/${encodeURIComponent(itemId)}/similar`, query, options);
  }

  boughtTogether(itemId, query, options) {
    return this.get(`items/${encodeURIComponent(itemId)}/bought-together`, query, options);
  }

  popular(query, options) {
    return this.get("popular", query, options);
  }

  trending(query, options) {
    return this.get("trending", query, options);
  }

  latest(query, options) {
    return this.get("latest", query, options);
  }

  item(itemId, options) {
    return this.get(`items/${encodeURIComponent(itemId)}`, {}, options);
  }

  // For <img>, which sends no header: a public key stands in the url.
  pictureUrl(item) {
    return item.picture_url ? this.#withKey(new URL(item.picture_url, this.url)).href : null;
  }

  async get(path, query = {}, options = {}) {
    const parameters = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const texts = parameters.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]);
    return (await this.fetch(`${path}?${new URLSearchParams(texts)}`, options)).json();
  }

  async post(path, body, options = {}) {
    const headers = { "Content-Type": "application/json", ...options.headers };
    return (await this.fetch(path, { ...options, method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  // Any call, with the key as a header. Throws a ClairoProblem unless the answer is a success.
  async fetch(path, options = {}) {
    const { key } = this;
    const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...options.headers };
    let answer;
    try {
      answer = await fetch(new URL(path.replace(/^\//, ""), this.url), { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ClairoProblem({ title: "The service cannot be reached", detail: "Check that it is running, then reload." });
    }
    if (answer.ok) return answer;
    const isJson = (answer.headers.get("content-type") ?? "").includes("json");
    const problem = new ClairoProblem(isJson ? await answer.json() : { title: `Status ${answer.status}`, detail: answer.statusText, status: answer.status });
    if (problem.status !== 401 || this.#askForKey === null) throw problem;
    // Another call may have been given a key meanwhile.
    const next = this.key !== key ? this.key : await this.#askForKey(problem.message);
    if (!next) throw problem;
    this.key = next;
    return this.fetch(path, options);
  }

  // --- feedback

  track(type, itemId, { recommendationId = null, value = null } = {}) {
    this.#outbox.add({
      event_id: randomId(),
      ...this.#visitor(),
      item_id: itemId,
      type,
      timestamp: Date.now() / 1000,
      ...(recommendationId === null ? {} : { recommendation_id: recommendationId }),
      ...(value === null ? {} : { value }),
    });
  }

  flush() {
    return this.#outbox.flush();
  }

  // Track one impression once half of the element was visible for a second.
  observe(element, itemId, { recommendationId = null } = {}) {
    this.#seen ??= new IntersectionObserver((entries) => entries.forEach((entry) => this.#onVisible(entry)), { threshold: SEEN_SHARE });
    this.#shown.set(element, { itemId, recommendationId, timer: null });
    this.#seen.observe(element);
  }

  #onVisible({ target, isIntersecting }) {
    const shown = this.#shown.get(target);
    clearTimeout(shown.timer);
    if (!isIntersecting) return;
    shown.timer = setTimeout(() => {
      this.#seen.unobserve(target);
      if (target.isConnected) this.track("impression", shown.itemId, shown);
    }, SEEN_MS);
  }

  // The shop's id of a known user, or a session of this browser.
  #visitor() {
    if (this.userId !== null) return { user_id: String(this.userId) };
    let visitor = storage.getItem(VISITOR);
    if (visitor === null) storage.setItem(VISITOR, (visitor = `visitor-${randomId()}`));
    return { session_id: visitor };
  }

  // Text needs no preflight, which a closing page has no time for.
  #beacon(body) {
    navigator.sendBeacon(this.#withKey(new URL("feedback", this.url)), new Blob([JSON.stringify(body)], { type: "text/plain" }));
  }

  #withKey(url) {
    if (this.key) url.searchParams.set("key", this.key);
    return url;
  }
}

// Events on their way. Each stays in storage until the service acknowledges it: a lost connection or a closed page loses
// none. The service counts an event_id once, however often it is sent.
class Outbox {
  #clairo;
  #beacon;
  #timer = null;
  #retryMs = SEND_MS;
  #sending = null;

  constructor(clairo, beacon) {
    this.#clairo = clairo;
    this.#beacon = beacon;
    addEventListener("online", () => this.flush());
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.#leave());
    if (keptEvents().length) this.#sendIn(SEND_MS);
  }

  add(event) {
    const kept = keptEvents();
    for (const { event_id: id } of kept.slice(0, Math.max(0, kept.length + 1 - MAX_KEPT_EVENTS))) storage.removeItem(KEPT_EVENT + id);
    storage.setItem(KEPT_EVENT + event.event_id, JSON.stringify(event));
    this.#sendIn(SEND_MS);
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    return (this.#sending ??= this.#sendAll().finally(() => (this.#sending = null)));
  }

  async #sendAll() {
    try {
      for (let batch = nextBatch(); batch.length; batch = nextBatch()) await this.#send(batch);
      this.#retryMs = SEND_MS;
    } catch {
      this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
      this.#sendIn(this.#retryMs);
    }
  }

  async #send(batch) {
    try {
      await this.#clairo.post("feedback", { events: batch }, { keepalive: true, signal: AbortSignal.timeout(SEND_TIMEOUT_MS) });
    } catch (problem) {
      if (problem.status !== REFUSED) throw problem;
      // One invalid event refuses all: sent one by one, it is the only one to be dropped.
      if (batch.length > 1) return void (await Promise.all(batch.map((event) => this.#send([event]))));
      console.warn(`CLAIRO refused an event: ${problem.message}`, batch[0]);
    }
    for (const event of batch) storage.removeItem(KEPT_EVENT + event.event_id);
  }

  // A beacon has no answer: its events stay, and the next page sends them again.
  #leave() {
    const batch = nextBatch();
    if (batch.length) this.#beacon({ events: batch });
  }

  #sendIn(milliseconds) {
    this.#timer ??= setTimeout(() => this.flush(), milliseconds);
  }
}

function keptEvents() {
  const names = Array.from({ length: storage.length }, (_, place) => storage.key(place)).filter((name) => name?.startsWith(KEPT_EVENT));
  return names.map((name) => JSON.parse(storage.getItem(name))).sort((one, other) => one.timestamp - other.timestamp);
}

const nextBatch = () => keptEvents().slice(0, MAX_BATCH_EVENTS);
// crypto.randomUUID exists on secure pages alone.
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openStorage() {
  try {
    localStorage.setItem("clairo-probe", "");
    localStorage.removeItem("clairo-probe");
    return localStorage;
  } catch {
    // Blocked or full: kept until the page closes.
    const kept = new Map();
    return {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => kept.set(name, value),
      removeItem: (name) => kept.delete(name),
      key: (place) => [...kept.keys()][place] ?? null,
      get length() {
        return kept.size;
      },
    };
  }
}

// --- <clairo-recommendations>

let setConnected;
const connected = new Promise((resolve) => (setConnected = resolve));

// The client of the page's elements.
export function connect(options) {
  const clairo = new Clairo(options);
  setConnected(clairo);
  return clairo;
}

const STYLE = `
:host { display: block; }
:host([hidden]) { display: none; }
h2 { margin: 0 0 0.75rem; font-size: 1.25rem; }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; margin: 0; padding: 0; list-style: none; }
a { display: grid; gap: 0.35rem; color: inherit; text-decoration: none; }
a:hover [part="title"] { text-decoration: underline; }
a:focus-visible { outline: 2px solid currentColor; outline-offset: 3px; border-radius: 0.5rem; }
[part="picture"] { display: grid; place-items: center; aspect-ratio: 1; width: 100%; object-fit: cover; border-radius: 0.5rem; background: color-mix(in srgb, currentColor 8%, transparent); font-size: 2rem; }
[part="price"] { font-size: 0.9em; }
`;

const FIELDS = ["title", "attributes", "picture_url"];
const LISTS = {
  recommend: (clairo, { placement, candidates, filter, limit }) => clairo.recommend(given({ placement, candidates, filter, limit, fields: FIELDS })),
  similar: (clairo, { itemId, filter, limit }) => clairo.similar(itemId, { filter, limit }),
  "bought-together": (clairo, { itemId, filter, limit }) => clairo.boughtTogether(itemId, { filter, limit }),
  complements: (clairo, { itemIds, filter, limit }) => clairo.complements(given({ item_ids: itemIds, filter, limit })),
  popular: (clairo, { window, filter, limit }) => clairo.popular({ window, filter, limit }),
  trending: (clairo, { window, filter, limit }) => clairo.trending({ window, filter, limit }),
  latest: (clairo, { window, filter, limit }) => clairo.latest({ window, filter, limit }),
};

// An element waits for the attribute that its list is about.
const NEEDED = { similar: "item-id", "bought-together": "item-id", complements: "item-ids" };

const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

class ClairoRecommendations extends HTMLElement {
  static observedAttributes = ["list", "placement", "item-id", "item-ids", "candidates", "filter", "window", "limit", "heading", "href"];
  #isWaiting = false;
  #newest = null;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    this.reload();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.reload();
  }

  // Attributes that change together load once.
  async reload() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const clairo = await connected;
    this.#isWaiting = false;
    const list = this.getAttribute("list") ?? "recommend";
    if (list in NEEDED && !this.hasAttribute(NEEDED[list])) return;
    const loading = (this.#newest = {});
    try {
      const answer = await this.#answer(clairo, list);
      if (loading !== this.#newest) return;
      this.#show(clairo, answer.items.map((entry) => entry.item ?? entry), answer.recommendation_id ?? null);
      this.dispatchEvent(new CustomEvent("clairo-loaded", { detail: answer }));
    } catch (problem) {
      if (loading !== this.#newest) return;
      this.hidden = true;
      this.dispatchEvent(new CustomEvent("clairo-failed", { detail: problem }));
    }
  }

  #answer(clairo, list) {
    if (!Object.hasOwn(LISTS, list)) throw new TypeError(`list="${list}": expected ${Object.keys(LISTS).join(", ")}`);
    const json = (name) => JSON.parse(this.getAttribute(name) ?? "null");
    return LISTS[list](clairo, {
      placement: this.getAttribute("placement"),
      itemId: this.getAttribute("item-id"),
      itemIds: json("item-ids"),
      candidates: json("candidates"),
      filter: json("filter"),
      window: this.getAttribute("window"),
      limit: json("limit"),
    });
  }

  #show(clairo, items, recommendationId) {
    const heading = this.getAttribute("heading");
    const list = element("ul", { part: "list", role: "list" });
    const section = element("section", heading ? { "aria-labelledby": "heading" } : { "aria-label": "Recommendations" });
    if (heading) section.append(element("h2", { id: "heading", part: "heading" }, heading));
    section.append(list);
    for (const item of items) list.append(this.#card(clairo, item, recommendationId));
    this.hidden = items.length === 0;
    this.shadowRoot.replaceChildren(section);
  }

  #card(clairo, item, recommendationId) {
    const href = (this.getAttribute("href") ?? "#{item_id}").replaceAll("{item_id}", encodeURIComponent(item.item_id));
    const link = element("a", { part: "link", href }, pictureOf(clairo, item), element("span", { part: "title" }, item.title || item.item_id));
    if (item.attributes?.price) link.append(element("span", { part: "price" }, String(item.attributes.price)));
    link.addEventListener("click", () => clairo.track("click", item.item_id, { recommendationId }));
    const card = element("li", { part: "item", "data-item-id": item.item_id }, link);
    clairo.observe(card, item.item_id, { recommendationId });
    return card;
  }
}

function pictureOf(clairo, item) {
  const initial = element("span", { part: "picture", "aria-hidden": "true" }, Array.from(item.title || item.item_id)[0].toUpperCase());
  const url = clairo.pictureUrl(item);
  if (url === null) return initial;
  const picture = element("img", { part: "picture", src: url, alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(initial));
  return picture;
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

if (!customElements.get("clairo-recommendations")) customElements.define("clairo-recommendations", ClairoRecommendations);
