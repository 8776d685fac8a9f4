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
  // Nearly a week.
  const KEPT_MS = 6e8;
  // The names of the stored campaigns and of the database, and of its object store.
  const STORED = "fastcore";
  const SENT = "sent";
  const store = (name, value) => {
    try {
      if (value) sessionStorage[name] = JSON.stringify(value);
      return JSON.parse(sessionStorage[name]);
    } catch {} // nothing is stored, or storage is off
  };

  // The first and the last touch of the visit: the page's address, and where the visitor came from.
  const page = document;
  const { referrer } = page;
  const source = { page_url: page.URL };
  const addTouch = (prefix, [address, from]) => {
    source[`${prefix}referrer`] = from;
    for (const [name, value] of new URL(address).searchParams) {
      // UTM parameters, gclid, fbclid, msclkid and their like, gbraid, wbraid, li_fat_id.
      if (/^utm_|(clk?|bra|fat_)id$/.test(name)) source[prefix + name] = value;
    }
  };
  const now = [page.URL, referrer.startsWith(`${origin}/`) ? "" : referrer];
  const isKept = page.currentScript?.dataset.campaign != null;
  const touches = (isKept && store(STORED)) || [now, now];
  addTouch("", now);
  // The page has a campaign. Otherwise the last campaign of the visit counts.
  if (Object.keys(source)[2]) touches[1] = now;
  if (isKept) store(STORED, touches);
  const [first, last] = touches;
  addTouch("", last);
  if (first[0] !== last[0]) addTouch("first_", first);
  source.landing_page = first[0];

  // What waits for the gateway, by key. The result is "" if the browser keeps nothing here.
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
    }).catch(() => "");
  // The browser accepts anything, so the gateway answers with JSON. Without an answer, the result is an error, which has no
  // status.
  const post = ({ url, body }) =>
    fetch(url, { method: "POST", body: new URLSearchParams(body) }).catch((error) => error);
  // Starts one timer, however many messages wait.
  let timer;
  const retryLater = () =>
    (timer ||= setTimeout(() => {
      timer = 0;
      retry();
    }, LATER_MS));
  // True if the gateway is unavailable. Then the message is sent later.
  const isLater = ({ status }) => (!(status < 500) || status === 429) && retryLater();
  // By the address of a form: shows what became of a message that waited. Returns nothing if the visitor did not get it
  // back.
  const results = {};
  // Two tabs may send the same message: its key makes it one lead. A refused message that no visitor got back is kept for
  // a week: the refusal may be a fault of the site, or the next page may have the form. A message that cannot be sent now
  // holds up no other: that may be for another gateway or site.
  const retry = async () => {
    for (const message of await waiting((sent) => sent.getAll())) {
      const answer = await post(message);
      if (
        !isLater(answer) &&
        ((await results[message.url]?.(answer, message.form)) ||
          answer.ok ||
          (message.key > 1 && message.key < Date.now() - KEPT_MS))
      ) {
        waiting((sent) => sent.delete(message.key));
      }
    }
  };

  const make = (name) => page.createElement(name);
  const mark = (field, textContent) => {
    const id = `${field.name}-${STORED}`;
    field.error?.remove();
    field.ariaInvalid = !!textContent;
    if (!textContent) return;
    field.setAttribute("aria-describedby", id);
    field.error = Object.assign(make("p"), { id, textContent, className: `${STORED}-error` });
    field.after(field.error);
    // Old browsers have no `ariaInvalid`, and a field may be outside of its form: then none is found.
    field.form.querySelector("[aria-invalid=true]")?.focus();
  };

  page.querySelectorAll('[action*="/inbound/forms/"]').forEach((form) => {
    const { thanks = thanksText, later = laterText, sent = sentText, failed = failedText } = form.dataset;
    const { elements } = form;
    const url = form.getAttribute("action");
    const other = results[url];
    // A draft has no file, and no answer of a captcha, whose field may be added later.
    const fields = () =>
      [...elements].filter(
        (each) => each.name && each.willValidate && !/^file|tcha/.test(each.type + each.name),
      );
    const status = form.querySelector("[role=status]") || form.appendChild(make("output"));
    const show = (text) => (status.textContent = text);
    const on = (type, listener) =>
      form.addEventListener(
        type,
        (event) => {
          event.preventDefault();
          listener(event.target, event.submitter);
        },
        true,
      );
    // The key of the message that is being sent: a double click sends it once.
    let key;

    const drafted = () => fields().map((each) => [each.name, each.value, each.checked]);
    // Gives each field the next part of the draft with its name. Drafts of older versions have no names.
    const restore = (draft) => {
      for (const each of fields()) {
        const part = draft?.find((saved) => saved[0] === each.name);
        if (part) [, each.value, each.checked] = part.splice(0);
      }
    };
    // Shows the mistakes of the visitor and returns the text for the visitor, or nothing if there is no such mistake.
    const refusal = async (answer) => {
      try {
        const { detail, errors } = await answer.json();
        for (const { field, message } of errors) {
          // The gateway refuses no other field of a form.
          const input =
            elements[field] || form.querySelector(field === "email" ? "[type=email]" : "textarea");
          if (input?.form) mark(input, message);
        }
        // Otherwise the detail is meant for developers.
        return errors[0] && detail;
      } catch {} // the answer of a proxy
    };
    // The visitor gets a message back that is refused for its content, to correct it and send it again. A new draft takes
    // precedence. A message without a draft, or with fields that this form does not have, is not of this form.
    results[url] = async (answer, draft) => {
      if (answer.ok) return show(sent);
      if (store(url)?.[0] || !draft?.every((part) => elements[part[0]])) return other?.(answer, draft);
      const text = await refusal(answer);
      show(text || failed);
      if (text) {
        store(url, draft);
        restore(draft);
      }
      return text;
    };
    restore(store(url));
    on("input", (field) => {
      mark(field);
      store(url, drafted());
    });
    on("invalid", (field) => {
      show("");
      mark(field, field.validationMessage);
    });
    on("submit", async (_, submitter) => {
      if (key) return;
      source._key = key = Date.now();
      const data = new FormData(form, submitter);
      const added = Object.entries(source).filter(([name]) => !data.has(name));
      const posted = {
        key,
        url,
        // A file goes as its name: the gateway keeps no file.
        body: [...added, ...data].map(([name, value]) => [name, value.name ?? value]),
        form: drafted(),
      };
      const answer = await post(posted);
      let isDone = answer.ok;
      let text = thanks;
      if (isLater(answer)) {
        isDone = await waiting((all) => all.put(posted));
        text = isDone ? later : failed;
      } else if (!isDone) text = (await refusal(answer)) || failed;
      key = 0;
      if (isDone) {
        store(url, []);
        for (const each of fields()) mark(each);
        form.reset();
        const next = data.get("_next");
        if (next && answer.ok) location.href = next;
      }
      show(text);
    });
  });

  retry();
  addEventListener("online", retry);
})("{texts}");
