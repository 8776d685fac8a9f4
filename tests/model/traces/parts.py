"""Reads the traces of a round of faults, and divides each lead's trace into the parts of the model.

A part has the observations that one model explains, and the bounds that this trace needs. The bounds are of
the trace, not of the explanation: a trace with five responses needs a model with five posts.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tests.model import destinations, digests, events, intake, mails
from tests.model.checker import Model
from tests.model.traces import views
from tests.model.traces.simulation import Explanation, Observations, View, explain, observations

# A run may have so many faults. In the intake, at most one more than there are repeated records, lost answers
# and 503s: faults that leave no mark explain nothing.
MAX_FAULTS: Final = 4
_KINDS: Final = {"welcome": "confirmation", "admin_alert": "team notification"}
# A run of equal observations is shortened to this length: the hundred copies of one post.
_RUN_MAX: Final = 2
INTAKE: Final = "intake"
_ERASED: Final = ["entry", "lead.erased"]
_MODELS: Final[dict[str, tuple[Callable[..., Model], View]]] = {
    INTAKE: (intake.build, views.of_intake(())),
    "confirmation": (mails.build, views.of_mails),
    "team notification": (mails.build, views.of_mails),
    "digest": (digests.build, views.of_digests),
    "destination": (destinations.build, views.of_destinations),
    "audit of refusals": (events.build_refusal, views.of_refusals),
}
_LONG: Final = 3


@dataclass(frozen=True)
class Part:
    """One part of a lead's trace. Equal parts have equal explanations. `build` makes the model for it."""

    name: str
    bounds: tuple[Any, ...]
    seen: Observations

    @property
    def steps(self) -> int:
        """The number of observations."""
        return sum(len(labels) for _, labels in self.seen)

    def explain(self) -> Explanation:
        """Return a run of the model for this part. Raises `TooManyRunsError`."""
        bounds = dict(self.bounds)
        if bounds.get("impatient"):
            # Posts without an answer need not have reached a gateway: try without them first.
            there = len(bounds["posts"]) - len(bounds["impatient"])
            found = self._explain(bounds | {"posts": bounds["posts"][:there], "impatient": ()})
            if not found.unexplained:
                return found
        return self._explain(bounds)

    def _explain(self, bounds: dict[str, Any]) -> Explanation:
        build, view = _MODELS[self.name]
        if self.name == INTAKE:
            view = views.of_intake(bounds["posts"])
        return explain(build(**bounds), view, self.seen)


@dataclass(frozen=True)
class LeadTrace:
    """What the observers saw of one lead, by the file and the lead's id."""

    file: str
    lead: str
    parts: tuple[Part, ...]


