-- First form of the ledger. Times come from the database clock; money is numeric.

CREATE TABLE run (
    run_id          text PRIMARY KEY,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    attempt         integer NOT NULL,
    external_ref    text NOT NULL,
    mode            text NOT NULL CHECK (mode IN ('shadow', 'gated', 'auto')),
    options         jsonb NOT NULL,
    model           text NOT NULL,
    prompt_version  text NOT NULL,
    prompt_hash     text NOT NULL,
    contract_hash   text NOT NULL,
    code_version    text NOT NULL,
    git_sha         text NOT NULL,
    status          text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'stopped', 'failed')),
    detail          text,
    counts          jsonb NOT NULL DEFAULT '{}',
    progress        jsonb NOT NULL DEFAULT '{}',
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    UNIQUE (use_case, interval_start, interval_end, attempt),
    CHECK (interval_start < interval_end)
);
CREATE INDEX run_by_time ON run (use_case, started_at DESC);

CREATE TABLE manifest (
    run_id       text NOT NULL REFERENCES run,
    dataset      text NOT NULL,
    uri          text NOT NULL,
    rows         bigint NOT NULL,
    bytes        bigint NOT NULL,
    sha256       text NOT NULL,
    columns      jsonb NOT NULL,
    facts        jsonb NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, dataset)
);

CREATE TABLE source_file (
    system       text NOT NULL,
    path         text NOT NULL,
    sha256       text NOT NULL,
    bytes        bigint NOT NULL,
    rows         bigint NOT NULL,
    run_id       text NOT NULL REFERENCES run,
    archived_to  text,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (system, path, sha256)
);

CREATE TABLE outcome (
    run_id       text NOT NULL REFERENCES run,
    row_id       text NOT NULL,
    row_key      text,
    outcome      text NOT NULL CHECK (outcome IN ('written', 'unchanged', 'quarantined', 'in_review', 'rejected',
                                                  'shadowed', 'dead_letter', 'deferred')),
    stage        text NOT NULL,
    reason       text,
    lineage      jsonb NOT NULL DEFAULT '{}',
    inference_key text,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, row_id)
);
CREATE INDEX outcome_by_key ON outcome (row_key, recorded_at DESC);

CREATE TABLE quality_result (
    run_id            text NOT NULL REFERENCES run,
    expectation       text NOT NULL,
    type              text NOT NULL,
    columns           text[] NOT NULL,
    severity          text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    meaning           text NOT NULL,
    success           boolean NOT NULL,
    could_not_run     text,
    rows_checked      bigint NOT NULL,
    unexpected_count  bigint NOT NULL,
    threshold         numeric,
    observed          text,
    examples          text[] NOT NULL DEFAULT '{}',
    recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, expectation)
);

CREATE TABLE quarantine (
    quarantine_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id           text NOT NULL REFERENCES run,
    use_case         text NOT NULL,
    row_id           text NOT NULL,
    row_key          text,
    source           text NOT NULL,
    stage            text NOT NULL,
    reasons          text[] NOT NULL CHECK (cardinality(reasons) > 0),
    record           jsonb NOT NULL,
    counts_as_input  boolean NOT NULL,
    status           text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'fixed', 'replayed', 'dismissed')),
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, row_id)
);

