import type { Metadata } from "next";
import { Thanks } from "../thanks";

export const metadata: Metadata = { title: "Thank you" };

export default function Page() {
  return (
    <div className="narrow">
      <Thanks />
    </div>
  );
}
