/** Keeps leads as fast as it can and says each key once it is safe, until it is killed. */

import { writeSync } from "node:fs";
import { Queue } from "../src/queue.js";

const [, , folder = "", round = ""] = process.argv;
const queue = new Queue(folder);
for (let n = 0; ; n += 1) {
  const key = `${round}-${n}`;
  const body = { name: "Ada", email: "ada@example.com", service: "Website", message: "x".repeat(5000) };
  await queue.append({ key, at: new Date(), traceparent: "", body });
  writeSync(1, `${key}\n`);
}
