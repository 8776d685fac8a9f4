"""A second, independent reading of RFC 6962, section 2.1: its recursive definitions, word by word and slow.

It shares no code with `runtime.transparency_log`, so that a mistake of one is not a mistake of both.
"""

import hashlib


def tree_hash(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split_at(len(entries))
    return hashlib.sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:])).digest()


def audit_path(m: int, entries: list[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = split_at(len(entries))
    if m < k:
        return [*audit_path(m, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(m - k, entries[k:]), tree_hash(entries[:k])]


def consistency_proof(m: int, entries: list[bytes]) -> list[bytes]:
    return _subproof(m, entries, whole=True)


def _subproof(m: int, entries: list[bytes], *, whole: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if whole else [tree_hash(entries)]
    k = split_at(n)
    if m <= k:
        return [*_subproof(m, entries[:k], whole=whole), tree_hash(entries[k:])]
    return [*_subproof(m - k, entries[k:], whole=False), tree_hash(entries[:k])]


def split_at(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k
