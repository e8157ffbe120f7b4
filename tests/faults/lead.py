"""What the model must answer in a history."""

from typing import Literal

from pydantic import BaseModel


class Lead(BaseModel):
    """A score and a tier."""

    score: int
    tier: Literal["hot", "warm", "cold"]
