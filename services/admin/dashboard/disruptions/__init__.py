"""What is disrupted in this installation, found in its health signals."""
