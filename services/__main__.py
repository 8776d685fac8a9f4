"""`python -m services [ROLES]`: run one service, or several in one process."""

from typing import Annotated

import typer

from runtime.http.server import serve
from runtime.settings import load
from services.roles import PORTS, Roles, parse_roles, service_of


def main(
    roles: Annotated[
        str | None, typer.Argument(metavar="ROLES", help=f"`all`, or some of: {', '.join(PORTS)}.")
    ] = None,
) -> None:
    """Run one FASTCore service in the foreground, or several in one process.

    ROLES are the services, separated by commas. Without ROLES, they are those in FASTCORE_ROLES.

    The settings come from the environment and `.env`; `.env.example` names all settings. A service listens
    on FASTCORE_HTTP_HOST (default 127.0.0.1) and FASTCORE_HTTP_PORT (default: each service has its own port,
    from 8001 for ingest to 8006 for webhooks). Several services in one process listen on their own ports, or
    on those in FASTCORE_HTTP_PORTS. After SIGTERM, a process finishes its open requests within
    FASTCORE_HTTP_GRACEFUL_TIMEOUT_SECONDS, and stops some seconds later.
    """
    names = load(Roles).names if roles is None else _parse(roles)
    if not names:
        raise typer.BadParameter("name a service, or set FASTCORE_ROLES to `all`")
    if names == ("ingest",):
        # Imported here: the other services need none of the gateway's modules.
        from services.ingest.workers.start import start_workers  # noqa: PLC0415

        start_workers(PORTS["ingest"])
    if len(names) == 1:
        serve(service_of(names[0]))
    else:
        # Imported here: a gateway alone does not need the PostgreSQL driver and its memory.
        from services.one_process import run_services  # noqa: PLC0415

        run_services(names)


def _parse(roles: str) -> tuple[str, ...]:
    try:
        return parse_roles(roles)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


if __name__ == "__main__":
    typer.run(main)
