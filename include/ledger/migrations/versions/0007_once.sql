-- Every value once. A row of a night took some 5,900 bytes, a third of them copies of what another row of it says.

-- Answers. A model's answer is the sealed result of an intent that has its key; only a rule's has a row in `answer`.
-- Rows of models' answers stay, since closed runs are sealed over them, but nothing reads them any more.
ALTER TABLE answer ALTER COLUMN input_sha256 DROP NOT NULL;
DROP INDEX inference_by_key;
CREATE INDEX inference_by_key ON inference USING hash (inference_key);

-- What a model answered: as it was validated where that differs from its words, else its words.
CREATE FUNCTION said(parsed jsonb, raw_text text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF parsed IS NOT NULL OR raw_text IS NULL THEN RETURN parsed; END IF;
    RETURN raw_text::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;  -- words that are no JSON are no answer
END $$;

CREATE OR REPLACE FUNCTION stamp_inference_result() RETURNS trigger LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    IF NEW.parsed::text = said(NULL, NEW.raw_text)::text THEN NEW.parsed := NULL; END IF;  -- as text: 1 is not 1.0
    NEW.digest := sha256(record_send(ROW(
        NEW.inference_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.outcome, NEW.detail, NEW.http_status,
        NEW.model_answered, NEW.provider_request_id, NEW.raw_text, NEW.parsed, NEW.tokens_in, NEW.tokens_out,
        NEW.tokens_cached, NEW.cost, NEW.price_dated, NEW.latency_ms, NEW.queue_ms, NEW.cost_basis)));
    RETURN NEW;
END $$;

-- Decisions. The gate decides on what the model answered; an `output` is kept where it is anything else.
ALTER TABLE decision ALTER COLUMN output DROP NOT NULL;
ALTER TABLE decision ADD CONSTRAINT decision_output_check CHECK (output IS NOT NULL OR origin = 'model');

CREATE OR REPLACE FUNCTION stamp_decision() RETURNS trigger LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    IF NEW.origin = 'model' AND NEW.decided_by = 'gate' AND NEW.output = (
        SELECT said(parsed, raw_text) FROM inference_result WHERE inference_id = NEW.inference_id AND outcome = 'ok')
    THEN NEW.output := NULL; END IF;
    NEW.digest := sha256(record_send(ROW(
        NEW.decision_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.row_id, NEW.row_key,
        NEW.inference_key, NEW.verdict, NEW.rule, NEW.decided_by, NEW.origin, NEW.inference_id, NEW.output,
        NEW.confidence, NEW.shown_sha256)));
    RETURN NEW;
END $$;

-- The outbox. What became of a write is a row of its own: to change the intent's would leave a dead copy of it, and of
-- its entries in four indexes. `differs` is what the destination says otherwise than was sent; `after` is kept as a
-- whole where that cannot say it.
DROP VIEW explanation;
ALTER TABLE outbox RENAME TO outbox_intent;
CREATE TABLE outbox_result (
    outbox_id   bigint PRIMARY KEY,
    status      text NOT NULL CHECK (status IN ('intended', 'written', 'unchanged', 'failed')),
    after       jsonb,
    differs     jsonb,
    attempts    integer NOT NULL DEFAULT 0,
    error       text,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO outbox_result SELECT outbox_id, status, after, NULL, attempts, error, updated_at FROM outbox_intent;
ALTER TABLE outbox_intent ALTER COLUMN fields_sha256 DROP NOT NULL;  -- no longer written: the fields are compared
ALTER TABLE outbox_intent DROP COLUMN status, DROP COLUMN after, DROP COLUMN attempts, DROP COLUMN error,
    DROP COLUMN updated_at;

CREATE VIEW outbox AS
SELECT i.outbox_id, i.run_id, i.use_case, i.interval_start, i.interval_end, i.row_id, i.row_key, i.decision_id,
       i.destination, i.object, i.external_id, i.fields, i.fields_sha256, i.before,
       coalesce(r.after, i.fields || r.differs) AS after, coalesce(r.status, 'intended') AS status,
       coalesce(r.attempts, 0) AS attempts, r.error, i.undo_of, i.recorded_at,
       coalesce(r.updated_at, i.recorded_at) AS updated_at
  FROM outbox_intent i LEFT JOIN outbox_result r USING (outbox_id);

-- "Why does this record have this value?", one line per write.
CREATE VIEW explanation AS
SELECT o.use_case, o.row_key, o.destination, o.object, o.external_id, o.fields, o.before, o.after,
       o.status AS write_status, o.updated_at AS written_at,
       d.verdict, d.rule, d.decided_by, d.confidence, d.recorded_at AS decided_at,
       d.inference_key, d.origin, coalesce(d.output, said(r.parsed, r.raw_text)) AS output, d.inference_id,
       i.messages, i.parameters, i.prompt_version, i.prompt_hash, i.model,
       r.provider_request_id, r.model_answered, r.cost, r.tokens_in, r.tokens_out, r.recorded_at AS answered_at,
       w.lineage, u.run_id, u.interval_start, u.interval_end, u.mode, u.code_version, u.git_sha, u.external_ref
  FROM outbox o
  JOIN run u USING (run_id)
  JOIN decision d ON d.decision_id = o.decision_id
  LEFT JOIN inference i ON i.inference_id = d.inference_id
  LEFT JOIN inference_result r ON r.inference_id = d.inference_id
  LEFT JOIN outcome w ON w.run_id = o.run_id AND w.row_id = o.row_id;

-- An outcome's question is its decision's, or its dead letter's: the column stays for the seals of closed runs, empty.
COMMENT ON COLUMN outcome.inference_key IS 'no longer written';

-- Space. A value that is only ever looked up whole is hashed.
DROP INDEX decision_by_run;
CREATE INDEX decision_by_run ON decision (run_id);
CREATE INDEX decision_by_row ON decision USING hash (row_id);
