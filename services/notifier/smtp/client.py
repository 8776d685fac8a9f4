"""Makes the SMTP client for the configured mail server, for the notifier and the doctor."""

import ssl

import aiosmtplib

from services.notifier.settings import Smtp


def tls_context(smtp: Smtp) -> ssl.SSLContext | None:
    """Return the context that verifies the mail server, or None without TLS.

    It trusts the system's certificate authorities, or those in SSL_CERT_FILE.
    """
    return ssl.create_default_context() if smtp.tls or smtp.implicit_tls else None


def make_client(
    smtp: Smtp, tls: ssl.SSLContext | None, local_hostname: str, timeout_seconds: float
) -> aiosmtplib.SMTP:
    """Return a client that is not connected yet. With XOAUTH2, `connect` needs a token in addition."""
    return aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        username=smtp.user,
        password=smtp.password.get_secret_value() if smtp.password else None,
        use_tls=smtp.implicit_tls,
        start_tls=smtp.tls and not smtp.implicit_tls,
        tls_context=tls,
        # By default aiosmtplib asks the resolver for this host's name, which may take seconds.
        local_hostname=local_hostname,
        timeout=timeout_seconds,
    )
