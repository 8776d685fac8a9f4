"""The emails to the team that list held leads: deciding when they are due, and sending them."""
