"""Request and response models that the API, the dashboard and the store share."""
