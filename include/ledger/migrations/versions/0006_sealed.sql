-- What may be believed: an answer is a pointer to its sealed result, rows are digested in binary, and every stream is
-- anchored in stream `ledger` by the database itself.

-- Answers. Appended and never changed; `output` is kept for a rule's answer only, a model's is its result's `parsed`.
-- An old answer that differs from its result keeps its `output`, by which it is known and refused.
ALTER TABLE answer DROP CONSTRAINT answer_pkey;
ALTER TABLE answer ADD PRIMARY KEY (inference_key, recorded_at);
ALTER TABLE answer ALTER COLUMN output DROP NOT NULL;
UPDATE answer a SET output = NULL FROM inference_result r
 WHERE a.origin = 'model' AND r.inference_id = a.inference_id AND r.outcome = 'ok' AND r.parsed = a.output;
ALTER TABLE answer DROP COLUMN use_case, DROP COLUMN interval_start, DROP COLUMN interval_end,
    DROP COLUMN prompt_version, DROP COLUMN contract_hash;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON answer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON answer FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Digests. Rows from here on have no `stream` of their own (it always was the run's) and are digested in their binary
-- form, which costs half of what their JSON form did; rows before keep the digest they have, by that form.
DROP TRIGGER stamp ON inference;
DROP TRIGGER stamp ON inference_result;
DROP TRIGGER stamp ON decision;
DROP FUNCTION stamp_digest();
DROP FUNCTION row_digest(jsonb);
ALTER TABLE inference ALTER COLUMN stream DROP NOT NULL, ALTER COLUMN digest TYPE bytea USING
    CASE WHEN digest ~ '^[0-9a-f]{64}$' THEN decode(digest, 'hex') ELSE convert_to(digest, 'UTF8') END;
ALTER TABLE inference_result ALTER COLUMN stream DROP NOT NULL, ALTER COLUMN digest TYPE bytea USING
    CASE WHEN digest ~ '^[0-9a-f]{64}$' THEN decode(digest, 'hex') ELSE convert_to(digest, 'UTF8') END;
ALTER TABLE decision ALTER COLUMN stream DROP NOT NULL, ALTER COLUMN digest TYPE bytea USING
    CASE WHEN digest ~ '^[0-9a-f]{64}$' THEN decode(digest, 'hex') ELSE convert_to(digest, 'UTF8') END;

CREATE FUNCTION require_utf8() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('client_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the ledger is written in UTF8; set client_encoding';  -- binary forms of text follow it
    END IF;
END $$;

CREATE FUNCTION stamp_inference() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.inference_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.row_id, NEW.row_key,
        NEW.inference_key, NEW.prompt_version, NEW.prompt_hash, NEW.model, NEW.parameters, NEW.messages, NEW.kind,
        NEW.attempt, NEW.tokens_estimated, NEW.cost_reserved, NEW.batch_job_id)));
    RETURN NEW;
END $$;

CREATE FUNCTION stamp_inference_result() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.inference_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.outcome, NEW.detail, NEW.http_status,
        NEW.model_answered, NEW.provider_request_id, NEW.raw_text, NEW.parsed, NEW.tokens_in, NEW.tokens_out,
        NEW.tokens_cached, NEW.cost, NEW.price_dated, NEW.latency_ms, NEW.queue_ms, NEW.cost_basis)));
    RETURN NEW;
END $$;

CREATE FUNCTION stamp_decision() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.decision_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.row_id, NEW.row_key,
        NEW.inference_key, NEW.verdict, NEW.rule, NEW.decided_by, NEW.origin, NEW.inference_id, NEW.output,
        NEW.confidence, NEW.shown_sha256)));
    RETURN NEW;
END $$;

CREATE TRIGGER stamp BEFORE INSERT ON inference FOR EACH ROW EXECUTE FUNCTION stamp_inference();
CREATE TRIGGER stamp BEFORE INSERT ON inference_result FOR EACH ROW EXECUTE FUNCTION stamp_inference_result();
CREATE TRIGGER stamp BEFORE INSERT ON decision FOR EACH ROW EXECUTE FUNCTION stamp_decision();

CREATE OR REPLACE FUNCTION seal_batch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    INSERT INTO event (stream, type, actor, details)
    SELECT run_id, 'audit.sealed', session_user, jsonb_build_object(
               'table', TG_ARGV[0], 'batch', batch, 'rows', count(*), 'digest',
               encode(sha256(convert_to(string_agg(encode(digest, 'hex'), '' ORDER BY digest), 'UTF8')), 'hex'))
      FROM sealed GROUP BY run_id, batch;
    RETURN NULL;
END $$;

-- Anchors. Runs are anchored when they are opened and closed; whatever is said in a stream that is no open run's
-- (a look at personal values, a replay, a word about a closed run) is anchored at once. Deferred to the end of the
-- transaction: stream `ledger` is then always locked last, so that no two transactions wait for each other.
CREATE FUNCTION anchor_stream() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF NEW.type <> 'run.opened' AND EXISTS (SELECT FROM run WHERE run_id = NEW.stream AND finished_at IS NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO event (stream, type, actor, details)
    SELECT 'ledger', 'chain.anchored', 'nightledger',
           jsonb_build_object('run_id', stream, 'seq', seq, 'hash', hash)
      FROM chain_head WHERE stream = NEW.stream AND seq = NEW.seq;  -- else a later event of this transaction anchors
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER anchor AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.stream <> 'ledger') EXECUTE FUNCTION anchor_stream();

INSERT INTO event (stream, type, actor, details)
SELECT 'ledger', 'chain.anchored', 'nightledger', jsonb_build_object('run_id', stream, 'seq', seq, 'hash', hash)
  FROM chain_head h
 WHERE stream <> 'ledger' AND NOT EXISTS (SELECT FROM run WHERE run_id = h.stream AND finished_at IS NULL)
   AND NOT EXISTS (SELECT FROM event WHERE stream = 'ledger' AND type = 'chain.anchored'
                     AND details = jsonb_build_object('run_id', h.stream, 'seq', h.seq, 'hash', h.hash))
 ORDER BY stream;

-- Space. Nothing reads audit rows by batch, or intents by row, and only what a batch job asked is looked up by its key.
DROP INDEX inference_by_batch;
DROP INDEX inference_result_by_batch;
DROP INDEX decision_by_batch;
DROP INDEX inference_by_key;
CREATE INDEX inference_by_key ON inference (inference_key) WHERE batch_job_id IS NOT NULL;
DROP INDEX inference_by_run;
CREATE INDEX inference_by_run ON inference (run_id);

-- Two that begin in the first moment of a month: the one that waited for the lock may still not see the other's table.
CREATE OR REPLACE FUNCTION ensure_inference_month(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first date := date_trunc('month', day)::date;
    name text := 'inference_' || to_char(first, 'YYYYMM');
BEGIN
    IF to_regclass('nightledger.' || name) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('nightledger.inference'));
    EXECUTE format('CREATE TABLE %I PARTITION OF inference FOR VALUES FROM (%L) TO (%L)', name,
                   first::text || ' 00:00+00', (first + interval '1 month')::date::text || ' 00:00+00');
    EXECUTE format('CREATE TRIGGER keep_all BEFORE TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
EXCEPTION WHEN duplicate_table THEN
    RETURN;
END $$;
