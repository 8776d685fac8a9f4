"""Words for the bounds of a model."""


def count(number: int, noun: str) -> str:
    """Return the number with its noun, such as `2 faults` or `1 retry`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
