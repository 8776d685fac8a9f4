"""Only jars with the locked hash are used."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.servers import kafka_jars
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


class Repository:
    """Maven Central, as far as a download asks it. It fails at first, `failures` times."""

    def __init__(self, folder: Path, failures: int = 0) -> None:
        self.folder, self.failures, self.downloads = folder, failures, 0

    def project(self, _group: str, _artifact: str) -> "Repository":
        return self

    def at_version(self, _version: str) -> "Repository":
        return self

    def artifact(self) -> "Repository":
        return self

    def resolve(self) -> Path:
        if self.failures:
            self.failures -= 1
            raise OSError("Temporary failure in name resolution")
        self.downloads += 1
        time.sleep(0.05)  # long enough that a second start would begin one, too
        downloaded = self.folder / f"download-{self.downloads}"
        downloaded.write_bytes(b"good")
        return downloaded


def _use(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_jars, "_maven", lambda _folder: repository)
    monkeypatch.setattr(kafka_jars, "RETRY_SECONDS", (0.0, 0.0, 0.0))


def test_a_download_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(Repository(tmp_path, failures=3), monkeypatch)
    cache, said = tmp_path / "cache", list[str]()
    assert classpath(said.append, cache, _locked(tmp_path, b"good")) == [cache / "thing-1.0.jar"]
    assert [line for line in said if "name resolution. Trying again in 0 s" in line] == said[1:4]


def test_a_download_that_fails_four_times_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(Repository(tmp_path, failures=4), monkeypatch)
    with pytest.raises(EmbeddedError, match=r"thing-1\.0\.jar could not be downloaded .* name resolution"):
        classpath(cache=tmp_path / "cache", lock=_locked(tmp_path, b"good"))


def test_starts_at_the_same_time_download_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path)
    _use(repository, monkeypatch)
    cache, lock = tmp_path / "cache", _locked(tmp_path, b"good")
    with ThreadPoolExecutor() as starts:
        found = list(starts.map(lambda _: classpath(cache=cache, lock=lock), range(4)))
    assert found == [[cache / "thing-1.0.jar"]] * 4
    assert repository.downloads == 1
