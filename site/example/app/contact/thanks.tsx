"use client";

import Link from "next/link";
import { useEffect, useRef } from "react";

export function Thanks(props: { notice: string; leadId?: string | undefined; onAgain?: () => void }) {
  const { notice, leadId, onAgain } = props;
  const heading = useRef<HTMLHeadingElement>(null);
  // The focused button has disappeared, so move the focus here for keyboard and screen reader users.
  useEffect(() => heading.current?.focus(), []);
  return (
    <section className="thanks">
      <h1 ref={heading} tabIndex={-1}>
        Thank you
      </h1>
      <p>Your message has arrived. We answer by email, as a rule on the same working day.</p>
      {notice && <p role="status">{notice}</p>}
      {leadId && <p>Reference: {leadId}</p>}
      {onAgain && (
        <button type="button" className="button" onClick={onAgain}>
          Write another message
        </button>
      )}
      <Link href="/">Back to the start</Link>
    </section>
  );
}
