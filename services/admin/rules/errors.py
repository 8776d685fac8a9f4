"""Errors in an admin's request. The API answers 403, 404 or 409, and the dashboard shows an error page."""


class ForbiddenError(Exception):
    """The actor may not do this. The response is a 403 with this message."""


class NotFoundError(Exception):
    """The lead, row or replay does not exist. The response is a 404 with this message."""


class ConflictError(Exception):
    """The current state does not allow the change. The response is a 409 with this message."""
