// The command palette (Ctrl+K): opens a page or a lead, or runs an action of the current page. It is the combobox with a listbox
// of the ARIA Authoring Practices: the focus stays in the field, and aria-activedescendant names the chosen option.
"use strict";

const palette = document.getElementById("palette");
const paletteField = document.getElementById("palette-q");
const paletteList = document.getElementById("palette-options");
const allLeads = document.getElementById("palette-all");
const paletteStatus = palette?.querySelector("[role=status]");
// What the actions of the current page do, by the id of their option.
const paletteActions = new Map();
// Until an arrow key chooses another, the first option is chosen, also when leads arrive before the others.
let isChosen = false;

const shownOptions = () => [...paletteList.querySelectorAll("[role=option]:not([hidden])")];
const chosenOption = () => paletteList.querySelector("[aria-selected=true]");
const paletteWords = () => paletteField.value.trim();

function chooseOption(option) {
  chosenOption()?.removeAttribute("aria-selected");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) paletteField.setAttribute("aria-activedescendant", option.id);
  else paletteField.removeAttribute("aria-activedescendant");
}

// Shows the pages and actions whose names have all words, and the leads that the server has found.
function filterOptions(isSearching) {
  const words = paletteWords().toLowerCase().split(/\s+/);
  for (const option of paletteList.querySelectorAll("[data-named]")) {
    option.hidden = !words.every((word) => option.textContent.toLowerCase().includes(word));
  }
  allLeads.hidden = !paletteWords();
  allLeads.textContent = fillText(allLeads.dataset.text, { words: paletteWords() });
  for (const group of paletteList.querySelectorAll("[role=group]")) {
    group.hidden = !group.querySelector("[role=option]:not([hidden])");
  }
  const options = shownOptions();
  chooseOption(isChosen && options.includes(chosenOption()) ? chosenOption() : options[0]);
  const { searching, results } = paletteStatus.dataset;
  paletteStatus.textContent = isSearching ? searching : fillPlural(results, options.filter((option) => option !== allLeads).length);
}

// The buttons of the page outside of its tables, and the statuses of a lead's page.
function* pageActions() {
  for (const element of document.querySelectorAll("#main :is(button, a.button, summary):not([disabled], [aria-disabled=true])")) {
    if (element.closest("dialog, table, form.status") || !element.checkVisibility()) continue;
    yield [element.getAttribute("aria-label") || element.textContent, () => { element.focus(); element.click(); }];
  }
  for (const form of document.querySelectorAll("#main .head form.status")) {
    for (const option of form.elements.status.options) {
      if (!option.defaultSelected) yield [fillText(palette.dataset.setStatus, { status: option.text }), () => { option.selected = true; form.requestSubmit(); }];
    }
  }
}

function listActions() {
  const group = document.getElementById("palette-actions"), seen = new Set();
  for (const option of group.querySelectorAll("[role=option]")) option.remove();
  paletteActions.clear();
  for (const [name, run] of pageActions()) {
    const label = name.trim().replace(/\s+/g, " ");
    if (!label || seen.has(label)) continue;
    seen.add(label);
    const option = document.createElement("div");
    option.id = `palette-action-${seen.size}`;
    option.role = "option";
    option.dataset.named = "";
    option.textContent = label;
    paletteActions.set(option.id, run);
    group.append(option);
  }
}

function openPalette() {
  listActions();
  paletteField.value = "";
  document.getElementById("palette-leads").replaceChildren();
  isChosen = false;
  filterOptions(false);
  palette.showModal();
  paletteList.scrollTop = 0;
}

function runOption(option) {
  if (!option) return;
  const words = paletteWords();
  palette.close();
  const run = paletteActions.get(option.id);
  if (run) run();
  else if (option.dataset.click) document.querySelector(option.dataset.click).click();
  else if (option === allLeads) {
    // No URL contains search words: see app.js.
    const number = Math.random().toString(36).slice(2);
    sessionStorage.setItem(wordsKey(number), words);
    location.assign(`${option.dataset.url}?search=${number}`);
  } else location.assign(option.dataset.url);
}

if (palette) {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (palette.open) palette.close();
    else if (!document.querySelector("dialog[open]")) openPalette();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.closest("[data-open-palette]")) openPalette();
    // A click beside the dialog is one on its backdrop.
    else if (target === palette) palette.close();
    else runOption(target.closest("#palette-options [role=option]"));
  });
  paletteField.addEventListener("input", () => {
    isChosen = false;
    if (!paletteWords()) document.getElementById("palette-leads").replaceChildren();
    filterOptions(paletteWords().length > 1);
  });
  paletteField.addEventListener("keydown", (event) => {
    const options = shownOptions(), at = options.indexOf(chosenOption());
    if (event.isComposing) return;
    if (event.key === "Enter") runOption(chosenOption());
    else if (event.key === "ArrowDown") chooseOption(options[(at + 1) % options.length]);
    else if (event.key === "ArrowUp") chooseOption(options.at(at > 0 ? at - 1 : -1));
    else return;
    isChosen = true;
    event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (detail.target.id === "palette-leads") filterOptions(false);
  });
  // An error is shown in the dialog: a toast would be behind it.
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (detail.requestConfig.elt !== paletteField || detail.xhr.status < 400) return;
    detail.shouldSwap = false;
    paletteStatus.textContent = paletteStatus.dataset.failed;
  });
}
