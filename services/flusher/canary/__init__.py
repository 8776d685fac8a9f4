"""Sends the canary: a synthetic lead for each site, through the site's own form (docs/canary.md)."""