CREATE TABLE prompt (
    prompt_hash  text PRIMARY KEY,
    name         text NOT NULL,
    version      text NOT NULL,
    system_text  text NOT NULL,
    user_text    text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE inference (
    inference_id    uuid NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream          text NOT NULL,
    batch           uuid NOT NULL,
    run_id          text NOT NULL,
    use_case        text NOT NULL,
    row_id          text NOT NULL,
    row_key         text NOT NULL,
    inference_key   text NOT NULL,
    prompt_version  text NOT NULL,
    prompt_hash     text NOT NULL,
    model           text NOT NULL,
    parameters      jsonb NOT NULL,
    messages        jsonb NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('ask', 'retry', 're-ask')),
    attempt         integer NOT NULL,
    tokens_estimated integer NOT NULL,
    cost_reserved   numeric NOT NULL,
    digest          text NOT NULL,
    PRIMARY KEY (inference_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX inference_by_run ON inference (run_id, row_id);
CREATE INDEX inference_by_key ON inference (inference_key);
CREATE INDEX inference_by_batch ON inference (batch);

CREATE TABLE inference_result (
    inference_id         uuid PRIMARY KEY,
    recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream               text NOT NULL,
    batch                uuid NOT NULL,
    run_id               text NOT NULL,
    outcome              text NOT NULL CHECK (outcome IN ('ok', 'invalid', 'refused', 'empty', 'rate_limited',
                                                          'http_error', 'timeout', 'cancelled')),
    detail               text,
    http_status          integer,
    model_answered       text,
    provider_request_id  text,
    raw_text             text,
    parsed               jsonb,
    tokens_in            integer NOT NULL DEFAULT 0,
    tokens_out           integer NOT NULL DEFAULT 0,
    tokens_cached        integer NOT NULL DEFAULT 0,
    cost                 numeric NOT NULL DEFAULT 0,
    price_dated          text,
    latency_ms           integer NOT NULL DEFAULT 0,
    queue_ms             integer NOT NULL DEFAULT 0,
    digest               text NOT NULL
);
CREATE INDEX inference_result_by_run ON inference_result (run_id);
CREATE INDEX inference_result_by_batch ON inference_result (batch);

CREATE TABLE answer (
    inference_key   text PRIMARY KEY,
    use_case        text NOT NULL,
    input_sha256    text NOT NULL,
    output          jsonb NOT NULL,
    origin          text NOT NULL CHECK (origin IN ('model', 'rule')),
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    inference_id    uuid,
    run_id          text NOT NULL REFERENCES run,
    model           text NOT NULL,
    prompt_version  text NOT NULL,
    contract_hash   text NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE decision (
    decision_id    uuid PRIMARY KEY,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream         text NOT NULL,
    batch          uuid NOT NULL,
    run_id         text NOT NULL,
    use_case       text NOT NULL,
    row_id         text NOT NULL,
    row_key        text NOT NULL,
    inference_key  text NOT NULL,
    verdict        text NOT NULL CHECK (verdict IN ('write', 'review', 'shadow', 'reject')),
    rule           text NOT NULL,
    decided_by     text NOT NULL,
    origin         text NOT NULL CHECK (origin IN ('model', 'rule')),
    inference_id   uuid,
    output         jsonb NOT NULL,
    confidence     numeric,
    shown_sha256   text NOT NULL,
    digest         text NOT NULL
);
CREATE INDEX decision_by_run ON decision (run_id, row_id);
CREATE INDEX decision_by_batch ON decision (batch);

CREATE TABLE review_item (
    review_item_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          text NOT NULL REFERENCES run,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    row_id          text NOT NULL,
    row_key         text NOT NULL,
    inference_key   text NOT NULL,
    shown           jsonb NOT NULL,
    shown_sha256    text NOT NULL,
    proposed        jsonb NOT NULL,
    reason          text NOT NULL,
    status          text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'approved', 'edited', 'rejected')),
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (use_case, interval_start, interval_end, row_key, shown_sha256)
);
CREATE INDEX review_item_by_run ON review_item (run_id, row_id);

CREATE TABLE outbox (
    outbox_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          text NOT NULL REFERENCES run,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    row_id          text NOT NULL,
    row_key         text NOT NULL,
    decision_id     uuid NOT NULL,
    destination     text NOT NULL,
    object          text NOT NULL,
    external_id     text NOT NULL,
    fields          jsonb NOT NULL,
    fields_sha256   text NOT NULL,
    before          jsonb,
    after           jsonb,
    status          text NOT NULL CHECK (status IN ('intended', 'written', 'unchanged', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    error           text,
    undo_of         bigint REFERENCES outbox,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, destination, object, external_id)
);
CREATE INDEX outbox_by_key ON outbox (row_key);
CREATE INDEX outbox_by_target ON outbox (destination, object, external_id, outbox_id DESC);

CREATE TABLE dead_letter (
    dead_letter_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          text NOT NULL REFERENCES run,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    row_id          text NOT NULL,
    row_key         text NOT NULL,
    stage           text NOT NULL,
    cause           text NOT NULL,
    detail          text NOT NULL,
    inference_key   text,
    record          jsonb NOT NULL,
    tries           integer NOT NULL,
    status          text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'dismissed')),
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, row_id, stage)
);
CREATE INDEX dead_letter_by_key ON dead_letter (inference_key);

