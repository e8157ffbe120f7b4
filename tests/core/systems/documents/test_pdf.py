"""PDFs are opened by a process of their own, which a file may end: the others are read all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from include.systems.documents import pdf as reading
from include.systems.documents.pdf import PdfLimits, PdfReader, PdfText
from tests.core.systems.documents.pdfs import locked, pdf, swollen, with_lost_page

Read = Callable[..., PdfText]


@pytest.fixture(scope="module")
def reader() -> Iterator[PdfReader]:
    with PdfReader(PdfLimits(pages=10, characters=5_000)) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "one.pdf"


def process_of(reader: PdfReader) -> int:
    assert reader._process is not None
    return reader._process.pid


def test_pages_keep_their_order_and_empty_ones_their_place(reader: PdfReader, file: Path) -> None:
    file.write_bytes(pdf("first", "", "third"))
    assert reader.read(file) == PdfText(pages=("first", "", "third"))


def test_the_xml_of_a_hybrid_invoice_comes_byte_by_byte(reader: PdfReader, file: Path) -> None:
    xml = "<a>\u00e9\x85</a>".encode()
    file.write_bytes(pdf("see the XML", embedded=("Factur-X.xml", xml)))
    assert reader.read(file).xml == xml
    file.write_bytes(pdf("see", embedded=("terms.xml", xml)))
    assert reader.read(file).xml == b""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (locked(), "encrypted"),
        (pdf("cut off")[:300], "broken"),
        (b"%PDF-1.7\nrubbish", "broken"),
        (b"", "broken"),
        (pdf(*["p"] * 11), "too_many_pages"),
        (pdf(*["long" * 200] * 7), "too_long"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(reader: PdfReader, file: Path, data: bytes, problem: str) -> None:
    file.write_bytes(data)
    assert reader.read(file) == PdfText(problem=problem)
    file.write_bytes(pdf("next"))
    assert reader.read(file).pages == ("next",)


def test_a_page_that_cannot_be_opened_takes_no_other_with_it(reader: PdfReader, file: Path) -> None:
    file.write_bytes(with_lost_page("a", "b"))
    assert reader.read(file) == PdfText(pages=("a", "b", ""), unread=1)


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read(file: Path) -> None:
    with PdfReader(PdfLimits()) as reader:
        file.write_bytes(pdf("words"))
        assert reader.read(file).pages == ("words",)
        file.write_bytes(swollen(40))
        assert hurried(reader, file).problem == "too_slow"
        file.write_bytes(pdf("next"))
        assert reader.read(file).pages == ("next",)


def test_a_process_that_hangs_is_ended(file: Path) -> None:
    file.write_bytes(pdf("words"))
    with PdfReader(PdfLimits()) as reader:
        assert reader.read(file).pages == ("words",)
        hanging = process_of(reader)
        os.kill(hanging, signal.SIGSTOP)
        assert hurried(reader, file).problem == "too_slow"
        with pytest.raises(ProcessLookupError):
            os.kill(hanging, 0)
        assert reader.read(file).pages == ("words",)


def hurried(reader: PdfReader, file: Path) -> PdfText:
    """Read under a limit that only this file has; the process runs already, so that its start takes none of it."""
    given, reader._limits = reader._limits, PdfLimits(seconds=0.3)
    found = reader.read(file)
    reader._limits = given
    return found


def test_a_file_that_takes_too_much_memory_ends_only_its_reader(file: Path) -> None:
    with PdfReader(PdfLimits(memory=1 << 27)) as reader:
        file.write_bytes(swollen(12))
        assert reader.read(file).problem == "reader_died"
        file.write_bytes(pdf("next"))
        assert reader.read(file).pages == ("next",)


def test_a_process_that_was_killed_between_two_files_costs_neither(file: Path) -> None:
    file.write_bytes(pdf("words"))
    with PdfReader(PdfLimits()) as reader:
        reader.read(file)
        killed = reader._process
        assert killed is not None
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert reader.read(file).pages == ("words",)
        assert process_of(reader) != killed.pid


def test_the_process_is_given_no_secret_of_this_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DROP", "sftp://nl:secret@host")
    file.write_bytes(pdf("words"))
    with PdfReader(PdfLimits()) as reader:
        reader.read(file)
        given = Path(f"/proc/{process_of(reader)}/environ").read_bytes()
    assert b"PYTHONPATH" in given
    assert b"secret" not in given


def test_a_process_reads_so_many_files_and_ends_with_its_reader(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_DOCUMENTS", 2)
    file.write_bytes(pdf("words"))
    with PdfReader(PdfLimits()) as reader:
        seen = []
        for _ in range(4):
            reader.read(file)
            seen.append(process_of(reader))
    assert len(dict.fromkeys(seen)) == 2
    for one in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(one, 0)
