"""The settings of the sealed audit log."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.transparency_log.signed_note import SigningKey
from services.flusher.settings import Audit

OLD, NEW = SigningKey.generate("audit.example.com"), SigningKey.generate("audit.example.com")
OTHER = SigningKey.generate("other.example.com")


def test_without_a_key_nothing_is_sealed() -> None:
    assert Audit().keys() == []


def test_a_key_comes_from_the_variable_or_the_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{NEW.text()}\n{OLD.text()}\n")
    assert Audit(signing_key=OLD.text()).keys() == [OLD]
    assert Audit(signing_key_file=file).keys() == [NEW, OLD]
    former = f"{OLD.verification_key()}, {OTHER.verification_key()}"
    assert Audit(former_public_keys=former).former_keys() == [
        OLD.verification_key(),
        OTHER.verification_key(),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"signing_key": "nonsense"}, "FASTCORE_AUDIT_SIGNING_KEY: a signing key begins with"),
        ({"signing_key": f"{OLD.text()} {OTHER.text()}"}, "different names"),
        ({"signing_key_file": "/does/not/exist"}, "FASTCORE_AUDIT_SIGNING_KEY_FILE: the file cannot be read"),
        ({"signing_key": OLD.text(), "signing_key_file": "/x"}, "set one of them"),
        ({"checkpoint_file": "/x"}, "FASTCORE_AUDIT_SIGNING_KEY is missing"),
        ({"former_public_keys": OLD.text()}, "FASTCORE_AUDIT_FORMER_PUBLIC_KEYS"),
    ],
)
def test_a_wrong_value_is_named_and_no_key_is_quoted(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Audit.model_validate(values)
    said = "".join(error["msg"] for error in caught.value.errors(include_input=False))
    assert OLD.text().rpartition("+")[2] not in said
