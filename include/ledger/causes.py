"""Why a row can end as a dead letter."""

CAUSES = {
    "model_unavailable": "the model did not answer after every attempt",
    "invalid_output": "the model's answers did not fit the schema, also after being asked again",
    "empty_output": "the model answered with nothing",
    "refused": "the model refused to answer",
    "rejected_by_model": "the model's endpoint rejected the request",
    "prompt_too_large": "the row does not fit the model's context",
    "agent_steps": "the agent asked as often as it may, and gave no answer",
    "agent_tool_calls": "the agent wanted to read more often than it may",
    "agent_tokens": "the agent's next question could have taken more tokens than a row may take",
    "agent_money": "the agent's next question could have cost more than a row may cost",
    "agent_seconds": "the agent's calls and reads took longer than a row may take",
    "agent_loop": "the agent asked again and again for what it had read",
    "agent_misused_tool": "the agent asked for tools that there are not, or with arguments that do not fit",
    "agent_tool_failed": "what the agent had to read could not be read, so its answer would not have been whole",
    "left_undecided": "nothing in the process could decide the row, and no model is asked",
    "empty_input": "the model would have seen nothing of the row",
    "record_missing": "the destination has no such record",
    "rejected_by_destination": "the destination rejected the values",
    "tampered": "what was staged to be written is not what was decided",
    "values_gone": "the row that the answer's tokens were made of is not staged any more",
    "no_result": "the destination did not say what became of the record",
}
"""Every cause there is, in words."""
