"""What must be answered for one account. The JSON schema sent to the model is made of this class."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Health = Literal["good", "watch", "at_risk", "unknown"]
_LINK = re.compile(r"[a-z][a-z0-9+.-]*://|www\.|\]\(|<[a-z!/]", re.IGNORECASE)


class Output(BaseModel):
    """A note for whoever calls the account next, with the records that it rests on."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(min_length=20, max_length=700, description="Two to five sentences, plain text, no link")
    health: Health = Field(description="unknown if tickets and invoices say too little")
    sources: list[str] = Field(max_length=12, description="The ids, as tools showed them, that the note rests on")
    confidence: float = Field(ge=0, le=1, description="How sure you are that the note says what the records say")

    @field_validator("note")
    @classmethod
    def holds_no_link(cls, note: str) -> str:
        """A link in a customer's text must not reach the CRM as ours."""
        if _LINK.search(note):
            raise ValueError("the note must hold no link and no markup")
        return note