def read_traces(path: Path) -> Iterator[LeadTrace]:
    """Yield the trace of each lead of a file."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    for line in text.splitlines():
        recorded = json.loads(line)
        if "lead" in recorded:
            yield LeadTrace("/".join(path.parts[-2:]), recorded["lead"], tuple(_parts(recorded)))


def _parts(recorded: dict[str, Any]) -> Iterator[Part]:
    changes = [labels for observer, *labels in recorded["moments"] if observer == "database"]
    flat = [label for labels in changes for label in labels]
    if recorded["posts"]:
        yield _intake(recorded, changes)
    for kind, name in _KINDS.items():
        mine = [at for at, labels in enumerate(changes) if _starts(labels, f"email {kind} ")]
        collected = [at for at in mine if _starts(changes[at], f"email {kind} collected")]
        if collected:
            # A retry may have been collected: until then the alert was an email of its own.
            if mine[0] < collected[0]:
                yield _mail(recorded, changes[: collected[0] + 1], kind, name, collects=True)
            yield _digest(recorded, changes[collected[0] :])
        elif mine:
            yield _mail(recorded, changes, kind, name)
    if any(label.startswith(("event ", "status ")) for label in flat):
        yield _destination(recorded, changes)
    if flat == ["entry lead.rejected"] or "audit" in recorded["topics"]:
        seen = {
            views.AUDIT: ["entry" for _ in recorded["topics"].get("audit", [])],
            views.DATABASE: ["entry" for label in flat if label == "entry lead.rejected"],
        }
        yield _part("audit of refusals", seen, refused=1, forges=False)


def _starts(labels: list[str], beginning: str) -> bool:
    return any(label.startswith(beginning) for label in labels)


def _part(name: str, seen: dict[str, list[str]], **bounds: Any) -> Part:
    return Part(name, tuple(sorted({"faults": MAX_FAULTS, **bounds}.items())), observations(seen))


def _intake(recorded: dict[str, Any], changes: list[list[str]]) -> Part:
    letters = {digest: "xyz"[at] for at, digest in enumerate(recorded["bodies"])}
    answers = [f"{status} {'xyz'[body]}" for body, status in recorded["posts"] if status in (201, 422, 503)]
    answers = [label for label, run in groupby(answers) for _ in (run if label[:3] != "503" else [label])]
    answers = answers if len(answers) <= _LONG else _shorten(answers)
    records = [f"record {letters.get(digest, '?')}" for (digest,) in recorded["topics"].get("received", [])]
    rows = _rows(changes, lambda words: _row(words, letters))
    erases = any("tombstone" in row for row in rows)
    failed = recorded["topics"].get("failed", [])
    second = len({event_id for event_id, *of in failed if of[:2] == ["persister", "store"]})
    shorter = records if len(records) <= _LONG else _shorten(records)
    if second == _count_others(records, rows):
        second = _count_others(shorter, rows)
    posts = [("a", label[4:]) for label in answers if label[:3] != "503"]
    lost = sorted({body for body, status in recorded["posts"] if status not in (201, 422)})
    seen = {
        views.WEBSITE: answers,
        views.RECEIVED: shorter,
        views.DATABASE: rows,
        views.FAILED: ["second body"] * second,
    }
    return _part(
        INTAKE,
        seen,
        posts=(*posts, *(("a", "xyz"[body]) for body in lost)),
        impatient=tuple(range(len(posts), len(posts) + len(lost))),
        erases=erases,
        delays=False,
        faults=min(MAX_FAULTS, 1 + max(0, len(shorter) - len(posts)) + len(lost) + len(answers) - len(posts)),
    )


def _row(words: list[str], letters: dict[str, str]) -> Iterator[str]:
    if words[0] == "lead":
        yield f"row {letters.get(words[1], '?')}"
    elif words == ["tombstone"]:
        yield from ("tombstone", " ".join(_ERASED))
    elif words == ["entry", "lead.received"]:
        yield " ".join(words)


def _count_others(records: list[str], rows: list[str]) -> int:
    """Return how many records have another body than the stored lead."""
    stored = {f"record {part[4:]}" for row in rows for part in row.split(" + ") if part.startswith("row ")}
    return sum(record not in stored for record in records) if stored else 0


def _shorten(labels: list[str]) -> list[str]:
    """Drop the third and further repetitions of a block of labels, such as those of a whole spool."""
    for size in range(1, len(labels) // 3 + 1):
        at = 0
        while at + 3 * size <= len(labels):
            block = labels[at : at + size]
            if block == labels[at + size : at + 2 * size] == labels[at + 2 * size : at + 3 * size]:
                labels = labels[:at] + labels[at + size :]
            else:
                at += 1
    return labels


def _rows(changes: list[list[str]], read: Callable[[list[str]], Iterable[str]]) -> list[str]:
    """Return each transaction as one observation. `read` returns what a label means, from its words."""
    found = ([each for label in labels for each in read(label.split(" "))] for labels in changes)
    return [views.transaction(each) for each in found if each]


class _MailRows:
    """Reads the changes of one email: those that change a state, or empty the row."""

    def __init__(self, kind: str, first: str = "") -> None:
        self._kind = kind
        self._states = {"email": first, "queue": ""}
        self._is_empty = True

    def read(self, words: list[str]) -> Iterator[str]:
        if words[:2] == ["email", self._kind]:
            yield from self._changed("email", words[2])
            if words[3:] and not self._is_empty:
                yield "email emptied"
            self._is_empty = bool(words[3:])
        elif words[:3] == ["queue", "notifier", self._kind]:
            yield from self._changed("queue", words[3])
        elif words in (["entry", "email.unknown", self._kind], _ERASED):
            yield " ".join(words[:2])

    def _changed(self, row: str, state: str) -> Iterator[str]:
        if self._states[row] != state:
            self._states[row] = state
            yield f"{row} {state}"


def _is_erased(rows: list[str]) -> bool:
    return any("entry lead.erased" in row for row in rows)


def _mail(
    recorded: dict[str, Any], changes: list[list[str]], kind: str, name: str, *, collects: bool = False
) -> Part:
    rows = _rows(changes, _MailRows(kind).read)
    failures: dict[str, str] = {}
    for number, (event_id, stage, of, final) in enumerate(recorded["topics"].get("failed", [])):
        # A final failure of an alert that was collected is that of its digest.
        if (stage, of) == ("notifier", kind) and not (collects and final == "true"):
            failures[event_id or str(number)] = "final failure" if final == "true" else "failure"
    outcomes = [row for row in rows if row.startswith(("email waiting", "email dead"))]
    retries = [note for note in recorded["topics"].get("retry", []) if note[2] == kind]
    seen = {
        views.DATABASE: rows,
        views.FAILED: list(failures.values()),
        views.RETRY: ["retry" for _ in retries],
        views.MAIL_SERVER: ["mail" for each in _arrived(recorded, kind) if each == recorded["lead"]],
    }
    return _part(
        name,
        seen,
        kind="welcome" if kind == "welcome" else "alert",
        records=max(1, min(2, len(recorded["topics"].get("received", [])))),
        refusals=len(outcomes) + len(failures),
        erases=_is_erased(rows),
        spam=bool(recorded.get("spam")),
        retries=3,
        collects=collects,
    )


def _arrived(recorded: dict[str, Any], kind: str) -> list[str]:
    """Return the Message-IDs of the mails of this kind that arrived."""
    return [
        message_id
        for observer, of, *rest in recorded["moments"]
        if observer == "mail server" and of == kind
        for message_id in rest
    ]


def _digest(recorded: dict[str, Any], changes: list[list[str]]) -> Part:
    # The model begins with a collected alert. It knows an emptied row by the entry of its erasure.
    read = _MailRows("admin_alert", "collected").read
    known = ("email emptied", "queue ")
    rows = _rows(changes, lambda words: (each for each in read(words) if not each.startswith(known)))
    lists = [each for each in _arrived(recorded, "admin_alert") if each != recorded["lead"]]
    names = ["list digest" if each == lists[0] else "list another" for each in lists]
    return _part(
        "digest",
        {views.DATABASE: rows, views.MAIL_SERVER: names},
        refusals=sum("email waiting" in row for row in rows),
        erases=_is_erased(rows),
    )


class _DeliveryRows:
    """Reads the changes of a lead and of its deliveries. `names` has the events by their ids."""

    def __init__(self, changes: list[list[str]]) -> None:
        self.names: dict[str, str] = {}
        self.changes = self.refusals = 0
        self._last = dict[str, list[str]]()
        for words in (label.split(" ") for labels in changes for label in labels):
            if words[:2] == ["outbox", "written"]:
                number = sum(each.startswith("change") for each in self.names.values())
                self.names[words[2]] = f"change {number + 1}"
            elif words[0] == "event" and words[2] != "lead.status_changed":
                self.names[words[1]] = words[2]

    def read(self, words: list[str]) -> Iterator[str]:
        if words[0] == "outbox":
            number = self.name(words[2]).removeprefix("change ")
            yield f"outbox {number}" if words[1] == "written" else f"outbox without {number}"
        elif words[0] == "delivery":
            self.refusals += words[2] == "failed"
            state = ["pending" if words[2] == "failed" else words[2], words[3]]
            if self._last.get(words[1]) != state:
                yield " ".join([self.name(words[1]), *state])
            self._last[words[1]] = state
        elif words[0] == "status" and words[1] != "erased":
            self.changes += 1
            yield f"change {self.changes}"
        elif words in (_ERASED, ["entry", "lead.status_changed"]):
            yield " ".join(words)

    def name(self, event_id: str) -> str:
        return self.names.get(event_id, "another event")


def _destination(recorded: dict[str, Any], changes: list[list[str]]) -> Part:
    reader = _DeliveryRows(changes)
    rows = _rows(changes, reader.read)
    arrived = [labels[0] for observer, *labels in recorded["moments"] if observer == "destination"]
    published = _shorten([reader.name(note[0]) for note in recorded["topics"].get("changed", [])])
    # Each repetition of a record or of a claim shows a fault: a relay that was killed, a lease that ended.
    claims = [
        words for row in rows for part in row.split(" + ") if (words := part.split(" "))[-2:-1] == ["sending"]
    ]
    repeated = len(published) - len(set(published)) + sum(words[-1] != "1" for words in claims)
    seen = {
        views.DATABASE: rows,
        views.CHANGED: published,
        views.DESTINATION: [reader.name(event_id) for event_id in arrived],
    }
    written = sum(name.startswith("change") for name in reader.names.values())
    return _part(
        "destination",
        seen,
        changes=max(reader.changes, written),
        refusals=reader.refusals,
        attempts=99,
        erases=_is_erased(rows),
        faults=max(MAX_FAULTS, repeated + 1),
    )
