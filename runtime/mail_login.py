"""The settings of a login at a mail server, for SMTP and IMAP: a password, or XOAUTH2."""

import json
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from runtime.oauth_tokens import OAuthGrant
from runtime.settings import section

GOOGLE_SCOPE: Final = "https://mail.google.com/"
_NEEDED: Final = {
    "client_credentials": ("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope"),
    "refresh_token": ("oauth_token_url", "oauth_client_id", "oauth_refresh_token"),
    "service_account": ("oauth_service_account_file",),
}


class MailLogin(BaseSettings):
    """A login. A subclass names the prefix of the variables, and calls `check_login`."""

    model_config = section()
    user: str | None = None
    """The login name, for XOAUTH2 the mailbox. Empty: no login."""
    password: SecretStr | None = None
    """The password of the login name."""

    oauth_flow: Literal["client_credentials", "refresh_token", "service_account"] | None = None
    """Log in with XOAUTH2 instead of a password: client_credentials (Microsoft 365), refresh_token (Gmail) or
    service_account (Google Workspace)."""
    oauth_token_url: str | None = Field(
        default=None,
        pattern=r"^https://[^\s<>\"]+$|^http://(127\.0\.0\.1|localhost)[:/]",
        examples=["https://login.microsoftonline.com/your-tenant-id/oauth2/v2.0/token"],
    )
    """The token endpoint. Not for service_account, whose file names it."""
    oauth_client_id: str | None = None
    """The id of the client (application)."""
    oauth_client_secret: SecretStr | None = None
    """The secret of the client."""
    oauth_refresh_token: SecretStr | None = None
    """The refresh token, for refresh_token."""
    oauth_scope: str = Field(default="", examples=["https://outlook.office365.com/.default"])
    """The scope. Empty: that of the refresh token, or https://mail.google.com/ for service_account."""
    oauth_service_account_file: Path | None = Field(
        default=None, examples=["/etc/fastcore/mail/service-account.json"]
    )
    """The JSON key of the service account, which may act for the mailbox."""

    @property
    def variable_prefix(self) -> str:
        """The prefix of the variables, such as `SMTP_`."""
        return str(self.model_config.get("env_prefix") or "")

    def check_login(self) -> None:
        """Raise `ValueError` if the login is incomplete or contradictory. Having no login is valid."""
        prefix = self.variable_prefix
        if self.oauth_flow is None:
            if (self.user is None) != (self.password is None):
                raise ValueError(
                    f"{prefix}USER and {prefix}PASSWORD: give both, or neither for no login"
                    f" (with {prefix}OAUTH_FLOW the user alone)"
                )
            return
        if self.password is not None:
            raise ValueError(f"{prefix}PASSWORD and {prefix}OAUTH_FLOW: give only one of them")
        needed = ("user", *_NEEDED[self.oauth_flow])
        missing = [f"{prefix}{name.upper()}" for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"{' and '.join(missing)}: {prefix}OAUTH_FLOW={self.oauth_flow} needs it")
        if self.oauth_flow == "service_account":
            self.service_account()

    def service_account(self) -> dict[str, str]:
        """Return the client_email, private_key and token_uri of the service account.

        Raises `ValueError` if the file is not its JSON key.
        """
        file = self.oauth_service_account_file
        try:
            content = json.loads(file.read_bytes()) if file else {}
            account = {name: content[name] for name in ("client_email", "private_key", "token_uri")}
            load_pem_private_key(account["private_key"].encode(), None)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(
                f"{self.variable_prefix}OAUTH_SERVICE_ACCOUNT_FILE: {file} is not the JSON key of a service"
                " account"
            ) from None
        return account

    def grant(self) -> OAuthGrant | None:
        """Return the OAuth grant that requests access tokens, or None without XOAUTH2."""
        if self.oauth_flow is None:
            return None
        user, prefix = self.user or "", self.variable_prefix
        if self.oauth_flow == "service_account":
            account, scope = self.service_account(), self.oauth_scope or GOOGLE_SCOPE
            return OAuthGrant(
                user,
                account["token_uri"],
                account["client_email"],
                scope,
                private_key=account["private_key"],
                variable_prefix=prefix,
            )
        renewed = self.oauth_refresh_token if self.oauth_flow == "refresh_token" else None
        return OAuthGrant(
            user,
            self.oauth_token_url or "",
            self.oauth_client_id or "",
            self.oauth_scope,
            client_secret=self.oauth_client_secret.get_secret_value() if self.oauth_client_secret else "",
            refresh_token=renewed.get_secret_value() if renewed else "",
            variable_prefix=prefix,
        )
