"""Files over real SFTP: complete or not ready, read by their declaration, archived once on record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from include.errors import AccessDenied, ContractBroken, FileNotReady, SystemUnavailable
from include.ledger import tables
from include.models import Record, RejectedRow
from include.night.extract.archive import archive
from include.night.extract.drops import Fetched, fetch_drop, open_drop
from include.run import Night
from include.systems.files.declared import DropFacts, stage_drop
from include.systems.files.drop import FileDrop
from tests.core.night.extract.conftest import FILE, HEADER, INTERVAL, LINE, Drop

GOOD = "\n".join([HEADER, *(LINE.format(n) for n in range(1, 4))]) + "\n"


@pytest.fixture
def night(night_of: Callable[..., Night]) -> Night:
    return night_of()


def fetch(
    night: Night, file_drop: FileDrop, into: Path, sleep: Callable[[float], None] = lambda _: None
) -> Fetched | None:
    with open_drop(night, "sftp") as sftp:
        return fetch_drop(sftp, file_drop, INTERVAL, into, sleep)


def stage(
    file_drop: FileDrop, text: str | bytes, folder: Path, personal: tuple[str, ...] = ()
) -> tuple[DropFacts, list[Record], list[RejectedRow]]:
    local, staged, rejected = folder / "local", folder / "staged.parquet", []
    local.write_bytes(text.encode() if isinstance(text, str) else text)
    facts = stage_drop(file_drop, local, FILE, staged, rejected.append, personal)
    return facts, pq.read_table(staged).to_pylist(), rejected


def test_a_file_is_fetched_whole_and_hashed(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    data = os.urandom(5_000_001)
    drop.put(data)
    found = fetch(night, file_drop, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data
    assert found is not None
    assert (found.path, found.at, found.name) == (f"drop/{FILE}", f"drop/{FILE}", FILE)
    assert (found.sha256, found.bytes, found.checksum) == (hashlib.sha256(data).hexdigest(), 5_000_001, True)


def test_a_missing_file_says_where_it_was_looked_for(night: Night, file_drop: FileDrop, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotReady, match=r"sftp drop: no file matches 'firmographics_2024-03-05\.csv', nor in archive"
    ):
        fetch(night, file_drop, tmp_path / "file")


def test_a_missing_file_that_is_not_required_is_none(night: Night, file_drop: FileDrop, tmp_path: Path) -> None:
    assert fetch(night, replace(file_drop, required=False), tmp_path / "file") is None


def test_a_file_that_differs_from_its_checksum_is_not_ready(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(GOOD).write_text(GOOD + "more\n")
    with pytest.raises(FileNotReady, match=r"differs from its \.sha256"):
        fetch(night, file_drop, tmp_path / "file")


def test_a_checksum_that_is_none_is_not_ready(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    drop.put(GOOD)
    drop.put("", f"{FILE}.sha256", checksum=False)
    with pytest.raises(FileNotReady, match="holds no sha256"):
        fetch(night, file_drop, tmp_path / "file")


def test_a_file_that_grows_while_it_settles_is_not_ready(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    path = drop.put(GOOD, checksum=False)
    with pytest.raises(FileNotReady, match="still growing"):
        fetch(night, file_drop, tmp_path / "file", lambda _: path.write_text(GOOD + "more\n") and None)


def test_a_file_rewritten_in_the_same_size_while_it_settles_is_not_ready(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    path = drop.put(GOOD, checksum=False)
    with pytest.raises(FileNotReady, match="still growing"):
        fetch(night, file_drop, tmp_path / "file", lambda _: os.utime(path, (1, 1)))


def test_a_file_without_checksum_settles_for_the_declared_time(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(GOOD, checksum=False)
    waited: list[float] = []
    found = fetch(night, replace(file_drop, settle_seconds=60), tmp_path / "file", waited.append)
    assert found is not None
    assert not found.checksum
    assert 50 < waited[0] <= 60


def test_two_files_for_one_night_are_not_guessed_between(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    for name in ("firm_a.csv", "firm_b.csv"):
        drop.put(GOOD, name)
    with pytest.raises(ContractBroken, match="2 files match"):
        fetch(night, replace(file_drop, pattern="firm_*"), tmp_path / "file")


def test_a_wrong_password_is_denied(night_of: Callable[..., Night], drop: Drop, connections: dict[str, str]) -> None:
    wrong = {
        **connections,
        "AIRFLOW_CONN_SFTP_DEFAULT": connections["AIRFLOW_CONN_SFTP_DEFAULT"].replace("right", "no"),
    }
    with pytest.raises(AccessDenied, match="sftp_default"), open_drop(night_of(connections=wrong), "sftp"):
        pass


def test_a_lost_connection_is_unavailable(night: Night, drop: Drop) -> None:
    def read_after_the_line_is_cut() -> None:
        with open_drop(night, "sftp") as sftp:
            sftp.get_channel().get_transport().close()
            sftp.listdir("drop")

    with pytest.raises(SystemUnavailable, match="sftp"):
        read_after_the_line_is_cut()


def test_good_records_are_staged_with_key_line_and_declared_kinds(file_drop: FileDrop, tmp_path: Path) -> None:
    text = HEADER + '\nhttps://WWW.Acme.com/x,"Acme\nInc",n/a,"1,200",2.5,1990,,2024-03-01\nb.com,B,,,,,,\n'
    facts, rows, rejected = stage(file_drop, text, tmp_path)
    assert rejected == []
    assert [(row["key"], row["line"], row["firm_employees"]) for row in rows] == [
        ("acme.com", 2, 1200),
        ("b.com", 4, None),
    ]
    assert (rows[0]["firm_name"], rows[0]["firm_industry"]) == ("Acme\nInc", None)
    assert (facts.rows, facts.rejected, facts.encoding, facts.delimiter) == (2, 0, "utf-8", ",")


def test_every_bad_record_is_set_aside_with_file_line_and_every_reason(file_drop: FileDrop, tmp_path: Path) -> None:
    short = replace(file_drop, max_field_chars=60)
    lines = [
        HEADER,
        "a.com,A,,1,1,1990,,",
        "b.com,B",
        "c.com,C,,1,1,1990,,,extra",
        "d.com,D,,few,a lot,1990,,",
        ",E,,1,1,1990,,",
        "f.com," + "F" * 61 + ",,x,1,1990,,",
        "WWW.A.com,again,,1,1,1990,,",
        '"g.com,G,,1,1,1990,,',
        "h.com,H,,1,1,1990,,",
    ]
    facts, rows, rejected = stage(short, "\n".join(lines), tmp_path)
    assert [row["key"] for row in rows] == ["a.com", "h.com"]
    assert {row.row_id.rpartition(":")[2]: row.reasons for row in rejected} == {
        "3": ("has 2 fields, the header has 8",),
        "4": ("has 9 fields, the header has 8",),
        "5": ("firm_employees: expected integer, got 'few'", "firm_annual_revenue: expected number, got 'a lot'"),
        "6": ("domain: missing, so the row cannot be joined",),
        "7": ("firm_employees: expected integer, got 'x'", "firm_name: longer than 60 characters"),
        "8": ("domain: the same as in line 2, which counts",),
        "9": ("quotes do not match (unexpected end of data)",),
    }
    assert {row.source for row in rejected} == {f"sftp/{FILE}:{n}" for n in range(3, 10)}
    assert not any(row.counts_as_input for row in rejected)
    assert (facts.rows, facts.rejected) == (9, 7)


def test_a_rejected_line_of_a_file_with_personal_columns_is_not_kept(file_drop: FileDrop, tmp_path: Path) -> None:
    text = HEADER + "\njane@example.com,Jane\njane.com,Jane Doe,,few,,,,\n"
    _, _, rejected = stage(file_drop, text, tmp_path, ("firm_name",))
    assert rejected[0].record == {}
    assert rejected[1].record["firm_name"] == "Jane Doe"  # under its declared name, so quarantine masks it
    assert rejected[1].row_key is None


def test_columns_may_come_in_any_order_and_with_others(file_drop: FileDrop, tmp_path: Path) -> None:
    names = [*reversed(HEADER.split(",")), "surprise"]
    text = ";".join(names) + "\n" + ";".join("acme.com" if name == "domain" else "" for name in names) + "\n"
    facts, rows, rejected = stage(file_drop, text, tmp_path)
    assert (facts.delimiter, facts.extra_columns) == (";", ["surprise"])
    assert [row["key"] for row in rows] == ["acme.com"]
    assert rejected == []


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_the_same_rows_come_out_of_every_encoding(file_drop: FileDrop, tmp_path: Path, codec: str) -> None:
    text = HEADER + "\nmueller.de,Müller & Söhne,,1,1,1990,,\n"
    _, rows, rejected = stage(file_drop, text.encode(codec), tmp_path)
    assert (rows[0]["key"], rows[0]["firm_name"], rejected) == ("mueller.de", "Müller & Söhne", [])


def test_a_value_with_undecodable_bytes_is_set_aside(file_drop: FileDrop, tmp_path: Path) -> None:
    text = HEADER.encode() + b"\ncafe.fr,Caf\xe9 \x81 \x98 x,,1,1,1990,,\ngood.fr,Caf\xe9,,1,1,1990,,\n"
    _, rows, rejected = stage(file_drop, text, tmp_path)
    assert [row["key"] for row in rows] == ["good.fr"]
    assert rejected[0].reasons == ("firm_name: has bytes that are not cp1252",)


def test_one_bad_byte_costs_one_row_and_not_the_names_of_the_others(file_drop: FileDrop, tmp_path: Path) -> None:
    good = "".join(f"m{number}.de,M\u00fcller,,1,1,1990,,\n" for number in range(50)).encode()
    facts, rows, rejected = stage(
        file_drop, HEADER.encode() + b"\n" + good + b"bad.de,M\xfcller,,1,1,1990,,\n", tmp_path
    )
    assert (facts.encoding, {row["firm_name"] for row in rows}) == ("utf-8", {"M\u00fcller"})
    assert [one.reasons for one in rejected] == [("firm_name: has bytes that are not utf-8",)]


@pytest.mark.parametrize("text", ["", "\n\n", HEADER, HEADER + "\n\n \n"])
def test_a_file_without_a_row_breaks_the_contract(file_drop: FileDrop, tmp_path: Path, text: str) -> None:
    with pytest.raises(ContractBroken, match=f"{FILE}: empty file"):
        stage(file_drop, text, tmp_path)


def test_a_renamed_column_is_named_with_the_closest_one(file_drop: FileDrop, tmp_path: Path) -> None:
    text = GOOD.replace("employees", "employee_count", 1)
    with pytest.raises(ContractBroken, match=r"no 'employees'; closest: 'employee_count'.*\(renamed\?\)"):
        stage(file_drop, text, tmp_path)


def test_a_declared_column_that_is_there_twice_is_refused(file_drop: FileDrop, tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match="'industry' is there twice"):
        stage(file_drop, HEADER + ",industry\na.com,,,,,,,,\n", tmp_path)


def events(night: Night) -> list[str]:
    with night.ledger.connect() as connection:
        query = select(tables.event.c.type).where(tables.event.c.stream == night.run_id).order_by(tables.event.c.seq)
        return [kind for kind in connection.execute(query).scalars() if kind.startswith("file.")]


def archived_to(night: Night) -> list[str | None]:
    with night.ledger.connect() as connection:
        query = select(tables.source_file.c.archived_to).order_by(tables.source_file.c.recorded_at)
        return list(connection.execute(query).scalars())


def test_a_file_goes_to_the_archive_with_its_checksum_and_on_record(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(GOOD)
    found = fetch(night, file_drop, tmp_path / "file")
    assert found is not None
    for _ in range(2):
        archive(night, [found])
    assert drop.names("drop") == []
    assert drop.names("archive") == [FILE, f"{FILE}.sha256"]
    assert events(night) == ["file.registered", "file.archived"]
    assert archived_to(night) == [f"archive/{FILE}"]


def test_a_file_is_on_record_before_it_moves(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    drop.put(GOOD)
    found = fetch(night, file_drop, tmp_path / "file")
    assert found is not None
    night.connections.open = None  # type: ignore[method-assign,assignment]
    with pytest.raises(TypeError):
        archive(night, [found])
    assert events(night) == ["file.registered"]
    assert drop.names("drop") == [FILE, f"{FILE}.sha256"]


@pytest.mark.parametrize("moved", [[".sha256"], [".sha256", ""]])
def test_a_crash_while_moving_is_repaired(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, moved: list[str]
) -> None:
    drop.put(GOOD)
    found = fetch(night, file_drop, tmp_path / "file")
    assert found is not None
    for suffix in moved:
        (drop.root / "drop" / (FILE + suffix)).rename(drop.root / "archive" / (FILE + suffix))
    again = fetch(night, file_drop, tmp_path / "file")
    assert again is not None
    assert (again.path, again.sha256) == (found.path, found.sha256)
    for file in (again, found):
        archive(night, [file])
    assert drop.names("archive") == [FILE, f"{FILE}.sha256"]
    assert events(night) == ["file.registered", "file.archived"]
    assert archived_to(night) == [f"archive/{FILE}"]


def test_a_file_delivered_again_does_not_replace_the_archived_one(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    for text in (GOOD, GOOD + LINE.format(9) + "\n"):
        drop.put(text)
        found = fetch(night, file_drop, tmp_path / "file")
        assert found is not None
        archive(night, [found])
    suffix = found.sha256[:8]
    assert drop.names("archive") == [FILE, f"{FILE}.{suffix}", f"{FILE}.{suffix}.sha256", f"{FILE}.sha256"]
    os.utime(drop.root / "archive" / FILE, (1, 1))
    latest = fetch(night, file_drop, tmp_path / "file")
    assert latest is not None
    assert (latest.path, latest.at) == (f"drop/{FILE}", f"archive/{FILE}.{suffix}")
    assert archived_to(night) == [f"archive/{FILE}", f"archive/{FILE}.{suffix}"]


def test_a_name_that_ends_in_a_date_is_found_in_the_archive(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(GOOD, "firm.20240305", folder="archive")
    found = fetch(night, replace(file_drop, pattern="firm.%Y%m%d"), tmp_path / "file")
    assert found is not None
    assert (found.path, found.at) == ("drop/firm.20240305", "archive/firm.20240305")


def test_the_same_file_delivered_again_is_cleared_away(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    for _ in range(2):
        drop.put(GOOD)
        found = fetch(night, file_drop, tmp_path / "file")
        assert found is not None
        archive(night, [found])
    assert drop.names("drop") == []
    assert drop.names("archive") == [FILE, f"{FILE}.sha256"]


def test_a_file_replaced_since_it_was_read_stays(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    drop.put(GOOD)
    found = fetch(night, file_drop, tmp_path / "file")
    assert found is not None
    drop.put(GOOD + LINE.format(9))
    archive(night, [found])
    assert drop.names("drop") == [FILE, f"{FILE}.sha256"]
    assert events(night) == ["file.registered"]


def test_the_archive_folder_is_made_when_it_is_missing(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(GOOD)
    (drop.root / "archive").rmdir()
    found = fetch(night, file_drop, tmp_path / "file")
    assert found is not None
    archive(night, [found])
    assert FILE in drop.names("archive")


def test_a_file_that_another_night_archives_meanwhile_is_read_from_there(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    there = drop.put(GOOD, checksum=False)
    found = fetch(night, file_drop, tmp_path / "file", lambda _: there.rename(drop.root / "archive" / FILE))  # type: ignore[arg-type, return-value]
    assert found is not None
    assert (found.path, found.at) == (f"drop/{FILE}", f"archive/{FILE}")
    assert (tmp_path / "file").read_text() == GOOD


def test_a_file_that_is_gone_meanwhile_is_not_replaced_by_an_older_one(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    there = drop.put(GOOD, checksum=False)
    drop.put(GOOD + "older\n", folder="archive")
    with pytest.raises(FileNotReady, match=rf"drop: {FILE} was taken away while it was read"):
        fetch(night, file_drop, tmp_path / "file", lambda _: there.unlink())
