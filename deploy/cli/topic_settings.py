"""Reads the settings of topics, and repairs those that fall short of their declaration."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from deploy.cli.kafka_errors import describe_error, refusal_reason, refusal_reason_of_code

# A higher value of these settings is harmless. A lower one would lose or refuse records.
_MINIMA: Final = frozenset({"retention.ms", "max.message.bytes", "min.insync.replicas"})
# ConfigSource of DescribeConfigs: the value is set on the topic itself.
_DYNAMIC_TOPIC_CONFIG: Final = 1


@dataclass(frozen=True)
class TopicSettings:
    """The settings of one topic, as far as Kafka shows them."""

    effective: dict[str, str] = field(default_factory=dict)
    """Every setting with the value that applies."""
    own: dict[str, str] = field(default_factory=dict)
    """The settings that are set on the topic itself."""
    refused: str = ""
    """Why Kafka shows no settings. Empty if it does."""


def min_insync(replicas: int) -> int:
    """Return `min.insync.replicas` for a topic with this many replicas.

    With three or more replicas it is 2, so that one broker may be unavailable. With fewer replicas it is 1.
    """
    return 2 if replicas > 2 else 1


def is_insufficient(name: str, value: str, declared: str) -> bool:
    """Return True if the setting's value falls short of the declared one.

    For some settings the declared value is a minimum (`_MINIMA`), so only a lower value falls short. Any
    other setting falls short if its value differs.
    """
    if name not in _MINIMA:
        return value != declared
    return value != "-1" and int(value) < int(declared)


async def read_settings(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicSettings]:
    """Return the settings of each topic by name.

    If Kafka does not show a topic's settings, the topic's `refused` has the reason. If the whole request
    fails and a retry may succeed, raises aiokafka's error.
    """
    settings = {name: TopicSettings(refused="Kafka names no settings") for name in names}
    if not settings:
        return settings
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in settings]
        )
    except KafkaError as error:
        return dict.fromkeys(settings, TopicSettings(refused=refusal_reason(error)))
    for code, message, _, name, entries in (each for answer in answers for each in answer.resources):
        # Kafka may name a setting without its value.
        with_value = [entry for entry in entries or () if entry[1] is not None]
        if code:
            settings[name] = TopicSettings(refused=describe_error(for_code(code)(message or "")))
        elif with_value:
            settings[name] = TopicSettings(
                {entry[0]: entry[1] for entry in with_value},
                {entry[0]: entry[1] for entry in with_value if entry[3] == _DYNAMIC_TOPIC_CONFIG},
            )
    return settings


async def repair_settings(
    admin: AIOKafkaAdminClient,
    declared: Mapping[str, Mapping[str, str]],
    replicas: Mapping[str, int],
    replication: int,
    *,
    lacking: Collection[str] = (),
) -> list[str]:
    """Correct the settings that fall short of their declaration.

    `declared` has the declared settings of each topic, and `replicas` has the number of its replicas. Returns
    a line for each change, and for each repair that Kafka refused.

    `lacking` are the topics to which Kafka refused to add replicas. Their required min.insync.replicas
    follows from `replicas`, and that of the other topics from `replication`. A min.insync.replicas above the
    number of replicas is lowered.
    """
    lines = list[str]()
    for name, settings in (await read_settings(admin, declared)).items():
        if settings.refused:
            lines.append(
                f"warning: Kafka does not allow reading the settings of topic {name} ({settings.refused}):"
                " check retention and min.insync.replicas yourself"
            )
            continue
        copies = replicas.get(name, replication)
        # More in-sync replicas than there are replicas would refuse every record.
        insync = str(min_insync(min(copies, replication) if name in lacking else replication))
        required = {**declared[name], "min.insync.replicas": insync}
        wrong = {
            key: value
            for key, value in required.items()
            if key in settings.effective and is_insufficient(key, settings.effective[key], value)
        }
        if int(settings.effective.get("min.insync.replicas", "1")) > copies:
            wrong["min.insync.replicas"] = insync
        own = dict(settings.own)
        # One setting a request: a policy that refuses one must not block the repair of the others.
        for key, value in wrong.items():
            if refused := await _alter_settings(admin, name, {**own, key: value}):
                lines.append(
                    f"warning: Kafka does not allow setting {key} of topic {name} ({refused}):"
                    f" it is {settings.effective[key]}, and should be {value}"
                )
            else:
                own[key] = value
                lines.append(f"{name}: {key} was {settings.effective[key]}, now {value}")
    return lines


async def _alter_settings(admin: AIOKafkaAdminClient, name: str, own: dict[str, str]) -> str:
    """Replace all settings that are set on the topic itself by `own`.

    Returns why Kafka refuses, or an empty string if it accepts. AlterConfigs resets every setting that the
    request does not name, so `own` must be complete.
    """
    try:
        answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, own)])
    except KafkaError as error:
        return refusal_reason(error)
    errors = [each for answer in answers for each in answer.resources if each[0]]
    return refusal_reason_of_code(errors[0][0], errors[0][1]) if errors else ""
