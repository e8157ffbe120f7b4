"""What must be answered for one ticket. The JSON schema sent to the model is made of this class."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Category = Literal[
    "billing",
    "refund",
    "delivery",
    "return",
    "account_access",
    "technical_fault",
    "how_to",
    "order_change",
    "cancellation",
    "complaint",
    "data_privacy",
    "sales",
    "other",
]


class Output(BaseModel):
    """Where a ticket belongs and how soon; every answer is validated again, whoever gave it."""

    model_config = ConfigDict(extra="forbid")

    category: Category = Field(description="What the customer wants; other if it is none of these")
    priority: Literal["low", "normal", "high", "urgent"] = Field(description="How soon somebody must look at it")
    language: Literal["en", "de", "fr", "es", "xx"] = Field(description="Of the body; xx for any other")
    summary: str = Field(min_length=1, max_length=160, description="One line for the agent, without names or numbers")
    confidence: float = Field(ge=0, le=1, description="How sure you are that category and priority are right")
