// The list of leads: selecting rows, and keys for people who answer leads all day.
"use strict";

const boxes = () => [...document.querySelectorAll(".selectable input[name=ids]")];
function countSelected() {
  const selected = boxes().filter((box) => box.checked).length;
  const text = document.querySelector("[data-selected]");
  if (text) text.textContent = fillPlural(text.dataset.selected, selected);
  const all = document.querySelector("[data-select-all]");
  if (all) all.checked = selected > 0 && selected === boxes().length;
}
document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-select-all]")) for (const box of boxes()) box.checked = target.checked;
  if (target.matches("[data-select-all], input[name=ids]")) countSelected();
});

// A link to the list with other filters or in another order keeps the search words: its URL gets the number under which
// this tab stores them.
document.addEventListener("click", ({ target }) => {
  const link = target.closest("a[data-keeps-words]");
  const number = new URLSearchParams(location.search).get("search");
  if (!link || !number) return;
  const url = new URL(link.href);
  url.searchParams.set("search", number);
  link.href = url.href;
});

// Keys of the list (keys.js). They act on the row that has the focus.
const rowLinks = () => [...document.querySelectorAll(".selectable a.lead")];
const focusedRow = () => document.activeElement.closest("tr");
const focusedPlace = () => rowLinks().findIndex((link) => link.closest("tr") === focusedRow());
addKeys({
  "/": () => document.getElementById("q").select(),
  j: () => rowLinks()[Math.min(focusedPlace() + 1, rowLinks().length - 1)]?.focus(),
  k: () => rowLinks()[Math.max(focusedPlace() - 1, 0)]?.focus(),
  s: () => focusedRow()?.querySelector("select[name=status]")?.focus(),
  e: () => { const link = rowLinks()[focusedPlace()]; if (link) location.assign(`${link.href}/edit`); },
  x: () => focusedRow()?.querySelector("input[name=ids]")?.click(),
  a: () => document.querySelector(".bulk input[name=new_assignee]")?.select(),
});
