"""Why a row can end as a dead letter."""

CAUSES = {
    "model_unavailable": "the model did not answer after every attempt",
    "invalid_output": "the model's answers did not fit the schema, also after being asked again",
    "empty_output": "the model answered with nothing",
    "refused": "the model refused to answer",
    "rejected_by_model": "the model's endpoint rejected the request",
    "prompt_too_large": "the row does not fit the model's context",
    "left_undecided": "nothing in the process could decide the row, and no model is asked",
    "empty_input": "the model would have seen nothing of the row",
    "record_missing": "the destination has no such record",
    "rejected_by_destination": "the destination rejected the values",
    "tampered": "what was staged to be written is not what was decided",
    "values_gone": "the row that the answer's tokens were made of is not staged any more",
    "no_result": "the destination did not say what became of the record",
}
"""Every cause there is, in words."""
