"""The webhooks service in schedules: its receivers, its faults, its promises and its known faults."""
