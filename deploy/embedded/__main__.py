"""Runs `python -m deploy.embedded`."""

from deploy.embedded.cli import main

main()
