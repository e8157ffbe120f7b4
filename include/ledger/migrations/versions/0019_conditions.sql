-- Under which condition labelled rows were asked: `as it is`, `without industry`, ...; none for those of `evaluate`.
-- Rows without one are digested as those that were recorded before there was the column.
ALTER TABLE evaluation ADD COLUMN condition text;
CREATE INDEX evaluation_by_use_case ON evaluation (use_case, recorded_at DESC, evaluation_id DESC)
 WHERE condition IS NULL;
CREATE INDEX evaluation_under_conditions ON evaluation (use_case, recorded_at DESC) WHERE condition IS NOT NULL;

CREATE OR REPLACE FUNCTION stamp_evaluation() RETURNS trigger LANGUAGE plpgsql
SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    IF NEW.condition IS NULL THEN
        NEW.digest := sha256(record_send(ROW(
            NEW.evaluation_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.prompt_version,
            NEW.prompt_hash, NEW.model, NEW.contract_hash, NEW.labels_sha256, NEW.rows, NEW.correct, NEW.verdict,
            NEW.reasons, NEW.scores, NEW.against, NEW.cost)));
    ELSE
        NEW.digest := sha256(record_send(ROW(
            NEW.evaluation_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.prompt_version,
            NEW.prompt_hash, NEW.model, NEW.contract_hash, NEW.labels_sha256, NEW.rows, NEW.correct, NEW.verdict,
            NEW.reasons, NEW.scores, NEW.against, NEW.cost, NEW.condition)));
    END IF;
    RETURN NEW;
END $$;

-- What is asked under a condition says nothing of a night: it can neither stop one nor let one go.
ALTER TABLE evaluation ADD CONSTRAINT evaluation_under_condition CHECK (condition IS NULL OR verdict = 'compared');
