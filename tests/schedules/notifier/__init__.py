"""The notifier in schedules: its mail server, its faults, its promises and its known faults."""
