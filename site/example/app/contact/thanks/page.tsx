import { thanksNotice } from "@fastcore/site";
import type { Metadata } from "next";
import { Thanks } from "../thanks";

export const metadata: Metadata = { title: "Thank you" };

type Props = { searchParams: Promise<Record<string, string | string[] | undefined>> };

export default async function Page({ searchParams }: Props) {
  return (
    <div className="narrow">
      <Thanks notice={thanksNotice(await searchParams)} />
    </div>
  );
}
