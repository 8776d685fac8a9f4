"""A Jinja sandbox for templates that an operator writes and whose values come from visitors.

A template has no access to the process. The work of a rendering is counted and limited, so that a mistake in
a template does not stop the service for long. The count is approximate: the sandbox does not protect from an
operator who wants to use up its memory or time.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from jinja2 import Template, TemplateSyntaxError, nodes, pass_context, pass_eval_context
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import htmlsafe_json_dumps
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from runtime.template_limits import STEP_COST, LimitError, limited_work, size_of, spend

__all__ = ["LimitError", "TemplateSandbox"]

# A file that is included may be long.
_INCLUDE_COST: Final = 100_000
_NAMES_ONLY: Final = re.compile(r"(?:[^%]|%%|%\(\w+\)s)*")
_POWER_MAX: Final = 100
_PRECISION_MAX: Final = 20
# Methods that make a long text of a number or of a short text.
_FORBIDDEN: Final = frozenset(
    {
        "center",
        "encode",
        "expandtabs",
        "format",
        "format_map",
        "ljust",
        "maketrans",
        "rjust",
        "to_bytes",
        "translate",
        "zfill",
    }
)


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """A sandbox without Jinja's global functions, and without what pads a text or formats it with a width.

    `render_bounded` limits the result and the work. A loop over the characters of a text, and a recursive
    loop, are refused.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_count_output, **options)
        for name in ("range", "dict", "lipsum", "cycler", "joiner", "namespace"):
            del self.globals[name]
        for name in ("batch", "center", "format", "indent", "pprint", "slice", "wordwrap", "xmlattr"):
            del self.filters[name]
        self.filters |= {
            "join": _join,
            "replace": _replace,
            "round": _round,
            "tojson": _to_json,
            _EACH: _each,
            _CONCATENATE: _concatenate,
            _COUNTED: _counted,
        }

    def render_bounded(self, template: Template, values: Mapping[str, Any], max_characters: int) -> str:
        """Return the rendered template.

        Raises the template's error, or `LimitError` if the result or the work is too much.
        """
        parts, length = list[str](), 0
        with limited_work():
            for part in template.generate(values):
                length += len(part)
                if length > max_characters:
                    raise LimitError
                parts.append(part)
        return "".join(parts)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return False for what Jinja's sandbox forbids, and for padding, such as `"a".ljust(10**9)`."""
        return attr not in _FORBIDDEN and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Return None, so that `is_safe_attribute` refuses `format` and `format_map`."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse an operator that makes a long text or number of a short one.

        `*` and `**` need numbers up to a million, and a power at most 100. `%` formats a text only by names
        and without a width, as `{% trans %}` does.
        """
        if operator == "%":
            if isinstance(left, str):
                if not _NAMES_ONLY.fullmatch(left):
                    raise LimitError  # "%9999999999d" % 1
                spend(len(left) + left.count("%") * size_of(right))
        elif operator == "+":
            if not isinstance(left, int | float):
                spend(size_of(left) + size_of(right))
        elif not (_is_small(left) and _is_small(right)) or (operator == "**" and abs(right) > _POWER_MAX):
            raise LimitError
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, a macro or a method, and count the work."""
        spend(STEP_COST)
        text = getattr(obj, "__self__", None)
        if isinstance(text, str) and args:
            name = getattr(obj, "__name__", "")
            if name == "replace":
                _check_replace(text, *args[:2])
            elif name == "join":
                args = (_items_to_join(args[0], text), *args[1:])
        result = super().call(context, obj, *args, **kwargs)
        spend(size_of(result))
        return result

    def call_filter(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply a filter for another one, such as `map`, and count the result."""
        result = super().call_filter(name, value, *args, **kwargs)
        spend(STEP_COST + size_of(result))
        return result

    def get_template(self, name: Any, *args: Any, **kwargs: Any) -> Template:
        """Return a template, and count the work as that of a long one."""
        spend(_INCLUDE_COST)
        return super().get_template(name, *args, **kwargs)

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Counter(self).visit(source), *args, **options)


# Names of filters that no template can write.
_EACH: Final = "each item"
_CONCATENATE: Final = "concatenated texts"
_COUNTED: Final = "counted result"


class _Counter(NodeTransformer):
    """Counts the passes of loops, the results of filters, and the texts that `~` joins."""

    def __init__(self, environment: TemplateSandbox) -> None:
        self._environment = environment

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the name that jinja2 looks up
        if node.recursive:
            raise TemplateSyntaxError("a loop must not be recursive", node.lineno)
        length = sum(len(each.data) for each in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.iter = self._filter(cast("nodes.Expr", node.iter), _EACH, nodes.Const(length))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._filter(nodes.Tuple(node.nodes, "load", lineno=node.lineno), _CONCATENATE)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._filter(node, _COUNTED)

    def _filter(self, node: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
        made = nodes.Filter(node, name, [*arguments], [], None, None)
        made.set_lineno(node.lineno)
        made.set_environment(self._environment)
        return made


@pass_context
def _count_output(_: Context, value: Any) -> Any:
    spend(size_of(value))
    return value


# They get the context, because Jinja computes filters without it when a template is compiled.
@pass_context
def _each(_: Context, items: Iterable[Any], length: int) -> Iterator[Any]:
    if isinstance(items, str):
        raise LimitError
    for item in items:
        spend(STEP_COST + length)
        yield item


@pass_context
def _concatenate(context: Context, parts: tuple[Any, ...]) -> str:
    spend(size_of(parts))
    return markup_join(parts) if context.eval_ctx.autoescape else str_join(parts)


@pass_context
def _counted(_: Context, value: Any) -> Any:
    spend(size_of(value))
    return value


@pass_eval_context
def _join(eval_ctx: EvalContext, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    joined: str = FILTERS["join"](eval_ctx, _items_to_join(value, d), d, attribute)
    return joined


def _items_to_join(value: Iterable[Any], separator: str) -> list[Any]:
    """Return the items. Raises `LimitError` if the joined text is too long."""
    items = list(value)
    spend(size_of(items) + len(items) * size_of(separator))
    return items


@pass_eval_context
def _replace(eval_ctx: EvalContext, s: Any, old: str, new: str, count: int | None = None) -> str:
    text = str(s)
    _check_replace(text, old, new)
    replaced: str = FILTERS["replace"](eval_ctx, s, old, new, count)
    return replaced


def _check_replace(text: str, old: Any = "", new: Any = "") -> None:
    spend(len(text) + text.count(str(old)) * size_of(new))


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if not abs(precision) <= _PRECISION_MAX:
        raise LimitError
    rounded: float = FILTERS["round"](value, precision, method)
    return rounded


def _to_json(value: Any) -> Markup:
    """Return a value as JSON for an HTML page. Unlike Jinja's own filter, has no `indent`."""
    spend(size_of(value))
    return htmlsafe_json_dumps(value)


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= 1_000_000
