import { LandingPage } from "@fastcore/site/form";
import type { Metadata } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import "./globals.css";

export const metadata: Metadata = {
  title: { default: "Fast Technical Services", template: "%s · Fast Technical Services" },
  description: "Websites, networks and support for small companies.",
};

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <LandingPage />
        <header className="top">
          <Link href="/" className="brand">
            <svg aria-hidden="true" viewBox="0 0 24 24" width="26" height="26">
              <path d="M13.5 2 5 13.5h5.5L9 22l9-12h-6z" fill="currentColor" />
            </svg>
            Fast Technical Services
          </Link>
          <nav aria-label="Main">
            <Link href="/contact">Contact</Link>
          </nav>
        </header>
        <main>{children}</main>
        <footer className="bottom">
          <p>An example: this company is made up, the form is real.</p>
        </footer>
      </body>
    </html>
  );
}
