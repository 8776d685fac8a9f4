"""The processes of the stack: how each is started, supervised, waited for and stopped."""
