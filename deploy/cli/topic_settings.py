"""The settings of topics: reads them, and repairs those that fall short of what is declared."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from deploy.cli.kafka_refusals import explain, explain_code, name_of

# Settings of which more is no fault, and less would lose or refuse records.
_MINIMA: Final = frozenset({"retention.ms", "max.message.bytes", "min.insync.replicas"})
# Kafka's number for a setting that a topic has of its own (ConfigSource of DescribeConfigs).
_TOPICS_OWN: Final = 1


@dataclass(frozen=True)
class TopicSettings:
    """The settings that Kafka shows of a topic. `refused` says why it shows none."""

    effective: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    refused: str = ""


def min_insync(replicas: int) -> int:
    """Return how many brokers must have a record before it counts as written: one of three may be away."""
    return 2 if replicas > 2 else 1


def falls_short(name: str, value: str, declared: str) -> bool:
    """Return True where a topic's setting is not what is declared, or less."""
    if name not in _MINIMA:
        return value != declared
    return value != "-1" and int(value) < int(declared)


async def read_settings(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicSettings]:
    """Return the settings of each topic."""
    found = {name: TopicSettings(refused="Kafka names no settings") for name in names}
    if not found:
        return found
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        )
    except KafkaError as error:
        return dict.fromkeys(found, TopicSettings(refused=explain(error)))
    for code, message, _, name, entries in (each for answer in answers for each in answer.resources):
        # A setting may be named without its value.
        shown = [entry for entry in entries or () if entry[1] is not None]
        if code:
            found[name] = TopicSettings(refused=name_of(for_code(code)(message or "")))
        elif shown:
            found[name] = TopicSettings(
                {entry[0]: entry[1] for entry in shown},
                {entry[0]: entry[1] for entry in shown if entry[3] == _TOPICS_OWN},
            )
    return found


async def repair_settings(
    admin: AIOKafkaAdminClient,
    declared: Mapping[str, Mapping[str, str]],
    replicas: Mapping[str, int],
    replication: int,
    *,
    lacking: Collection[str] = (),
) -> list[str]:
    """Raise what falls short of what is declared; return a line for each change, and each that is refused.

    `lacking` are the topics to which Kafka refused to add replicas. Of the others a broker may not yet show
    the replicas that were just added: that must not lower what they get.
    """
    said = list[str]()
    for name, found in (await read_settings(admin, declared)).items():
        if found.refused:
            said.append(
                f"warning: Kafka does not allow reading the settings of topic {name} ({found.refused}):"
                " check retention and min.insync.replicas yourself"
            )
            continue
        copies = replicas.get(name, replication)
        # With fewer replicas than that, no record would be taken.
        insync = str(min_insync(min(copies, replication) if name in lacking else replication))
        wanted = {**declared[name], "min.insync.replicas": insync}
        wrong = {
            key: value
            for key, value in wanted.items()
            if key in found.effective and falls_short(key, found.effective[key], value)
        }
        if int(found.effective.get("min.insync.replicas", "1")) > copies:
            wrong["min.insync.replicas"] = insync
        own = dict(found.own)
        # One at a time: a policy that refuses one must not keep the others from being repaired.
        for key, value in wrong.items():
            if refused := await _alter(admin, name, {**own, key: value}):
                said.append(
                    f"warning: Kafka does not allow setting {key} of topic {name} ({refused}):"
                    f" it is {found.effective[key]}, and should be {value}"
                )
            else:
                own[key] = value
                said.append(f"{name}: {key} was {found.effective[key]}, now {value}")
    return said


async def _alter(admin: AIOKafkaAdminClient, name: str, own: dict[str, str]) -> str:
    """Set all that a topic has of its own; return why Kafka refuses that.

    AlterConfigs takes back to its default whatever is not named.
    """
    try:
        answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, own)])
    except KafkaError as error:
        return explain(error)
    errors = [each for answer in answers for each in answer.resources if each[0]]
    return explain_code(errors[0][0], errors[0][1]) if errors else ""
