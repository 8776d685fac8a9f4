"""What a release consists of: its version, its notes, and the files that need no image registry."""
