"""What is answered for one product in one plant."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Week(BaseModel):
    """A week to come; in four of five weeks demand is meant to lie from `low` to `high`."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="The Monday on which the week begins")
    quantity: float = Field(ge=0, le=1e15, description="Demand is as likely above as below it")
    low: float = Field(ge=0, le=1e15)
    high: float = Field(ge=0, le=1e16)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.quantity <= self.high:
            raise ValueError("low, quantity and high are not in order")
        return self


class Output(BaseModel):
    """The weeks to come, and what they rest on."""

    model_config = ConfigDict(extra="forbid")

    horizon: list[Week] = Field(min_length=1, max_length=26)
    method: Literal["level", "season_and_drift", "mean"]
    confidence: float = Field(ge=0, le=1, description="1 less the share of past demand that such forecasts missed")
    history_periods: int = Field(ge=0, description="Weeks of history that were used")
    largest_seen: float = Field(ge=0, description="The largest quantity among them")
