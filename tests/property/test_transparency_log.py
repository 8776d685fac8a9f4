"""The tree, its tiles and its proofs agree with RFC 6962's own recursive definitions, at every size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.transparency_log.merkle_tree import (
    GrowingTree,
    LeafHashes,
    ProofError,
    hash_leaf,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from runtime.transparency_log.tiles import (
    DamagedTilesError,
    Position,
    TileTree,
    append_leaves,
    last_tiles,
    tree_root,
)
from tests.support import naive_merkle_tree as naive

ENTRIES = st.lists(st.binary(max_size=3), min_size=1, max_size=40)


def build(leaves: list[bytes], steps: list[int]) -> dict[Position, bytes]:
    """Append the leaves in steps, each with the last tiles only, as the sealer does."""
    tiles, size = dict[Position, bytes](), 0
    for step in [*steps, len(leaves)]:
        added = leaves[size : size + step]
        tiles |= append_leaves({at: tiles[at] for at in last_tiles(size)}, size, added)
        size += len(added)
    return tiles


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.data())
def test_root_and_proofs_are_those_of_the_definitions(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    hashes = [hash_leaf(entry) for entry in entries]
    tree = LeafHashes(hashes)
    root = naive.tree_hash(entries)
    growing = GrowingTree()
    for each in hashes:
        growing.append(each)
    assert root_of(tree, size) == growing.root() == root
    inclusion, consistency = prove_inclusion(tree, index, size), prove_consistency(tree, old, size)
    assert inclusion == naive.audit_path(index, entries)
    assert consistency == naive.consistency_proof(old, entries)
    verify_inclusion(hashes[index], index, size, inclusion, root)
    verify_consistency(old, size, consistency, naive.tree_hash(entries[:old]), root)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.data())
def test_a_proof_of_another_leaf_or_tree_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    size, other = len(entries), data.draw(ENTRIES)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    tree, root = LeafHashes([hash_leaf(entry) for entry in entries]), naive.tree_hash(entries)
    proof = prove_inclusion(tree, index, size)
    if other[0] != entries[index]:
        with pytest.raises(ProofError):
            verify_inclusion(hash_leaf(other[0]), index, size, proof, root)
    if (other_root := naive.tree_hash(other)) != naive.tree_hash(entries[:old]):
        with pytest.raises(ProofError):
            verify_consistency(old, size, prove_consistency(tree, old, size), other_root, root)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70_000), st.lists(st.integers(0, 1500), max_size=5), st.data())
def test_tiles_have_the_tree_however_it_grew(size: int, steps: list[int], data: st.DataObject) -> None:
    leaves = [number.to_bytes(32) for number in range(size)]
    tiles, tree = build(leaves, steps), LeafHashes(leaves)
    assert tree_root({at: tiles[at] for at in last_tiles(size)}, size) == root_of(tree, size)
    for (level, _), data_of_tile in tiles.items():
        assert len(data_of_tile) <= 8192
        assert level < 3
    widths = {
        level: sum(len(row) // 32 for (at, _), row in tiles.items() if at == level) for level in (0, 1, 2)
    }
    assert widths == {0: size, 1: size // 256, 2: size // 65536}
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    reader = TileTree(tiles.get)
    assert prove_inclusion(reader, index, size) == prove_inclusion(tree, index, size)
    assert prove_consistency(reader, old, size) == prove_consistency(tree, old, size)


def test_a_missing_or_short_tile_is_damage_and_not_another_tree() -> None:
    leaves = [number.to_bytes(32) for number in range(700)]
    tiles = build(leaves, [])
    for changed in ({}, {(0, 2): tiles[0, 2][:-32]}, {(0, 2): tiles[0, 2][:-1]}):
        damaged = {at: row for at, row in tiles.items() if at != (0, 2)} | changed
        with pytest.raises(DamagedTilesError):
            tree_root(damaged, 700)
        with pytest.raises(DamagedTilesError):
            append_leaves(damaged, 700, leaves[:1])
