"""The notifier: sends the welcome and the admin alert of each lead."""
