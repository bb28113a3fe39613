// The form that adds a product. A wrong field is named by its label, at its place.

import { ClairoProblem } from "../clairo.js";
import { byId, clairo, element, remember } from "./page.js";
import { showError } from "./recovery.js";

const MAX_PICTURE_BYTES = 10 * 1024 * 1024;
const NUMBER = /^\d+([.,]\d+)?$/;
let pictureFile = null;
let lastProposedId = "";

const form = byId("add-form");
const fields = () => [...form.elements].filter((field) => field.name);
const labelOf = (field) => field.closest("label").querySelector(".label").textContent;

function choosePicture(file) {
  pictureFile = file ?? null;
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = pictureFile === null;
  byId("drop-text").hidden = pictureFile !== null;
  if (pictureFile === null) preview.removeAttribute("src");
  else preview.src = URL.createObjectURL(pictureFile);
}

function proposeId() {
  const { title, item_id: id } = form.elements;
  if (id.value !== lastProposedId) return;
  const words = title.value.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60);
  lastProposedId = words && `${words}-${Math.random().toString(36).slice(2, 6)}`;
  id.value = lastProposedId;
}

function clearProblems() {
  byId("add-problem").hidden = true;
  for (const error of form.querySelectorAll(".field-error")) error.remove();
  for (const field of fields()) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

// Errors of fields stand below them, and together above the buttons; the first wrong field gets the focus.
function showProblem(problem) {
  clearProblems();
  let first = null;
  const lines = (problem.errors ?? []).map((error) => {
    const field = fields().find(({ name }) => name === String(error.loc.at(-1)));
    if (!field) return element("li", {}, [...error.loc, error.msg].join(": "));
    const note = element("span", { class: "field-error", id: `error-${field.name}` }, error.msg);
    field.closest("label").after(note);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", note.id);
    first ??= field;
    return element("li", {}, element("strong", {}, labelOf(field)), `: ${error.msg}`);
  });
  const place = byId("add-problem");
  place.replaceChildren(element("strong", {}, problem.title ?? "Error in this page"), lines.length ? element("ul", {}, ...lines) : problem.message);
  place.hidden = false;
  first?.focus();
}

// What the form itself can refuse, in the shape of the service's problems.
function ownProblem() {
  const { price } = form.elements;
  const errors = [];
  if (price.value.trim() && !NUMBER.test(price.value.trim())) errors.push({ loc: ["price"], msg: `got “${price.value}”, expected a number such as 48.00` });
  if (pictureFile && pictureFile.size > MAX_PICTURE_BYTES) {
    errors.push({ loc: ["picture"], msg: `the picture is too large: got ${(pictureFile.size / 1024 / 1024).toFixed(1)} MiB, expected at most 10 MiB` });
  }
  return errors.length ? new ClairoProblem({ title: "Invalid fields", detail: "", errors }) : null;
}

async function filledBody() {
  const body = new FormData();
  for (const name of ["item_id", "title", "description"]) body.set(name, form.elements[name].value);
  if (pictureFile) body.set("picture", pictureFile);
  const attributes = ["category", "price"].map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value);
  const { attributes: types } = await clairo.get("schema");
  const typed = attributes.map(([name, value]) => {
    const plain = name === "price" ? value.replace(",", ".") : value;
    return [name, types[name]?.type === "number" && Number.isFinite(Number(plain)) ? Number(plain) : plain];
  });
  if (typed.length) body.set("attributes", JSON.stringify(Object.fromEntries(typed)));
  return body;
}

// A repetition has the same key: if the first attempt arrived after all, the service answers with its result.
async function addProduct(key, onAdded) {
  byId("add-submit").disabled = true;
  try {
    const startedAt = performance.now();
    const answer = await clairo.fetch("items", { method: "POST", body: await filledBody(), headers: { "Idempotency-Key": key } });
    const item = remember(await answer.json());
    byId("add").close();
    form.reset();
    choosePicture(null);
    await onAdded(item, performance.now() - startedAt);
  } catch (error) {
    showProblem(error);
    if (error.status === 0) {
      byId("add-problem").append(" The form is sent again once it answers.");
      showError(error, "product", () => byId("add").open && addProduct(key, onAdded));
    }
  } finally {
    byId("add-submit").disabled = false;
  }
}

export function setUpAdding(onAdded) {
  byId("open-add").addEventListener("click", () => {
    clearProblems();
    lastProposedId = form.elements.item_id.value;
    byId("add").showModal();
    form.elements.title.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearProblems();
    const problem = ownProblem();
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (problem) showProblem(problem);
    else addProduct(key, onAdded);
  });
  form.elements.title.addEventListener("input", proposeId);
  byId("picture").addEventListener("change", (event) => choosePicture(event.target.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    byId("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("is-over", kind === "dragover");
      if (kind === "drop") choosePicture(event.dataTransfer.files[0]);
    });
  }
}
