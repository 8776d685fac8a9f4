/** Next.js calls this function once when the server starts. It logs wrong settings before the first visitor comes. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { checkSite } = await import("@fastcore/site");
  await checkSite();
}
