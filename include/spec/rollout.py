"""When a use case may go further, and when it goes back by itself, as it declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rollout:
    """When the next mode is proposed to people, and when mode auto is taken back.

    **Gated** is proposed once at least `nights` nights in mode shadow have succeeded with the prompt and model in use,
    and of at least `compared` records that people had filled in themselves (the `newest` of them), `alike` (0 to 1)
    held what would have been written, at the lower end of the 95 % interval. Compared are the fields of the answer with
    a closed list of values, where the first sink writes them that has one; or else those of `people_keep`: a field of
    the answer, and the name under which people keep theirs in that sink's records.

    **Auto** is proposed once people have `decided` on so many answers of the prompt and model in use. Of the `newest`
    of them they must have approved `agreement` (0 to 1) as they were, at the lower end of its 95 % interval.

    **Taken back** to gated is mode auto when, of at least `few` newest decisions, more than `overruled` were edited or
    rejected; when an expectation on answers stopped a night; when, of at least `few` rows of a night, more than
    `failed` ended as dead letters or with an answer that fits nothing; when at least `drifted` signals of what the
    model sees drifted (None: not by their number), or one of a column in `watched`; or when the answers drifted, by
    their confidence or by the values of a field with a closed list, unless `answers_may_drift`.
    """

    nights: int = 3
    compared: int = 50
    alike: float = 0.8
    people_keep: Mapping[str, str] = field(default_factory=dict)
    decided: int = 50
    newest: int = 500
    agreement: float = 0.9
    few: int = 20
    overruled: float = 0.2
    failed: float = 0.05
    drifted: int | None = 3
    watched: tuple[str, ...] = ()
    answers_may_drift: bool = False

    @property
    def gated_when(self) -> str:
        """When gated is proposed, in words."""
        return (
            f"{self.nights} nights in shadow and {self.compared} records that people filled in, at least "
            f"{self.alike:.0%} as proposed"
        )

    @property
    def auto_when(self) -> str:
        """When auto is proposed, in words."""
        return (
            f"{self.decided} decisions, at least {self.agreement:.0%} of the newest {self.newest} approved as they were"
        )

    @property
    def back_when(self) -> tuple[str, ...]:
        """Each reason for which auto is taken back, in words."""
        signals = [] if self.drifted is None else [f"{self.drifted} drifted signals of what the model sees"]
        signals += [f"any drift of {column}" for column in self.watched]
        return (
            f"more than {self.overruled:.0%} overruled of {self.few} decisions or more",
            f"more than {self.failed:.0%} of {self.few} rows or more without an answer that can be used",
            *signals,
            *(() if self.answers_may_drift else ("answers that drifted",)),
            "an expectation on answers that stopped a night",
        )
