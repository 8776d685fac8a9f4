"""The published examples of golang.org/x/mod/sumdb/note and of C2SP signed-note and tlog-checkpoint."""

import pytest

from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from runtime.transparency_log.merkle_tree import EMPTY_ROOT
from runtime.transparency_log.signed_note import (
    KeyFormatError,
    NoteError,
    SigningKey,
    VerificationKey,
    open_note,
    sign_note,
)

PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_SIGNATURE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_SIGNATURE = (
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
NOTE = f"{TEXT}\n{PETER_SIGNATURE}{ENOCH_SIGNATURE}"
EXAMPLE_CHECKPOINT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
peter, enoch = VerificationKey.parse(PETER), VerificationKey.parse(ENOCH)


def test_a_note_is_signed_as_the_reference_signs_it() -> None:
    key = SigningKey.parse(PETER_SECRET)
    assert sign_note(TEXT, [key]) == f"{TEXT}\n{PETER_SIGNATURE}"
    assert str(key.verification_key()) == PETER
    assert key.text() == PETER_SECRET
    assert "AYEK" not in repr(key)


def test_a_note_opens_for_each_key_that_signed_it() -> None:
    for keys in ([peter], [enoch], [peter, enoch]):
        assert open_note(NOTE, keys) == TEXT


def test_a_note_without_a_known_signature_does_not_open() -> None:
    stranger = SigningKey.generate("PeterNeumann").verification_key()
    for keys in ([], [stranger]):
        with pytest.raises(NoteError, match="no known key"):
            open_note(NOTE, keys)


def test_a_wrong_signature_of_a_known_key_refuses_the_whole_note() -> None:
    wrong = NOTE.replace("x08go/ZJku", "x08go/ZJkv")
    with pytest.raises(NoteError, match=r"PeterNeumann\+c74f20a3"):
        open_note(wrong, [peter, enoch])
    assert open_note(wrong, [enoch]) == TEXT
    with pytest.raises(NoteError):
        open_note(NOTE.replace("answer", "enemy"), [peter, enoch])


@pytest.mark.parametrize(
    "note",
    [
        TEXT, f"{TEXT}\n", f"{TEXT}\n{PETER_SIGNATURE[:-1]}", f"\x01{TEXT}\n{PETER_SIGNATURE}",
        f"{TEXT}\n{PETER_SIGNATURE.replace('PeterNeumann', 'Peter Neumann')}",
        f"{TEXT}\n{PETER_SIGNATURE}Unexpected line.\n", f"{TEXT}\n{PETER_SIGNATURE * 101}",
        f"{TEXT}\n{PETER_SIGNATURE.replace('PeterNeumann', 'Peter+Neumann')}",
        f"{TEXT}\n— PeterNeumann x08g\n", f"{TEXT}\n{PETER_SIGNATURE.replace('JnAM=', 'JnAN=')}", "",
    ],
)  # fmt: skip
def test_a_malformed_note_does_not_open(note: str) -> None:
    with pytest.raises(NoteError, match="malformed note"):
        open_note(note, [peter])


def test_no_part_of_a_key_is_a_key() -> None:
    for text, parse in ((PETER, VerificationKey.parse), (PETER_SECRET, SigningKey.parse)):
        mangled = [text[:-i] for i in range(1, len(text))] + [text[i:] for i in range(1, len(text))]
        mangled += [text[:i] + chr(ord(text[i]) + 1) + text[i + 1 :] for i in range(len(text))]
        for each in mangled:
            with pytest.raises(KeyFormatError):
                parse(each)


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_a_key_of_another_length_or_algorithm_is_refused(key: str) -> None:
    with pytest.raises(KeyFormatError):
        VerificationKey.parse(key)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak"])
def test_a_key_s_name_has_no_space_and_no_plus(name: str) -> None:
    with pytest.raises(KeyFormatError):
        SigningKey.generate(name)


def test_a_text_with_control_characters_is_not_signed() -> None:
    for text in ("no newline", "tab\there\n", "return\r\n"):
        with pytest.raises(NoteError):
            sign_note(text, [SigningKey.parse(PETER_SECRET)])


def test_a_checkpoint_has_the_published_text() -> None:
    checkpoint = read_checkpoint(EXAMPLE_CHECKPOINT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == EXAMPLE_CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "", "log\n1\n", EXAMPLE_CHECKPOINT.replace("20852163", "020852163"),
        EXAMPLE_CHECKPOINT.replace("20852163", "-1"), EXAMPLE_CHECKPOINT.replace("q2I=", "q2J="),
        EXAMPLE_CHECKPOINT.replace("q2I=", ""), EXAMPLE_CHECKPOINT.replace("20852163", "1" * 20),
        EXAMPLE_CHECKPOINT.replace("20852163", "\u0661"), f"{EXAMPLE_CHECKPOINT}\n",
        f"\n{EXAMPLE_CHECKPOINT}",
    ],
)  # fmt: skip
def test_another_text_is_not_a_checkpoint(text: str) -> None:
    with pytest.raises(NoteError, match="not a checkpoint"):
        read_checkpoint(text)


def test_a_checkpoint_may_have_extension_lines() -> None:
    assert read_checkpoint(f"{EXAMPLE_CHECKPOINT}extension\n").size == 20852163


def test_both_keys_of_a_rotation_open_the_checkpoint() -> None:
    old, new = SigningKey.generate("example.com/log"), SigningKey.generate("example.com/log")
    checkpoint = Checkpoint("example.com/log", 0, EMPTY_ROOT)
    note = checkpoint.sign([new, old])
    for key in (old, new):
        assert open_checkpoint(note, [key.verification_key()]) == checkpoint


def test_the_key_of_another_log_does_not_vouch_for_a_checkpoint() -> None:
    other = SigningKey.generate("example.com/other")
    note = Checkpoint("example.com/log", 0, EMPTY_ROOT).sign([other])
    with pytest.raises(NoteError):
        open_checkpoint(note, [other.verification_key()])
