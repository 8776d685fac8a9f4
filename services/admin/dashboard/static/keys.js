// Keys without a modifier, and the dialog that lists them. A person can switch them off (WCAG 2.1.4), because speech input and
// tremor press them by accident. This browser remembers the choice.
"use strict";

const KEYS_SETTING = "fastcore.keys";
const pageKeys = new Map();
// A page's script adds its keys. A key runs its function with the event.
function addKeys(keys) {
  for (const [key, run] of Object.entries(keys)) pageKeys.set(key, run);
}

// A browser may forbid a page to store anything. Then the choice lasts until the page is left.
let areKeysOn = true;
try { areKeysOn = localStorage.getItem(KEYS_SETTING) !== "off"; } catch { /* the keys are on */ }
const keysBox = document.getElementById("single-keys");
if (keysBox) keysBox.checked = areKeysOn;
keysBox?.addEventListener("change", () => {
  areKeysOn = keysBox.checked;
  try { localStorage.setItem(KEYS_SETTING, areKeysOn ? "on" : "off"); } catch { /* see above */ }
});

// A key does nothing while somebody types, or while a dialog is open.
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (!areKeysOn || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (target.matches?.("input:not([type=checkbox]), select, textarea") || document.querySelector("dialog[open]")) return;
  const run = pageKeys.get(key);
  if (!run) return;
  event.preventDefault();
  run(event);
});
addKeys({ "?": () => document.getElementById("keys-dialog")?.showModal() });

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of document.querySelectorAll("[data-command-key]")) key.textContent = key.textContent.replace("Ctrl ", "\u2318");
}
