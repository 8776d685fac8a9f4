// The list of leads: selecting rows, and keys for people who answer leads all day.
"use strict";

const boxes = () => [...document.querySelectorAll(".selectable input[name=ids]")];
function countSelected() {
  const selected = boxes().filter((box) => box.checked).length;
  const text = document.querySelector("[data-selected]");
  if (text) text.textContent = `${selected} selected`;
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

// One key does nothing while somebody types, or while a dialog is open.
const help = document.getElementById("keys-dialog");
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (target.matches("input:not([type=checkbox]), select, textarea") || document.querySelector("dialog[open]")) return;
  const links = [...document.querySelectorAll(".selectable a.lead")];
  const row = target.closest("tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  const keys = {
    "/": () => document.getElementById("q").select(),
    j: () => links[Math.min(at + 1, links.length - 1)]?.focus(),
    k: () => links[Math.max(at - 1, 0)]?.focus(),
    s: () => row?.querySelector("select[name=status]")?.focus(),
    e: () => at >= 0 && location.assign(`${links[at].href}/edit`),
    x: () => row?.querySelector("input[name=ids]")?.click(),
    a: () => document.querySelector(".bulk input[name=new_assignee]")?.select(),
    "?": () => help.showModal(),
  };
  if (!keys[key]) return;
  event.preventDefault();
  keys[key]();
});
