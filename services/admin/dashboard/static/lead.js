// The page of one lead: copying its contact details, writing notes, and the next lead of the list from which it was opened.
"use strict";

// A browser lets a page write to the clipboard over HTTPS and on localhost only; elsewhere there is an older way.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("the browser does not copy");
}
const copied = document.getElementById("copied");
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  const label = button.firstElementChild, copyText = label.textContent;
  let timer;
  button.addEventListener("click", async () => {
    const { done, failed, failedHelp } = copied.dataset;
    let text = done, message = button.dataset.copied;
    try {
      await copy(button.dataset.copy);
    } catch {
      text = failed;
      message = failedHelp;
    }
    label.textContent = text;
    copied.textContent = message;
    button.focus();
    clearTimeout(timer);
    timer = setTimeout(() => {
      label.textContent = copyText;
      copied.textContent = "";
    }, 2500);
  });
}

// Ctrl+Enter saves a note.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.matches?.("[data-submit-key]")) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});
document.addEventListener("htmx:load", ({ target }) => {
  for (const hint of target.querySelectorAll(".key-hint")) hint.hidden = false;
});
// A form that loads another page is saved by it: leaving the page loses nothing.
document.addEventListener("submit", ({ target }) => {
  if (!target.hasAttribute("hx-post")) delete target.dataset.unsaved;
});

// Previous and next follow the list as this tab last showed it, with its filters, search words and order.
const neighbours = document.querySelector("nav.neighbours");
const listed = JSON.parse(sessionStorage.getItem("fastcore.listed") || "null");
const place = listed ? listed.paths.indexOf(location.pathname) : -1;
if (neighbours && place >= 0) {
  const [previous, next] = neighbours.querySelectorAll("a");
  const isLast = place === listed.paths.length - 1;
  const lead = (link, url) => { if (url) link.href = url; else link.setAttribute("aria-disabled", "true"); };
  lead(previous, listed.paths[place - 1]);
  lead(next, isLast ? listed.older : listed.paths[place + 1]);
  if (isLast && listed.older) next.querySelector("span").textContent = neighbours.dataset.older;
  neighbours.querySelector(".place").textContent = fillText(neighbours.dataset.place, { place: place + 1, all: listed.paths.length });
  neighbours.hidden = false;
  addKeys({ j: () => next.click(), k: () => previous.click() });
}
