"""Inclusion and consistency proofs as commands and routes: those of RFC 6962, 2.1.3, and of long logs."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.audit.__main__ import app
from deploy.cli.audit.files import verify_file
from runtime.database.sealed_log_proofs import open_consistency
from runtime.settings import Postgres
from runtime.transparency_log.checkpoint import open_checkpoint
from runtime.transparency_log.merkle_tree import ProofError
from runtime.transparency_log.signed_note import NoteError
from tests.support import naive_merkle_tree as naive
from tests.support.sealed_log import PUBLIC_KEY, add_entries, document_verifier, seal
from tests.support.services.admin import Admin
from tests.support.stack import Database
from tests.tampering.changes import LEAVES


@pytest.fixture(autouse=True)
def _database_url(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.service)


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, [str(each) for each in arguments])


async def leaves_of(db: Any) -> list[bytes]:
    return [row["leaf"].encode() for row in await db.fetch(LEAVES)]


def hashes_of(text: str) -> list[bytes]:
    return [base64.b64decode(line) for line in text.partition("\n\n")[0].splitlines()[1:]]


async def test_the_proofs_are_those_of_the_example_of_rfc_6962(
    admin: Admin, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    notes = dict[int, str]()
    for size, added in ((3, 3), (4, 1), (6, 2), (7, 1)):
        await add_entries(db, added)
        await seal(postgres)
        notes[size] = await db.fetchval("SELECT note FROM audit_checkpoint WHERE size = $1", size)
    d = await leaves_of(db)
    _, b, c, d3, _, f, j = (naive.tree_hash(d[i : i + 1]) for i in range(7))
    g, h, i = naive.tree_hash(d[0:2]), naive.tree_hash(d[2:4]), naive.tree_hash(d[4:6])
    k, left = naive.tree_hash(d[0:4]), naive.tree_hash(d[4:7])
    # The names of the nodes differ from the RFC's; the positions are its own.
    consistency = {3: [c, d3, g, left], 4: [left], 6: [i, j, k]}
    for size, expected in consistency.items():
        response = await admin.client.get("/admin/audit/consistency", params={"old_size": size})
        assert response.text.endswith(notes[7])
        assert hashes_of(response.text) == expected
        known = [open_checkpoint(notes[size], [PUBLIC_KEY])]
        assert open_consistency(response.text, [PUBLIC_KEY], known).size == 7
        old, proof = tmp_path / "old.txt", tmp_path / "proof.txt"
        old.write_text(notes[size], encoding="utf-8")
        assert (await run("consistency", size, "--out", proof)).exit_code == 0
        assert proof.read_text(encoding="utf-8") == response.text
        found = await run("verify", proof, "--key", PUBLIC_KEY, "--known", old)
        assert (found.exit_code, "7 entries" in found.output) == (0, True), found.output
        assert (await run("verify", proof, "--key", PUBLIC_KEY)).exit_code == 1
    inclusion = {0: [b, h, left], 3: [c, g, left], 4: [f, j, k], 6: [i, k]}
    ids = [row["id"] for row in await db.fetch("SELECT id FROM audit_log ORDER BY id")]
    for index, expected in inclusion.items():
        response = await admin.client.get(f"/admin/audit/{ids[index]}/proof")
        path = tmp_path / "entry.jsonl"
        path.write_bytes(response.content)
        assert verify_file(response.content.splitlines(), [PUBLIC_KEY]).entries == 1
        assert "1 entries are in the log of 7" in document_verifier()(path, str(PUBLIC_KEY))
        assert [base64.b64decode(each) for each in _proof(response.text)] == expected


def _proof(text: str) -> list[str]:
    proof: list[str] = json.loads(text.split("\n")[1])["proof"]
    return proof


async def test_the_proofs_of_a_log_of_several_tiles(admin: Admin, postgres: Postgres, db: Any) -> None:
    await add_entries(db, 255)
    await seal(postgres)
    await add_entries(db, 446)
    await seal(postgres)
    await add_entries(db, 1)  # not sealed
    leaves = (await leaves_of(db))[:701]
    for size in (0, 1, 255, 256, 257, 512, 700, 701):
        response = await admin.client.get("/admin/audit/consistency", params={"old_size": size})
        assert hashes_of(response.text) == (naive.consistency_proof(size, leaves) if size else [])
    ids = [row["id"] for row in await db.fetch("SELECT id FROM audit_log ORDER BY id")]
    for index in (0, 255, 256, 511, 700):
        response = await admin.client.get(f"/admin/audit/{ids[index]}/proof")
        assert [base64.b64decode(each) for each in _proof(response.text)] == naive.audit_path(index, leaves)
    for path in (
        f"/admin/audit/{ids[701]}/proof",
        "/admin/audit/0/proof",
        "/admin/audit/consistency?old_size=702",
    ):
        assert (await admin.client.get(path)).status_code == 404
    assert (await run("consistency", 702)).exit_code == 1


async def test_no_proof_of_a_log_that_is_not_sealed(admin: Admin) -> None:
    for path in ("/admin/audit/1/proof", "/admin/audit/consistency?old_size=0"):
        assert (await admin.client.get(path)).status_code == 404


async def test_a_changed_proof_of_consistency_is_refused(admin: Admin, postgres: Postgres, db: Any) -> None:
    for _ in range(2):
        await add_entries(db, 5)
        await seal(postgres)
    notes = [row["note"] for row in await db.fetch("SELECT note FROM audit_checkpoint ORDER BY number")]
    known = [open_checkpoint(notes[0], [PUBLIC_KEY])]
    text = (await admin.client.get("/admin/audit/consistency", params={"old_size": 5})).text
    assert open_consistency(text, [PUBLIC_KEY], known).size == 10
    lines = text.splitlines(keepends=True)
    for changed in (
        "".join([lines[0], *lines[2:]]),
        "".join([lines[0], lines[2], lines[1], *lines[3:]]),
        text.replace("old 5", "old 4"),
        text.replace("old 5", "old \u0665"),
        text.replace("old 5\n", "old 5\n*\n"),
        text.replace("\n10\n", "\n11\n"),
        text.replace("old 5", "new 5"),
        "",
    ):
        with pytest.raises((NoteError, ProofError)):
            open_consistency(changed, [PUBLIC_KEY], known)
    with pytest.raises(ProofError):
        open_consistency(text, [PUBLIC_KEY], [open_checkpoint(notes[1], [PUBLIC_KEY])])
