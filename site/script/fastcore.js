/**
 * For a plain `<form action=".../inbound/forms/KEY">` on any page: errors beside the fields, the campaign, a draft that
 * survives a reload, and a message that is sent later if the gateway is unavailable. The form works without it.
 * Texts: `data-thanks`, `data-later`, `data-failed` of the form. With `data-campaign` of the script tag, the first and the
 * last campaign of the visit are kept in the session storage; without it, only this page's campaign is sent.
 */
(() => {
  const FORM = 'form[action*="/inbound/forms/"]';
  const LATER_MS = 30000;
  const WEEK_MS = 6048e5;
  const CAMPAIGN = /^(utm_\w+|gclid|gbraid|wbraid|fbclid|msclkid|ttclid|li_fat_id)$/;
  const store = (name, value, area = sessionStorage) => {
    try {
      if (value === undefined) return JSON.parse(area.getItem(name));
      if (value) area.setItem(name, JSON.stringify(value));
      else area.removeItem(name);
    } catch {} // storage is off
  };

  // The first and the last touch of the visit.
  const touch = Object.fromEntries(
    [...new URLSearchParams(location.search)].filter(([name]) => CAMPAIGN.test(name)),
  );
  const page = location.href;
  const referrer = document.referrer.startsWith(`${location.origin}/`) ? "" : document.referrer;
  const now = { ...touch, referrer, landing_page: page };
  const isKept = "campaign" in (document.currentScript?.dataset ?? {});
  const { first, last } = (isKept && store("fastcore")) || { first: now, last: now };
  const visit = { first, last: Object.keys(touch)[0] ? now : last };
  if (isKept) store("fastcore", visit);
  const source = { ...visit.last, landing_page: first.landing_page, page_url: page };
  if (first.landing_page !== visit.last.landing_page) {
    for (const name in first) source[`first_${name}`] = first[name];
  }

  // What waits for the gateway, by key.
  const waiting = (mode, work) =>
    new Promise((done, failed) => {
      const opened = indexedDB.open("fastcore", 1);
      opened.onupgradeneeded = () => opened.result.createObjectStore("sent", { keyPath: "key" });
      opened.onerror = failed;
      opened.onsuccess = () => {
        const transaction = opened.result.transaction("sent", mode);
        const asked = work(transaction.objectStore("sent"));
        transaction.oncomplete = () => done(asked.result);
        transaction.onabort = failed;
      };
    });
  const post = ({ url, body }) =>
    fetch(url, { method: "POST", body: new URLSearchParams(body), headers: { Accept: "application/json" } });
  const isLater = (answer) => !answer || answer.status === 429 || answer.status >= 500;
  const sendWaiting = async () => {
    for (const each of await waiting("readonly", (sent) => sent.getAll())) {
      const answer = await post(each).catch(() => 0);
      if (isLater(answer)) return setTimeout(retry, LATER_MS);
      // A refusal may be a mistake in the site's settings: it is tried for a week.
      if (answer.ok || Number.parseInt(each.key, 10) < Date.now() - WEEK_MS) {
        await waiting("readwrite", (sent) => sent.delete(each.key));
      }
    }
  };
  // Without locks (a page over plain HTTP) two tabs may send the same message: its key makes it one lead.
  const retry = () =>
    (navigator.locks ? navigator.locks.request("fastcore", sendWaiting) : sendWaiting()).catch(() => 0);

  const say = (form, text) => {
    const line = form.querySelector("[role=status]") || form.appendChild(document.createElement("p"));
    line.setAttribute("role", "status");
    line.textContent = text;
  };
  const mark = (field, text) => {
    const id = `${field.name}-fastcore`;
    document.getElementById(id)?.remove();
    field.toggleAttribute("aria-invalid", false);
    if (!text) return;
    const line = document.createElement("p");
    Object.assign(line, { id, textContent: text, className: "fastcore-error" });
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", id);
    field.after(line);
  };

  const enhance = (form) => {
    const {
      thanks = "Thank you.",
      later = "Saved. It will be sent soon.",
      failed = "Not sent.",
    } = form.dataset;
    const draft = `fastcore:${form.getAttribute("action")}`;
    const fields = () =>
      [...form.elements].filter((each) => each.name && each.willValidate && each.type !== "file");
    let isBusy = false;

    for (const [index, value] of store(draft) || []) {
      const field = fields()[index];
      if (!field) continue;
      if (/radio|checkbox/.test(field.type)) field.checked = value;
      else field.value = value;
    }
    form.addEventListener("input", ({ target }) => {
      mark(target);
      const typed = fields().map((each, index) => [
        index,
        /radio|checkbox/.test(each.type) ? each.checked : each.value,
      ]);
      store(draft, typed);
    });
    form.addEventListener(
      "invalid",
      (event) => {
        event.preventDefault();
        mark(event.target, event.target.validationMessage);
        form.querySelector(":is(input,select,textarea):invalid").focus();
      },
      true,
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (isBusy) return;
      isBusy = true;
      // A file goes as its name: the gateway keeps no file.
      const body = [...new FormData(form)].map(([name, value]) => [name, value.name ?? value]);
      const given = new Set(body.map(([name]) => name));
      for (const name in source) if (source[name] && !given.has(name)) body.push([name, source[name]]);
      const key = `${Date.now()}-${Math.random()}`;
      if (!given.has("_key")) body.push(["_key", key]);
      const sent = { key, url: form.getAttribute("action"), body };
      const answer = await post(sent).catch(() => 0);
      const problem = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
      let text = thanks;
      let isDone = answer.ok;
      if (isLater(answer)) {
        isDone = await waiting("readwrite", (all) => all.put(sent)).then(
          () => true,
          () => false,
        );
        text = isDone ? later : failed;
        if (isDone) setTimeout(retry, LATER_MS);
      } else if (!isDone) {
        text = problem.detail || failed;
        for (const { field, message } of problem.errors || []) {
          const kind = { email: "[type=email]", phone: "[type=tel]", message: "textarea" }[field];
          const input = form.elements[field] || (kind && form.querySelector(kind));
          if (!input?.after) continue;
          mark(input, message);
          input.focus();
        }
      }
      isBusy = false;
      if (isDone) {
        store(draft, null);
        form.reset();
        const next = form.elements._next?.value;
        if (next && answer) return location.assign(next);
      }
      say(form, text);
    });
  };

  const start = () => {
    document.querySelectorAll(FORM).forEach(enhance);
    retry();
  };
  addEventListener("online", retry);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
