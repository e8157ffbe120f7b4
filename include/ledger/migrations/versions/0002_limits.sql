-- Limits, budgets and claims shared by every process; batch jobs; what a replay did to a dead letter.

-- What is known of a key's limits, as one document: processes take turns on the row, so the logic lives in one place.
CREATE TABLE quota (
    key         text PRIMARY KEY,
    state       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- A ceiling in US dollars. `reserved` is the most that calls without a known result can still cost.
CREATE TABLE budget (
    scope       text PRIMARY KEY,
    ceiling     numeric NOT NULL CHECK (ceiling >= 0),
    spent       numeric NOT NULL DEFAULT 0 CHECK (spent >= 0),
    reserved    numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Who is asking a question right now, so that nobody else pays for the same answer.
CREATE TABLE claim (
    inference_key  text PRIMARY KEY,
    holder         bigint NOT NULL,
    run_id         text NOT NULL,
    claimed_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX claim_by_holder ON claim (holder);

CREATE TABLE batch_job (
    batch_job_id       uuid PRIMARY KEY,
    run_id             text NOT NULL REFERENCES run,
    shard              integer NOT NULL,
    round              integer NOT NULL,
    chunk              integer NOT NULL,
    system             text NOT NULL,
    model              text NOT NULL,
    fingerprint        text NOT NULL,
    status             text NOT NULL DEFAULT 'intended'
                       CHECK (status IN ('intended', 'submitted', 'landed', 'cancelled', 'failed')),
    input_file_id      text,
    provider_batch_id  text,
    output_file_id     text,
    error_file_id      text,
    provider_status    text,
    detail             text,
    requests           integer NOT NULL,
    bytes              bigint NOT NULL,
    tokens_estimated   bigint NOT NULL,
    cost_reserved      numeric NOT NULL,
    counts             jsonb NOT NULL DEFAULT '{}',
    recorded_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, shard, round, chunk)
);
CREATE INDEX batch_job_open ON batch_job (system, status);

ALTER TABLE inference DROP CONSTRAINT inference_kind_check;
ALTER TABLE inference ADD CONSTRAINT inference_kind_check CHECK (kind IN ('ask', 'retry', 're-ask', 'hedge'));
ALTER TABLE inference ADD COLUMN batch_job_id uuid;
ALTER TABLE inference_result ADD COLUMN cost_basis text
    CHECK (cost_basis IN ('reported', 'estimated', 'none'));
CREATE INDEX inference_by_job ON inference (batch_job_id) WHERE batch_job_id IS NOT NULL;

ALTER TABLE dead_letter ADD COLUMN system text NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN replays jsonb NOT NULL DEFAULT '[]';
CREATE INDEX dead_letter_open ON dead_letter (use_case, interval_start, cause) WHERE status = 'open';

-- Rows recorded before a column existed keep their digest: a column added later counts only where it has a value.
CREATE OR REPLACE FUNCTION row_digest(content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to((content - 'digest'
        - CASE WHEN content -> 'batch_job_id' = 'null' THEN 'batch_job_id' ELSE 'digest' END
        - CASE WHEN content -> 'cost_basis' = 'null' THEN 'cost_basis' ELSE 'digest' END)::text, 'UTF8')), 'hex')
$$;

-- Set money aside for the first so many of `amounts` that fit under every ceiling of `scopes`, all or nothing for
-- each amount; returns how many. Rows are locked in one order, so that processes cannot wait for each other in a ring.
CREATE FUNCTION reserve_budget(scopes text[], amounts numeric[]) RETURNS integer LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp AS $$
DECLARE room numeric; taken numeric := 0; fitting integer := 0; amount numeric; found_scopes integer;
BEGIN
    SELECT min(ceiling - spent - reserved), count(*) INTO room, found_scopes FROM (
        SELECT ceiling, spent, reserved FROM budget WHERE scope = ANY (scopes) ORDER BY scope FOR UPDATE) locked;
    IF found_scopes <> cardinality(scopes) THEN
        RAISE EXCEPTION 'a budget is not open: % of %', found_scopes, cardinality(scopes);
    END IF;
    FOREACH amount IN ARRAY amounts LOOP
        EXIT WHEN taken + amount > room;
        taken := taken + amount;
        fitting := fitting + 1;
    END LOOP;
    IF fitting > 0 THEN
        UPDATE budget SET reserved = reserved + taken, updated_at = clock_timestamp() WHERE scope = ANY (scopes);
    END IF;
    RETURN fitting;
END $$;

-- Give reservations back and count what the calls did cost. A provider may bill more than was reserved.
CREATE FUNCTION settle_budget(scopes text[], released numeric, paid numeric) RETURNS void LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM 1 FROM budget WHERE scope = ANY (scopes) ORDER BY scope FOR UPDATE;
    UPDATE budget SET reserved = reserved - released, spent = spent + paid, updated_at = clock_timestamp()
     WHERE scope = ANY (scopes);
END $$;
