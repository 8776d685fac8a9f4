"""What the services say to each other: pure data. No framework, no driver, no I/O may live here."""
