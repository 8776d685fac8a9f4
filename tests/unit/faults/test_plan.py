"""The faults that a seed draws, and what a power failure loses."""

import importlib
import json
import random
from pathlib import Path

import pytest

from contracts.leads import LeadSubmission, lead_id_for
from tests.faults import families
from tests.faults.injections.failpoint import FAILPOINTS
from tests.faults.injections.power_cut import truncate_unsynced
from tests.faults.injections.spool_faults import flip_bit, toggle_bit
from tests.faults.load import Traffic, plan_load


def test_a_seed_draws_the_same_load_and_another_seed_another() -> None:
    one, same, other = (plan_load(random.Random(seed), "1.1", Traffic()) for seed in ("a", "a", "b"))
    assert one == same != other
    assert {step.shape for step in one} >= {"plain", "again", "at once", "bad"}


def test_the_load_is_valid_and_its_ids_are_those_of_the_design() -> None:
    for step in plan_load(random.Random(1), "1.1", Traffic()):
        if step.lead:
            LeadSubmission.model_validate(step.lead.json(step.lead.bodies[0]))
            assert step.lead.id == str(lead_id_for(step.lead.site, step.lead.key))


def test_ci_runs_faults_that_there_are() -> None:
    for family in families.load().values():
        assert {fault for faults in family.quick_rounds for fault in faults} <= set(family.faults)


def test_every_family_has_the_name_of_its_module() -> None:
    assert {name: family.name for name, family in families.load().items()} == {
        name: name for name in families.load()
    }


@pytest.mark.parametrize("draw", range(20))
def test_a_flipped_bit_changes_one_line_and_can_be_turned_back(tmp_path: Path, draw: int) -> None:
    path = tmp_path / "one.spool"
    path.write_bytes(data := b"\n*( first\n\n*( second\n")
    place, bit = flip_bit(path, random.Random(draw))
    changed = path.read_bytes()
    assert sum(a != b for a, b in zip(data.split(b"\n"), changed.split(b"\n"), strict=True)) == 1
    toggle_bit(path, place, bit)
    assert path.read_bytes() == data


@pytest.mark.parametrize("place", FAILPOINTS)
def test_each_failpoint_is_a_function_of_the_product(place: str) -> None:
    point = FAILPOINTS[place]
    module = importlib.import_module(point.module)
    assert callable(getattr(getattr(module, point.owner) if point.owner else module, point.method))


def test_a_power_failure_loses_what_was_not_fsynced(tmp_path: Path) -> None:
    spool = tmp_path / "spool" / "worker"
    spool.mkdir(parents=True)
    half, none, unnamed = (spool / f"{name}.spool" for name in ("half", "none", "unnamed"))
    for path in (half, none, unnamed):
        path.write_bytes(b"0123456789")
    notes = [
        {"path": str(spool), "size": 0, "names": [half.name, none.name]},
        {"path": str(half), "size": 5, "names": []},
        {"path": str(unnamed), "size": 10, "names": []},
    ]
    (tmp_path / "synced.jsonl").write_text("\n".join(map(json.dumps, notes)))
    assert truncate_unsynced(tmp_path, tmp_path / "spool") == 25
    assert [path.stat().st_size for path in (half, none, unnamed)] == [5, 0, 0]
