/** One JSON line per event, for whoever collects the site's output. Never what a visitor typed, nor who it was. */

export type Level = "info" | "warn" | "error";
export type Log = (level: Level, message: string, facts?: Readonly<Record<string, string | number>>) => void;

export const log: Log = (level, message, facts = {}) => {
  console[level](JSON.stringify({ level, message, logger: "fastcore.site", ...facts }));
};

/** The word of a failure that is safe to write down: its code, never its text, which may quote its input. */
export function codeOf(error: unknown): string {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const code = (each as NodeJS.ErrnoException).code;
    if (typeof code === "string") return code;
    if (each.name === "TimeoutError") return "timeout";
  }
  return error instanceof Error ? error.name : "unknown";
}
