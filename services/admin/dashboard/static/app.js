// What the pages need beyond htmx: polls that do not disturb, the address bar of lists, dialogs and
// toasts. Stores nothing but the search words of this tab and what its list shows.
"use strict";

// Opened <details> stay open when a poll replaces their region.
const openDetails = new Set();
document.addEventListener("toggle", ({ target }) => {
  if (target.matches?.("details[id]")) openDetails[target.open ? "add" : "delete"](target.id);
}, true);

document.addEventListener("htmx:load", ({ target }) => {
  localiseTimes(target);
  (target.matches?.("dialog[data-open]") ? target : target.querySelector?.("dialog[data-open]"))?.showModal();
  for (const id of openDetails) target.querySelector?.(`details[id="${CSS.escape(id)}"]`)?.setAttribute("open", "");
});

// The title begins with the number of disruptions, so that a tab in the background shows it.
document.addEventListener("htmx:afterSettle", () => {
  const count = document.getElementById("disruption-count")?.dataset.disruptions;
  if (count !== undefined) document.title = (count === "0" ? "" : `(${count}) `) + document.title.replace(/^\(\d+\) /, "");
});

// An export has the viewer's local times. With dates, the zone stays the one in which the list understands them.
document.addEventListener("submit", ({ target }) => {
  const field = target.querySelector("input[data-viewer-zone]");
  if (field) field.value = zone;
});

// Keyboard users keep their focus when a region is replaced. Returns a selector that finds the element again.
function focusSelector(element) {
  // The form's Save button disappears with the form, so the focus moves to the status itself.
  const next = element.closest("form[data-focus]")?.dataset.focus;
  if (next) return `#${CSS.escape(next)}`;
  const withAttribute = (name) => `[${name}="${CSS.escape(element.getAttribute(name))}"]`;
  if (element.matches("button[name=cursor]")) return "#list";
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.matches("a[href]")) return `a${withAttribute("href")}`;
  if (element.matches("summary")) return `${focusSelector(element.parentElement)} > summary`;
  return element.form?.action ? `form[action="${CSS.escape(element.form.getAttribute("action"))}"] ${element.localName}` : null;
}
// If the element no longer exists, the focus moves to the start of the page.
function restoreFocus(selector) {
  const { activeElement } = document;
  // A dialog that was just closed keeps the focus until the next frame.
  if (activeElement !== document.body && !activeElement.closest("dialog:not([open])")) return;
  (document.querySelector(selector) || document.getElementById("main")).focus({ preventScroll: true });
}
let focusBeforeSwap;
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  focusBeforeSwap = detail.target.contains(document.activeElement) ? focusSelector(document.activeElement) : null;
});
document.addEventListener("htmx:afterSettle", () => {
  if (focusBeforeSwap) restoreFocus(focusBeforeSwap);
});

// A poll sends the ETag of what its region shows. If nothing has changed, the server answers without a body (304, 204).
// Any other swap may change a region, so the next poll gets the whole region.
const etags = new Map();
const isPoll = (event) => !event || event.type === "pagevisible";
document.addEventListener("htmx:configRequest", ({ detail }) => {
  detail.headers["X-Time-Zone"] = zone;
  const etag = isPoll(detail.triggeringEvent) && etags.get(detail.elt.id);
  if (etag) detail.headers["If-None-Match"] = etag;
});
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { elt: { id }, triggeringEvent } = detail.requestConfig;
  if (!id || detail.target.id !== id || !isPoll(triggeringEvent)) etags.clear();
  else etags.set(id, detail.xhr.getResponseHeader("ETag"));
});

// A poll is skipped while the page is hidden, a dialog is open, or its region has the focus in a form or unsaved input.
const isUnsaved = (field) => field.localName === "select"
  ? [...field.options].some((option) => option.selected !== option.defaultSelected)
  : field.type === "checkbox" ? field.checked !== field.defaultChecked
  : field.type !== "hidden" && field.value !== field.defaultValue;
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  if (elt.localName === "form" || !isPoll(requestConfig.triggeringEvent)) return;
  const hasFocus = elt.contains(document.activeElement) && document.activeElement.matches("select, input, textarea, form.status *, .plot");
  const hasTip = elt.querySelector(".tip:not([hidden])");
  const hasInput = [...elt.querySelectorAll("select, input, textarea")].some(isUnsaved);
  if (document.hidden || hasFocus || hasTip || hasInput || document.querySelector("dialog[open]")) event.preventDefault();
});

