// Experiments: arms with intervals; start one, end it, serve the other bundle to everybody.

import { byId, clairo, element } from "../page.js";
import { choice } from "./bundles.js";
import { intervals, percentage, shares } from "./charts.js";
import { asking, problemOf, repeated, showChanged } from "./parts.js";

const EVERY_MS = 5_000;
const ARMS = { control: "served bundle", treatment: "other bundle" };

// Returns once `signal` aborts: arms are counted again every few seconds.
export async function showExperiments(signal) {
  const { bundles } = await clairo.get("bundles", {}, { signal });
  const { experiments } = await clairo.get("experiments", {}, { signal });
  const isRunning = experiments.some((experiment) => experiment.is_running);
  const arms = element("div", { class: "arms" });
  byId("experiments-body").replaceChildren(
    element("ul", { class: "cards" }, ...experiments.map((experiment) => cardOf(experiment, arms, signal))),
    isRunning ? "" : formOf(bundles.filter((bundle) => bundle.bundle_id !== null && !bundle.is_serving), signal),
  );
  if (!experiments.length) return;
  drawArms(arms, experiments[0]);
  await repeated(byId("experiments-problem"), EVERY_MS, signal, async () => {
    if (!arms.isConnected) return;
    const counted = await clairo.get("experiments", {}, { signal });
    if (counted.experiments.length) drawArms(arms, counted.experiments[0]);
  });
}

function cardOf(experiment, arms, signal) {
  const [control, treatment] = experiment.arms;
  const { share } = experiment;
  return element(
    "li",
    { class: "card" },
    element(
      "div",
      { class: "heading" },
      element("h3", {}, experiment.name, element("span", { class: experiment.is_running ? "badge" : "badge popular" }, experiment.is_running ? "running" : "ended")),
    ),
    shares(
      [
        { name: `served bundle ${control.bundle_id}`, value: 1 - share },
        { name: `other bundle ${treatment.bundle_id}`, value: share },
      ],
      "Users by arm",
    ),
    arms,
    experiment.is_running ? endings(experiment, treatment, signal) : null,
  );
}

function drawArms(place, experiment) {
  const rows = experiment.arms.map((arm) => ({
    label: `${ARMS[arm.arm] ?? arm.arm}: ${arm.num_hit.toLocaleString("en")} of ${arm.num_shown.toLocaleString("en")}`,
    value: arm.hit_rate,
    low: arm.hit_rate_interval?.[0] ?? null,
    high: arm.hit_rate_interval?.[1] ?? null,
    isStrong: arm.arm === "treatment",
  }));
  place.replaceChildren(
    element("h4", {}, "Shown recommendations that were followed, and the 95% interval"),
    intervals(rows, { format: percentage, unit: "Hit rate by arm" }),
    element("p", { class: "hint" }, verdictOf(experiment.arms)),
  );
}

function verdictOf(arms) {
  const [control, treatment] = arms.map((arm) => arm.hit_rate_interval);
  if (!control || !treatment) return "A recommendation counts as shown once an impression in feedback carries its recommendation_id.";
  if (treatment[0] > control[1]) return "The other bundle is followed more often: the intervals do not overlap.";
  if (treatment[1] < control[0]) return "The served bundle is followed more often: the intervals do not overlap.";
  return "The intervals overlap: no difference is shown yet.";
}

function endings(experiment, treatment, signal) {
  const again = async (text) => {
    showChanged(text);
    document.dispatchEvent(new Event("clairo-changed"));
    showExperiments(signal).catch((error) => showChanged(error.message));
  };
  const serve = asking("Serve the other bundle to everybody", {
    question: () => `End ${experiment.name} and serve ${treatment.bundle_id} to everybody?`,
    confirm: "Serve it",
    className: "primary",
    act: async () => {
      const answer = await clairo.post(`bundles/${encodeURIComponent(treatment.bundle_id)}/activate?allow_worse=true`, {});
      await again(`${experiment.name} has ended: ${answer.bundle_id} is served to everybody.`);
    },
  });
  if (experiment.is_in_settings) {
    return element("div", { class: "buttons" }, serve, element("p", { class: "hint" }, "It stands in the settings: to end it and keep the served bundle, remove CLAIRO_EXPERIMENT and restart."));
  }
  const end = asking("End it", {
    question: () => `End ${experiment.name}? ${experiment.arms[0].bundle_id} answers everybody again.`,
    confirm: "End it",
    isDanger: true,
    act: async () => {
      await clairo.fetch(`experiments/${encodeURIComponent(experiment.name)}`, { method: "DELETE" });
      await again(`${experiment.name} has ended: ${experiment.arms[0].bundle_id} answers everybody.`);
    },
  });
  return element("div", { class: "buttons" }, serve, end);
}

function formOf(bundles, signal) {
  if (!bundles.length) return element("p", { class: "hint" }, "An experiment needs a second bundle: start the service with --bundles-dir.");
  const bundle = choice("Other bundle", bundles.map((listed) => [listed.bundle_id, listed.bundle_id]), bundles[0].bundle_id);
  const name = element("input", { name: "name", required: true, maxlength: 40, pattern: "[a-z0-9][a-z0-9_\\-]*", autocomplete: "off", spellcheck: "false" });
  const share = element("input", { type: "range", min: 1, max: 99, value: 50 });
  const shown = element("span", {}, "50%");
  const problem = element("div", { role: "alert" });
  const start = element("button", { class: "primary", type: "submit" }, "Start");
  share.addEventListener("input", () => (shown.textContent = `${share.value}%`));
  const form = element(
    "form",
    { class: "card fields" },
    element("h3", {}, "Start an experiment"),
    element("label", {}, "Name", name, element("small", {}, "Lower-case letters, digits, - and _. Never used before.")),
    bundle.label,
    element("label", {}, element("span", {}, "Share of users who get it: ", shown), share),
    problem,
    element("div", { class: "actions start" }, start),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.replaceChildren();
    // It answers once the bundle is loaded, which may take minutes.
    start.disabled = true;
    try {
      const body = { name: name.value, share: Number(share.value) / 100, bundle_id: bundle.select.value };
      await clairo.post("experiments", body);
      showChanged(`${body.name} has started: ${share.value}% of users get ${body.bundle_id}.`);
      showExperiments(signal).catch((error) => showChanged(error.message));
    } catch (error) {
      problem.replaceChildren(problemOf(error));
    } finally {
      start.disabled = false;
    }
  });
  return form;
}
