"""The error that a command of the embedded stack shows in place of a traceback."""


class EmbeddedError(Exception):
    """The stack cannot do what the command requires. The message says what is wrong and what to do next."""
