"""Renders the request body for a destination of the kind `http`, from a Jinja template in a sandbox.

The operator writes the template, but its values come from a visitor. The sandbox gives a template no access
to the process. The length of the rendered body and the work for it are limited.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template

from runtime.template_sandbox import TemplateSandbox

BODY_MAX_CHARACTERS: Final = 512 * 1024


class BodyTemplateError(Exception):
    """The template cannot be parsed or rendered. The message is the class name of the error."""


def e164(value: object) -> str | None:
    """Return an international phone number in the form +442079460000 (E.164), or None for any other text.

    None is also returned for a national number, because its country is unknown.
    """
    text = re.sub(r"\(0\)|[\s()./-]", "", str(value or ""))
    number = re.sub(r"^00", "+", text)
    return number if re.fullmatch(r"\+[1-9][0-9]{6,14}", number) else None


def _environment() -> TemplateSandbox:
    environment = TemplateSandbox(undefined=StrictUndefined, autoescape=False)
    # Not Jinja's own, which writes < and & for HTML pages.
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["e164"] = e164
    return environment


_ENVIRONMENT: Final = _environment()


@lru_cache(maxsize=200)
def compile_template(source: str) -> Template:
    """Return the compiled template. Raises `BodyTemplateError` if it cannot be parsed."""
    try:
        return _ENVIRONMENT.from_string(source)
    except Exception as error:  # noqa: BLE001 - deep nesting raises errors of Python's compiler
        raise BodyTemplateError(type(error).__name__) from None


def render_body(source: str, event: Mapping[str, Any], event_id: str) -> str:
    """Return the body for an event. The template's variables are `event`, `lead` and `event_id`.

    Raises `BodyTemplateError` if the template fails, if the body is longer than 512 Ki characters, or if it
    takes too much work.
    """
    template = compile_template(source)
    values = {"event": event, "lead": event["data"], "event_id": event_id}
    try:
        return _ENVIRONMENT.render_bounded(template, values, BODY_MAX_CHARACTERS)
    except Exception as error:  # noqa: BLE001 - a template may raise anything; its text may hold personal data
        raise BodyTemplateError(type(error).__name__) from None
