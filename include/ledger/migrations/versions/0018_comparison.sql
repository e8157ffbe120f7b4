-- What a record held at its destination beside what mode shadow would have written: names of fields and whether they
-- agree, never a value. A row has at most one comparison with a person's word, and one with the version's in use.
CREATE TABLE comparison (
    comparison_id    uuid PRIMARY KEY,
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream           text,
    batch            uuid NOT NULL,
    run_id           text NOT NULL,            -- the night that looked
    use_case         text NOT NULL,
    prompt_hash      text NOT NULL,
    model            text NOT NULL,
    row_id           text NOT NULL,
    row_key          text NOT NULL,
    decision_id      uuid NOT NULL,            -- what would have been written
    destination      text NOT NULL,
    object           text NOT NULL,
    external_id      text NOT NULL,
    held_by          text NOT NULL CHECK (held_by IN ('person', 'version')),
    fields           text[] NOT NULL CHECK (cardinality(fields) > 0),
    differs          text[] NOT NULL CHECK (differs <@ fields),
    digest           bytea NOT NULL
);
CREATE UNIQUE INDEX comparison_once ON comparison (use_case, prompt_hash, model, row_id, held_by);
CREATE INDEX comparison_newest ON comparison (use_case, prompt_hash, model, held_by, recorded_at DESC);
CREATE INDEX comparison_by_run ON comparison (run_id);

CREATE FUNCTION stamp_comparison() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.digest := sha256(record_send(ROW(
        NEW.comparison_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.use_case, NEW.prompt_hash, NEW.model, NEW.row_id,
        NEW.row_key, NEW.decision_id, NEW.destination, NEW.object, NEW.external_id, NEW.held_by, NEW.fields,
        NEW.differs)));
    RETURN NEW;
END $$;

CREATE TRIGGER stamp BEFORE INSERT ON comparison FOR EACH ROW EXECUTE FUNCTION stamp_comparison();
CREATE TRIGGER seal AFTER INSERT ON comparison REFERENCING NEW TABLE AS sealed
    FOR EACH STATEMENT EXECUTE FUNCTION seal_batch('comparison');
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON comparison FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON comparison FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
