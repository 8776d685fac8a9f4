"""All recipes of docs/recipes.md at once: the service delivers a lead, and its erasure, to a stub of each."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.webhooks import webhooks
from tests.support.wait import eventually
from tests.support.web.destination_stubs import crm
from tests.support.web.destination_stubs.recipes import recipes, table_for_stub
from tests.support.web.destination_stubs.server import running_stub

DELIVERED = "SELECT destination, state, reason, response FROM webhook_delivery"


async def test_a_lead_reaches_the_stub_of_each_recipe(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead(phone="+44 20 7946 0000", company="Engines Ltd")
    zoho = tmp_path / "zoho-authorization"
    zoho.write_text(f"Zoho-oauthtoken {crm.ZOHO_TOKEN}")
    async with contextlib.AsyncExitStack() as stack:
        stubs, tables = {}, ["[sites.default]"]
        for name, recipe in recipes().items():
            stubs[name] = await stack.enter_async_context(running_stub(recipe.contract))
            tables.append(table_for_stub(name, recipe, stubs[name].url, zoho))
            for variable, value in recipe.variables.items():
                monkeypatch.setenv(variable, value)
        sites = tmp_path / "sites.toml"
        sites.write_text("\n".join(tables))
        await stack.enter_async_context(webhooks(kafka, postgres, sites, monkeypatch))
        await post(kafka, sent)
        rows = await eventually(
            lambda: db.fetch(DELIVERED),
            until=lambda found: (
                len(found) == len(stubs) and not {row["state"] for row in found} & {"pending", "sending"}
            ),
            seconds=60,
            what="the deliveries",
        )
    assert {row["destination"] for row in rows if row["state"] == "delivered"} == set(stubs), rows
    for name, stub in stubs.items():
        (accepted,) = stub.accepted
        assert str(sent.email) in json.dumps(accepted).replace("\\", ""), name
