"""Keys that may be used once."""

from services.ingest.single_use import SingleUse


def test_a_key_belongs_to_its_first_user() -> None:
    used = SingleUse()
    assert used.use("key", "one")
    assert not used.use("key", "other")
    assert used.use("key", "one")
    assert used.user("key") == "one"
    assert used.user("unknown") is None


def test_oldest_key_is_forgotten_first() -> None:
    used = SingleUse(max_keys=2)
    assert [used.use(key, "one") for key in "abc"] == [True] * 3
    assert [used.user(key) for key in "abc"] == [None, "one", "one"]
