/** The consent: the form shows `text` beside its checkbox, and the lead stores it. Change `version` with the text. */
export const CONSENT = {
  text: "You may store what I wrote here and answer me by email.",
  version: "2026-01",
};
