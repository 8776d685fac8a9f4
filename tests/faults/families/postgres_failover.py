"""PostgreSQL's standby takes over, while the services know both servers, or one endpoint that follows late.

After a synchronous standby has taken over, everything that was committed is there. An asynchronous one
lacks the last transactions: leads and the states of emails come back from Kafka (ADR 0019). Nobody promises
that for an admin's changes, so in those rounds the admin changes nothing.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from tests.faults.installations.replicated_database import (
    Access,
    ReplicatedEnvironment,
    endpoint_lags,
    lagging_standby_promoted,
    primary_fenced,
    primary_hung,
    primary_killed,
    roles_exchanged,
)
from tests.faults.installations.rounds import TRAFFIC, Described, make_family

_HOSTS: Final = partial(ReplicatedEnvironment.build_pair, synchronous=True)
_ENDPOINT: Final = partial(_HOSTS, access=Access.ENDPOINT)
_LAGGING: Final = partial(_ENDPOINT, synchronous=False)
_NO_ADMIN: Final = replace(TRAFFIC, changed=0.0, erased=0.0)

FAMILY = make_family(
    "postgres_failover",
    {
        "primary killed": Described(
            primary_killed,
            "it dies; its synchronous standby, which the services know too, is promoted",
            _HOSTS,
        ),
        "primary hung": Described(
            primary_hung, "it hangs, the standby is promoted, and it awakes as a second primary", _HOSTS
        ),
        "primary fenced": Described(
            primary_fenced, "it becomes read-only with its connections, as at cloud providers", _HOSTS
        ),
        "roles exchanged": Described(
            roles_exchanged, "a planned switchover; the old primary comes back as standby", _HOSTS
        ),
        "primary killed behind an endpoint": Described(
            primary_killed, "it dies; the endpoint leads to the standby up to 8 s late", _ENDPOINT
        ),
        "primary hung behind an endpoint": Described(
            primary_hung, "it hangs, then awakes as a second primary", _ENDPOINT
        ),
        "endpoint lags": Described(
            endpoint_lags(3, 12),
            "the old primary works on and gets the services' writes, which wait",
            _ENDPOINT,
        ),
        "endpoint lags for long": Described(
            endpoint_lags(25, 35), "the same, for longer than a statement may take (20 s)", _ENDPOINT
        ),
        "lagging standby promoted": Described(
            lagging_standby_promoted,
            "an asynchronous standby lacks some seconds, and takes over",
            _LAGGING,
            traffic=_NO_ADMIN,
        ),
        "endpoint lags, asynchronous": Described(
            endpoint_lags(3, 12),
            "the old primary takes writes that are gone when the endpoint follows",
            _LAGGING,
            traffic=_NO_ADMIN,
        ),
    },
    bound_seconds=300,
    rounds_of_a_session=1,
)
