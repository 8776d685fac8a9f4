import { openForm } from "@fastcore/site";
import type { Metadata } from "next";
import { cookies } from "next/headers";
import { Form } from "./form";

export const metadata: Metadata = { title: "Contact" };

export default async function Contact() {
  return (
    <div className="narrow">
      <Form state={openForm(await cookies())}>
        <h1>Tell us what you need</h1>
        <p className="lead">We answer by email, as a rule on the same working day.</p>
      </Form>
    </div>
  );
}
