"""What people corrected, as candidate examples for a use case's `evals.jsonl`: rejections and edits."""

from __future__ import annotations

import json
from typing import TextIO

from sqlalchemy import text

from include.database import Database, transaction


def write_examples(ledger: Database, use_case: str, out: TextIO) -> int:
    """One JSON object a line with `input`, `expected`, and from where it comes; returns how many.

    `input` is what was shown, personal values as tokens. An edit expects what the person made of the answer; a
    rejection only says what must not come again (`expected` is null, `rejected` the answer), so that a person fills in
    what should.
    """
    count = 0
    with transaction(ledger) as connection:
        for row in connection.execute(_CORRECTED, {"use_case": use_case}).mappings():
            edited = row["status"] == "edited"
            example = {
                "input": row["shown"].get("input", {}),
                "expected": row["output"] if edited else None,
                "rejected": row["proposed"],
                "from": f"review item {row['review_item_id']}, by {row['decided_by']} on {row['decided_at']:%Y-%m-%d}",
                "comment": row["comment"],
            }
            out.write(json.dumps(example, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


_CORRECTED = text("""
SELECT review_item_id, shown, proposed, output, status, decided_by, decided_at, comment FROM nightledger.review_item
 WHERE use_case = :use_case AND status IN ('edited', 'rejected') ORDER BY review_item_id""")
