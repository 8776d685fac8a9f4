"""The admin service: the JSON API and the dashboard to find leads and to retry failed deliveries."""
