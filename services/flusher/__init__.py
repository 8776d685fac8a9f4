"""The flusher: stores failed records in the replay queue, sends them again and runs scheduled jobs."""
