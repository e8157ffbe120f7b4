"""What is on record of alerts: what stands, what each channel took of it, and windows in which nobody is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, text

from include.database import Database, to_json, transaction
from include.errors import ConfigurationError
from include.ledger.record import record_event

Severity = Literal["warning", "severe"]
STREAM = "alerts"
"""Where it is on record who silenced what."""
CAUSES: Mapping[str, str] = {
    "night_failed": "A night failed",
    "night_late": "A night is late",
    "access_denied": "Access was denied",
    "calls_failing": "Calls to the model fail",
    "calls_slow": "The model is slow",
    "spend_high": "Spend is unusual",
    "budget_low": "A budget is nearly used up",
    "credential_expiring": "A credential expires",
    "night_drifted": "A night drifted",
    "taken_back": "Mode auto was taken back",
    "review_waiting": "Answers wait too long for a person",
    "not_watched": "A use case cannot be watched",
}
"""Every cause there is, in words."""
LONGEST_SILENCE = timedelta(days=31)
_TOLD_FOR = timedelta(days=7)
"""How long it is still said of an alert that it is over; after a longer outage of a channel nobody needs to know."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should see to.

    `use_case` is empty for what concerns no use case alone. `sentence` holds numbers and names of ours, never a value
    of a row. `page` is a path from the root of Airflow's server. What has the same `key` as before is the same thing.
    """

    key: str
    use_case: str
    cause: str
    severity: Severity
    sentence: str
    page: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one channel took of an alert, and since when it fails if it does.

    `severity` is the one that was told. `over_at` is when it took that the alert is over; `error` says why it did not
    take what it was last given, `failures` how often in a row.
    """

    sent_at: datetime | None = None
    severity: str = ""
    over_at: datetime | None = None
    error: str = ""
    failed_at: datetime | None = None
    failures: int = 0

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Told:
        """From the ledger's JSON; names of other versions are left out."""
        known: dict[str, Any] = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
        for name in ("sent_at", "over_at", "failed_at"):
            if known.get(name):
                known[name] = datetime.fromisoformat(known[name])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert on record; without `resolved_at` it stands. `channels` is what each took of it."""

    alert_id: int
    alert: Alert
    first_seen: datetime
    last_seen: datetime
    notified_at: datetime | None
    resolved_at: datetime | None
    channels: Mapping[str, Told] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Silence:
    """A window in which nobody is called, of a use case and a cause; empty stands for all of them."""

    silence_id: int
    use_case: str
    cause: str
    starts_at: datetime
    ends_at: datetime
    tz: str
    why: str
    by: str
    ended_at: datetime | None = None

    def covers(self, alert: Alert, moment: datetime) -> bool:
        """Whether the alert is not to be told at that time."""
        ends = min(self.ends_at, self.ended_at or self.ends_at)
        ours = self.use_case in ("", alert.use_case) and self.cause in ("", alert.cause)
        return ours and self.starts_at <= moment < ends


@dataclass(frozen=True, slots=True)
class LastLook:
    """When the watch looked last, who it was, how long it took, over which channels, and what went wrong."""

    looked_at: datetime
    by: str
    seconds: float
    channels: tuple[str, ...]
    problem: str | None


def clock(connection: Connection) -> datetime:
    """The time by the ledger's clock, which all watchers share."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def keep_found(connection: Connection, found: Sequence[Alert], now: datetime) -> None:
    """Put what was found on record: new, or seen again with its newest words."""
    rows = to_json([asdict(one) for one in found])
    connection.execute(_KEEP, {"rows": rows, "now": now})


def resolve_gone(connection: Connection, after: Mapping[str, timedelta], now: datetime) -> list[int]:
    """Mark what was not seen for as long as its use case says as over; returns the rows.

    `after` has the use cases that were looked at, by name: alerts of others are left as they are.
    """
    rows = to_json([{"use_case": name, "before": now - wait} for name, wait in after.items()])
    return list(connection.scalars(_RESOLVE, {"rows": rows, "now": now}))


