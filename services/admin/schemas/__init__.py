"""Request and response models, shared by the API, the dashboard and the store."""
