"""Responses about the canary: what each hop did with the last canaries of each site."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

HopState = Literal["ok", "failing", "waiting", "unreached"]


class CanaryHop(BaseModel):
    """One hop, as the newest canary shows it.

    `state` is `waiting` while there is time left, and `unreached` if a hop before it failed. `failures` is
    the number of canaries in a row that failed at this hop. `reason` is what was observed.
    """

    hop: str
    state: HopState
    reason: str = ""
    failures: int = 0
    last_worked_at: datetime | None = Field(default=None, description="Within the last day.")
    seconds: float | None = Field(default=None, description="From the post to the hop, when it last worked.")


class CanaryRoute(BaseModel):
    """One way into one site: its HTML form, its website, or the API with its token."""

    site: str
    route: Literal["form", "website", "api"]
    sent_at: datetime
    state: HopState
    hops: list[CanaryHop]

    @property
    def failing(self) -> list[CanaryHop]:
        """Return the hops that fail."""
        return [each for each in self.hops if each.failures]


class CanaryStatus(BaseModel):
    """The canary of the whole installation.

    `is_on` is False without `FASTCORE_CANARY_SECRET` at the flusher. `is_overdue` is True if no canary was
    sent in time, so that nothing is tested.
    """

    is_on: bool
    is_overdue: bool = False
    last_run_at: datetime | None = None
    routes: list[CanaryRoute] = Field(default_factory=list)
