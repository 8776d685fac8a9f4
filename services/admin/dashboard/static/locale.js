// Times in the viewer's zone and format, and the texts that scripts show. Without scripts, times are in UTC. The server writes
// numbers in the viewer's format.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const thisYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const otherYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

// Relative times are words, so they are in the page's language; a region of it is the viewer's.
const pageLanguage = document.documentElement.lang;
const relative = new Intl.RelativeTimeFormat(navigator.languages.filter((each) => each.split("-")[0] === pageLanguage).concat(pageLanguage), { numeric: "auto", style: "short" });
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const dayOf = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());

// Returns a text such as "5 min ago" or "in 15 min" for times within a week, else null.
function relativeText(at, now) {
  const distance = Math.abs(at - now), sign = Math.sign(at - now);
  if (distance < 45 * SECOND) return relative.format(0, "second");
  const minutes = Math.round(distance / MINUTE);
  if (minutes < 60) return relative.format(sign * minutes, "minute");
  if (distance < DAY) return relative.format(sign * Math.round(distance / HOUR), "hour");
  const days = Math.round((dayOf(at) - dayOf(now)) / DAY);
  return Math.abs(days) < 7 ? relative.format(days, "day") : null;
}

// Shows every <time> in the viewer's zone, with the exact time as a tooltip; a relative one has it for screen readers too.
function localiseTimes(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const exact = (at.getFullYear() === now.getFullYear() ? thisYear : otherYear).format(at);
    const words = "relative" in time.dataset && relativeText(at, now);
    if (time.title && time.firstChild.data === (words || exact)) continue;
    time.replaceChildren(words || exact);
    time.title = full.format(at);
    if (!words) continue;
    const hidden = document.createElement("span");
    hidden.className = "visually-hidden";
    hidden.textContent = ` (${exact})`;
    time.append(hidden);
  }
}
// Relative times go on between polls.
setInterval(() => { if (!document.hidden) localiseTimes(document); }, 20 * SECOND);

// The texts of scripts come from the page, which has them in the viewer's language. `{name}` stands for a value.
const fillText = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const pluralRules = new Intl.PluralRules(pageLanguage);
// Returns the form of a text that suits a number. `forms` is a JSON object of forms by plural category.
function fillPlural(forms, count) {
  const texts = JSON.parse(forms);
  return fillText(texts[pluralRules.select(count)] ?? texts.other, { count });
}
