"""The known mail providers, by the host names of their mail servers."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Provider:
    """A provider of mail servers.

    - `hosts` are the suffixes of its servers' host names.
    - `spf` are the domains that the SPF record of a customer includes, or their parents.
    - `keeps_sender` is True if the provider does not replace the envelope's sender, so that the SPF record
      of the sender's domain counts for DMARC. Otherwise only DKIM makes the mail pass.
    - `selectors` are those that its customers usually have. Some providers choose another for each customer.
    - `mailboxes` are domains at which the provider offers mailboxes, such as `gmail.com`. It signs for them.
    """

    name: str
    hosts: tuple[str, ...]
    spf: tuple[str, ...]
    keeps_sender: bool = False
    selectors: tuple[str, ...] = ()
    mailboxes: tuple[str, ...] = ()

    def is_included(self, domains: set[str]) -> bool:
        """Return True if the domains that an SPF record includes have the provider's servers."""
        return any(each == spf or each.endswith(f".{spf}") for each in domains for spf in self.spf)


PROVIDERS: Final = (
    Provider(
        "Google",
        ("smtp.gmail.com", "smtp-relay.gmail.com", "smtp.googlemail.com", "smtp.google.com"),
        ("_spf.google.com",),
        keeps_sender=True,
        selectors=("google",),
        mailboxes=("gmail.com", "googlemail.com"),
    ),
    Provider(
        "Microsoft 365",
        (".office365.com", "smtp-mail.outlook.com", ".mail.protection.outlook.com"),
        ("spf.protection.outlook.com",),
        keeps_sender=True,
        selectors=("selector1", "selector2"),
        mailboxes=("outlook.com", "hotmail.com", "live.com", "msn.com"),
    ),
    Provider("SendGrid", (".sendgrid.net",), ("sendgrid.net",), selectors=("s1", "s2")),
    Provider("Amazon SES", (".amazonaws.com",), ("amazonses.com",)),
    Provider("Postmark", (".postmarkapp.com",), ("spf.mtasv.net",)),
    Provider("Mailgun", (".mailgun.org",), ("mailgun.org",), selectors=("k1", "mx", "pic", "smtp")),
)


def find_provider(host: str) -> Provider | None:
    """Return the provider that has this mail server, or None if it is not known."""
    name = host.lower().rstrip(".")
    for provider in PROVIDERS:
        if any(name == each or (each.startswith(".") and name.endswith(each)) for each in provider.hosts):
            return provider
    return None


def owner_of_mailboxes(domain: str) -> Provider | None:
    """Return the provider that offers mailboxes at this domain, or None."""
    return next((provider for provider in PROVIDERS if domain in provider.mailboxes), None)
