"""An append-only log that others can verify: a Merkle tree (RFC 6962), tiles and signed checkpoints (C2SP).

Pure code, without a database. What the log contains, and who signs it, is decided elsewhere.
"""
