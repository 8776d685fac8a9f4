"""Fixtures of all levels: the servers of the session, and a database and topics for each test."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from runtime.settings import Kafka, Postgres
from tests.support.services.installation import Installation, running_installation
from tests.support.stack import Database, Stack, forced, running_stack

# The servers of the tests, one entry per worker of pytest-xdist.
_PARTS: list[str] = []


def pytest_configure() -> None:
    """Check FASTCORE_TEST_PARTS before the first test."""
    try:
        forced()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that use an installation last.

    An installation runs until the end of the session. Its idle services would slow down all other tests.
    """
    installations = {"installation", "watched"}
    using = {item.path for item in items if installations & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: item.path in using)


# Data generation may be slow on a busy machine.
settings.register_profile("fastcore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fastcore")


@pytest.fixture(autouse=True)
def _log_handlers() -> Iterator[None]:
    """Remove the log handlers of the test's app. They write to captured output, which is closed after it."""
    before = list(logging.root.handlers)
    yield
    logging.root.handlers[:] = before


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Real Kafka and PostgreSQL, started by the first test that requires them."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        # A worker sends its output to the process that writes the report.
        getattr(request.config, "workeroutput", {})["parts"] = running.parts
        _PARTS.append(running.parts)
        yield running


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    """A migrated database for this test."""
    made = await stack.new_database()
    yield made
    await stack.drop_database(made)


@pytest.fixture
def postgres(database: Database) -> Postgres:
    """The services' settings for this test's database."""
    return Postgres.model_validate({"url": database.service})


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Any]:
    """The owner's own connection to this test's database; jsonb comes as data."""
    connection = await asyncpg.connect(database.owner)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    yield connection
    await connection.close()


@pytest.fixture
async def kafka(stack: Stack) -> AsyncIterator[Kafka]:
    """The services' settings for this test's topics."""
    made = await stack.new_topics()
    yield made
    await stack.drop_topics(made)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """The whole product, started once per session. Tests identify their leads by id."""
    async with running_installation(stack, tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture(autouse=True)
def _ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if background work would have ended the process of a service."""
    ended: list[bool] = []
    monkeypatch.setattr("runtime.tasks.end_process", lambda: ended.append(True))
    yield
    assert not ended, "background work failed and would have ended the process; its log line says why"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the servers of a pytest-xdist worker."""
    if parts := getattr(node, "workeroutput", {}).get("parts"):
        _PARTS.append(parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the servers, and the number and time of the tests of each level."""
    for parts in sorted(set(_PARTS)) or ["no test required Kafka or PostgreSQL"]:
        terminalreporter.write_line(parts)
    counts, seconds = Counter[str](), defaultdict[str, float](float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                _, _, path = report.nodeid.partition("tests/")
                level = path.split("/")[0] if "/" in path else "e2e"
                counts[level] += report.when == "call"
                seconds[level] += report.duration
    for level, number in sorted(counts.items()):
        terminalreporter.write_line(f"{level:12} {number:5} tests {seconds[level]:7.1f} s")
