"""`python -m deploy.doctor`: the production checklist as checks of an installation. It changes nothing."""
