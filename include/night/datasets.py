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
    ]
)
"""One row per answered row; `output` and `lineage` are JSON, `input` is what the model was shown."""

APPROVED = pa.schema(
    [
        ("row_id", pa.string()),
        ("row_key", pa.string()),
        ("lineage", pa.string()),
        ("inference_key", pa.string()),
        ("decision_id", pa.string()),
        ("origin", pa.string()),
        ("output", pa.string()),
    ]
)
"""One row per row that the gate lets through to the sinks."""
