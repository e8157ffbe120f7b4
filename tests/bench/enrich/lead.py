"""What the benchmark's model must answer."""

from pydantic import BaseModel


class Lead(BaseModel):
    """A score and why."""

    score: int
    reason: str