// Leaving a page with unsaved text asks first. While the text is being saved it cannot change.
const textFields = (form) => [...form.querySelectorAll("input, textarea")];
const unsavedForms = () => [...document.querySelectorAll("form[data-unsaved]")]
  .filter((form) => form.dataset.unsaved || textFields(form).some(isUnsaved));
addEventListener("beforeunload", (event) => {
  if (!isExpired && unsavedForms().length) event.preventDefault();
});
// After the session (401) or the form (403) has expired, this tab keeps the text until the page is shown again.
const TYPED = "fastcore.typed";
let isExpired = false;
document.addEventListener("htmx:beforeOnLoad", ({ detail: { xhr } }) => {
  isExpired ||= [401, 403].includes(xhr.status);
});
const valueOf = (field) => (field.type === "checkbox" ? "checked" : "value");
addEventListener("pagehide", () => {
  const forms = unsavedForms();
  if (!isExpired || !forms.length) return;
  const typed = forms.map((form) => [form.id, textFields(form).filter(isUnsaved).map((field) => [field.name, field[valueOf(field)]])]);
  sessionStorage.setItem(TYPED, JSON.stringify({ path: location.pathname, typed }));
});
const kept = JSON.parse(sessionStorage.getItem(TYPED) || "null");
if (kept?.path === location.pathname) {
  sessionStorage.removeItem(TYPED);
  for (const [id, fields] of kept.typed) {
    for (const [name, value] of fields) {
      const field = document.getElementById(id)?.elements[name];
      if (field?.form) field[valueOf(field)] = value;
    }
  }
}
for (const [name, isSaving] of [["htmx:beforeSend", true], ["htmx:afterRequest", false]]) {
  document.addEventListener(name, ({ detail }) => {
    if (detail.elt.matches("form[data-unsaved]")) for (const field of textFields(detail.elt)) field.readOnly = isSaving;
  });
}
// What a form has saved needs no question, if another page is opened. A login (401) opens one too, and has saved nothing.
document.addEventListener("htmx:beforeOnLoad", ({ detail: { elt, xhr } }) => {
  if (xhr.status === 204 && xhr.getResponseHeader("HX-Redirect")) elt.closest("form")?.removeAttribute("data-unsaved");
});
// The message that a text is saved is true until the text changes.
document.addEventListener("input", ({ target }) => {
  target.closest(".saving")?.querySelector(".saved").replaceChildren();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) htmx.trigger(document.body, "pagevisible");
});

// Shows a notice while the server cannot be reached.
const showOffline = (offline) => { const notice = document.getElementById("offline"); if (notice) notice.hidden = !offline; };
for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => showOffline(true));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.xhr.status) showOffline([502, 504].includes(detail.xhr.status) || isEdgeError(detail.xhr));
});
// A panel that could not be loaded says so. A panel that is shown stays as it is.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const loading = detail.xhr.status >= 400 && detail.elt.querySelector(".loading[data-failed]");
  if (!loading) return;
  loading.removeAttribute("aria-busy");
  loading.firstElementChild.textContent = loading.dataset.failed;
});
// Our own errors are HTML. A JSON error comes from the edge proxy, and is not shown.
const isEdgeError = (xhr) => xhr.status >= 400 && (xhr.getResponseHeader("Content-Type") || "").includes("json");
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (isEdgeError(detail.xhr)) detail.shouldSwap = false;
});

// Enter saves the selected status. Arrow keys only select, because a new status may send emails.
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (key !== "Enter" || !target.matches?.("form.status select") || target.selectedOptions[0]?.defaultSelected) return;
  event.preventDefault();
  target.form.requestSubmit();
});

// A success message disappears after a while. Errors, and actions that can be undone, stay until the next message.
let toastTimer;
new MutationObserver(() => {
  clearTimeout(toastTimer);
  const toasts = document.getElementById("toasts");
  if (toasts.querySelector(".toast.good") && !toasts.querySelector("button")) toastTimer = setTimeout(() => toasts.replaceChildren(), 7000);
}).observe(document.getElementById("toasts"), { childList: true, subtree: true });
// A page may begin with a message. It is added anew, so that it is read out, and a reload does not repeat it.
document.getElementById("toasts").replaceChildren(...document.getElementById("toasts").children);
const withoutMessage = new URL(location.href);
if (withoutMessage.searchParams.has("saved")) {
  withoutMessage.searchParams.delete("saved");
  history.replaceState(null, "", withoutMessage);
}

