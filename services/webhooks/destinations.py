"""The destinations of the current sites file, with their secrets."""

import asyncio
from collections.abc import Mapping

from contracts.lead_events import EventType
from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations
from services.webhooks.body_template import BodyTemplateError, compile_template
from services.webhooks.secret_reader import SecretReader


class Destinations:
    """The destinations by name. `apply` replaces them by those of a new version of the sites file.

    The event `wake` is set when there may be something to send: new deliveries, or changed destinations.
    """

    def __init__(self, sites: Sites, variables: Mapping[str, str]) -> None:
        """Use these destinations. Raises `SitesFileError` if one of them is invalid.

        Reads the files of secrets, and blocks if one hangs: call it before the process serves anything.
        `variables` are the environment variables from which the sites file takes its secrets.
        """
        self.wake = asyncio.Event()
        self.secrets = SecretReader(variables)
        self.use(sites, resolve_destinations(sites, variables))

    async def apply(self, sites: Sites) -> None:
        """Use the destinations of these sites from now on, with their secrets. Reads the secrets first.

        If a destination is invalid, or if the files of secrets do not answer within some seconds, raises
        `SitesFileError` and changes nothing.
        """
        self.use(sites, await self.secrets.read(sites))

    def use(self, sites: Sites, by_name: Mapping[str, ResolvedDestination]) -> None:
        """Use the destinations of `sites` from now on. `by_name` has each destination with its secrets.

        If a template is invalid, raises `SitesFileError` and changes nothing.
        """
        for name, destination in by_name.items():
            for key in ("body", "erased_body"):
                try:
                    compile_template(getattr(destination.settings, key))
                except BodyTemplateError as error:
                    raise SitesFileError(
                        f"destinations.{name}.{key}: is no Jinja template ({error})"
                    ) from None
        self.sites = sites
        self.by_name = by_name
        self.wake.set()

    def receiving(self, site: str, event: EventType) -> tuple[str, ...]:
        """Return the names of the destinations that receive this type of event from this site."""
        return tuple(name for name, each in self.by_name.items() if each.settings.receives(site, event))
