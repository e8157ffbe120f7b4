"""The model that decides tickets in the process where it is certain."""

from include.systems.fitted.declared import Local

LOCAL = Local(
    "model.v1",
    certain=0.97,
    reads=("subject", "body"),
    fills=("category", "priority", "language"),
    copies={"summary": "subject"},
    strange=0.05,
    out_of_scope="other",
    most_terms=6_000,
)
