"""The messages that services exchange, as pure data: no framework, no driver and no I/O."""
