// The tooltip of the chart on the overview, by mouse, touch and keyboard. It positions itself through the style object, which
// the CSP permits. Without scripts, the bars have titles and the table below has all numbers.
"use strict";

const plotOf = (element) => element.closest?.(".plot[tabindex]");
const barsOf = (plot) => [...plot.querySelectorAll(".column")];

function showTip(plot, index) {
  const bars = barsOf(plot), bar = bars[index], tip = plot.querySelector(".tip");
  const { title, rest } = bar.dataset;
  for (const each of bars) each.classList.toggle("active", each === bar);
  const strong = document.createElement("strong");
  strong.textContent = title;
  const second = document.createElement("span");
  second.textContent = rest;
  tip.replaceChildren(strong, second);
  tip.hidden = false;
  plot.dataset.index = index;
  const area = tip.parentElement.getBoundingClientRect(), at = bar.getBoundingClientRect();
  const left = at.left + at.width / 2 - area.left - tip.offsetWidth / 2;
  tip.style.left = `${Math.max(0, Math.min(area.width - tip.offsetWidth, left))}px`;
}

function hideTip(plot) {
  plot.querySelector(".tip").hidden = true;
  delete plot.dataset.index;
  for (const bar of barsOf(plot)) bar.classList.remove("active");
}

// The bar under the pointer, also above it and between two bars.
for (const type of ["pointermove", "pointerdown"]) document.addEventListener(type, (event) => {
  for (const plot of document.querySelectorAll(".plot[tabindex]")) {
    const area = event.target.closest?.(".plot[tabindex] .bars");
    if (!area || !plot.contains(area)) {
      if (!plot.matches(":focus-visible")) hideTip(plot);
      continue;
    }
    const { left, width } = area.getBoundingClientRect(), count = barsOf(plot).length;
    const index = Math.floor((event.clientX - left) / width * count);
    showTip(plot, Math.max(0, Math.min(count - 1, index)));
  }
});
document.addEventListener("keydown", (event) => {
  const plot = plotOf(event.target);
  if (!plot || event.target !== plot || event.ctrlKey || event.altKey || event.metaKey) return;
  const last = barsOf(plot).length - 1, index = Number(plot.dataset.index ?? last + 1);
  const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[event.key];
  if (event.key === "Escape") hideTip(plot);
  if (next === undefined) return;
  event.preventDefault();
  showTip(plot, Math.max(0, Math.min(last, next)));
});
document.addEventListener("focusin", ({ target }) => {
  if (target.matches(".plot[tabindex]:focus-visible") && !target.dataset.index) showTip(target, barsOf(target).length - 1);
});
document.addEventListener("focusout", ({ target }) => {
  if (plotOf(target) === target) hideTip(target);
});
