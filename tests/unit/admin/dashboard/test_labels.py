"""Every event, kind, stage and status has a name and a badge style."""

from typing import get_args

from contracts.audit import AuditEvent
from contracts.failures import Kind, Stage
from contracts.leads import LeadStatus
from services.admin.dashboard import labels


def test_every_event_kind_stage_and_status_has_a_name_and_a_badge_style() -> None:
    assert set(labels.EVENTS) == set(AuditEvent)
    assert set(labels.KINDS) == set(get_args(Kind))
    assert {*labels.STATUSES, "erased"} == set(LeadStatus)
    assert {*AuditEvent, *LeadStatus} <= set(labels.BADGE_STYLES)
    assert set(get_args(Stage)) <= set(labels.STAGES)
    assert set(labels.STATES) <= set(labels.BADGE_STYLES)


def test_field_label_capitalises_abbreviations() -> None:
    assert labels.field_label("lead_id") == "Lead ID"
    assert labels.field_label("utm_source") == "UTM source"
    assert labels.field_label("page_url") == "Page URL"
    assert labels.field_label("smtp_answer") == "SMTP answer"


def test_reason_stage_and_state_names_are_sentence_case() -> None:
    assert labels.reason_text("smtp 452 4.2.2 at rcpt") == "The mailbox is full"
    assert labels.reason_text("something new") == "something new"
    assert labels.stage_name("persister") == "Storage"
    assert labels.state_name("dead") == "Failed"
    assert labels.state_name("suppressed") == "Suppressed"
    assert labels.state_name("received") == "New"


def test_an_unknown_job_is_named_by_its_own_name() -> None:
    assert labels.job_name("replay_queue") == "Automatic retries"
    assert (labels.job_name("new_job"), labels.job_description("new_job")) == ("New job", "")
