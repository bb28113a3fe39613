// Jobs of bulk calls: progress, and why lines were rejected.

import { byId, clairo, element } from "../page.js";
import { progress } from "./charts.js";
import { ago, problemOf, repeated } from "./parts.js";

const EVERY_MS = 1_500;
const SHOWN_ROWS = 100;
const KINDS = { items: "Products added or changed", patches: "Fields of products changed", feedback: "Events stored" };
const opened = new Set();

// Returns once `signal` aborts.
export async function showJobs(signal) {
  let before = "";
  await repeated(byId("jobs-problem"), EVERY_MS, signal, async () => {
    const { jobs } = await clairo.get("jobs", {}, { signal });
    const now = JSON.stringify(jobs);
    if (now !== before) draw(jobs);
    before = now;
  });
}

function draw(jobs) {
  const unfinished = jobs.filter((job) => job.state !== "done").length;
  byId("jobs-status").textContent = jobs.length ? `${unfinished} unfinished of ${jobs.length}` : "";
  const focused = document.activeElement.closest("#jobs-list [data-job-id]")?.dataset.jobId;
  byId("jobs-list").replaceChildren(
    ...(jobs.length ? jobs.map(cardOf) : [element("li", { class: "empty" }, "No jobs yet. POST /items/bulk, PATCH /items/bulk and POST /feedback/bulk make one.")]),
  );
  if (focused) byId("jobs-list").querySelector(`[data-job-id="${CSS.escape(focused)}"] summary`)?.focus({ preventScroll: true });
}

function cardOf(job) {
  const count = (number) => number.toLocaleString("en");
  const counts = [
    `${count(job.num_done)} of ${count(job.num_rows)} lines`,
    `${count(job.num_accepted)} accepted`,
    job.num_duplicates ? `${count(job.num_duplicates)} known before` : "",
    job.num_undeclared ? `${count(job.num_undeclared)} of types without effect: ${Object.keys(job.undeclared_types).join(", ")}` : "",
    job.num_rejected ? `${count(job.num_rejected)} rejected` : "",
  ].filter((text) => text);
  return element(
    "li",
    { class: "card", "data-job-id": job.job_id },
    element(
      "div",
      { class: "heading" },
      element("h3", {}, KINDS[job.kind], element("span", { class: job.state === "done" ? "badge" : "badge popular" }, job.state)),
      element("p", {}, ago(job.finished_at ?? job.created_at)),
    ),
    progress({ numRows: job.num_rows, numAccepted: job.num_accepted, numRejected: job.num_rejected }, counts.join(", ")),
    element("p", { class: "hint" }, counts.join(" · ")),
    job.num_rejected ? rejectedOf(job) : null,
  );
}

function rejectedOf(job) {
  const list = element("ul", { class: "rejected" });
  const details = element("details", { open: opened.has(job.job_id) }, element("summary", {}, "Rejected lines"), list);
  const load = async () => {
    if (!details.open) return opened.delete(job.job_id);
    opened.add(job.job_id);
    try {
      const { rejected, next_cursor: next } = await clairo.get(`jobs/${job.job_id}`, { limit: SHOWN_ROWS });
      list.replaceChildren(
        ...rejected.map(({ line, reason }) => element("li", {}, element("strong", {}, `line ${line}`), ` ${reason}`)),
        next === null ? "" : element("li", {}, `and ${(job.num_rejected - rejected.length).toLocaleString("en")} more`),
      );
    } catch (error) {
      list.replaceChildren(element("li", {}, problemOf(error)));
    }
    return undefined;
  };
  details.addEventListener("toggle", load);
  return details;
}
