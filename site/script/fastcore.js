/**
 * Improves each plain `<form action=".../inbound/forms/KEY">` of a page, which also works without this script.
 *
 * It shows errors beside the fields, adds the campaign to the lead, saves a draft that survives a reload, and sends the
 * message later if the gateway is unavailable. The `<script>` tag needs `defer`, because the script looks for forms
 * once. The gateway serves less than 3,000 bytes, whatever the language.
 *
 * The gateway replaces "{texts}" by the texts of the site's language (services/ingest/forms/script.py). The form's
 * attributes `data-thanks`, `data-later`, `data-sent` and `data-failed` take precedence over them. If the `<script>`
 * tag has `data-campaign`, the first and the last campaign of the visit are stored in the session storage and sent.
 * Otherwise only the campaign of the current page is sent.
 */
((thanksText, laterText, sentText, failedText) => {
  const LATER_MS = 3e4;
  // The names of the stored campaigns and of the database, and of its object store.
  const STORED = "fastcore";
  const SENT = "sent";
  // UTM parameters, gclid, fbclid, msclkid and their like, gbraid, wbraid, li_fat_id.
  const CAMPAIGN = /^utm_|clk?id$|braid$|fat_id$/;
  const store = (name, value) => {
    try {
      if (!value) return JSON.parse(sessionStorage[name]);
      sessionStorage[name] = JSON.stringify(value);
    } catch {} // nothing is stored, or storage is off
  };

  // The first and the last touch of the visit: the page's address, and where the visitor came from.
  const { href } = location;
  const page = document;
  const { currentScript, referrer } = page;
  const touch = (prefix, [address, from]) => {
    const found = { [`${prefix}referrer`]: from };
    for (const [name, value] of new URL(address).searchParams) {
      if (CAMPAIGN.test(name)) found[prefix + name] = value;
    }
    return found;
  };
  const now = [href, referrer.startsWith(`${origin}/`) ? "" : referrer];
  const isKept = currentScript?.dataset.campaign != null;
  const touches = (isKept && store(STORED)) || [now, now];
  if (Object.keys(touch("", now))[1]) touches[1] = now;
  if (isKept) store(STORED, touches);
  const [first, last] = touches;
  const source = {
    ...(first[0] !== last[0] && touch("first_", first)),
    ...touch("", last),
    landing_page: first[0],
    page_url: href,
  };

  // What waits for the gateway, by key.
  const waiting = (work) =>
    new Promise((done, failed) => {
      const opened = indexedDB.open(STORED, 1);
      opened.onupgradeneeded = () => opened.result.createObjectStore(SENT, { keyPath: "key" });
      opened.onerror = failed;
      opened.onsuccess = () => {
        const transaction = opened.result.transaction(SENT, "readwrite");
        const asked = work(transaction.objectStore(SENT));
        transaction.oncomplete = () => done(asked.result);
        transaction.onabort = failed;
      };
    });
  // The browser accepts anything, so the gateway answers with JSON.
  const nothing = () => ({});
  const post = ({ url, body }) =>
    fetch(url, { method: "POST", body: new URLSearchParams(body) }).catch(nothing);
  const isLater = ({ status }) => !status || status === 429 || status > 499;
  const retryLater = () => setTimeout(retry, LATER_MS);
  // By the address of a form: shows what became of a message that waited. Returns nothing if the form has another draft.
  const results = {};
  // Two tabs may send the same message: its key makes it one lead.
  const retry = async () => {
    try {
      for (const message of await waiting((sent) => sent.getAll())) {
        const answer = await post(message);
        if (isLater(answer)) return retryLater();
        if ((await results[message.url]?.(answer, message.form)) || answer.ok) {
          await waiting((sent) => sent.delete(message.key));
        }
      }
    } catch {} // the browser keeps nothing here
  };

  const make = (name) => page.createElement(name);
  const mark = (field, textContent) => {
    const id = `${field.name}-fastcore`;
    field.error?.remove();
    field.ariaInvalid = !!textContent;
    if (!textContent) return;
    field.setAttribute("aria-describedby", id);
    field.error = Object.assign(make("p"), { id, textContent, className: "fastcore-error" });
    field.after(field.error);
    // Old browsers have no `ariaInvalid`, and a field may be outside of its form: then none is found.
    field.form.querySelector("[aria-invalid=true]")?.focus();
  };

  page.querySelectorAll('[action*="/inbound/forms/"]').forEach((form) => {
    const { thanks = thanksText, later = laterText, sent = sentText, failed = failedText } = form.dataset;
    const url = form.getAttribute("action");
    const fields = () =>
      [...form.elements].filter((each) => each.name && each.willValidate && each.type !== "file");
    const status = form.querySelector("[role=status]") || form.appendChild(make("output"));
    const show = (text) => (status.textContent = text);
    const on = (type, listener) => form.addEventListener(type, listener, true);
    // The key of the message that is being sent: a double click sends it once.
    let key;

    const drafted = () => fields().map(({ value, checked }) => ({ value, checked }));
    const restore = (draft) => {
      for (const each of fields()) Object.assign(each, draft?.shift());
    };
    // Shows the mistakes and returns the text for the visitor.
    const refusal = async (answer) => {
      const { detail, errors = [] } = await answer.json().catch(nothing);
      for (const { field, message } of errors) {
        // The gateway refuses no other field of a form.
        const input =
          form.elements[field] || form.querySelector(field === "email" ? "[type=email]" : "textarea");
        if (input?.form) mark(input, message);
      }
      // Without a mistake of the visitor, the detail is meant for developers.
      return errors[0] ? detail : failed;
    };
    // The visitor gets a refused message back, to correct it and send it again. A new draft takes precedence.
    results[url] = async (answer, draft) => {
      if (answer.ok) return show(sent);
      if (store(url)?.[0]) return;
      store(url, draft);
      restore(draft);
      return show(await refusal(answer));
    };
    restore(store(url));
    on("input", ({ target }) => {
      mark(target);
      store(url, drafted());
    });
    on("invalid", (event) => {
      event.preventDefault();
      show("");
      mark(event.target, event.target.validationMessage);
    });
    on("submit", async (event) => {
      event.preventDefault();
      if (key) return;
      key = Math.random();
      const data = new FormData(form, event.submitter);
      const added = Object.entries({ ...source, _key: key }).filter(([name]) => !data.has(name));
      // A file goes as its name: the gateway keeps no file.
      const body = [...added, ...data].map(([name, value]) => [name, value.name ?? value]);
      const posted = { key, url, body, form: drafted() };
      const answer = await post(posted);
      let isDone = answer.ok;
      let text = thanks;
      if (isLater(answer)) {
        isDone = await waiting((all) => all.put(posted)).catch(() => 0);
        text = isDone ? later : failed;
        retryLater();
      } else if (!isDone) text = await refusal(answer);
      key = 0;
      if (isDone) {
        store(url, []);
        for (const each of fields()) mark(each);
        form.reset();
        const next = form.elements._next?.value;
        if (next && answer.ok) location.href = next;
      }
      show(text);
    });
  });

  retry();
  addEventListener("online", retry);
})("{texts}");
