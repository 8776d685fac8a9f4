"""The errors with which Kafka refuses a request permanently: missing rights, policies, unsupported requests.

Managed clusters refuse some requests in this way. A command reports such a refusal as a warning and
continues.
"""

from typing import Final

from aiokafka import errors
from aiokafka.errors import KafkaError

_PERMANENT: Final = (
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


def refusal_reason(error: KafkaError) -> str:
    """Return why Kafka refused a request permanently. If a retry may succeed, raise the error itself."""
    if not isinstance(error, _PERMANENT):
        raise error
    return describe_error(error)


def refusal_reason_of_code(code: int, message: str | None) -> str:
    """Return why Kafka refused a request permanently, from the error code of its answer.

    If a retry may succeed, raise the error that belongs to the code.
    """
    return refusal_reason(errors.for_code(code)(message or ""))


def describe_error(error: KafkaError) -> str:
    """Return the error's name and Kafka's message."""
    text = str(error.args[0]) if error.args else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
