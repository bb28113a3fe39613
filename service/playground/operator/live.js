// GET /metrics every two seconds -> small plots of the last five minutes: rate, time to answer, sources, fallbacks, new items.

import { byId, clairo, element } from "../page.js";
import { bars, lines, percentage, shares } from "./charts.js";
import { repeated } from "./parts.js";

const EVERY_MS = 2_000;
const KEPT_SECONDS = 300;
const WINDOW_SECONDS = 30;
const SHORTEST_AXIS_SECONDS = 60;
const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:\\.|[^"\\])*)"/g;
const SOURCES = { generative: "generated", dense: "looks, words and behaviour", popular: "popular", trending: "trending", latest: "latest" };
const REASONS = {
  empty_history: "no history",
  unknown_history: "history of unknown products",
  catalogue_exhausted: "catalogue exhausted",
  filter_exhausted: "too few products pass the filter",
  group_exhausted: "too few products per group",
};
const readings = [];

// Returns once `signal` aborts.
export async function showLive(signal) {
  await repeated(byId("live-problem"), EVERY_MS, signal, async () => {
    take(readingOf(await (await clairo.fetch("metrics", { signal })).text()));
    draw();
  });
}

// Prometheus's text format -> the sums that the plots need.
export function readingOf(text) {
  const reading = { at: Date.now() / 1000, answers: 0, failures: 0, buckets: new Map(), sources: new Map(), reasons: new Map(), newItems: 0, hits: 0, lookups: 0, waiting: 0 };
  const add = (counts, name, value) => counts.set(name, (counts.get(name) ?? 0) + value);
  for (const line of text.split("\n")) {
    const found = SAMPLE.exec(line);
    if (found === null) continue;
    const [, name, inBraces, number] = found;
    const labels = Object.fromEntries([...(inBraces ?? "").matchAll(LABEL)].map(([, label, value]) => [label, value]));
    const value = Number(number);
    const isOfRecommend = labels.route === "/recommend" || labels.route === "/recommend/batch";
    if (name === "clairo_request_duration_seconds_count" && isOfRecommend) {
      reading.answers += value;
      if (labels.status === "429" || labels.status.startsWith("5")) reading.failures += value;
    } else if (name === "clairo_request_duration_seconds_bucket" && isOfRecommend) add(reading.buckets, Number(labels.le.replace("+Inf", "Infinity")), value);
    else if (name === "clairo_recommended_total") add(reading.sources, labels.source, value);
    else if (name === "clairo_recommended_new_total") reading.newItems += value;
    else if (name === "clairo_fallback_total") add(reading.reasons, labels.reason, value);
    else if (name === "clairo_cache_requests_total") {
      reading.lookups += value;
      if (labels.result === "hit") reading.hits += value;
    } else if (name === "clairo_queue_depth") reading.waiting += value;
  }
  return reading;
}

function take(reading) {
  // Counts that fall belong to a service that has started again.
  if (readings.length && reading.answers < readings.at(-1).answers) readings.length = 0;
  readings.push(reading);
  while (readings[0].at < reading.at - KEPT_SECONDS) readings.shift();
}

const sumOf = (counts) => [...counts.values()].reduce((sum, value) => sum + value, 0);

function minus(counts, before) {
  return new Map([...counts].map(([name, value]) => [name, value - (before?.get(name) ?? 0)]));
}

// What happened between two readings; since the start without a first one.
function between(before, reading) {
  const less = (name) => reading[name] - (before?.[name] ?? 0);
  return {
    seconds: before ? reading.at - before.at : null,
    answers: less("answers"),
    failures: less("failures"),
    newItems: less("newItems"),
    hits: less("hits"),
    lookups: less("lookups"),
    buckets: minus(reading.buckets, before?.buckets),
    sources: minus(reading.sources, before?.sources),
    reasons: minus(reading.reasons, before?.reasons),
  };
}

// Seconds below which this share of the answers came, by linear interpolation inside a bucket; null without answers.
export function quantile(buckets, share) {
  const sorted = [...buckets].sort(([one], [other]) => one - other);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [below, countBelow] = [0, 0];
  for (const [bound, count] of sorted) {
    if (count >= share * total) return bound === Infinity ? below : below + ((bound - below) * (share * total - countBelow)) / Math.max(count - countBelow, 1);
    [below, countBelow] = [bound, count];
  }
  return below;
}

function overTime(figureOf) {
  return readings.slice(1).map((reading, place) => {
    const first = readings.find(({ at }) => at >= reading.at - WINDOW_SECONDS);
    return [reading.at, figureOf(between(first === reading ? readings[place] : first, reading))];
  });
}

const ratio = (part, whole) => (whole > 0 ? part / whole : null);
const perSecond = (rate) => `${rate.toFixed(rate < 10 ? 1 : 0)}/s`;
const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const written = (value, format) => (value === null ? "–" : format(value));

function draw() {
  const newest = readings.at(-1);
  const start = between(null, newest);
  const recent = between(readings.find(({ at }) => at >= newest.at - WINDOW_SECONDS), newest);
  const hasRecent = sumOf(recent.sources) > 0;
  const shown = hasRecent ? recent : start;
  const span = hasRecent ? `last ${WINDOW_SECONDS} s` : "since the start";
  const axis = { since: Math.min(readings[0].at, newest.at - SHORTEST_AXIS_SECONDS), until: newest.at };
  const line = (name, figureOf) => ({ name, points: overTime(figureOf) });
  const inMilliseconds = (buckets, share) => {
    const seconds = quantile(buckets, share);
    return seconds === null ? null : seconds * 1000;
  };
  const isBusy = recent.seconds > 0;
  byId("live-since").textContent = `up to five minutes, each point over ${WINDOW_SECONDS} s`;
  byId("tiles").replaceChildren(
    tile("Recommendations", isBusy ? perSecond(recent.answers / recent.seconds) : "–", [
      lines([line("", ({ answers, seconds }) => answers / seconds)], { ...axis, format: perSecond, label: "Answers of POST /recommend per second" }),
      note(`${newest.answers.toLocaleString("en")} since the start · ${newest.waiting} wait for the model`),
    ]),
    tile("Time to answer", written(inMilliseconds(shown.buckets, 0.5), milliseconds), [
      lines([line("half of the answers below", ({ buckets }) => inMilliseconds(buckets, 0.5)), line("95% below", ({ buckets }) => inMilliseconds(buckets, 0.95))], {
        ...axis,
        format: milliseconds,
        label: "Time to answer in milliseconds",
      }),
      note(`half below this, 95% below ${written(inMilliseconds(shown.buckets, 0.95), milliseconds)}, ${span}`),
      histogram(start.buckets),
    ]),
    tile("Where items come from", null, [
      shares(named(shown.sources, SOURCES), `Sources, ${span}`),
      note(`recommended items, ${span}`),
    ]),
    tile("New items", written(ratio(shown.newItems, sumOf(shown.sources)), percentage), [
      lines([line("", ({ newItems, sources }) => ratio(newItems, sumOf(sources)))], { ...axis, format: percentage, label: "Share of items posted after training" }),
      note(`of recommended items were posted after training, ${span}`),
    ]),
    tile("Fallbacks", written(ratio(sumOf(shown.reasons), shown.answers), percentage), [
      lines([line("", ({ reasons, answers }) => ratio(sumOf(reasons), answers))], { ...axis, format: percentage, label: "Share of answers with fallback items" }),
      note(`of answers hold fallback items, ${span}`),
      ...(sumOf(shown.reasons) ? [shares(named(shown.reasons, REASONS), "Reasons")] : []),
    ]),
    tile("Failures", written(ratio(shown.failures, shown.answers), percentage), [
      lines([line("", ({ failures, answers }) => ratio(failures, answers))], { ...axis, format: percentage, label: "Share of answers with status 429 or 5xx" }),
      note(`of answers have status 429 or 5xx, ${span} · ${written(ratio(shown.hits, shown.lookups), percentage)} from the cache`),
    ]),
  );
}

function named(counts, names) {
  return [...counts].filter(([, value]) => value > 0).sort(([, one], [, other]) => other - one).map(([name, value]) => ({ name: names[name] ?? name, value }));
}

function histogram(buckets) {
  let before = 0;
  const counts = [...buckets].sort(([one], [other]) => one - other).map(([bound, count]) => {
    const value = count - before;
    before = count;
    return { label: bound === Infinity ? "more" : bound < 1 ? `${bound * 1000}` : `${bound} s`, value };
  });
  const used = counts.filter(({ value }) => value > 0).length;
  if (!used) return null;
  const [first, last] = [counts.findIndex(({ value }) => value > 0), counts.findLastIndex(({ value }) => value > 0)];
  return element("div", {}, note("answers by milliseconds, since the start"), bars(counts.slice(Math.max(first - 1, 0), last + 2), "Answers by milliseconds"));
}

const note = (text) => element("p", { class: "hint" }, text);

function tile(name, figure, children) {
  const head = element("div", { class: "tile-head" }, element("h3", {}, name), figure === null ? null : element("p", { class: "big" }, figure));
  return element("article", { class: "card tile" }, head, ...children);
}
