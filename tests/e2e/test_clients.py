"""The clients of docs/clients.md, as written there, with a gateway that is unavailable, busy or strict."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import RedirectResponse

from contracts.leads import LeadSubmission
from contracts.sites import SiteQueueEntry, SiteQueuePage
from tests.support.services.processes import ROOT
from tests.support.web.websites import INGEST_TOKEN, FakeSites, fake_sites, refusal

PAGE = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
# As the page says, PHP is optional.
LANGUAGES = ["bash", "python", *(["php"] if shutil.which("php") else [])]
PROGRAMS = {"bash": "sh", "python": "py", "php": "php"}
LEAD = {"name": "Zoë 'O\"Brien", "email": "zoe@example.com", "service": "Web", "message": "Line 1\nLine 2 👋"}


def code(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@dataclass
class Client:
    """One client in a folder of its own."""

    language: str
    folder: Path
    url: str

    @property
    def leads(self) -> Path:
        return self.folder / "leads"

    async def run(self, *command: str, body: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={
                **os.environ,
                "FASTCORE_URL": self.url,
                "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
                "LEADS_FOLDER": str(self.leads),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(body.encode()), 30)
        return process.returncode or 0, said.decode()

    async def keep(self, lead: Any) -> None:
        text = json.dumps(lead)
        ended = await {
            "bash": lambda: self.run("bash", "leads.sh", "keep", body=text),
            "python": lambda: self.run(
                "python3", "-c", "import json, leads, sys; leads.keep(json.load(sys.stdin))", body=text
            ),
            "php": lambda: self.run(
                "php", "-r", "require 'leads.php'; keep(json_decode(fgets(STDIN), true));", body=text
            ),
        }[self.language]()  # fmt: skip
        assert ended == (0, "")

    async def send(self) -> int:
        """Run what cron runs."""
        command = {
            "bash": ["bash", "leads.sh", "send"],
            "python": ["python3", "leads.py"],
            "php": ["php", "leads.php"],
        }[self.language]
        status, said = await self.run(*command)
        assert "zoe@" not in said
        return status

    def waiting(self) -> list[str]:
        return sorted(path.stem for path in self.leads.glob("*.json"))

    def refused(self) -> list[str]:
        return sorted(path.stem for path in self.leads.glob("refused/*.json"))


@pytest.fixture
async def web() -> AsyncIterator[FakeSites]:
    async with fake_sites() as made:
        yield made


@pytest.fixture(params=LANGUAGES)
def client(request: pytest.FixtureRequest, tmp_path: Path, web: FakeSites) -> Client:
    name = {"bash": "leads.sh", "python": "leads.py", "php": "leads.php"}[request.param]
    (tmp_path / name).write_text(code(request.param), encoding="utf-8")
    return Client(request.param, tmp_path, web.url)


async def test_leads_stored_during_an_outage_are_sent_once_and_in_order(
    client: Client, web: FakeSites
) -> None:
    client.url = "http://127.0.0.1:9"
    for number in range(3):
        await client.keep({**LEAD, "phone": str(number)})
        assert await client.send() == 1
    keys = client.waiting()
    assert len(keys) == 3
    client.url = web.url
    assert await client.send() == 0
    assert web.keys == keys
    assert [body["phone"] for _, body in web.taken] == ["0", "1", "2"]
    assert client.waiting() == []
    assert await client.send() == 0  # nothing is left to come twice
    assert len(web.taken) == 3
    sent = LeadSubmission.model_validate(web.taken[0][1])
    assert (sent.name, sent.message) == (LEAD["name"], LEAD["message"])
    if client.language != "bash":  # whose caller says it
        assert sent.submitted_at is not None


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
async def test_an_answer_that_is_not_final_costs_nothing(client: Client, web: FakeSites, status: int) -> None:
    await client.keep(LEAD)
    (key,) = client.waiting()
    web.gateway_status = status
    assert await client.send() == 1
    assert client.waiting() == [key]
    web.gateway_status = 201
    assert await client.send() == 0
    assert web.keys == [key]


async def test_regression_a_redirect_is_not_followed_and_the_token_stays_here(
    client: Client, web: FakeSites
) -> None:
    await client.keep(LEAD)
    (key,) = client.waiting()
    callers: list[asyncio.StreamWriter] = []

    def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        writer.close()

    elsewhere = await asyncio.start_server(called, "127.0.0.1", 0)
    async with elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        web.refuse[key] = RedirectResponse(f"http://127.0.0.1:{port}/", 302)
        assert await client.send() == 1
    assert callers == []
    assert client.waiting() == [key]


async def test_refused_lead_is_quarantined_and_does_not_block_the_next(
    client: Client, web: FakeSites
) -> None:
    await client.keep(LEAD)
    (bad,) = client.waiting()
    await client.keep(LEAD)
    web.refuse[bad] = refusal("email")
    assert await client.send() == 0
    assert len(web.keys) == 1
    assert client.refused() == [bad]
    assert client.waiting() == []


async def test_what_visitors_wrote_is_for_nobody_else_on_the_machine(client: Client) -> None:
    await client.keep(LEAD)
    (path,) = client.leads.glob("*.json")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "lead", [{"name": "Zoë", "message": "Hi"}, {"email": "zoe@example.com"}, {**LEAD, "email": "zoe"}]
)
async def test_visitor_is_not_thanked_for_an_incomplete_lead(client: Client, lead: dict[str, str]) -> None:
    if client.language == "bash":  # it reads no fields
        status, said = await client.run("bash", "leads.sh", "keep", body="x" * 262_145)
        assert (status, "262145 bytes" in said) == (1, True)
    else:
        with pytest.raises(AssertionError):
            await client.keep(lead)
    assert client.waiting() == []


async def test_crontab_line_runs_without_variables_in_another_folder(client: Client, web: FakeSites) -> None:
    await client.keep(LEAD)
    (line,) = re.findall(rf"^\* \* \* \* \* (.*leads\.{PROGRAMS[client.language]}.*)$", PAGE, re.MULTILINE)
    (variables,) = re.findall(r"^# /etc/fastcore-leads.env\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for shown, here in (
        ("https://leads.example.com", client.url),
        ("dev-token-xyz-123", INGEST_TOKEN),
        ("/var/lib/fastcore-leads", str(client.leads)),
    ):
        assert shown in variables
        variables = variables.replace(shown, here)
    (client.folder / "fastcore-leads.env").write_text(variables, encoding="utf-8")
    line = line.replace("/etc/", f"{client.folder}/").replace("/opt/fastcore/", f"{client.folder}/")
    process = await asyncio.create_subprocess_exec(
        "env", "-i", "PATH=/usr/bin:/bin", "/bin/sh", "-c", line, cwd="/"
    )
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert len(web.taken) == 1


async def test_a_lead_that_cannot_be_stored_is_no_success(client: Client) -> None:
    client.leads.write_text("a file stands where the folder should", encoding="utf-8")
    with pytest.raises(AssertionError):
        await client.keep(LEAD)
    if client.language == "php":  # the only one that runs inside a web server
        client.leads.unlink()
        lead = "['email' => 'a@b.example', 'message' => 'Hi']"
        keep = f"$_SERVER['DOCUMENT_ROOT'] = '{client.folder}'; require 'leads.php'; keep({lead});"
        status, said = await client.run("php", "-r", keep)
        assert (status, "inside the document root" in said) == (255, True)


def test_the_queue_that_the_page_shows_is_the_contracts() -> None:
    (shown,) = re.findall(r"^\{\"entries\".*?^ \"depth\".*?$", PAGE, re.MULTILINE | re.DOTALL)
    page = SiteQueuePage.model_validate_json(shown)
    assert page.depth == 1
    assert SiteQueueEntry.model_validate(page.entries[0]).body == {"name": "Ada Lovelace"}
