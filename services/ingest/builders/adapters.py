"""One adapter for each form builder: where its payload holds the answers, and what identifies a submission.

A payload that no adapter recognises is read as an object that maps names to answers. The webhooks of Contact
Form 7, Fluent Forms, Framer, Ninja Forms, HubSpot and WPForms can be set up to send such a payload.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from services.ingest.builders import answers
from services.ingest.builders.payload import Payload, text_at, value_at
from services.ingest.forms.field_mapping import Answer, map_answers


@dataclass(frozen=True)
class Adapter:
    """How the payload of one form builder is read. A path consists of keys, separated by slashes.

    The adapter applies to a payload that has a list or an object of answers at `answers_at`, and a value at
    each path of `recognised_by`. `submission_id` lists the possible paths of the builder's own submission id.
    This id stays the same if the builder repeats a request.
    """

    name: str
    answers_at: str
    read_answers: Callable[[Payload], Iterable[Answer]]
    recognised_by: tuple[str, ...] = ()
    submission_id: tuple[str, ...] = ()
    form_name: tuple[str, ...] = ()
    submitted_at: tuple[str, ...] = ()

    def recognises(self, payload: Payload) -> bool:
        """Return True if the adapter applies to the payload."""
        has_answers = not self.answers_at or isinstance(value_at(payload, self.answers_at), list | Mapping)
        return has_answers and all(value_at(payload, path) is not None for path in self.recognised_by)


ADAPTERS: Final = (
    Adapter(
        "typeform",
        "form_response/answers",
        answers.typeform,
        submission_id=("form_response/token",),
        form_name=("form_response/definition/title",),
        submitted_at=("form_response/submitted_at",),
    ),
    Adapter(
        "tally",
        "data/fields",
        answers.tally,
        ("eventType",),
        submission_id=("data/submissionId", "data/responseId"),
        form_name=("data/formName",),
        submitted_at=("data/createdAt",),
    ),
    Adapter(
        "webflow",
        "payload/data",
        answers.flat("payload/data"),
        ("triggerType",),
        submission_id=("payload/id",),
        form_name=("payload/name",),
        submitted_at=("payload/submittedAt",),
    ),
    Adapter(
        "wix",
        "data/submissions",
        answers.listed("data/submissions"),
        submission_id=("data/submissionId",),
        form_name=("data/formName",),
        submitted_at=("data/submissionTime",),
    ),
    Adapter(
        "netlify",
        "data",
        answers.flat("data"),
        ("form_name", "site_url"),
        submission_id=("id",),
        form_name=("form_name",),
        submitted_at=("created_at",),
    ),
    Adapter(
        "jotform",
        "",
        answers.jotform,
        ("rawRequest", "formID"),
        submission_id=("submissionID",),
        form_name=("formTitle",),
    ),
    Adapter(
        "formspree",
        "submission",
        answers.flat("submission"),
        ("form",),
        submission_id=("submission/_id", "submission/id"),
        submitted_at=("submission/_date",),
    ),
    Adapter(
        "google_forms",
        "namedValues",
        answers.flat("namedValues"),
        submission_id=("responseId",),
        form_name=("formTitle",),
    ),
    Adapter(
        "google_forms",
        "responses",
        answers.listed("responses"),
        ("formTitle",),
        submission_id=("responseId",),
        form_name=("formTitle",),
        submitted_at=("timestamp",),
    ),
    Adapter(
        "hubspot",
        "properties",
        answers.hubspot,
        submitted_at=("occurredAt",),
    ),
    Adapter(
        "gravity_forms",
        "",
        answers.gravity_forms,
        ("form_id", "date_created", "source_url"),
        submission_id=("id",),
        submitted_at=("date_created",),
    ),
    # Elementor's "advanced data", Ninja Forms and WPForms: a list or an object of fields.
    Adapter(
        "fields",
        "fields",
        answers.listed("fields"),
        submission_id=("entry_id", "submission_id", "id"),
        form_name=("form/name", "form_name", "form_title"),
    ),
)

FLAT: Final = Adapter(
    "flat",
    "",
    answers.flat(""),
    submission_id=("entry_id", "submission_id", "__submission/id"),
    form_name=("form_name", "form_title", "formName", "__submission/form/title"),
)


def adapter_of(payload: Payload) -> Adapter:
    """Return the adapter that recognises the payload, or `FLAT` if none does."""
    return next((adapter for adapter in ADAPTERS if adapter.recognises(payload)), FLAT)


def read_body(adapter: Adapter, payload: Payload, names: Mapping[str, Sequence[str]]) -> dict[str, JsonValue]:
    """Return the body of a submission with the payload's answers.

    `names` is the setting `fields` of the site: it maps a field of a lead to the names that the site's forms
    use. If the adapter finds neither an email nor a phone, the payload probably comes from another builder.
    It is then read as an object that maps names to answers.
    """
    body = map_answers(adapter.read_answers(payload), names)
    if adapter is FLAT or _is_answerable(body):
        return body
    flat = map_answers(FLAT.read_answers(payload), names)
    return flat if _is_answerable(flat) else body


def _is_answerable(body: Mapping[str, JsonValue]) -> bool:
    return bool(body.get("email") or body.get("phone"))


def submission_key(adapter: Adapter, payload: Payload) -> str | None:
    """Return an idempotency key made from the builder's own submission id, or None if the payload has none.

    The key also contains the form's id, because some builders number the submissions of each form from 1.
    """
    submission_id = text_at(payload, *adapter.submission_id) if adapter.submission_id else ""
    if not submission_id:
        return None
    form_id = text_at(payload, "form_id", "formID", "form/id", "form")
    return f"{adapter.name}:{form_id}:{submission_id}"
