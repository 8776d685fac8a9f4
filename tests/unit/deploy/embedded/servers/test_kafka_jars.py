"""Only jars with the locked hash are used."""

import hashlib
from pathlib import Path

import pytest

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.servers.kafka_jars import LOCK, Jar, classpath, read_lock


def _locked(folder: Path, content: bytes) -> Path:
    lock = folder / "jars.lock"
    lock.write_text(f"# a comment\norg.example:thing:1.0 {hashlib.sha256(content).hexdigest()}\n")
    return lock


def test_a_cached_jar_with_the_locked_hash_is_used_without_the_network(tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"good")
    assert classpath(cache=tmp_path, lock=_locked(tmp_path, b"good")) == [tmp_path / "thing-1.0.jar"]


def test_a_jar_that_differs_from_the_lock_stops_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"bad")
    with pytest.raises(EmbeddedError) as refused:
        classpath(cache=tmp_path, lock=_locked(tmp_path, b"good"))
    assert str(tmp_path / "thing-1.0.jar") in str(refused.value)
    assert hashlib.sha256(b"good").hexdigest() in str(refused.value)
    assert "Delete it" in str(refused.value)


@pytest.mark.parametrize("line", ["org.example:thing:1.0", "org.example:thing " + "0" * 64, "a:b:c 123"])
def test_a_damaged_line_of_the_lock_is_named(line: str) -> None:
    with pytest.raises(EmbeddedError, match="line 1: expected"):
        read_lock(line)


def test_the_lock_holds_kafka_and_each_jar_once() -> None:
    jars = read_lock(LOCK.read_text())
    assert Jar in {type(jar) for jar in jars}
    names = [f"{jar.group}:{jar.artifact}" for jar in jars]
    assert "org.apache.kafka:kafka_2.13" in names
    assert sorted(set(names)) == names
