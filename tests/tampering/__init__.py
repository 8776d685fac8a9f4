"""Changes of a sealed log as a superuser with triggers off may make them; each verifier must find each.

`python -m tests.tampering --count 10000 --seed 20` runs on a PostgreSQL server of its own and prints how many
changes of each kind were found, and by whom.
"""
