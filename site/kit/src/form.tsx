"use client";

/**
 * The client side of a contact form. Without JavaScript the form is a plain `<form method="post">` and works too.
 *
 * With JavaScript the visitor stays on the page, sees each error beside its field, and cannot send a message twice.
 */

import { type FormEvent, type ReactElement, useEffect, useRef, useState } from "react";
import type { FormState } from "./form-state.js";
import { FILES, FORM_KEY, HONEYPOT, RENDERED_AT } from "./names.js";
import type { Rule } from "./validate.js";
import { recordVisit, sourceFields } from "./visit.js";
import { explain, WORDS, type Words } from "./words.js";

export interface ContactFormOptions {
  /** The path of the route that `createContactRoute` returns. The default is `/api/contact`. */
  readonly action?: string;
  readonly words?: Partial<Words>;
  /** Called when the lead is stored. `leadId` is undefined if the lead is stored in this site's queue. */
  readonly onSuccess?: (leadId: string | undefined) => void;
}

export interface ContactForm {
  readonly phase: "filling" | "sending" | "sent";
  /** The error messages by field name. */
  readonly errors: Readonly<Record<string, string>>;
  /** The message above the form, or an empty text. After a success: the notice that files were not sent. */
  readonly message: string;
  /** The lead's id, if FASTCore has the lead (201). Undefined if the site's queue has it (202). */
  readonly leadId: string | undefined;
  /** Return to the phase `filling`, so that the visitor can write another message. */
  readonly reset: () => void;
  /** The attributes of the `<form>` element. */
  readonly form: {
    readonly action: string;
    readonly method: "post";
    readonly noValidate: boolean;
    readonly onSubmit: (event: FormEvent<HTMLFormElement>) => void;
    /** Removes the error of a field that the visitor edits. Removes a chosen file, and shows an error instead. */
    readonly onInput: (event: FormEvent<HTMLFormElement>) => void;
  };
}

type View = Pick<ContactForm, "phase" | "errors" | "message"> & { readonly leadId?: string | undefined };
type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** React hook for a contact form. `state` is the result of `openForm`, which runs on the server. */
export function useContactForm(state: FormState, options: ContactFormOptions = {}): ContactForm {
  const { action = "/api/contact" } = options;
  const words: Words = { ...WORDS, ...options.words };
  const [view, setView] = useState<View>({ phase: "filling", errors: state.errors, message: state.message });
  const busy = useRef(false);
  // The names of the refused files are sent with the lead, so that the team can ask for the files.
  const refused = useRef<string[]>([]);
  // With JavaScript, errors are shown beside the fields, and the browser's own validation messages are disabled.
  const [isHydrated, setHydrated] = useState(false);
  useEffect(() => setHydrated(true), []);

  async function send(element: HTMLFormElement): Promise<void> {
    const wrong = violationsOf(element, words);
    if (Object.keys(wrong).length) {
      setView({ phase: "filling", errors: wrong, message: words.check });
      focusFirst(element, wrong);
      return;
    }
    setView({ phase: "sending", errors: {}, message: "" });
    const answer = await post(action, fieldsOf(element, refused.current), words);
    setView(answer);
    if (answer.phase === "sent") {
      refused.current = [];
      options.onSuccess?.(answer.leadId);
    }
    if (answer.phase === "filling") focusFirst(element, answer.errors);
  }

  function onSubmit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    if (busy.current) return;
    busy.current = true;
    void send(event.currentTarget).finally(() => {
      busy.current = false;
    });
  }

  function onInput(event: FormEvent<HTMLFormElement>): void {
    const field = event.target as Field;
    const isFile = field.type === "file" && Boolean(field.value);
    if (isFile) {
      refused.current.push(...Array.from((field as HTMLInputElement).files ?? [], (each) => each.name));
      field.value = "";
    }
    setView((old) => {
      if (!isFile && !(field.name in old.errors)) return old;
      const { [field.name]: _, ...others } = old.errors;
      const errors = isFile ? { ...others, [field.name]: words.noFiles } : others;
      return { ...old, errors, message: Object.keys(errors).length ? old.message : "" };
    });
  }

  function reset(): void {
    setView({ phase: "filling", errors: {}, message: "" });
  }

  return {
    ...view,
    leadId: view.leadId,
    reset,
    form: { action, method: "post", noValidate: isHydrated, onSubmit, onInput },
  };
}

