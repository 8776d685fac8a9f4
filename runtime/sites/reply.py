"""The model of a site's reply template: the subject and the body of a reply to a lead.

The templates are Jinja templates without loops, arithmetic, calls and attributes. So a template cannot reach
the objects of the process, and its result is not much longer than the template and the fields.
"""

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import quote

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

FIELDS: Final = ("name", "email", "phone", "company", "service", "message", "reference", "site")
"""The fields of a lead that a template may have. `site` is the site's name for people."""
# The link of a reply has at most 2,000 characters, with its address and the quoted message.
ENCODED_MAX: Final = 1500
_SUBJECT_MAX: Final = 200
_FIELD_MAX: Final = 2000
_PERMITTED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Or,
    nodes.And,
    nodes.Not,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
)
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(autoescape=False, trim_blocks=True, lstrip_blocks=True)


def _check_template(source: str) -> str:
    if not source.strip():
        raise ValueError("must not be empty")
    try:
        tree = _ENVIRONMENT.parse(source)
        _ENVIRONMENT.from_string(source)
    except Exception as error:  # noqa: BLE001 - deep nesting raises errors of Python's compiler
        line = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
        raise ValueError(f"is no Jinja template{line}") from None
    for node in tree.find_all(nodes.Node):
        if type(node) not in _PERMITTED:
            raise ValueError("may use only {{ field }}, `or`, and {% if field %}")
        if isinstance(node, nodes.Name) and node.name not in FIELDS:
            raise ValueError(f"has a name that is no field of a lead; fields are {', '.join(FIELDS)}")
    return source


def _check_length(source: str) -> str:
    if (length := len(quote(source, safe=""))) > ENCODED_MAX:
        raise ValueError(f"is too long: it has {length} characters in a link, and may have {ENCODED_MAX}")
    return source


_Subject = Annotated[str, Field(max_length=_SUBJECT_MAX), AfterValidator(_check_template)]
_Body = Annotated[str, AfterValidator(_check_length), AfterValidator(_check_template)]


class Reply(BaseModel):
    """The templates of a reply. If the subject or the body is not set, the default one is used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: _Subject | None = None
    body: _Body | None = None


def render_reply(source: str, fields: Mapping[str, str | None]) -> str:
    """Fill the fields of a lead into a template. A missing field is empty, and a long one is truncated."""
    template = _ENVIRONMENT.from_string(source)
    return template.render({name: (fields.get(name) or "")[:_FIELD_MAX] for name in FIELDS})
