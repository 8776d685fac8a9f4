"""The readiness and the status of a gateway, merged from those of its workers."""

from typing import Any

from services.ingest.workers.gateway_health import merge_readiness, merge_status

SINCE = "2026-01-01T00:00:00+00:00"


def state(reason: str = "", *, breaker: str = "closed", age: float | None = None, kafka: bool = True) -> Any:
    return {
        "readiness": {"parts": {"intake": {"ok": not reason, "reason": reason, "since": SINCE}}},
        "status": {
            "spool": {"depth": 1, "bytes": 10, "oldest_age_seconds": age, "damaged_files": 2},
            "breaker": breaker,
            "kafka": {"ok": kafka, "reason": "", "since": SINCE},
        },
    }


def test_gateway_is_ready_if_all_workers_are() -> None:
    report = merge_readiness({1: state(), 2: state()})
    assert report["status"] == "ready"
    assert report["parts"]["intake"] == {"ok": True, "reason": "", "since": SINCE}
    assert report["parts"]["workers"] == {"ok": True, "reason": ""}


def test_gateway_is_not_ready_if_a_worker_would_refuse_leads() -> None:
    report = merge_readiness({1: state(), 2: state("spool is full"), 3: state()})
    assert report["status"] == "not ready"
    assert report["parts"]["intake"]["reason"] == "worker 2: spool is full"


def test_gateway_is_ready_while_a_worker_is_replaced() -> None:
    report = merge_readiness({1: state(), 2: None})
    assert report["status"] == "ready"
    assert report["parts"]["workers"] == {"ok": False, "reason": "no answer from worker 2 of 2"}


def test_status_shows_the_worst_of_the_workers_and_the_sum_of_the_spools() -> None:
    merged = merge_status({1: state(age=3), 2: state(breaker="open", kafka=False, age=5), 3: None}, 7, 70)
    assert merged["spool"] == {"depth": 7, "bytes": 70, "oldest_age_seconds": 5, "damaged_files": 2}
    assert merged["breaker"] == "open"
    assert merged["kafka"]["ok"] is False
    assert merged["workers"] == {"count": 3, "answering": 2}


def test_status_without_a_spooled_lead_has_no_age() -> None:
    assert merge_status({1: state(), 2: state()}, 0, 0)["spool"]["oldest_age_seconds"] is None
