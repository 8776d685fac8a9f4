"""The tasks of an office manager (issue 16), with clicks before and now: the table in docs/office-tasks.md.

`python -m tests.e2e.office.tasks` writes the document. The tests in this folder do each task in a browser and
compare the clicks with this table. The numbers of before were counted in the templates of commit 705b84a, in
the same way: from the overview, with a mouse, without what is typed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "office-tasks.md"
MOST_CLICKS: Final = 5


@dataclass(frozen=True)
class Task:
    """A task, its number of clicks, and the clicks. `keys` are pressed in addition to typed text."""

    name: str
    before: str
    clicks: int
    way: str
    keys: int = 0


TASKS: Final = {
    "find_by_name": Task(
        "Find a lead by a part of its name",
        "3 by the beginning of a word; impossible by another part",
        2,
        "*Find*, type the part, the lead",
    ),
    "find_by_phone": Task(
        "Find a lead by its phone number",
        "impossible: the search read address, name and company",
        2,
        "*Find*, type the number in any format, the lead",
    ),
    "yesterday": Task(
        "Find the leads from yesterday",
        "3, and two dates to type",
        2,
        "*Leads*, *Yesterday*",
    ),
    "ten_contacted": Task(
        "Mark ten leads as contacted",
        "22: *Leads*, the search, and two for each lead",
        5,
        "*Leads*, the search, type, select all, *Set status*, confirm",
    ),
    "assign": Task(
        "Assign a lead",
        "5",
        4,
        "*Find*, type, the lead, *Assignee*, type, *Save*",
    ),
    "note": Task(
        "Write a note",
        "5, into one text without author and time",
        4,
        "*Find*, type, the lead, the note, type, *Save note*",
    ),
    "best_source": Task(
        "See the best source",
        "impossible: there were numbers by status and service only",
        0,
        "it is on the overview",
    ),
    "week_to_excel": Task(
        "Export this week to Excel",
        "impossible: 3 and a date to type for a CSV file",
        4,
        "*Leads*, *This week*, *Export*, *Excel file*",
    ),
    "reply": Task(
        "Reply to a lead",
        "impossible: the address was a text to copy",
        3,
        "*Find*, type, the lead, *Reply*",
    ),
    "why_no_mail": Task(
        "See why a lead got no email",
        "3",
        2,
        "*Find*, type, the lead: its activity has the reason",
    ),
    "resend": Task(
        "Send the email again",
        "4",
        3,
        "*Find*, type, the lead, *Send again*",
    ),
    "replay_67": Task(
        "Retry 67 refused emails after the repair",
        "3",
        3,
        "*Failed deliveries*, *Retry…*, confirm",
    ),
    "anything_wrong": Task(
        "See whether anything is wrong",
        "0, but *Everything works* stayed while emails were refused",
        0,
        "the first line of the overview",
    ),
    "response_time": Task(
        "See the response time",
        "impossible",
        0,
        "it is on the overview, also by assignee",
    ),
    "sort": Task(
        "Sort the leads by name",
        "impossible",
        2,
        "*Leads*, the heading *Lead*",
    ),
    "filter": Task(
        "Filter the leads by site and assignee",
        "impossible",
        4,
        "*Leads*, *More filters*, *Site*, type, *Assignee*, type, Enter",
        keys=1,
    ),
    "erase_person": Task(
        "Delete the data of a person who wrote twice",
        "impossible: 5 deleted one of the two leads and did not name the other",
        5,
        "*Find*, type, the lead, *Delete personal data…*, the confirmation, type, *Delete permanently*",
    ),
}


def render_document() -> str:
    """Return the document."""
    rows = "\n".join(
        f"| {task.name} | {task.before} | {task.clicks}{' and Enter' * task.keys} | {task.way} |"
        for task in TASKS.values()
    )
    return f"""# What an office manager does all day

Clicks from the overview, with a mouse; what is typed is not counted. *Before* is commit `705b84a`, counted in
its templates. *Now* is what `tests/e2e/office` does in a browser and asserts: no task takes more than
{MOST_CLICKS} clicks. *Find* is the command palette; Ctrl+K opens it without a click.
`python -m tests.e2e.office.tasks` writes this page.

| task | before | now | way |
|---|---|--:|---|
{rows}
"""


if __name__ == "__main__":
    DOCUMENT.write_text(render_document(), encoding="utf-8")
