"""Deliveries: the replay queue, replays, and the outcomes of the last hour."""
