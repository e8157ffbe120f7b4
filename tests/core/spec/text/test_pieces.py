"""Pieces of a long text: nothing is left out, each says where it stands, in any script."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.spec.text.pieces import Chunk, Cut
from include.systems.text.tokens import terms, token_spans

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
HEADINGS = """# Term|ARTICLE IV|Article 4 - Term|Section 4.2 Notice|4.2. Notice|12 Term|GOVERNING LAW|§ 5 Kündigung
Anlage B: Preise|3. 契約の期間|ГЛАВА ПЕРВАЯ|Exhibit A""".replace("\n", "|").split("|")
COUNTED = {"Größe 12-mm": 3, "契約書": 3, "हिन्दी में लेख": 3, "ภาษาไทย": 7, "don't": 2, "e\u0301te\u0301": 1, "_-_": 0}
ALIKE = {
    "MÜLLER": "muller",
    "straße": "STRASSE",
    "e\u0301té": "ETE",
    "ｆｕｌｌ": "full",
    "ﬁne": "fine",
    "が": "か\u3099",
}


def row(number: int, text: str | None) -> Record:
    lineage = {"drop": f"contract-{number}.pdf", "retrieved_at": "2026-11-20T02:00:00+00:00"}
    return {"row_id": f"drop/in/{number}", "row_key": f"contract-{number}.pdf", "lineage": lineage, "text": text}


@pytest.mark.parametrize(("size", "overlap"), [(1, 0), (2, 1), (7, 0), (7, 6), (10, 3), (400, 200)])
def test_every_token_is_in_a_piece_and_neighbours_overlap_as_declared(size: int, overlap: int) -> None:
    chosen = random.Random(size * 1000 + overlap)
    for count in (0, 1, size - 1, size, size + 1, 2 * size - overlap, 3 * size + 1):
        text = chosen.choice(["", " \n"]) + "".join(f"w{n}{chosen.choice([' ', '. ', chr(10)])}" for n in range(count))
        tokens = token_spans(text)
        assert len(tokens) == count
        pieces = Cut(size, overlap).pieces(text)
        assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
        held = [[token for token in tokens if piece.start <= token[0] and token[1] <= piece.end] for piece in pieces]
        assert sorted({token for each in held for token in each}) == tokens
        assert all(len(each) <= size for each in held)
        assert all(len(set(one) & set(then)) == overlap for one, then in pairwise(held))


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (5, 5), (5, 6), (5, -1)])
def test_sizes_by_which_a_text_would_never_end_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{size} tokens cannot overlap by {overlap}"):
        Chunk("text", size=size, overlap=overlap).columns({"text": "text"})


def test_a_piece_knows_its_pages() -> None:
    pages = ["one two three", "four five", "", "six seven"]
    found = Cut(2, 0).pieces("\f".join(pages))
    assert [(piece.text, piece.pages) for piece in found] == [
        ("one two", "1"),
        ("three\ffour", "1-2"),
        ("five\f\fsix", "2-4"),
        ("seven", "4"),
    ]


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_piece_stands_under_the_last_heading_before_it(heading: str) -> None:
    text = f"Preamble of these words.\n{heading}\n" + "one two three four five six seven eight " * 3
    with_heading, without = Cut(10, 0).pieces(text), Cut(10, 0, headings=False).pieces(text)
    assert [piece.headed.partition("\n")[0] for piece in with_heading[2:]] == [heading] * len(with_heading[2:])
    assert with_heading[0].heading == ""
    assert [piece._replace(heading="") for piece in with_heading] == without


@pytest.mark.parametrize("line", ["12 of them", "the section below", "IBM", "A long sentence that ends. " * 6, "7"])
def test_a_plain_line_is_no_heading(line: str) -> None:
    pieces = Cut(4, 0).pieces(f"{line}\none two three four five six seven eight")
    assert {piece.heading for piece in pieces} == {""}


def test_a_piece_that_begins_with_its_heading_does_not_repeat_it() -> None:
    (first, second) = Cut(4, 0).pieces("## Price list\none two three four")
    assert (first.headed, second.headed) == ("Price list\none two", "## Price list\nthree four")


def test_each_piece_is_a_row_with_its_place_on_record() -> None:
    chunk = Chunk("text", size=3, overlap=1)
    given = row(1, "# Term\none two three\ffour five six")
    applied = chunk.apply([given, row(2, None), row(3, " \f . ")], END)
    assert chunk.columns({"text": "text"}) == {"text": "text", "chunk": "integer"}
    assert [(one["row_id"], one["row_key"], one["chunk"], one["text"]) for one in applied] == [
        ("drop/in/1/1", "contract-1.pdf/1", 1, "Term\none two"),
        ("drop/in/1/2", "contract-1.pdf/2", 2, "# Term\ntwo three\ffour"),
        ("drop/in/1/3", "contract-1.pdf/3", 3, "# Term\nfour five six"),
    ]
    assert applied[1]["lineage"] == {
        **row(1, "")["lineage"],
        "page": "1-2",
        "span": "11-25",
        "heading": "# Term",
    }
    assert applied.counts == {"empty": 2}
    assert given == row(1, "# Term\none two three\ffour five six")


def test_a_text_of_too_many_pieces_is_set_aside() -> None:
    applied = Chunk("text", size=1, overlap=0, most=3).apply([row(1, "a b c d"), row(2, "a b c")], END)
    assert len(applied) == 3
    (rejected,) = applied.rejected
    assert (rejected.row_id, rejected.reasons) == ("drop/in/1", ("text: 4 pieces, at most 3 are taken",))


@pytest.mark.parametrize(("text", "count"), COUNTED.items())
def test_tokens_of_any_script_are_counted(text: str, count: int) -> None:
    assert len(token_spans(text)) == count


@pytest.mark.parametrize(("one", "other"), ALIKE.items())
def test_writings_of_one_word_are_one_term(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


def test_scripts_without_spaces_are_looked_for_by_pairs_of_signs() -> None:
    assert terms("契約の期間 is 5 年") == ["契約", "約の", "の期", "期間", "is", "5", "年"]
    assert set(terms("期間")) <= set(terms("契約の期間"))
