"""What the model must answer for one company. The JSON schema sent to the model is made of this class."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Industry = Literal[
    "COMPUTER_SOFTWARE",
    "INFORMATION_TECHNOLOGY_AND_SERVICES",
    "MACHINERY",
    "AUTOMOTIVE",
    "FINANCIAL_SERVICES",
    "INSURANCE",
    "HOSPITAL_HEALTH_CARE",
    "PHARMACEUTICALS",
    "RETAIL",
    "FOOD_BEVERAGES",
    "HIGHER_EDUCATION",
    "CONSTRUCTION",
    "MARKETING_AND_ADVERTISING",
    "OTHER",
    "UNKNOWN",
]
SizeBand = Literal["1-10", "11-50", "51-200", "201-500", "501-1000", "1001-5000", "5001-10000", "10001+", "UNKNOWN"]
LOWEST = (1, 11, 51, 201, 501, 1_001, 5_001, 10_001)
"""The fewest employees of each size band but UNKNOWN, in their order."""
MOST_EMPLOYEES = 3_000_000


class Output(BaseModel):
    """Industry and size, with what they rest on; every answer is validated again after the model."""

    model_config = ConfigDict(extra="forbid")

    industry: Industry = Field(description="OTHER if it is known and not in this list, UNKNOWN if it cannot be told")
    size_band: SizeBand = Field(description="Number of employees; UNKNOWN if nothing says or suggests one")
    employees_estimate: int | None = Field(ge=1, le=MOST_EMPLOYEES, description="Within the band; null if UNKNOWN")
    evidence: str = Field(min_length=1, max_length=300, description="One sentence: which fields it rests on")
    confidence: float = Field(ge=0, le=1, description="How sure you are that industry and size band are right")
