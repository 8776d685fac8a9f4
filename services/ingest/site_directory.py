"""What the gateway knows about each site, from the environment and from the sites file."""

from collections.abc import Mapping
from typing import Final

from runtime.http.tokens import BearerTokens
from runtime.sites.file import SitesFileError
from runtime.sites.model import Site, Sites
from runtime.sites.secrets import resolve_captcha_secrets, resolve_digests, resolve_signing_secrets
from services.ingest.settings import Settings, split_origins

_CONFLICT: Final = "FASTCORE_SITE_INGEST_TOKEN gives the same token to another site"


class SiteDirectory:
    """Finds a site by its token, form key or hook key, and decides whether an origin belongs to any site.

    `apply` replaces the sites by those of a new version of the sites file. The tokens in
    `FASTCORE_SITE_INGEST_TOKEN` are valid in addition to those of the file.
    """

    def __init__(self, settings: Settings, sites: Sites, variables: Mapping[str, str]) -> None:
        """Use these sites. Raises `SitesFileError` if they are invalid.

        `variables` are the environment variables from which the sites file takes its secrets.
        """
        self._settings = settings
        self._variables = variables
        self.apply(sites)

    def apply(self, sites: Sites) -> None:
        """Use these sites from now on. If they are invalid, raise `SitesFileError` and change nothing."""
        permit_weak = self._settings.debug.on
        digests = resolve_digests(sites, "tokens", self._variables, permit_weak=permit_weak)
        tokens = BearerTokens(self._settings.sites(), digests)
        for token, site in self._settings.sites().items():
            if tokens.find(token.encode()) != site:
                raise SitesFileError(f"sites.{tokens.find(token.encode())}.tokens: {_CONFLICT}")
        hook_keys = resolve_digests(sites, "hook_keys", self._variables, permit_weak=permit_weak)
        signing_secrets = resolve_signing_secrets(sites, self._variables)
        captcha_secrets = resolve_captcha_secrets(sites, self._variables, self._settings.site_tokens or "")
        origins = {origin for site in sites.by_name.values() for origin in site.origins}
        self._sites = sites
        self._forms = {site.form_key: name for name, site in sites.by_name.items() if site.form_key}
        self._tokens = tokens
        self._hooks = BearerTokens({}, hook_keys)
        self._signing_secrets = signing_secrets
        self._captcha_secrets = captcha_secrets
        self._origins = frozenset(origins.union(split_origins(self._settings.cors_origins)))

    def find_by_header(self, authorization: str | None) -> str | None:
        """Return the name of the site whose token an `Authorization` header contains, or None."""
        return self._tokens.find_by_header(authorization)

    def find_by_form_key(self, form_key: str) -> str | None:
        """Return the name of the site whose HTML forms have this key, or None. The key is no secret."""
        return self._forms.get(form_key)

    def find_by_hook_key(self, hook_key: str) -> str | None:
        """Return the name of the site whose webhooks have this secret key, or None. Takes constant time."""
        return self._hooks.find(hook_key.encode())

    def signing_secrets(self, name: str) -> Mapping[str, str]:
        """Return the secrets that verify form builders' signatures for this site, by form builder."""
        return self._signing_secrets.get(name, {})

    def captcha_secret(self, name: str) -> str:
        """Return the secret that verifies a site's captcha. Empty for a site without a captcha."""
        return self._captcha_secrets.get(name, "")

    def allows_origin(self, origin: str) -> bool:
        """Return True if an origin belongs to any site.

        All sites are compared, because a CORS preflight request contains no token that identifies the site.
        """
        return origin in self._origins

    def get(self, name: str) -> Site:
        """Return the settings of a site. A site that is not in the sites file gets empty settings."""
        return self._sites.get(name)