CREATE TABLE event (
    stream       text NOT NULL,
    seq          bigint NOT NULL,
    recorded_at  timestamptz NOT NULL,
    type         text NOT NULL,
    actor        text NOT NULL,
    details      jsonb NOT NULL,
    prev_hash    text NOT NULL,
    hash         text NOT NULL,
    PRIMARY KEY (stream, seq)
);

CREATE TABLE chain_head (
    stream  text PRIMARY KEY,
    seq     bigint NOT NULL,
    hash    text NOT NULL
);

-- Hashes. The functions pin every session setting that changes how a value prints.

CREATE FUNCTION row_digest(content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to((content - 'digest')::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION event_hash(content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to((content - 'hash')::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION stamp_digest() RETURNS trigger LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    NEW.digest := row_digest(to_jsonb(NEW));
    RETURN NEW;
END $$;

CREATE FUNCTION link_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE head chain_head%ROWTYPE;
BEGIN
    INSERT INTO chain_head VALUES (NEW.stream, 0, '') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM chain_head WHERE stream = NEW.stream FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.prev_hash := head.hash;
    NEW.recorded_at := clock_timestamp();
    NEW.hash := event_hash(to_jsonb(NEW));
    UPDATE chain_head SET seq = NEW.seq, hash = NEW.hash WHERE stream = NEW.stream;
    RETURN NEW;
END $$;

-- One event seals each batch of audit rows: it holds their number and the hash of their digests.
CREATE FUNCTION seal_batch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    INSERT INTO event (stream, type, actor, details)
    SELECT stream, 'audit.sealed', session_user, jsonb_build_object(
               'table', TG_ARGV[0], 'batch', batch, 'rows', count(*),
               'digest', encode(sha256(convert_to(string_agg(digest, '' ORDER BY digest COLLATE "C"), 'UTF8')), 'hex'))
      FROM sealed GROUP BY stream, batch;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: this table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER link BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION link_event();

DO $$
DECLARE name text; key text;
BEGIN
    FOREACH name IN ARRAY ARRAY['inference', 'inference_result', 'decision'] LOOP
        EXECUTE format('CREATE TRIGGER stamp BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION stamp_digest()', name);
        EXECUTE format('CREATE TRIGGER seal AFTER INSERT ON %I REFERENCING NEW TABLE AS sealed
                        FOR EACH STATEMENT EXECUTE FUNCTION seal_batch(%L)', name, name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['inference', 'inference_result', 'decision', 'event'] LOOP
        EXECUTE format('CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER keep_all BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;

-- The service may not create tables, so the owner's right is lent for exactly this.
CREATE FUNCTION ensure_inference_month(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first date := date_trunc('month', day)::date;
    name text := 'inference_' || to_char(first, 'YYYYMM');
BEGIN
    IF to_regclass('nightledger.' || name) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('nightledger.inference'));
    IF to_regclass('nightledger.' || name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF inference FOR VALUES FROM (%L) TO (%L)', name,
                   first::text || ' 00:00+00', (first + interval '1 month')::date::text || ' 00:00+00');
    EXECUTE format('CREATE TRIGGER keep_all BEFORE TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
END $$;

-- "Why does this record have this value?", one line per write.
CREATE VIEW explanation AS
SELECT o.use_case, o.row_key, o.destination, o.object, o.external_id, o.fields, o.before, o.after,
       o.status AS write_status, o.updated_at AS written_at,
       d.verdict, d.rule, d.decided_by, d.confidence, d.recorded_at AS decided_at,
       d.inference_key, d.origin, d.output, d.inference_id,
       i.messages, i.parameters, i.prompt_version, i.prompt_hash, i.model,
       r.provider_request_id, r.model_answered, r.cost, r.tokens_in, r.tokens_out, r.recorded_at AS answered_at,
       w.lineage, u.run_id, u.interval_start, u.interval_end, u.mode, u.code_version, u.git_sha, u.external_ref
  FROM outbox o
  JOIN run u USING (run_id)
  JOIN decision d ON d.decision_id = o.decision_id
  LEFT JOIN inference i ON i.inference_id = d.inference_id
  LEFT JOIN inference_result r ON r.inference_id = d.inference_id
  LEFT JOIN outcome w ON w.run_id = o.run_id AND w.row_id = o.row_id;
