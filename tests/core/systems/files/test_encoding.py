"""How the bytes of a file are read where they are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.errors import ConfigurationError
from include.systems.files.formats.encoding import find_encoding

UMLAUTS = "Müller,Größe\n".encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.csv"


def test_a_file_that_is_mostly_utf8_is_utf8_with_losses_counted(file: Path) -> None:
    file.write_bytes(UMLAUTS * 1_000 + b"M\xfcller\n" + UMLAUTS)
    found = find_encoding(file)
    assert (found.codec, found.how, found.clean, found.replaced) == ("utf-8", "utf-8", False, 1)
    assert found.in_words() == "utf-8; 1 characters cannot be decoded"


def test_a_file_that_is_mostly_not_utf8_is_not(file: Path) -> None:
    file.write_bytes("Müller,Größe\n".encode("cp1252") * 100 + UMLAUTS)
    assert find_encoding(file).codec.startswith("cp125")


def test_a_few_bytes_tell_no_language(file: Path) -> None:
    file.write_bytes(b"a,b\n4,\xa9\n")
    found = find_encoding(file)
    assert (found.codec, found.how, found.confidence) == ("cp1252", "assumed", None)


def test_what_was_detected_says_how_sure_it_is(file: Path) -> None:
    file.write_bytes("имя,город\nИван,Москва и другие города России\n".encode("cp1251"))
    found = find_encoding(file)
    assert (found.codec, found.how) == ("cp1251", "detected")
    assert found.confidence is not None
    assert found.in_words().endswith("% sure)")


def test_a_declared_encoding_wins_and_must_exist(file: Path) -> None:
    file.write_bytes(UMLAUTS)
    assert find_encoding(file, "latin-1").in_words() == "iso8859-1 (declared)"
    for name in ("utf-9", "rot13", "base64"):
        with pytest.raises(ConfigurationError, match="no encoding"):
            find_encoding(file, name)


def test_a_byte_order_mark_is_dropped_where_its_encoding_is_declared(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa,b\n")
    assert find_encoding(file, "utf8").codec == "utf-8-sig"
