"""What the model must answer for one lead. The JSON schema sent to the model is made of this class."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Output(BaseModel):
    """A score with its reasons; every answer is validated again after the model, whatever the endpoint promised."""

    model_config = ConfigDict(extra="forbid")

    score: int = Field(ge=0, le=100, description="How likely this lead is to become a customer, 0 to 100")
    tier: Literal["hot", "warm", "cold"] = Field(description="hot from 70, warm from 40, else cold")
    summary: str = Field(min_length=1, max_length=300, description="One sentence for the sales representative")
    next_action: Literal["call", "email", "nurture", "research", "discard"]
    confidence: float = Field(ge=0, le=1, description="How sure you are that the tier is right")
    reasons: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=5)
