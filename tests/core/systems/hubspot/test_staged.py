"""A custom object with its company and its owner, staged as a night stages them."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from include.models import Column, Interval
from include.night.extract.extract import extract
from include.settings import ROOT
from include.spec.use_case import load
from include.systems.hubspot.declared import Association, HubSpotRecords, Owner, Related
from tests.core.conftest import MakeNight
from tests.core.systems.hubspot.conftest import SITES, Crm

SOURCE = HubSpotRecords(
    system="crm",
    object=SITES,
    key=Column("external_id", "site"),
    modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
    columns=(Column("hubspot_owner_id", "owner_id"), Column("desks", "desks", "integer")),
    related=(Related("companies", "company_id", (Column("domain", "domain"),), by=Association()),),
    owner=Owner("owner_id"),
)


def test_a_night_stages_what_is_declared_and_says_what_was_not_clear(
    crm: Crm, make_night: MakeNight, tmp_path: Path
) -> None:
    started = datetime.now(UTC)
    made = crm.make(
        SITES, s1={"desks": 3, "hubspot_owner_id": "41629779"}, s2={"desks": 4}, s3={"hubspot_owner_id": "7"}
    )
    first, second = crm.ids("companies", 2)
    crm.associate((SITES, made[0]), ("companies", first), 71)
    crm.associate((SITES, made[1]), ("companies", first), 71)
    crm.associate((SITES, made[1]), ("companies", second), 75)
    time.sleep(0.005)
    case = dataclasses.replace(
        load("crm_enrichment"), sources=(SOURCE,), joins=(), transforms=(), personal=("owner_email", "owner_name")
    )
    night = make_night(
        case=case,
        interval=Interval(started - timedelta(seconds=1), datetime.now(UTC)),
        connections={
            "AIRFLOW_CONN_CRM_DEFAULT": json.dumps({"host": crm.endpoints.crm_url, "password": crm.endpoints.crm_token})
        },
        settings={"systems_file": ROOT / "include" / "systems.toml"},
    )
    raw = extract(night)
    rows = {row["site"]: row for row in pq.read_table(raw.uri).to_pylist() if row["site"] in ("s1", "s2", "s3")}
    told = {key: (row["company_id"], row["company_id_count"], row["owner_name"]) for key, row in rows.items()}
    assert told == {"s1": (first, 1, "Ada Lindqvist"), "s2": (first, 2, None), "s3": (None, 0, None)}
    assert rows["s1"]["domain"] == crm.read("companies", first, "domain")["domain"]
    assert (raw.facts["several_related"], raw.facts["unknown_owners"]) == (1, 1)
