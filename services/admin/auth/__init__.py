"""Authentication: API tokens, sessions, and limits for failed logins."""
