"""Errors in an admin's request. The API answers 404 or 409, and the dashboard shows an error page."""


class NotFoundError(Exception):
    """The lead, row or replay does not exist: answer 404 with this message."""


class ConflictError(Exception):
    """The current state does not allow the change: answer 409 with this message."""
