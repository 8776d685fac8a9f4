"""One adapter for each form builder: where its payload has the answers, and what identifies a submission.

A payload that no adapter recognises is read as an object of names and answers. That is what Contact Form 7,
Fluent Forms, Framer, Ninja Forms, HubSpot and WPForms send, once their webhook is set up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from services.ingest.builders import answers
from services.ingest.builders.payload import Payload, text_at, value_at
from services.ingest.forms.field_mapping import Answer


@dataclass(frozen=True)
class Adapter:
    """How one form builder's payload is read. Each path is keys with slashes between them.

    The adapter applies to a payload that has a value at each path of `recognised_by`. `submission_id` is the
    builder's own id of the submission, which stays the same if the builder repeats the request.
    """

    name: str
    recognised_by: tuple[str, ...]
    read_answers: Callable[[Payload], Iterable[Answer]]
    submission_id: tuple[str, ...] = ()
    form_name: tuple[str, ...] = ()
    submitted_at: tuple[str, ...] = ()

    def recognises(self, payload: Payload) -> bool:
        """Return True if the payload has a value at each path of `recognised_by`."""
        return all(value_at(payload, path) is not None for path in self.recognised_by)


ADAPTERS: Final = (
    Adapter(
        "typeform",
        ("form_response/answers",),
        answers.typeform,
        submission_id=("form_response/token",),
        form_name=("form_response/definition/title",),
        submitted_at=("form_response/submitted_at",),
    ),
    Adapter(
        "tally",
        ("data/fields", "eventType"),
        answers.tally,
        submission_id=("data/submissionId", "data/responseId"),
        form_name=("data/formName",),
        submitted_at=("data/createdAt",),
    ),
    Adapter(
        "webflow",
        ("triggerType", "payload/data"),
        answers.flat("payload/data"),
        submission_id=("payload/id",),
        form_name=("payload/name",),
        submitted_at=("payload/submittedAt",),
    ),
    Adapter(
        "wix",
        ("data/submissions",),
        answers.listed("data/submissions"),
        submission_id=("data/submissionId",),
        form_name=("data/formName",),
        submitted_at=("data/submissionTime",),
    ),
    Adapter(
        "netlify",
        ("data", "form_name", "site_url"),
        answers.flat("data"),
        submission_id=("id",),
        form_name=("form_name",),
        submitted_at=("created_at",),
    ),
    Adapter(
        "jotform",
        ("rawRequest", "formID"),
        answers.jotform,
        submission_id=("submissionID",),
        form_name=("formTitle",),
    ),
    Adapter(
        "formspree",
        ("form", "submission"),
        answers.flat("submission"),
        submission_id=("submission/_id", "submission/id"),
        submitted_at=("submission/_date",),
    ),
    Adapter(
        "google_forms",
        ("namedValues",),
        answers.flat("namedValues"),
        submission_id=("responseId",),
        form_name=("formTitle",),
    ),
    Adapter(
        "google_forms",
        ("responses", "formTitle"),
        answers.listed("responses"),
        submission_id=("responseId",),
        form_name=("formTitle",),
        submitted_at=("timestamp",),
    ),
    Adapter(
        "hubspot",
        ("properties",),
        answers.hubspot,
        submitted_at=("occurredAt",),
    ),
    Adapter(
        "gravity_forms",
        ("form_id", "date_created", "source_url"),
        answers.gravity_forms,
        submission_id=("id",),
        submitted_at=("date_created",),
    ),
    # Elementor's "advanced data", Ninja Forms and WPForms: a list or an object of fields.
    Adapter(
        "fields",
        ("fields",),
        answers.listed("fields"),
        submission_id=("entry_id", "submission_id", "id"),
        form_name=("form/name", "form_name", "form_title"),
    ),
)

FLAT: Final = Adapter(
    "flat",
    (),
    answers.flat(""),
    submission_id=("entry_id", "submission_id", "__submission/id"),
    form_name=("form_name", "form_title", "formName", "__submission/form/title"),
)


def adapter_of(payload: Payload) -> Adapter:
    """Return the adapter of the builder that sent the payload."""
    return next((adapter for adapter in ADAPTERS if adapter.recognises(payload)), FLAT)


def submission_key(adapter: Adapter, payload: Payload) -> str | None:
    """Return the idempotency key that the builder's own id stands for, or None if the payload has none.

    The form's id is part of it, because some builders number the submissions of each form from 1.
    """
    submission_id = text_at(payload, *adapter.submission_id) if adapter.submission_id else ""
    if not submission_id:
        return None
    form_id = text_at(payload, "form_id", "formID", "form/id", "form")
    return f"{adapter.name}:{form_id}:{submission_id}"
