"""A topic is recognised whatever prefix an installation gives it."""

import pytest

from contracts import topics


@pytest.mark.parametrize("prefix", ["", "shop.", "shop-", "shop_"])
def test_regression_audit_topic_is_recognised_with_any_prefix(prefix: str) -> None:
    assert topics.is_audit(prefix + topics.AUDIT.name)
    assert not topics.is_audit(prefix + topics.RECEIVED.name)