// [data-open-dialog="id"] opens a dialog. Its form submits the action; data-close-dialog cancels it. Both are links with
// the role of a button: without scripts, the link makes the dialog the :target, which the style sheet shows.
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || !event.target.matches?.("a[role=button]")) return;
  event.preventDefault();
  event.target.click();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-open-dialog], [data-close-dialog], [data-dismiss]");
  if (!button) return;
  event.preventDefault();
  if ("dismiss" in button.dataset) {
    const next = focusSelector(button);
    document.getElementById("toasts").replaceChildren();
    restoreFocus(next);
  } else if (button.dataset.openDialog) document.getElementById(button.dataset.openDialog).showModal();
  else button.closest("dialog").close();
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.requestConfig?.triggeringEvent?.type !== "submit") return;
  const dialog = detail.elt.closest("dialog");
  dialog?.close();
  if (dialog && detail.elt.dataset.focus) restoreFocus(`#${CSS.escape(detail.elt.dataset.focus)}`);
});

// The address bar has the filters and the page of a list, so that Back, a reload and a login keep them. No URL contains search
// words, which are personal data: this tab stores them, and the URL's parameter `search` has the number under which it does.
const wordsKey = (number) => `fastcore.search.${number}`;
const listForm = document.querySelector("form[data-list-form]");
if (listForm) {
  const { q } = listForm.elements;
  const list = () => document.getElementById("list");
  let shown = location.search;
  const showInAddressBar = () => {
    const url = new URL(list().dataset.url, location.href);
    const current = new URLSearchParams(location.search);
    let number = current.get("search");
    current.delete("search");
    const words = q?.value.trim() || "";
    // Only the words have changed: somebody is typing, and one entry in the history is enough.
    const isTyping = number && `${current}` === `${url.searchParams}`;
    if (words) {
      if (!isTyping) number = Math.random().toString(36).slice(2);
      sessionStorage.setItem(wordsKey(number), words);
      url.searchParams.set("search", number);
    }
    if (url.search !== location.search) history.pushState(null, "", url);
    shown = location.search;
  };
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.elt !== listForm) return;
    list().hidden = false;
    if (!(detail.xhr.status < 400)) return;
    showInAddressBar();
    if (document.activeElement === list()) list().scrollIntoView();  // another page was opened
  });
  addEventListener("popstate", () => { if (location.search !== shown) location.reload(); });
  addEventListener("pagehide", () => {
    sessionStorage.setItem(`fastcore.list.${location.pathname}`, location.search);
    // The page of a lead leads to the next one of this list (lead.js).
    const paths = [...list().querySelectorAll("a.lead")].map((link) => link.pathname);
    const older = list().querySelector(".pager a.next");
    sessionStorage.setItem("fastcore.listed", JSON.stringify({ paths, older: older ? older.pathname + older.search : null }));
  });
  const params = new URLSearchParams(location.search);
  const words = sessionStorage.getItem(wordsKey(params.get("search")));
  if (words && q && !q.value) {
    q.value = words;
    list().hidden = true;
    document.addEventListener("DOMContentLoaded", () => htmx.ajax("POST", listForm.action, {
      source: listForm, target: "#list", select: "#list", swap: "outerHTML", values: { cursor: params.get("cursor") || "" },
    }));
  }
}
// The way back from a lead leads to the list as it was.
for (const link of document.querySelectorAll("a[data-back-to-list]")) link.search = sessionStorage.getItem(`fastcore.list.${link.pathname}`) || "";
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-clear-saved]")) sessionStorage.clear();
});

// On a phone the navigation and the tabs scroll: scroll the current entry into view. In a frame, because scrolling needs the
// layout: now it would be computed once more, before the times are written.
requestAnimationFrame(() => {
  for (const current of document.querySelectorAll(".tabs [aria-current], .bar nav [aria-current]")) {
    current.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
});

localiseTimes(document);
