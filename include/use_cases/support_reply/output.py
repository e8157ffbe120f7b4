"""What must be answered for one ticket. The JSON schema sent to the model is made of this class."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "de", "fr", "es"]
Tone = Literal["plain", "warm", "formal"]
GuidelineId = Annotated[str, Field(pattern=r"^[A-Z]{3}-[0-9]{1,2}$")]
MOST_BODY = 2_000


class Output(BaseModel):
    """The draft of a reply, and what it rests on; every draft is validated again, whoever wrote it."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(min_length=1, max_length=150, description="Of the reply, without names and numbers")
    body: str = Field(min_length=40, max_length=MOST_BODY, description="The reply, from the greeting to the sign-off")
    language: Language = Field(description="That of the ticket")
    tone: Tone = Field(description="As the record asks for")
    guidelines: list[GuidelineId] = Field(min_length=1, max_length=6, description="Those that the draft rests on")
    confidence: float = Field(ge=0, le=1, description="How sure you are that an agent would send it unchanged")
    needs_human: str | None = Field(
        max_length=200, description="What an agent must decide or look up before sending; null if nothing"
    )
