"""The errors of an admin's request that the API answers with 404 and 409, and the dashboard with a page."""


class NotFoundError(Exception):
    """The lead, row or replay does not exist: answer 404 with this message."""


class ConflictError(Exception):
    """The current state does not allow the change: answer 409 with this message."""
