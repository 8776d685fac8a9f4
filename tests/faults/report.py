"""The story of a round of an installation, as text. It contains ids and no personal data."""

from collections import Counter

from tests.faults.suite import Round


def failure(result: Round) -> list[str]:
    """Return the story of a round with violations."""
    lines = [
        f"VIOLATION in round {result.seed}/{result.number}",
        *(f"  {at:6.1f} s  {event}" for at, event in result.timeline),
    ]
    for kind, count in Counter(each.kind for each in result.violations).most_common():
        some = [each for each in result.violations if each.kind == kind][:5]
        lines += [f"  {kind} x{count}", *(f"    {each.lead_id or ''} {each.detail}" for each in some)]
    for lead_id, story in result.lead_timelines.items():
        lines += [f"  lead {lead_id}:", *(f"    {each}" for each in story)]
    if result.errors:
        lines += ["  errors that the services logged:", *(f"    {each}" for each in result.errors)]
    return lines
