/** Names of form fields that the server side and the client side of the kit share. */

export const FORM_KEY = "form_key";
export const RENDERED_AT = "form_rendered_at";
export const CONSENT_VERSION = "consent_version";
/** The honeypot: a field that people do not see and bots fill. */
export const HONEYPOT = "homepage_url";
/** The field with the names of the files that the visitor chose. The content of the files is not sent. */
export const FILES = "files_not_sent";
/** The query parameters that an advertisement or a newsletter adds to a page's URL. */
export const CAMPAIGN = [
  ...["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"],
  ...["gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id"],
] as const;
