"""Decides how long the personal data of each site's leads is kept. No I/O, no clock."""

from dataclasses import dataclass

from runtime.sites.model import Sites


@dataclass(frozen=True)
class RetentionPeriods:
    """The retention periods in days: the installation's setting, and those of the sites file.

    `installation_days` is None if the installation has no setting. A period that is None never ends.
    `installation_days` is also the period of a record whose site cannot be read: the record may be of a site
    that the sites file does not name, such as one with a token in `FASTCORE_SITE_INGEST_TOKEN`.
    """

    installation_days: int | None
    sites: Sites

    @property
    def are_set(self) -> bool:
        """True if at least one retention period is set."""
        return self.installation_days is not None or bool(self.site_days)

    @property
    def site_days(self) -> dict[str, int]:
        """The period of each site that has one in the sites file, by the site's name."""
        days = {name: site.retention_days for name, site in self.sites.by_name.items()}
        return {name: each for name, each in days.items() if each is not None}

    def days(self, site: str) -> int | None:
        """Return the period of a site's leads, also of a site that the sites file does not name."""
        return self.site_days.get(site, self.installation_days)
