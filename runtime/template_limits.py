"""The limit on what one rendering of a sandboxed template may do. It is counted, not measured."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any, Final

WORK_MAX: Final = 8 * 1024 * 1024
"""The most characters that one rendering may make. A pass of a loop and a call count as 100 characters."""
STEP_COST: Final = 100
_NUMBER_SIZE: Final = 20


class LimitError(Exception):
    """A template does more than the sandbox permits."""


class _Work:
    spent = 0


_WORK: Final[ContextVar[_Work | None]] = ContextVar("work", default=None)


@contextmanager
def limited_work() -> Iterator[None]:
    """Count the work of one rendering from 0. Until the context ends, `spend` raises when it is too much."""
    token = _WORK.set(_Work())
    try:
        yield
    finally:
        _WORK.reset(token)


def spend(characters: int) -> None:
    """Count this work. Raises `LimitError` if it is too much."""
    work = _WORK.get() or _Work()
    work.spent += characters
    if work.spent > WORK_MAX:
        raise LimitError


def size_of(value: Any) -> int:
    """Return about the number of characters of the value as text. Above `WORK_MAX` it may be too small."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        items: Collection[Any] = [*chain.from_iterable(value.items())]
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    else:
        return _NUMBER_SIZE
    total = 2 + 2 * len(items)
    for item in items:
        total += size_of(item)
        if total > WORK_MAX:
            break
    return total
