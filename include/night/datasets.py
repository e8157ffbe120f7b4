"""Schemas of the datasets before and after the gate."""

import pyarrow as pa

ENRICHED = pa.schema(
    [
        ("row_id", pa.string()),
        ("row_key", pa.string()),
        ("lineage", pa.string()),
        ("inference_key", pa.string()),
        ("inference_id", pa.string()),
        ("origin", pa.string()),
        ("reused", pa.bool_()),
        ("output", pa.string()),
        ("confidence", pa.float64()),
        ("input", pa.string()),
        ("hidden", pa.string()),
    ]
)
"""One row per answered row; `output` and `lineage` are JSON, `input` is what the model was shown.

`hidden` are the columns that it was shown with tokens, as they were read, where the answer has tokens to be replaced.
"""

APPROVED = pa.schema(
    [
        ("row_id", pa.string()),
        ("row_key", pa.string()),
        ("lineage", pa.string()),
        ("inference_key", pa.string()),
        ("decision_id", pa.string()),
        ("origin", pa.string()),
        ("output", pa.string()),
        ("hidden", pa.string()),
    ]
)
"""One row per row that the gate lets through to the sinks."""