/**
 * The hidden fields of the form: its key, the time at which it was shown, and a honeypot field that only bots fill.
 *
 * Without `className` the honeypot has the attribute `hidden`. More bots fill a honeypot that is hidden by CSS: pass
 * a class that moves the field out of sight.
 */
export function HiddenFields(props: {
  readonly state: FormState;
  readonly className?: string;
}): ReactElement {
  const { state, className } = props;
  useEffect(() => recordVisit(false), []);
  const fields = { [FORM_KEY]: state.key, [RENDERED_AT]: state.renderedAt };
  return (
    <>
      {Object.entries(fields).map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} readOnly />
      ))}
      <div aria-hidden="true" className={className} hidden={!className}>
        <label>
          Leave this empty
          <input type="text" name={HONEYPOT} tabIndex={-1} autoComplete="off" defaultValue="" />
        </label>
      </div>
    </>
  );
}

/**
 * Remembers the campaign, the click ids and the landing page of the visit, for the form. Put it into the layout.
 *
 * With `storage` the values are in the browser's session storage and survive a reload. Set it only after the visitor
 * has agreed to that. Without `storage` they are in memory.
 */
export function LandingPage({ storage = false }: { readonly storage?: boolean }): null {
  useEffect(() => recordVisit(storage), [storage]);
  return null;
}

// The route answers within its budget of about 5 s. The rest is for a slow connection.
const TIMEOUT_MS = 30_000;

async function post(action: string, fields: Record<string, unknown>, words: Words): Promise<View> {
  const answer = await fetch(action, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(fields),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => undefined);
  if (!answer) return { phase: "filling", errors: {}, message: words.offline };
  const problem = (await answer.json().catch(() => undefined)) as
    | { leadId?: string; notice?: string; detail?: string; errors?: { field: string; message: string }[] }
    | undefined;
  // Only 201 and 202 come from the route. A proxy or a login page may answer with 200.
  if (answer.status === 201 || answer.status === 202) {
    return { phase: "sent", errors: {}, message: problem?.notice ?? "", leadId: problem?.leadId };
  }
  return {
    phase: "filling",
    message: problem?.detail ?? words.sorry,
    errors: Object.fromEntries((problem?.errors ?? []).map((each) => [each.field, each.message])),
  };
}

function fieldsOf(element: HTMLFormElement, files: readonly string[]): Record<string, unknown> {
  const fields = new Map<string, string[]>();
  for (const [name, value] of new FormData(element)) {
    if (typeof value !== "string") continue; // a file, which was refused when the visitor chose it
    fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  return {
    ...sourceFields(),
    page_url: location.href,
    ...Object.fromEntries(
      [...fields].map(([name, values]) => [name, values.length > 1 ? values : values[0]]),
    ),
    ...(files.length ? { [FILES]: files } : {}),
  };
}

function fieldsIn(element: HTMLFormElement): Field[] {
  return [...element.elements].filter((each): each is Field => "validity" in each && "name" in each);
}

function violationsOf(element: HTMLFormElement, words: Words): Record<string, string> {
  return Object.fromEntries(
    fieldsIn(element)
      // Files are refused, so a required file field must not block the form.
      .filter((each) => each.type !== "file" && (!each.validity.valid || isBlank(each)))
      .map((each) => {
        const limit = "maxLength" in each ? each.maxLength : 0;
        return [each.name, explain({ field: each.name, rule: ruleOf(each), limit }, words)];
      }),
  );
}

function ruleOf(field: Field): Rule {
  if (field.validity.valueMissing || isBlank(field)) return "required";
  if (field.validity.tooLong) return "tooLong";
  return field.type === "email" ? "email" : "invalid";
}

// The browser accepts blanks in a required field. The gateway does not.
function isBlank(field: Field): boolean {
  return "required" in field && field.required && field.type !== "checkbox" && !field.value.trim();
}

function focusFirst(element: HTMLFormElement, errors: Readonly<Record<string, string>>): void {
  fieldsIn(element)
    .find((each) => each.name in errors)
    ?.focus();
}
