"""What the model must answer."""

from pydantic import BaseModel, ConfigDict, Field


class Output(BaseModel):
    """A quantity."""

    model_config = ConfigDict(extra="forbid")

    quantity: float = Field(ge=0, le=1000)
    confidence: float = Field(ge=0, le=1)
