"""Send dead letters again: the nights they belong to run once more, and only their rows are asked or written."""

from __future__ import annotations

import logging

from include.connections import Connections
from include.ledger import audit, door
from include.ledger.dead_letters import Selection, begin_replay, end_replay, nights_to_replay, options_of
from include.models import Record, RunKey, RunOptions
from include.night import Night
from include.settings import Settings, read_truth
from include.use_case import load

log = logging.getLogger(__name__)


def replay(connections: Connections, settings: Settings, selection: Selection, actor: str) -> list[Record]:
    """Replay every chosen letter, night by night; returns for each night what became of it.

    Safe to repeat and to kill: a night runs on the rows it was run on, answers on record are reused and writes that
    arrived are unchanged, so nothing but the replayed rows is paid or written. A second call finds nothing to do.
    Two calls at once take turns at a night.
    """
    engine = door.open_ledger(connections)
    done = []
    for use_case, interval in nights_to_replay(engine, selection):
        with audit.exclusive(engine, f"replay/{use_case}/{interval.slug}"):
            rows = begin_replay(engine, selection, use_case, interval, actor)
            if not rows:
                continue  # another replay was faster
            log.info("replaying %d rows of %s %s", rows, use_case, interval)
            options = RunOptions.from_params(options_of(engine, use_case, interval), load(use_case).mode)
            key = RunKey(use_case, interval, f"replay/{interval.slug}")
            night = door.begin_night(key, options, connections, settings)
            summary = run_all(night)
            end_replay(engine, selection, use_case, interval, actor, night.run_id)
            done.append({"use_case": use_case, "interval": str(interval), "rows": rows, **summary})
    return done


def run_all(night: Night) -> Record:
    """Every stage of a night, one after the other; returns what `close` says."""
    from include.enrich.enrich import enrich
    from include.gate.gate import gate
    from include.quality.check import check
    from include.report.close import close
    from include.sinks.write import write
    from include.sources.extract import extract

    write(night, gate(night, enrich(night, check(night, extract(night)))))
    return close(night, truth=read_truth(night.settings))
