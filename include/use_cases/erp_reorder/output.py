"""What is answered for one product in one plant."""

from pydantic import BaseModel, ConfigDict, Field


class Output(BaseModel):
    """How much to order and what that rests on; quantities in units of the product."""

    model_config = ConfigDict(extra="forbid")

    product: str = Field(min_length=1, max_length=80)
    plant: str = Field(min_length=1, max_length=80)
    order: float = Field(ge=0, le=1e9, description="What to order now, in whole packs; 0: nothing")
    needed: float = Field(ge=0, le=1e15, description="Expected until an order of next week could be there")
    safety: float = Field(ge=0, le=1e15, description="Kept for demand above what is expected")
    at_hand: float = Field(ge=0, le=1e15, description="In stock and on order")
    weeks_left: float = Field(ge=0, le=520, description="Weeks that what is at hand lasts at the expected demand")
    reason: str = Field(min_length=1, max_length=200)
    confidence: float = Field(ge=0, le=1, description="That of the forecast it rests on")
