"""Each step of the outside world after which a service must do another one has a failpoint."""

import importlib
import inspect
import re
from typing import Any

import pytest

from services.admin.store.privacy.erasure import Erasures
from tests.faults.families.failpoints import FAMILY
from tests.faults.injections.failpoint import FAILPOINTS

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b|erase_lead\(")

# What writes to the outside world: module, owner, and which of its steps need no failpoint, with the reason.
WRITERS = {
    # between Kafka's answer, or the fsync, and the 201
    ("services.ingest.publisher", "LeadPublisher"): {"check": "writes nothing"},
    ("services.ingest.spool.spool", "Spool"): {
        "check": "writes no lead",
        "adopt": "moves nothing",
        "drain": "LeadWriter._publish_spooled and _remove_segment are its steps",
        "run_writer": "append waits for it",
    },
    # between a pull's post and its removal
    ("services.flusher.site_queues.clients", "SiteQueueClient"): {
        "list_queue": "reads",
        "deliver": "is submit",
    },
    ("services.flusher.site_queues.site_queue_import", "SQL"): {},
    # during an erasure
    ("runtime.database.erasure", "SQL"): {},
    # during sealing
    ("services.flusher.jobs.audit_seal", "SQL"): {"store_tiles": "_store_tiles is its only caller"},
    ("services.flusher.jobs.audit_checkpoint_file", "CheckpointFile"): {"read": "reads"},
}


def _steps(owner: Any) -> set[str]:
    """Return the names of the public coroutines of a class, or of the queries that write."""
    if not inspect.isclass(owner):
        names = {name for name in owner.available_queries if not name.endswith("_cursor")}
        return {name for name in names if _WRITES.search(getattr(owner, name).sql)}
    found = inspect.getmembers(owner, inspect.iscoroutinefunction)
    return {name for name, _ in found if not name.startswith("_")}


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer[1])
def test_each_step_of_a_writer_has_a_failpoint(writer: tuple[str, str]) -> None:
    module, name = writer
    steps = _steps(getattr(importlib.import_module(module), name))
    have = {point.method for point in FAILPOINTS.values() if (point.module, point.owner) == writer}
    assert steps - have - WRITERS[writer].keys() == set(), "add a failpoint, or say why none is needed"
    assert WRITERS[writer].keys() <= steps, "a reason for a step that there is not"


def test_the_failpoint_after_an_erasure_is_in_the_function_that_erases() -> None:
    point = FAILPOINTS["erasure answered"]
    assert point.module == Erasures.__module__
    assert f"{point.method}(" in inspect.getsource(Erasures.erase_lead)


def test_the_family_kills_at_each_failpoint_that_a_round_reaches() -> None:
    killed = {name.partition(" dies at: ")[2] for name in FAMILY.faults}
    assert killed == {place for place, point in FAILPOINTS.items() if point.reached != "rare"}
