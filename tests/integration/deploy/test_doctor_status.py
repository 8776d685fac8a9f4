"""What the status says of a database that refuses the login, and of one that is not there."""

import pytest
from pydantic import SecretStr

from deploy.cli.doctor.status.database import read_database
from deploy.embedded.servers.standalone import free_ports
from runtime.settings import Postgres


@pytest.mark.parametrize(
    ("is_there", "seen", "todo"),
    [
        (True, "database answered 28P01", "docs/managed-services.md says what to correct"),
        (False, "database does not answer", "start or restore it"),
    ],
    ids=["refused", "unavailable"],
)
async def test_a_refused_login_is_corrected_and_a_missing_server_started(
    postgres: Postgres, is_there: bool, seen: str, todo: str
) -> None:
    login, at, server = postgres.url.get_secret_value().rpartition("@")
    if not is_there:
        server = f"127.0.0.1:{free_ports(1)[0]}/fastcore"
    wrong = SecretStr(f"{login}-wrong{at}{server}")
    (result,) = await read_database(postgres.model_copy(update={"url": wrong}), None)
    assert (result.level, result.seen.split(";")[0]) == ("fail", seen)
    assert result.todo.startswith(todo)
