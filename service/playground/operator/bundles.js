// Bundles with the tables of their training as intervals; activate one, roll back.

import { keptKey } from "../key.js";
import { byId, clairo, element } from "../page.js";
import { intervals } from "./charts.js";
import { ago, asking, showChanged } from "./parts.js";

const DECIDING = "ndcg@10";
const SEEN = { masked: "seen items left out, as the service does", allowed: "seen items allowed", weighed: "seen items weighed" };
const figure = (value) => value.toFixed(4);

export async function showBundles(signal) {
  const { bundles } = await clairo.get("bundles", {}, { signal });
  const shown = await Promise.all(bundles.map((bundle) => (bundle.bundle_id === null ? bundle : clairo.get(`bundles/${encodeURIComponent(bundle.bundle_id)}`, {}, { signal }))));
  shown.sort((one, other) => other.is_serving - one.is_serving || (other.created_at ?? "").localeCompare(one.created_at ?? ""));
  const served = shown.find((bundle) => bundle.is_serving) ?? null;
  const parts = [comparison(shown), element("ul", { class: "cards" }, ...shown.map((bundle) => cardOf(bundle, served)))];
  if (shown.length === 1) parts.push(element("p", { class: "hint" }, "The service knows one bundle. Start it with --bundles-dir to switch between several."));
  byId("bundles-body").replaceChildren(...parts.filter((part) => part !== null));
}

// The bundle's own row of NDCG@10 as it decides between bundles: the first with seen items left out.
function decidingRow(bundle) {
  const rows = bundle.metrics?.evaluation?.rows ?? [];
  return rows.find((row) => row.seen_items === "masked") ?? rows[0] ?? null;
}

function comparison(bundles) {
  const measured = bundles.filter((bundle) => bundle.ndcg_at_10 !== null);
  if (measured.length < 2) return null;
  const rows = measured.map((bundle) => {
    const metric = decidingRow(bundle)?.metrics.find(({ name }) => name === DECIDING);
    return { label: bundle.bundle_id, value: bundle.ndcg_at_10, low: metric?.low ?? null, high: metric?.high ?? null, isStrong: bundle.is_serving };
  });
  const isOnOneData = new Set(measured.map(({ dataset_name: name, metrics }) => `${name} ${metrics?.evaluation?.split} ${metrics?.evaluation?.num_users}`)).size === 1;
  return element(
    "article",
    { class: "card" },
    element("h3", {}, "NDCG@10 and its 95% interval"),
    intervals(rows, { format: figure, unit: "NDCG@10 by bundle" }),
    isOnOneData ? null : element("p", { class: "hint" }, "Measured on different data, splits or users: these bars do not compare."),
  );
}

function cardOf(bundle, served) {
  if (bundle.problem !== null) {
    return element("li", { class: "card" }, element("h3", {}, bundle.name), element("div", { class: "problem" }, bundle.problem));
  }
  const evaluation = bundle.metrics.evaluation;
  const about = [
    `preset ${bundle.preset}`,
    `trained on ${bundle.dataset_name}${bundle.trained_on ? `, ${bundle.trained_on.served.toLocaleString("en")} interactions` : ""}`,
    ago(bundle.created_at),
  ];
  return element(
    "li",
    { class: `card${bundle.is_serving ? " is-chosen" : ""}`, "data-bundle-id": bundle.bundle_id },
    element(
      "div",
      { class: "heading" },
      element("h3", {}, bundle.bundle_id, bundle.is_serving ? element("span", { class: "badge" }, "serving") : null),
      bundle.ndcg_at_10 === null ? null : element("p", { class: "big" }, figure(bundle.ndcg_at_10), element("small", {}, " NDCG@10")),
    ),
    element("p", { class: "hint" }, about.join(" · ")),
    evaluation?.rows?.length ? tablesOf(bundle, evaluation) : element("p", { class: "hint" }, "Its training measured no tables."),
    // A link carries no key.
    bundle.report_url && !keptKey() ? element("p", {}, element("a", { href: bundle.report_url, target: "_blank", rel: "noopener" }, "Its page: quality, map and codes in pictures")) : null,
    bundle.is_serving ? rollBack() : activation(bundle, served),
  );
}

function tablesOf(bundle, evaluation) {
  const names = [...new Set(evaluation.rows.flatMap((row) => row.metrics.map(({ name }) => name)))];
  const kinds = [...new Set(evaluation.rows.map((row) => row.seen_items))];
  const metric = choice("Metric", names.map((name) => [name, name]), DECIDING);
  const seen = choice("Seen items", kinds.map((kind) => [kind, SEEN[kind] ?? kind]), decidingRow(bundle).seen_items);
  const plot = element("div", {});
  const draw = () => {
    const rows = evaluation.rows.filter((row) => row.seen_items === seen.select.value).map((row) => ({ row, measured: row.metrics.find(({ name }) => name === metric.select.value) }));
    plot.replaceChildren(
      intervals(
        rows.map(({ row, measured }, place) => ({ label: row.ranker, value: measured?.value ?? null, low: measured?.low ?? null, high: measured?.high ?? null, isStrong: place === 0 })),
        { format: figure, unit: `${metric.select.value} by ranker` },
      ),
    );
  };
  for (const { select } of [metric, seen]) select.addEventListener("change", draw);
  draw();
  const users = `${evaluation.num_users.toLocaleString("en")} users of the ${evaluation.split} split; bars are 95% intervals`;
  return element(
    "details",
    { open: bundle.is_serving },
    element("summary", {}, "Tables and intervals"),
    element("div", { class: "choices" }, metric.label, seen.label),
    plot,
    element("p", { class: "hint" }, users),
  );
}

export function choice(name, options, chosen) {
  const select = element("select", {}, ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
  return { select, label: element("label", { class: "choice" }, name, select) };
}

async function changed(answer) {
  showChanged(`${answer.bundle_id} is served now, in place of ${answer.previous_bundle_id}.`);
  document.dispatchEvent(new Event("clairo-changed"));
  await showBundles();
}

function rollBack() {
  return asking("Roll back", {
    question: () => "Serve the bundle that this one replaced? No request fails meanwhile.",
    confirm: "Roll back",
    act: async () => changed(await clairo.post("bundles/rollback", {})),
  });
}

function activation(bundle, served) {
  const activate = (query) => async () => changed(await clairo.post(`bundles/${encodeURIComponent(bundle.bundle_id)}/activate${query}`, {}));
  const compared = () =>
    bundle.ndcg_at_10 === null || !served || served.ndcg_at_10 === null ? "" : ` NDCG@10 was ${figure(bundle.ndcg_at_10)} against ${figure(served.ndcg_at_10)}.`;
  return asking("Activate", {
    question: () => `Serve it in place of ${served?.bundle_id ?? "the present one"}?${compared()} It is verified and warmed up first.`,
    confirm: "Activate",
    className: "primary",
    act: activate(""),
    otherwise: (error) =>
      error.status !== 409 || !error.message.includes("allow_worse")
        ? null
        : asking("Activate it nevertheless", {
            question: () => "Nothing shows that it is as good. Serve it to everybody?",
            confirm: "Serve it",
            isDanger: true,
            act: activate("?allow_worse=true"),
          }),
  });
}
