"""Hashes, inclusion proofs and consistency proofs of a Merkle tree, as RFC 6962, section 2.1, defines them.

The verification follows the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. A hash is SHA-256.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, Protocol

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


class ProofError(ValueError):
    """The proof does not lead to the expected root."""


class NodeReader(Protocol):
    """Reads the roots of perfect subtrees."""

    def node(self, height: int, index: int, /) -> bytes:
        """Return the root over the leaves from `index * 2**height`, `2**height` of them."""


def hash_leaf(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class LeafHashes:
    """The leaf hashes of a whole tree, in memory."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._levels = [list(hashes)]

    def node(self, height: int, index: int, /) -> bytes:
        """Return the root over the leaves from `index * 2**height`, `2**height` of them."""
        while len(self._levels) <= height:
            below = self._levels[-1]
            self._levels.append([hash_children(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
        return self._levels[height][index]


class GrowingTree:
    """The root of a tree to which leaves are appended, without its leaves."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks = list[bytes]()  # the roots of perfect subtrees, the largest first

    def append(self, leaf_hash: bytes) -> None:
        """Append a leaf."""
        found, size = leaf_hash, self.size
        while size & 1:
            found, size = hash_children(self._peaks.pop(), found), size >> 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = hash_children(peak, found)
        return found


def root_of(tree: NodeReader, size: int) -> bytes:
    """Return the root of the tree's first `size` leaves."""
    return _root_of_range(tree, 0, size) if size else EMPTY_ROOT


def prove_inclusion(tree: NodeReader, index: int, size: int) -> list[bytes]:
    """Return the proof that the tree's first `size` leaves contain the leaf at `index`.

    The hashes are in the order from the leaf's sibling to the child of the root. Raises `ValueError` if the
    tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, proof = 0, size, list[bytes]()
    while end - start > 1:
        middle = start + _largest_power_below(end - start)
        if index < middle:
            proof.append(_root_of_range(tree, middle, end))
            end = middle
        else:
            proof.append(_root_of_range(tree, start, middle))
            start = middle
    return proof[::-1]


def prove_consistency(tree: NodeReader, old_size: int, size: int) -> list[bytes]:
    """Return the proof that the tree's first `size` leaves begin with its first `old_size` leaves.

    Raises `ValueError` unless `0 <= old_size <= size`.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} leaves does not begin with {old_size} leaves")
    if old_size in {0, size}:
        return []
    start, end, proof = 0, size, list[bytes]()
    while old_size != end:
        middle = start + _largest_power_below(end - start)
        if old_size <= middle:
            proof.append(_root_of_range(tree, middle, end))
            end = middle
        else:
            proof.append(_root_of_range(tree, start, middle))
            start = middle
    if start:  # The verifier does not know this subtree. From 0, it is the old root, which it knows.
        proof.append(_root_of_range(tree, start, end))
    return proof[::-1]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofError` unless the proof shows that the tree with this size and root contains the leaf."""
    _check_lengths(leaf_hash, root, *proof)
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    found = leaf_hash
    for sibling, is_left in _sides(index, size - 1, proof):
        found = hash_children(sibling, found) if is_left else hash_children(found, sibling)
    if found != root:
        raise ProofError("the inclusion proof does not lead to the root")


def verify_consistency(
    old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes
) -> None:
    """Raise `ProofError` unless the proof shows that the newer tree begins with the whole older tree."""
    _check_lengths(old_root, root, *proof)
    if not 0 <= old_size <= size:
        raise ProofError(f"a tree of {size} leaves cannot begin with {old_size} leaves")
    if old_size in {0, size}:
        if proof or old_root != (root if old_size else EMPTY_ROOT):
            raise ProofError("two trees of the same size have different roots")
        return
    is_power_of_two = old_size & (old_size - 1) == 0
    path = [old_root, *proof] if is_power_of_two else list(proof)
    if not path:
        raise ProofError("the proof is too short")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_found = found = path[0]
    for sibling, is_left in _sides(node, last, path[1:]):
        if is_left:
            old_found = hash_children(sibling, old_found)
        found = hash_children(sibling, found) if is_left else hash_children(found, sibling)
    if (old_found, found) != (old_root, root):
        raise ProofError("the newer tree does not begin with the older one")


def _sides(node: int, last: int, siblings: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash on the way to the root, and whether it is on the left.

    `node` is the index of the first node, and `last` that of the last node of its level. Raises `ProofError`
    if there are not as many hashes as levels.
    """
    for sibling in siblings:
        if last == 0:
            raise ProofError("the proof is too long")
        is_left = bool(node & 1) or node == last
        yield sibling, is_left
        while is_left and node and not node & 1:  # the last node of its level has no sibling there
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")


def _root_of_range(tree: NodeReader, start: int, end: int) -> bytes:
    """Return the root over the leaves from `start` to `end`, a range that RFC 6962 hashes as a tree."""
    size = end - start
    height = size.bit_length() - 1
    if size == 1 << height:
        return tree.node(height, start >> height)
    middle = start + (1 << height)
    return hash_children(tree.node(height, start >> height), _root_of_range(tree, middle, end))


def _largest_power_below(size: int) -> int:
    """Return the largest power of two that is smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_lengths(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
