"use client";

import type { FormState } from "@fastcore/site";
import { HiddenFields, useContactForm } from "@fastcore/site/form";
import type { ReactNode } from "react";
import { CONSENT } from "../consent";
import { Thanks } from "./thanks";

const SERVICES = ["Website", "Network", "Support", "Something else"];

export function Form({ state, children }: { state: FormState; children: ReactNode }) {
  const { phase, errors, message, leadId, reset, form } = useContactForm(state, { onSuccess: announce });
  if (phase === "sent") return <Thanks notice={message} leadId={leadId} onAgain={reset} />;
  const { values } = state;
  /** Return the attributes of the input `name`: its id, its previous value, and a link to its error message. */
  const field = (name: string) => ({
    id: name,
    name,
    defaultValue: values[name],
    "aria-invalid": errors[name] ? true : undefined,
    "aria-describedby": errors[name] ? `${name}-error` : undefined,
  });
  return (
    <form {...form} className="contact" aria-busy={phase === "sending"}>
      <div>{children}</div>
      <p className="problem" role="alert" hidden={!message}>
        {message}
      </p>
      <HiddenFields state={state} className="unseen" />
      <Field name="name" label="Your name" error={errors.name}>
        <input {...field("name")} autoComplete="name" required maxLength={200} />
      </Field>
      <Field name="email" label="Email" error={errors.email}>
        <input {...field("email")} type="email" autoComplete="email" required maxLength={254} />
      </Field>
      <div className="pair">
        <Field name="phone" label="Phone" optional error={errors.phone}>
          <input {...field("phone")} type="tel" autoComplete="tel" maxLength={200} />
        </Field>
        <Field name="company" label="Company" optional error={errors.company}>
          <input {...field("company")} autoComplete="organization" maxLength={200} />
        </Field>
      </div>
      <Field name="service" label="What is it about?" error={errors.service}>
        <select {...field("service")} required>
          <option value="">Please choose</option>
          {SERVICES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </Field>
      <Field name="message" label="Your message" error={errors.message}>
        <textarea {...field("message")} rows={6} required maxLength={10_000} />
      </Field>
      <div className="field">
        <label className="tick">
          <input
            type="checkbox"
            name="consent"
            required
            defaultChecked={values.consent === "on"}
            aria-invalid={errors.consent ? true : undefined}
            aria-describedby={errors.consent ? "consent-error" : undefined}
          />
          <span>{CONSENT.text}</span>
        </label>
        <input type="hidden" name="consent_version" value={CONSENT.version} />
        <ErrorOf name="consent" error={errors.consent} />
      </div>
      <button type="submit" className="button" aria-disabled={phase === "sending"}>
        {phase === "sending" ? "Sending…" : "Send"}
      </button>
    </form>
  );
}

/** Dispatch an event that analytics on this page can count. It contains the lead's id and no personal data. */
function announce(leadId: string | undefined) {
  window.dispatchEvent(new CustomEvent("lead-sent", { detail: leadId }));
}

function Field(props: {
  name: string;
  label: string;
  optional?: boolean;
  error?: string;
  children: ReactNode;
}) {
  return (
    <div className="field">
      <label htmlFor={props.name}>
        {props.label}
        {props.optional && <span className="optional"> (optional)</span>}
      </label>
      {props.children}
      <ErrorOf name={props.name} error={props.error} />
    </div>
  );
}

function ErrorOf({ name, error }: { name: string; error?: string }) {
  return error ? (
    <p className="error" id={`${name}-error`}>
      {error}
    </p>
  ) : null;
}
