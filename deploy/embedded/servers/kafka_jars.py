"""Downloads Kafka's jars from Maven Central by pinned coordinates, and verifies their sha256 hashes.

The file kafka-jars.lock pins the jars. `python -m deploy.embedded.servers.kafka_jars` determines the required
jars and rewrites the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.progress import Progress, silent

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("kafka-jars.lock")

# Each root is resolved separately. Together, jgo would apply the managed versions of one root to the jars of
# another: log4j's would bring the clients of an older Kafka.
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.4.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",  # connects Kafka's slf4j 1.7 to its log4j 2.25.5
)
# A machine that has just started may resolve no names for half a minute.
RETRY_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Jar:
    """One jar that the lock file pins."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} {self.sha256}"

    @property
    def file_name(self) -> str:
        """Return the jar's name in a Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(text: str) -> list[Jar]:
    """Parse lines of the form `group:artifact:version sha256`. Blank lines and comments are skipped.

    Raises `EmbeddedError` for any other line.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinate, _, sha256 = line.partition(" ")
        parts = coordinate.split(":")
        if len(parts) != 3 or len(sha256) != 64:
            raise EmbeddedError(
                f"{LOCK.name}, line {number}: expected `group:artifact:version sha256`, got {line!r}"
            )
        group, artifact, version = parts
        jars.append(Jar(group, artifact, version, sha256))
    return jars


def cache_folder() -> Path:
    """Return the folder of the jars in the user's cache. All checkouts share it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcore" / "jars"


def verify(jar: Jar, path: Path) -> None:
    """Raise `EmbeddedError` unless the file has the sha256 that the lock file pins for the jar."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != jar.sha256:
        raise EmbeddedError(
            f"{path} is not the {jar.file_name} that {LOCK.name} pins: its sha256 is {actual} instead of "
            f"{jar.sha256}. It was damaged or tampered with. Delete it if it is still there and try again; "
            "if that repeats, do not trust this network."
        )


def classpath(progress: Progress = silent, cache: Path | None = None, lock: Path = LOCK) -> list[Path]:
    """Download the jars that the cache lacks, verify all jars, and return their paths.

    Raises `EmbeddedError` if a download or a verification fails.
    """
    folder = cache or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jars = read_lock(lock.read_text())
    if _missing(jars, folder):
        with (folder / ".lock").open("w") as locked:
            # Without the lock, installations that start at the same time would each download all jars.
            fcntl.flock(locked, fcntl.LOCK_EX)
            if missing := _missing(jars, folder):
                progress(f"Downloading {len(missing)} jars from Maven Central, about 1 MB each")
                _download(missing, folder, progress)
    paths = [folder / jar.file_name for jar in jars]
    with ThreadPoolExecutor() as pool:
        list(pool.map(verify, jars, paths))
    return paths


def _missing(jars: list[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not (folder / jar.file_name).exists()]


def _download(jars: list[Jar], folder: Path, progress: Progress) -> None:
    # Download to a temporary folder and rename after verification: a partial file never counts as a jar.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        context = _maven(Path(temporary))

        def download(jar: Jar) -> None:
            path = _resolve(context, jar, progress)
            verify(jar, path)
            path.replace(folder / jar.file_name)

        with ThreadPoolExecutor(max_workers=8) as pool:
            for done, _ in enumerate(pool.map(download, jars), start=1):
                if done % 15 == 0 or done == len(jars):
                    progress(f"Downloaded {done} of {len(jars)} jars")


def _resolve(context: MavenContext, jar: Jar, progress: Progress) -> Path:
    """Download a jar, and try again after a failure: one of ninety downloads fails now and then."""
    failures = 0
    while True:
        try:
            return context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:
            failed = f"{jar.file_name} could not be downloaded from Maven Central: {error}."
            if failures == len(RETRY_SECONDS):
                raise EmbeddedError(
                    f"{failed} Check the network and try again. Jars that are complete stay in the cache."
                ) from error
        progress(f"{failed} Trying again in {RETRY_SECONDS[failures]:g} s")
        time.sleep(RETRY_SECONDS[failures])
        failures += 1


def _maven(repository: Path) -> MavenContext:
    # Imported here, because the import takes half a second and only the first start needs it.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    # A company's mirror if jgo.conf names one, else Maven Central.
    return MavenContext(
        repo_cache=repository, remote_repos=GlobalSettings.load().repositories or None, timeout=60
    )


def resolve(roots: Iterable[str] = ROOTS) -> list[Jar]:
    """Download the jars with the Maven coordinates `roots`, and their runtime dependencies. Return all."""
    jars: dict[str, Jar] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = _maven(Path(folder))
        for root in roots:
            inputs, needed = context.resolver.resolve([context.create_dependency(root)])
            for dependency in (*inputs, *needed):
                path = dependency.artifact.resolve()
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                jar = Jar(dependency.groupId, dependency.artifactId, dependency.version, sha256)
                jars.setdefault(f"{jar.group}:{jar.artifact}", jar)
    return [jars[name] for name in sorted(jars)]


def main() -> None:
    """Resolve the jars again, and rewrite the lock."""
    jars = resolve()
    LOCK.write_text("# Written by `make kafka-jars`.\n" + "".join(f"{jar}\n" for jar in jars))
    print(f"{LOCK}: {len(jars)} jars")


if __name__ == "__main__":
    main()
