// Shared parts of the operator's page: what changed, problems, presses that ask back in place.

import { askForKey } from "../key.js";
import { byId, element } from "../page.js";

// What a press has changed, for people and screen readers.
export function showChanged(text) {
  const dismiss = element("button", { class: "plain", type: "button", onclick: () => byId("changed").replaceChildren() }, "Dismiss");
  byId("changed").replaceChildren(element("p", {}, text), dismiss);
}

// A problem as text: title, detail, and each field by its place.
export function problemOf(error) {
  const fields = (error.errors ?? []).map(({ loc, msg }) => element("li", {}, `${loc.filter((part) => part !== "body").join(" → ") || "request"}: ${msg}`));
  const title = error.title ?? "Error in this page";
  return element("div", { class: "problem" }, element("strong", {}, title), fields.length ? element("ul", {}, ...fields) : error.message);
}

// Shows a problem in a room, with a way to another key where a key is at fault. Null removes it.
export function showProblem(place, error) {
  if (error === null) return place.replaceChildren();
  if (error.name === "AbortError") return undefined;
  const shown = problemOf(error);
  if ([401, 403].includes(error.status)) shown.append(element("button", { class: "secondary", type: "button", onclick: changeKey }, "Use another key"));
  return place.replaceChildren(shown);
}

// Repeats `step` until `signal` aborts. A failure shows in `place` until a step succeeds again: the service may restart.
export async function repeated(place, everyMs, signal, step) {
  let problem = null;
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await step();
        if (problem !== null) {
          showProblem(place, null);
          document.dispatchEvent(new Event("clairo-changed"));
        }
        problem = null;
      } catch (error) {
        if (signal.aborted) return;
        // Once: a screen reader would read it every few seconds.
        if (error.message !== problem) showProblem(place, error);
        problem = error.message;
        // The next step would open the key dialog again.
        if ([401, 403].includes(error.status)) return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export async function changeKey() {
  if (await askForKey("Enter a key with scope admin.")) location.reload();
}

// A button that asks back where it stands, and shows a refusal there.
// `act` throws a problem, or resolves. `otherwise(problem)` may offer another press of the same kind.
export function asking(name, { question, confirm, act, otherwise = () => null, isDanger = false, className = "secondary" }) {
  const place = element("div", { class: "asking" });
  const rest = element("button", { class: isDanger ? "secondary danger" : className, type: "button", onclick: ask }, name);
  place.append(rest);

  function ask() {
    const problem = element("div", { role: "alert" });
    const yes = element("button", { class: isDanger ? "primary danger" : "primary", type: "button" }, confirm);
    const no = element("button", { class: "plain", type: "button", onclick: takeBack }, "Cancel");
    const buttons = element("div", { class: "buttons" }, yes, no);
    const group = element("div", { class: "question", role: "group", "aria-label": name }, element("p", {}, question()), buttons, problem);
    yes.addEventListener("click", async () => {
      // Neither repeated nor taken back while it is carried out.
      yes.disabled = no.disabled = true;
      problem.replaceChildren();
      try {
        await act();
        if (place.isConnected) takeBack();
      } catch (error) {
        const next = otherwise(error);
        problem.replaceChildren(problemOf(error), ...(next === null ? [] : [next]));
        yes.disabled = no.disabled = false;
        yes.hidden = next !== null;
        // A disabled button loses the focus.
        if (document.activeElement === document.body) (next?.querySelector("button") ?? yes).focus();
        group.scrollIntoView({ block: "nearest" });
      }
    });
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();
      if (!no.disabled) takeBack();
    });
    place.replaceChildren(group);
    group.scrollIntoView({ block: "nearest" });
    yes.focus();
  }

  function takeBack() {
    place.replaceChildren(rest);
    rest.focus();
  }
  return place;
}

// Of an item.
export const nameOf = (item) => item.title || item.item_id;

export const ago = (time) => {
  const seconds = (Date.now() - new Date(time)) / 1000;
  const units = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
  const [unit, length] = units.find(([, size]) => seconds >= size) ?? ["second", 1];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(seconds / length), unit);
};
