"""What the installation's work costs as the number of leads grows."""
