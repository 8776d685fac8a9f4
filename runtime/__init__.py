"""How a process starts, is watched and stops. Knows nothing about leads."""
