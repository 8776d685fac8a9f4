import Link from "next/link";

const SERVICES = [
  ["Websites", "Quick to load, easy to keep up to date, and found by those who look for you."],
  ["Networks", "Wired and wireless, planned for the building that you have."],
  ["Support", "Somebody who answers, on the day that you ask."],
];

export default function Home() {
  return (
    <>
      <section className="hero">
        <h1>Technology that stays out of your way</h1>
        <p>We build and look after websites, networks and workplaces of small companies.</p>
        <Link href="/contact" className="button">
          Tell us what you need
        </Link>
      </section>
      <ul className="services">
        {SERVICES.map(([name, text]) => (
          <li key={name}>
            <h2>{name}</h2>
            <p>{text}</p>
          </li>
        ))}
      </ul>
    </>
  );
}
