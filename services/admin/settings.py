"""The settings of the admin service. Sections that all services share come from `runtime.settings`."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode

from contracts.audit import ACTOR_MAX_LENGTH, DEFAULT_ACTOR
from runtime.access_tokens import TokenList, named_tokens, refuse_weak_tokens
from runtime.settings import Debug, Http, Kafka, Log, Postgres, SitesFile, Tracing, env_name, load, section
from runtime.transparency_log.signed_note import KeyFormatError, SigningKey


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())


def _split_named(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and url.strip() for name, _, url in pairs):
        msg = "must be name=url, separated by commas"
        raise ValueError(msg)
    return {name.strip(): url.strip().rstrip("/") for name, _, url in pairs}


Url = Annotated[str, Field(pattern=r"^https?://[^/?#\s]+")]


def _check_actors(value: str) -> str:
    # An audit entry cannot hold a longer actor, and every action needs an actor.
    if any(len(actor) > ACTOR_MAX_LENGTH for actor in named_tokens(value, DEFAULT_ACTOR).values()):
        raise ValueError(f"the name before a token must have at most {ACTOR_MAX_LENGTH} characters")
    return value


class Settings(BaseSettings):
    """The admin service's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_ADMIN_")
    debug: Debug = Field(default_factory=Debug)
    http: Http = Field(default_factory=Http)
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    sites_file: SitesFile = Field(default_factory=SitesFile)
    token: Annotated[TokenList, AfterValidator(_check_actors)] = Field(repr=False)
    """The tokens of the admin API: `[name:]token,...`. The name is the actor in the audit log."""
    gateway_urls: Annotated[tuple[Url, ...], NoDecode, BeforeValidator(_split)] = ()
    """The gateways whose spools are shown, as URLs. All addresses of a host name are queried."""
    service_urls: Annotated[dict[str, Url], NoDecode, BeforeValidator(_split_named)] = Field(
        default_factory=dict
    )
    """The services whose readiness is shown: `name=url,...`."""

    canary_status_key: SecretStr | None = Field(
        default=None, validation_alias=env_name("FASTCORE_CANARY_STATUS_KEY")
    )
    """Signs the public status of the sites with `public_status` (docs/canary.md). Not set: none is public."""

    @model_validator(mode="after")
    def _check_status_key(self) -> Self:
        self.status_key()
        return self

    def status_key(self) -> SigningKey | None:
        """Return the key of the public status. Raises `ValueError`, without the text of the key."""
        if not self.canary_status_key:
            return None
        try:
            return SigningKey.parse(self.canary_status_key.get_secret_value().strip())
        except KeyFormatError as error:
            raise ValueError(
                f"FASTCORE_CANARY_STATUS_KEY: {error}. Make one: python -m deploy.cli.audit key NAME"
            ) from None

    @property
    def actors(self) -> dict[str, str]:
        """Return the name of the admin for each token. The name is the actor in audit entries."""
        return named_tokens(self.token, DEFAULT_ACTOR)


def read() -> Settings:
    """Return the settings, or exit with an error. Weak tokens are accepted only with `DEBUG=true`."""
    settings = load(Settings)
    if not settings.debug.on:
        refuse_weak_tokens("FASTCORE_ADMIN_TOKEN", list(settings.actors))
    return settings
