"""What the checks of the senders' domains need besides DNS."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from deploy.cli.doctor.check_result import CheckResult, fail
from deploy.cli.doctor.mail_dns.providers import Provider
from services.notifier.mail.dkim_signature import DkimSigner

Severity = Callable[[str, str, str], CheckResult]
"""`warn` or `fail`."""


@dataclass(frozen=True)
class SenderChecks:
    """What the checks of a sender's domain need besides DNS.

    `provider` is the provider of the mail server, if it is known. `selectors` are the configured selectors of
    the provider. `severity` is `warn` in development, else `fail`. `own` has the keys with which FASTCore
    signs mails, by the domain of the sender.
    """

    provider: Provider | None
    selectors: tuple[str, ...] = ()
    severity: Severity = fail
    own: Mapping[str, Collection[DkimSigner]] = field(default_factory=dict)
