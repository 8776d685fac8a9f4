"""Responses about the ledger: whether the counts of the stages match the rows of the tables."""

from pydantic import BaseModel, Field


class Identity(BaseModel):
    """Two counts that must be equal: a count in the ledger (`books`), and a number of rows (`rows`).

    `books_are` and `rows_are` say what was counted. `difference` is `books` minus `rows`.
    """

    stage: str
    name: str
    books: int
    books_are: str
    rows: int
    rows_are: str
    difference: int
    balanced: bool


class StageTotals(BaseModel):
    """How many records a stage has processed, by outcome."""

    stage: str
    records: int
    stored: int
    duplicate: int
    parked: int
    undecodable: int
    missing: int
    canary: int = 0


class Books(BaseModel):
    """The ledger: pairs of counts that must be equal, and totals.

    `balanced` is True if all pairs are equal.
    """

    balanced: bool
    identities: list[Identity]
    stages: list[StageTotals]
    email_states: dict[str, int]
    queue_states: dict[str, int]
    delivery_states: dict[str, int] = Field(
        default_factory=dict,
        description="Deliveries to destinations. `waiting` stands for pending, failed and sending.",
    )
