"""The published vectors of Certificate Transparency's Merkle tree (github.com/transparency-dev/merkle)."""

import pytest

from runtime.transparency_log.merkle_tree import (
    EMPTY_ROOT,
    LeafHashes,
    ProofError,
    hash_leaf,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
N96 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
N5F = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N6B = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
NBC = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
NCA = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N0E = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NB0 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
INCLUSION: tuple[tuple[int, int, list[str]], ...] = (  # index, size, proof
    (0, 1, []),
    (0, 8, [N96, N5F, N6B]),
    (5, 8, [NBC, NCA, ROOTS[3]]),
    (2, 3, [ROOTS[1]]),
    (1, 5, [ROOTS[0], N5F, NBC]),
)
CONSISTENCY: tuple[tuple[int, int, list[str]], ...] = (  # old size, size, proof
    (1, 1, []),
    (1, 8, [N96, N5F, N6B]),
    (6, 8, [N0E, NCA, ROOTS[3]]),
    (2, 5, [N5F, NBC]),
    (6, 7, [N0E, NB0, ROOTS[3]]),
)
HASHES = [hash_leaf(bytes.fromhex(leaf)) for leaf in LEAVES]
TREE = LeafHashes(HASHES)


def root(size: int) -> bytes:
    return bytes.fromhex(ROOTS[size - 1])


def test_roots_are_those_of_the_published_vectors() -> None:
    assert [root_of(TREE, size).hex() for size in range(1, 9)] == list(ROOTS)
    assert root_of(TREE, 0) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index: int, size: int, proof: list[str]) -> None:
    found = prove_inclusion(TREE, index, size)
    assert [each.hex() for each in found] == proof
    verify_inclusion(HASHES[index], index, size, found, root(size))


@pytest.mark.parametrize(("old", "size", "proof"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, size: int, proof: list[str]) -> None:
    found = prove_consistency(TREE, old, size)
    assert [each.hex() for each in found] == proof
    verify_consistency(old, size, found, root(old), root(size))


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_a_corrupted_inclusion_proof_is_refused(index: int, size: int, proof: list[str]) -> None:
    good, leaf, other = [bytes.fromhex(each) for each in proof], HASHES[index], hash_leaf(b"other")
    corrupted = [
        (leaf, index - 1, size, good), (leaf, index + 1, size, good), (leaf, index ^ 2, size, good),
        (leaf, index, size * 2, good), (leaf, index, size // 2, good), (other, index, size, good),
        (leaf, index, size, [*good, b""]), (leaf, index, size, [*good, root(size)]),
        (leaf, index, size, [b"", *good]), (leaf, index, size, [root(size), *good]),
        *[(leaf, index, size, [*good[:i], flip(good[i]), *good[i + 1 :]]) for i in range(len(good))],
        *[(leaf, index, size, good[:-1]) for _ in good[:1]],
    ]  # fmt: skip
    for a_leaf, an_index, a_size, a_proof in corrupted:
        with pytest.raises(ProofError):
            verify_inclusion(a_leaf, an_index, a_size, a_proof, root(size))
    for wrong in (EMPTY_ROOT, other, b""):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, size, good, wrong)


@pytest.mark.parametrize(("old", "size", "proof"), CONSISTENCY[1:])
def test_a_corrupted_consistency_proof_is_refused(old: int, size: int, proof: list[str]) -> None:
    good = [bytes.fromhex(each) for each in proof]
    corrupted = [
        (old - 1, size, good), (old + 1, size, good), (old ^ 2, size, good), (old, size * 2, good),
        (old, size // 2, good), (old, size, []), (old, size, [*good, b""]), (old, size, [*good, root(old)]),
        (old, size, [*good, root(size)]), (old, size, [b"", *good]), (old, size, [root(old), *good]),
        (old, size, [root(size), *good]), (old, size, [good[0], *good]), (old, size, good[:-1]),
        *[(old, size, [*good[:i], flip(good[i]), *good[i + 1 :]]) for i in range(len(good))],
    ]  # fmt: skip
    for an_old, a_size, a_proof in corrupted:
        with pytest.raises(ProofError):
            verify_consistency(an_old, a_size, a_proof, root(old), root(size))
    for old_root, new_root in ((root(size), root(old)), (b"", root(size)), (root(old), EMPTY_ROOT)):
        with pytest.raises(ProofError):
            verify_consistency(old, size, good, old_root, new_root)


def test_a_newer_tree_is_not_consistent_with_a_longer_one() -> None:
    with pytest.raises(ProofError):
        verify_consistency(2, 1, [], root(2), root(1))
    verify_consistency(0, 1, [], EMPTY_ROOT, root(1))
    with pytest.raises(ProofError):
        verify_consistency(0, 1, [], root(1), root(1))
    with pytest.raises(ProofError):
        verify_consistency(1, 1, [], root(2), root(1))


def test_a_proof_of_what_the_tree_lacks_is_refused() -> None:
    for index, size in ((0, 0), (1, 1), (-1, 8)):
        with pytest.raises(ValueError, match="no leaf"):
            prove_inclusion(TREE, index, size)
    for old, size in ((2, 1), (-1, 8)):
        with pytest.raises(ValueError, match="does not begin"):
            prove_consistency(TREE, old, size)


def flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 16]) + data[1:]
