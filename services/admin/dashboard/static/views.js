// The list of leads: marks the view whose filters it shows, and shows new leads when somebody asks for them.
"use strict";

// The filters of a URL of the list, without the page and without the zone of its days, which is the viewer's.
function filtersOf(href) {
  const { searchParams } = new URL(href, location.href);
  for (const name of ["cursor", "rows", "zone"]) searchParams.delete(name);
  return `${searchParams}`;
}
function markView() {
  const shown = filtersOf(document.getElementById("list").dataset.url);
  for (const link of document.querySelectorAll("#views a:not(.manage)")) {
    if (filtersOf(link.href) === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
document.addEventListener("htmx:afterSettle", markView);

// The days of a view and of a period are the viewer's. The server knows the zone from htmx only.
document.addEventListener("click", ({ target }) => {
  const link = target.closest("#views a, .presets a");
  if (!link?.search.includes("zone=")) return;
  const url = new URL(link.href);
  url.searchParams.set("zone", Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  link.href = url.href;
});

// The button that shows the new leads disappears with them, so the focus moves to the list. A poll that counts more of them
// keeps the focus on it.
let showHasFocus = false;
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-show-new]")) document.getElementById("list").focus();
});
document.addEventListener("htmx:oobBeforeSwap", ({ detail: { target } }) => {
  if (target.id === "new-leads") showHasFocus = target.contains(document.activeElement);
});
document.addEventListener("htmx:oobAfterSwap", ({ detail: { target } }) => {
  if (target.id === "new-leads" && showHasFocus) target.querySelector("button")?.focus();
});
