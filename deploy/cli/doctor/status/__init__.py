"""`python -m deploy.cli.doctor status`: what fails now, and why. The runbooks begin with it."""
