/** The form's own fields, which are no part of the lead; both halves of the kit know them. */

export const FORM_KEY = "form_key";
export const RENDERED_AT = "form_rendered_at";
export const CONSENT_VERSION = "consent_version";
/** People never see it; bots fill it. */
export const HONEYPOT = "homepage_url";
/** The names of the files that the visitor chose: their content is not sent. */
export const FILES = "files_not_sent";
/** What an advertisement or a newsletter adds to a page's address. */
export const CAMPAIGN = [
  ...["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"],
  ...["gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id"],
] as const;
