"""The persister: stores leads in `lead_inbox` and audit entries in `audit_log`."""
