"""The notifier: sends two mails for each lead, a welcome to the visitor and an alert to the admins."""
