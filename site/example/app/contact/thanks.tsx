import Link from "next/link";

export function Thanks() {
  return (
    <section className="thanks" role="status">
      <h1>Thank you</h1>
      <p>Your message has arrived. We answer by email, as a rule on the same working day.</p>
      <Link href="/">Back to the start</Link>
    </section>
  );
}
