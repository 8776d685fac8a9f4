"""The flusher in schedules: the stages around it, its promises and its known faults."""
