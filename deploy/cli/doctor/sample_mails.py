"""Composes mails of each site about an invented lead, and checks their size and headers."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Final

from contracts.failures import Kind
from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import UndeliverableError
from services.notifier.mail.samples import compose_sample

GMAIL_CLIPS_ABOVE: Final = 102 * 1024
"""Gmail shows only the beginning of a longer HTML part."""
LINE_MAX: Final = 998
"""The longest line of a mail without its line break (RFC 5322, 2.1.1)."""
REQUIRED_HEADERS: Final = ("Date", "Message-ID", "From", "To", "Subject", "Auto-Submitted")
_KINDS: Final[tuple[tuple[Kind, str], ...]] = (("welcome", "welcome"), ("admin_alert", "alert"))
_DOCS: Final = "correct the site's templates (docs/email.md#templates)"


def check_sample_mails(identities: Identities, sites: Iterable[str]) -> Iterator[CheckResult]:
    """Check one welcome and one alert of each site. Yields one result for each site, or each problem."""
    for site in sites:
        sizes, problems = list[str](), list[CheckResult]()
        for kind, name in _KINDS:
            try:
                mail = compose_sample(kind, site, identities.of(site), datetime.now(UTC))
            except UndeliverableError as error:
                problems.append(fail("mail-format", f"{site}: {name}: {error.reason}", _DOCS))
                continue
            problems += check_mail_bytes(f"{site}: {name}", mail.content, identities.of(site).from_email)
            sizes.append(f"{name} {len(mail.content) / 1024:.1f} KiB")
        yield from problems
        if not problems:
            yield ok("mail-format", f"{site}: {', '.join(sizes)}, headers complete")


def check_mail_bytes(name: str, content: bytes, sender: str) -> Iterator[CheckResult]:
    """Yield what is wrong with the bytes of a mail from `sender`."""
    message = message_from_bytes(content, policy=policy.default)
    if missing := [each for each in REQUIRED_HEADERS if len(message.get_all(each, [])) != 1]:
        yield fail("mail-format", f"{name}: not exactly one of: {', '.join(missing)}", "report this as a bug")
    domain = str(message["Message-ID"] or "").strip("<> ").rpartition("@")[2]
    if domain != sender.rpartition("@")[2]:
        yield fail("mail-format", f"{name}: the Message-ID is of another domain", "report this as a bug")
    longest = max(map(len, content.split(b"\r\n")))
    if longest > LINE_MAX:
        yield fail("mail-format", f"{name}: a line has {longest} bytes, more than {LINE_MAX}", _DOCS)
    html = message.get_body(("html",))
    size = len(str(html.get_content()).encode()) if html else 0
    if size > GMAIL_CLIPS_ABOVE:
        seen = f"{name}: the HTML part has {size / 1024:.0f} KiB; Gmail clips it at 102"
        yield warn("mail-format", seen, _DOCS)
