/** What the visitor agrees to: shown beside the box and recorded with the lead. A new text is a new version. */
export const CONSENT = {
  text: "You may store what I wrote here and answer me by email.",
  version: "2026-01",
};
