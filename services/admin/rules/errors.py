"""Errors in an admin's request. The API answers 403, 404 or 409, and the dashboard shows an error page."""


class ForbiddenError(Exception):
    """The actor may not do this: answer 403 with this message."""


class NotFoundError(Exception):
    """The lead, row or replay does not exist: answer 404 with this message."""


class ConflictError(Exception):
    """The current state does not allow the change: answer 409 with this message."""
