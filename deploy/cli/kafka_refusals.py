"""What Kafka refuses for good, as managed clusters do: rights, policies, unsupported requests."""

from typing import Final

from aiokafka import errors
from aiokafka.errors import KafkaError

_FINAL: Final = (
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.IncompatibleBrokerVersion,
    errors.InvalidConfigurationError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationAssignmentError,
    errors.InvalidReplicationFactorError,
    errors.InvalidRequestError,
    errors.PolicyViolationError,
    errors.SecurityDisabled,
    errors.TopicAuthorizationFailedError,
    errors.UnknownError,
    errors.UnsupportedVersionError,
)


def explain(error: KafkaError) -> str:
    """Return why Kafka refused a request. Raises the error where a second try may succeed."""
    if not isinstance(error, _FINAL):
        raise error
    return name_of(error)


def explain_code(code: int, message: str | None) -> str:
    """Return the same for an error code of an answer."""
    return explain(errors.for_code(code)(message or ""))


def name_of(error: KafkaError) -> str:
    """Return an error's name, and what Kafka says about it."""
    text = str(error.args[0]) if error.args else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
