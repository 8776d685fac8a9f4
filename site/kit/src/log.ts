/** Writes the site's logs as JSON lines to the console. They never contain personal data or a visitor's input. */

export type Level = "info" | "warn" | "error";
export type Log = (level: Level, message: string, facts?: Readonly<Record<string, string | number>>) => void;

export const log: Log = (level, message, facts = {}) => {
  console[level](JSON.stringify({ level, message, logger: "fastcore.site", ...facts }));
};

/** Return the code or name of an error. It is safe to log; the error's message may quote a visitor's input. */
export function codeOf(error: unknown): string {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const code = (each as NodeJS.ErrnoException).code;
    if (typeof code === "string") return code;
    if (each.name === "TimeoutError") return "timeout";
  }
  return error instanceof Error ? error.name : "unknown";
}
