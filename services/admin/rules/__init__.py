"""Pure rules about leads and replays: no I/O, no clock."""
