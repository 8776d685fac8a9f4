"""What the stack needs while no leads arrive."""