def list_standing(connection: Connection, use_cases: Collection[str]) -> list[Standing]:
    """What stands of these use cases (an empty name: of none alone), severe and new first."""
    return [_standing(row) for row in connection.execute(_STANDING, {"use_cases": list(use_cases)}).mappings()]


def list_over(connection: Connection, use_cases: Collection[str], most: int) -> list[Standing]:
    """What is over, newest first."""
    values = {"use_cases": list(use_cases), "most": most}
    return [_standing(row) for row in connection.execute(_OVER, values).mappings()]


def list_to_end(connection: Connection, use_cases: Collection[str], now: datetime) -> list[Standing]:
    """What went away of late and was told to somebody before."""
    values = {"use_cases": list(use_cases), "since": now - _TOLD_FOR}
    return [_standing(row) for row in connection.execute(_TO_END, values).mappings()]


def note_told(ledger: Database, alert_id: int, channel: str, told: Told, notified_at: datetime | None) -> None:
    """Put on record what a channel took of an alert, or how it failed; committed before the next one is told."""
    said = {channel: {name: value for name, value in asdict(told).items() if value}}
    with transaction(ledger) as connection:
        connection.execute(_NOTE, {"id": alert_id, "said": to_json(said), "at": notified_at})


def note_look(ledger: Database, look: LastLook) -> None:
    """Put the look on record in place of the one before it."""
    with transaction(ledger) as connection:
        connection.execute(_LOOKED, {**asdict(look), "channels": list(look.channels)})


def last_look(connection: Connection) -> LastLook | None:
    """The newest look, or None where nobody ever looked."""
    row = connection.execute(_LAST).mappings().first()
    return LastLook(**{**row, "channels": tuple(row["channels"])}) if row else None


def list_silences(connection: Connection, use_cases: Collection[str], now: datetime) -> list[Silence]:
    """Silences of these use cases, and of all, that have not ended."""
    found = connection.execute(_SILENCES, {"use_cases": [*use_cases, ""], "now": now}).mappings()
    return [Silence(**row) for row in found]


def silence(ledger: Database, wanted: Silence) -> int:
    """Open a window in which nobody is called; who asked for it is on the chain. Returns its number.

    Raises ConfigurationError for one that is over, ends before it starts, lasts more than 31 days, has no reason or
    names a cause that there is not.
    """
    if wanted.cause and wanted.cause not in CAUSES:
        raise ConfigurationError(f"no such cause; known: {', '.join(CAUSES)}", about=f"cause {wanted.cause!r}")
    if not wanted.why.strip():
        raise ConfigurationError("needs a reason, which is kept", about="silence")
    values = {name: value for name, value in asdict(wanted).items() if name not in ("silence_id", "ended_at")}
    with transaction(ledger) as connection:
        if not clock(connection) < wanted.ends_at or not wanted.starts_at < wanted.ends_at:
            raise ConfigurationError("must end after it starts, and after now", about="silence")
        if wanted.ends_at - wanted.starts_at > LONGEST_SILENCE:
            action = f"Ask for at most {LONGEST_SILENCE.days} days, or declare a window in the spec"
            raise ConfigurationError("is too long: it would be forgotten", about="silence", action=action)
        number = int(connection.execute(_SILENCE, values).scalar_one())
        said = {**values, "silence": number, "starts_at": str(wanted.starts_at), "ends_at": str(wanted.ends_at)}
        record_event(connection, STREAM, "alerts.silenced", said, wanted.by)
    return number


def find_silence(connection: Connection, number: int) -> Silence | None:
    """The silence of that number, or None."""
    row = connection.execute(_ONE, {"number": number}).mappings().first()
    return Silence(**row) if row else None


def end_silence(ledger: Database, number: int, by: str) -> bool:
    """End a silence before its time, on the chain; False where it is over or there is none."""
    with transaction(ledger) as connection:
        ended = connection.scalar(_END, {"number": number, "by": by}) is not None
        if ended:
            record_event(connection, STREAM, "alerts.unsilenced", {"silence": number}, by)
    return ended


