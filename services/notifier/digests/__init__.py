"""The emails to the team about leads that are held: when they are due, and sending them."""
