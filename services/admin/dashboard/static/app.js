// What the pages need beyond htmx: the viewer's zone, polls that do not disturb, questions before
// destructive acts. No data is fetched or kept here, but the search words of this tab.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

// Every time in the viewer's zone; the exact one on hover. A reload within htmx comes through here too.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = (at.getFullYear() === new Date().getFullYear() ? short : dated).format(at);
    time.title = full.format(at);
  }
}

// What was unfolded stays so when its region is drawn anew.
const unfolded = new Set();
document.addEventListener("toggle", ({ target }) => {
  if (target.matches?.("details[id]")) unfolded[target.open ? "add" : "delete"](target.id);
}, true);

document.addEventListener("htmx:load", ({ target }) => {
  localise(target);
  (target.matches?.("dialog[data-open]") ? target : target.querySelector?.("dialog[data-open]"))?.showModal();
  for (const id of unfolded) target.querySelector?.(`details[id="${CSS.escape(id)}"]`)?.setAttribute("open", "");
});

// Who goes by keyboard stays on the same link, button or fold when its region is drawn anew.
function spot(elt) {
  // The button that saved a status is gone with its form: the status itself is where one goes on.
  const onward = elt.closest("form[data-focus]")?.dataset.focus;
  if (onward) return `#${CSS.escape(onward)}`;
  const named = (name) => `[${name}="${CSS.escape(elt.getAttribute(name))}"]`;
  if (elt.id) return `#${CSS.escape(elt.id)}`;
  if (elt.matches("a[href]")) return `a${named("href")}`;
  if (elt.matches("summary")) return `${spot(elt.parentElement)} > summary`;
  return elt.form?.action ? `form[action="${CSS.escape(elt.form.getAttribute("action"))}"] ${elt.localName}` : null;
}
// Where there is no such thing any more, at the page's beginning and not at the browser's.
function refocus(selector) {
  const { activeElement } = document;
  // In a dialog that was just closed the focus stays until the next frame.
  if (activeElement !== document.body && !activeElement.closest("dialog:not([open])")) return;
  (document.querySelector(selector) || document.getElementById("main")).focus({ preventScroll: true });
}
let left;
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  left = detail.target.contains(document.activeElement) ? spot(document.activeElement) : null;
});
document.addEventListener("htmx:afterSettle", () => {
  if (left) refocus(left);
});

document.addEventListener("htmx:configRequest", ({ detail }) => {
  detail.headers["X-Time-Zone"] = zone;
});

// A poll waits while nobody looks, and while somebody is at work in the region that it would draw anew.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  const by = requestConfig.triggeringEvent?.type;
  if (by && by !== "seen") return;
  const busy = elt.contains(document.activeElement) && document.activeElement.matches("select, input, textarea, form.status *");
  if (document.hidden || busy || document.querySelector("dialog[open]")) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) htmx.trigger(document.body, "seen");
});

// The admin service itself is away: say so until it answers.
const away = (is) => { const note = document.getElementById("away"); if (note) note.hidden = !is; };
for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => away(true));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.xhr.status) away([502, 504].includes(detail.xhr.status) || edgeSpoke(detail.xhr));
});
// A page is HTML: a problem document in its place comes from the edge, and is not drawn.
const edgeSpoke = (xhr) => xhr.status >= 400 && (xhr.getResponseHeader("Content-Type") || "").includes("json");
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (edgeSpoke(detail.xhr)) detail.shouldSwap = false;
});

// Enter saves a status that was chosen. Arrow keys only choose: a status may send emails.
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (key !== "Enter" || !target.matches?.("form.status select") || target.selectedOptions[0]?.defaultSelected) return;
  event.preventDefault();
  target.form.requestSubmit();
});

// A word of success goes by itself; a problem, and what can be undone, stay until the next word.
let fading;
new MutationObserver(() => {
  clearTimeout(fading);
  const said = document.getElementById("said");
  if (said.querySelector(".toast.good") && !said.querySelector("button")) fading = setTimeout(() => said.replaceChildren(), 7000);
}).observe(document.getElementById("said"), { childList: true, subtree: true });

// <button data-ask="dialog-id"> opens a dialog; the form in it does the act, the button with data-close does not.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask], [data-close], [data-dismiss]");
  if (!button) return;
  event.preventDefault();
  if ("dismiss" in button.dataset) {
    const onward = spot(button);
    document.getElementById("said").replaceChildren();
    refocus(onward);
  } else if (button.dataset.ask) document.getElementById(button.dataset.ask).showModal();
  else button.closest("dialog").close();
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.requestConfig?.triggeringEvent?.type !== "submit") return;
  const dialog = detail.elt.closest("dialog");
  dialog?.close();
  if (dialog && detail.elt.dataset.focus) refocus(`#${CSS.escape(detail.elt.dataset.focus)}`);
});

// The words of a search stand in no address, so this tab keeps them for the way back from a lead.
for (const form of document.querySelectorAll("form[data-keep]")) {
  const key = `fastcore.${form.dataset.keep}`;
  const fields = () => [...new FormData(form)].filter(([name, value]) => value && name !== "csrf");
  const keep = () => sessionStorage.setItem(key, JSON.stringify(fields()));
  form.addEventListener("change", keep);
  form.addEventListener("input", keep);
  const kept = JSON.parse(sessionStorage.getItem(key) || "[]");
  if (kept.length && !fields().length && !location.search) {
    for (const [name, value] of kept) if (form.elements[name]) form.elements[name].value = value;
    document.addEventListener("DOMContentLoaded", () => form.requestSubmit());
  }
}
document.addEventListener("click", ({ target }) => {
  const link = target.closest("[data-forget], [data-leave]");
  if (link?.dataset.forget) sessionStorage.removeItem(`fastcore.${link.dataset.forget}`);
  else if (link) sessionStorage.clear();
});

// On a phone the rows of pages and tabs are wider than the screen: the current one is not left outside.
for (const current of document.querySelectorAll(".tabs [aria-current], .bar nav [aria-current]")) {
  current.scrollIntoView({ block: "nearest", inline: "nearest" });
}

localise(document);
