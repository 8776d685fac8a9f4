/** Next.js calls this once when the server starts: a queue that cannot be written is logged before the first visitor. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { checkSite } = await import("@fastcore/site");
  await checkSite();
}
