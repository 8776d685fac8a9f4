/** The server side of a site's contact form. The client side is `@fastcore/site/form`. */

export { checkSite } from "./check.js";
export type { LeadSubmission, SiteQueueEntry, SiteQueuePage } from "./contract.js";
export { type FormState, openForm } from "./form-state.js";
export type { Budget } from "./gateway.js";
export { createHealthRoute, type HealthOptions } from "./health-route.js";
export type { Log } from "./log.js";
export type { Bounds } from "./queue.js";
export { createQueueRoutes, type QueueOptions, type QueueRoutes } from "./queue-route.js";
export type { Limit } from "./rate-limiter.js";
export { type Contact, type ContactOptions, createContactRoute } from "./route.js";
export type { Settings } from "./settings.js";
export type { Consent } from "./submission.js";
export { thanksNotice, type Words } from "./words.js";
