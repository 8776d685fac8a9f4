"""A Jinja sandbox for templates that an operator writes and whose values come from visitors.

A template has no access to the process, and cannot make a long text of a short one.
"""

import re
from typing import Any, Final

from jinja2.sandbox import ImmutableSandboxedEnvironment


class LimitError(Exception):
    """A template does what could use up the memory."""


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """A sandbox without Jinja's global functions, and without what multiplies or pads a text."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("range", "dict", "lipsum", "cycler", "joiner", "namespace"):
            del self.globals[name]
        for name in ("center", "format", "indent", "pprint", "wordwrap", "xmlattr"):
            del self.filters[name]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return False for what the sandbox forbids, and for padding, such as `"a".ljust(10**9)`."""
        return attr not in _PADDING and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse `*` and `**` unless both operands are numbers up to a million.

        `"a" * 10**9` would use up the memory. Also refuses to format a text with `%`, except by names and
        without a width, as `{% trans %}` does.
        """
        if operator == "%":
            if isinstance(left, str) and not _NAMES_ONLY.fullmatch(left):
                raise LimitError  # "%9999999999d" % 1
        elif not (_is_small(left) and _is_small(right)):
            raise LimitError
        return super().call_binop(context, operator, left, right)


_NAMES_ONLY: Final = re.compile(r"(?:[^%]|%%|%\(\w+\)s)*")
# Methods that make a long text of a number.
_PADDING: Final = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= 1_000_000