def _standing(row: RowMapping) -> Standing:
    alert = Alert(**{name: row[name] for name in Alert.__dataclass_fields__})
    told = {name: Told.read(said) for name, said in row["channels"].items()}
    times = (row["first_seen"], row["last_seen"], row["notified_at"], row["resolved_at"])
    return Standing(row["alert_id"], alert, *times, told)


_KEEP = text("""
INSERT INTO nightledger.alert AS known (key, use_case, cause, severity, sentence, page, first_seen, last_seen)
SELECT n.*, :now, :now FROM jsonb_to_recordset(CAST(:rows AS jsonb))
       AS n (key text, use_case text, cause text, severity text, sentence text, page text)
    ON CONFLICT (key) WHERE resolved_at IS NULL DO UPDATE
   SET last_seen = excluded.last_seen, sentence = excluded.sentence, severity = excluded.severity,
       page = excluded.page""")

_RESOLVE = text("""
UPDATE nightledger.alert a SET resolved_at = :now
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (use_case text, before timestamptz)
 WHERE a.resolved_at IS NULL AND a.use_case = n.use_case AND a.last_seen <= n.before
RETURNING a.alert_id""")

_COLUMNS = """alert_id, key, use_case, cause, severity, sentence, page, first_seen, last_seen, notified_at, channels,
       resolved_at"""

_STANDING = text(f"""
SELECT {_COLUMNS} FROM nightledger.alert WHERE resolved_at IS NULL AND use_case = ANY (:use_cases)
 ORDER BY severity, first_seen DESC, key""")

_OVER = text(f"""
SELECT {_COLUMNS} FROM nightledger.alert WHERE resolved_at IS NOT NULL AND use_case = ANY (:use_cases)
 ORDER BY resolved_at DESC, alert_id DESC LIMIT :most""")

_TO_END = text(f"""
SELECT {_COLUMNS} FROM nightledger.alert
 WHERE resolved_at > :since AND notified_at IS NOT NULL AND use_case = ANY (:use_cases)
 ORDER BY resolved_at, alert_id""")

_NOTE = text("""
UPDATE nightledger.alert SET channels = channels || CAST(:said AS jsonb), notified_at = coalesce(:at, notified_at)
 WHERE alert_id = :id""")

_LOOKED = text("""
INSERT INTO nightledger.alert_look AS known (name, looked_at, by, seconds, channels, problem)
VALUES ('watch', :looked_at, :by, :seconds, :channels, :problem)
    ON CONFLICT (name) DO UPDATE SET looked_at = excluded.looked_at, by = excluded.by, seconds = excluded.seconds,
       channels = excluded.channels, problem = excluded.problem""")

_LAST = text("SELECT looked_at, by, seconds, channels, problem FROM nightledger.alert_look WHERE name = 'watch'")

_SILENCE_COLUMNS = "silence_id, use_case, cause, starts_at, ends_at, tz, why, by, ended_at"

_SILENCES = text(f"""
SELECT {_SILENCE_COLUMNS} FROM nightledger.silence
 WHERE ends_at > :now AND ended_at IS NULL AND use_case = ANY (:use_cases) ORDER BY starts_at, silence_id""")

_ONE = text(f"SELECT {_SILENCE_COLUMNS} FROM nightledger.silence WHERE silence_id = :number")

_SILENCE = text("""
INSERT INTO nightledger.silence (use_case, cause, starts_at, ends_at, tz, why, by)
VALUES (:use_case, :cause, :starts_at, :ends_at, :tz, :why, :by) RETURNING silence_id""")

_END = text("""
UPDATE nightledger.silence SET ended_at = clock_timestamp(), ended_by = :by
 WHERE silence_id = :number AND ended_at IS NULL AND ends_at > clock_timestamp() RETURNING silence_id""")
