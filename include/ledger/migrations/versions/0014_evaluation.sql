-- What a prompt version and a model were worth on labelled rows, and what the gate said of them. A row of labels is here
-- by its hash and its verdict only.
CREATE TABLE evaluation (
    evaluation_id    uuid PRIMARY KEY,
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream           text,
    batch            uuid NOT NULL,
    run_id           text NOT NULL,
    use_case         text NOT NULL,
    prompt_version   text NOT NULL,
    prompt_hash      text NOT NULL,
    model            text NOT NULL,
    contract_hash    text NOT NULL,
    labels_sha256    text NOT NULL,
    rows             integer NOT NULL CHECK (rows > 0),
    correct          integer NOT NULL CHECK (correct BETWEEN 0 AND rows),
    verdict          text NOT NULL CHECK (verdict IN ('passed', 'failed', 'too_few', 'compared')),
    reasons          text[] NOT NULL,
    scores           jsonb NOT NULL,
    against          uuid,                     -- the evaluation that it was held against
    cost             numeric NOT NULL,         -- US dollars that were paid for it; what was on record is free
    digest           bytea NOT NULL
);
CREATE INDEX evaluation_newest ON evaluation (use_case, prompt_hash, model, recorded_at DESC);

CREATE TABLE evaluation_row (
    evaluation_row_id  uuid PRIMARY KEY,
    recorded_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream             text,
    batch              uuid NOT NULL,
    run_id             text NOT NULL,
    evaluation_id      uuid NOT NULL,
    row_sha256         text NOT NULL,          -- of what is given, expected and must not be
    inference_key      text NOT NULL,
    verdict            text NOT NULL,
    digest             bytea NOT NULL
);
CREATE INDEX evaluation_row_by_evaluation ON evaluation_row (evaluation_id);
CREATE INDEX evaluation_row_by_key ON evaluation_row USING hash (inference_key);

CREATE FUNCTION stamp_evaluation() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.evaluation_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.prompt_version, NEW.prompt_hash,
        NEW.model, NEW.contract_hash, NEW.labels_sha256, NEW.rows, NEW.correct, NEW.verdict, NEW.reasons, NEW.scores,
        NEW.against, NEW.cost)));
    RETURN NEW;
END $$;

CREATE FUNCTION stamp_evaluation_row() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.evaluation_row_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.evaluation_id, NEW.row_sha256,
        NEW.inference_key, NEW.verdict)));
    RETURN NEW;
END $$;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['evaluation', 'evaluation_row'] LOOP
        EXECUTE format('CREATE TRIGGER stamp BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION stamp_%s()', name, name);
        EXECUTE format('CREATE TRIGGER seal AFTER INSERT ON %I REFERENCING NEW TABLE AS sealed
                        FOR EACH STATEMENT EXECUTE FUNCTION seal_batch(%L)', name, name);
        EXECUTE format('CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER keep_all BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;
