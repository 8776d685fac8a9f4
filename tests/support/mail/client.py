"""A mail program: it reads a delivered mail, and writes the reply that a person would send."""

from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime, make_msgid

SENT_POLICY = policy.SMTP


def reply_to(received: EmailMessage, sender: str, text: str) -> EmailMessage:
    """Return the reply to a mail, as RFC 5322 (3.6.2 to 3.6.5) and all mail programs make it.

    It goes to Reply-To, or to From if there is none. The thread is in In-Reply-To and References.
    """
    recipients: tuple[Address, ...] = (received["Reply-To"] or received["From"]).addresses
    subject = str(received["Subject"])
    earlier = str(received.get("References") or received.get("In-Reply-To") or "")
    reply = EmailMessage(policy=SENT_POLICY)
    reply["From"] = sender
    reply["To"] = recipients
    reply["Subject"] = subject if subject.lower().startswith("re:") else f"Re: {subject}"
    reply["Date"] = localtime()
    reply["Message-ID"] = make_msgid(domain="mailbox.example")
    reply["In-Reply-To"] = received["Message-ID"]
    reply["References"] = f"{earlier} {received['Message-ID']}".strip()
    body = received.get_body(("plain",))
    quoted = "\n".join(f"> {line}" for line in str(body.get_content() if body else "").splitlines())
    reply.set_content(f"{text}\n\n{received['From']} wrote:\n{quoted}\n")
    return reply
