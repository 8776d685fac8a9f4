"""A deterministic event loop with a virtual clock, processes that can be killed, and a network in memory."""
