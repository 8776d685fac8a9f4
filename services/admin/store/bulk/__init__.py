"""Actions on many leads: starting them, and changing the leads."""
