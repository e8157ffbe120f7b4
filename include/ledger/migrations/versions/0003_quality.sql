-- What people act on: quarantine with a history, drift against earlier nights, and sums that pages read.

ALTER TABLE run ADD COLUMN totals jsonb NOT NULL DEFAULT '{}';
CREATE INDEX run_by_interval ON run (interval_start DESC, use_case, attempt DESC);
CREATE INDEX run_by_reference ON run (external_ref);

ALTER TABLE quality_result ADD COLUMN stage text NOT NULL DEFAULT 'check' CHECK (stage IN ('check', 'answers'));
ALTER TABLE quality_result ADD COLUMN handling text NOT NULL DEFAULT 'keep' CHECK (handling IN ('quarantine', 'keep'));
ALTER TABLE quality_result ADD COLUMN unit text NOT NULL DEFAULT '';

ALTER TABLE quarantine ADD COLUMN interval_start timestamptz;
ALTER TABLE quarantine ADD COLUMN interval_end timestamptz;
UPDATE quarantine q SET interval_start = r.interval_start, interval_end = r.interval_end
  FROM run r WHERE r.run_id = q.run_id;
ALTER TABLE quarantine ALTER COLUMN interval_start SET NOT NULL;
ALTER TABLE quarantine ALTER COLUMN interval_end SET NOT NULL;
ALTER TABLE quarantine ADD COLUMN expectations text[] NOT NULL DEFAULT '{}';
-- The check has always ended its reasons with the expectation's id in brackets.
UPDATE quarantine SET expectations = ARRAY(
    SELECT substring(reason FROM '\(([a-z][a-z0-9_]*)\)$') FROM unnest(reasons) WITH ORDINALITY AS said (reason, place)
     WHERE reason ~ '\([a-z][a-z0-9_]*\)$' ORDER BY place)
  WHERE stage = 'check';
ALTER TABLE quarantine ADD COLUMN owner text NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN history jsonb NOT NULL DEFAULT '[]';
ALTER TABLE quarantine ADD COLUMN released text[] NOT NULL DEFAULT '{}';
CREATE INDEX quarantine_by_use_case ON quarantine (use_case, quarantine_id DESC);
CREATE INDEX quarantine_by_night ON quarantine (use_case, interval_start, quarantine_id);
CREATE INDEX quarantine_by_run ON quarantine (run_id, quarantine_id DESC);
CREATE INDEX quarantine_by_owner ON quarantine (owner, quarantine_id DESC);
CREATE INDEX quarantine_by_status ON quarantine (status, quarantine_id DESC);
CREATE INDEX quarantine_open ON quarantine (use_case, quarantine_id DESC) WHERE status IN ('open', 'fixed');
CREATE INDEX quarantine_by_key ON quarantine (row_key);
CREATE INDEX quarantine_by_expectation ON quarantine USING gin (expectations);
CREATE INDEX quarantine_released ON quarantine (use_case, interval_start) WHERE released <> '{}';

-- How many rows of a run wait or waited, by what they failed: pages count here and not in millions of rows.
-- `digest` stands for the expectations in the key: a row may fail more of them than an index holds.
CREATE TABLE quarantine_count (
    run_id          text NOT NULL REFERENCES run,
    status          text NOT NULL,
    owner           text NOT NULL,
    expectations    text[] NOT NULL,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    digest          text NOT NULL,
    rows            bigint NOT NULL,
    PRIMARY KEY (run_id, status, owner, digest)
);
CREATE INDEX quarantine_count_by_status ON quarantine_count (status, use_case, interval_start);

CREATE FUNCTION count_quarantine() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO quarantine_count AS c
            (run_id, status, owner, expectations, use_case, interval_start, interval_end, digest, rows)
        SELECT run_id, status, owner, expectations, use_case, interval_start, interval_end,
               md5(array_to_string(expectations, ',')), count(*)
          FROM fresh GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 8
        ON CONFLICT (run_id, status, owner, digest) DO UPDATE SET rows = c.rows + excluded.rows;
    ELSE
        INSERT INTO quarantine_count AS c
            (run_id, status, owner, expectations, use_case, interval_start, interval_end, digest, rows)
        SELECT run_id, status, owner, expectations, use_case, interval_start, interval_end,
               md5(array_to_string(expectations, ',')), sum(one)
          FROM (SELECT f.*, 1 AS one FROM fresh f UNION ALL SELECT s.*, -1 FROM stale s) AS moved
         GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(one) <> 0 ORDER BY 1, 2, 3, 8
        ON CONFLICT (run_id, status, owner, digest) DO UPDATE SET rows = c.rows + excluded.rows;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_inserted AFTER INSERT ON quarantine
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_quarantine();
CREATE TRIGGER count_updated AFTER UPDATE ON quarantine
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_quarantine();
INSERT INTO quarantine_count
SELECT run_id, status, owner, expectations, use_case, interval_start, interval_end,
       md5(array_to_string(expectations, ',')), count(*)
  FROM quarantine GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- One column of a night as it came in, without any value of a personal one; later nights are held against it.
CREATE TABLE column_profile (
    run_id       text NOT NULL REFERENCES run,
    column_name  text NOT NULL,
    type         text NOT NULL,
    rows         bigint NOT NULL,
    nulls        bigint NOT NULL,
    profile      jsonb NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, column_name)
);

CREATE TABLE drift_result (
    run_id       text NOT NULL REFERENCES run,
    signal       text NOT NULL CHECK (signal IN ('schema', 'volume', 'null_share', 'category_share', 'distribution',
                                                 'freshness')),
    column_name  text NOT NULL DEFAULT '',
    statistic    text NOT NULL,
    value        double precision,
    expected     double precision,
    threshold    double precision,
    verdict      text NOT NULL CHECK (verdict IN ('steady', 'drifted', 'no history', 'could not run')),
    nights       integer NOT NULL,
    detail       text NOT NULL DEFAULT '',
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, signal, column_name)
);

CREATE INDEX dead_letter_by_use_case ON dead_letter (use_case, dead_letter_id DESC);

-- What a range of nights would cost, worked out night by night after somebody asked for it on the page.
CREATE TABLE backfill_plan (
    plan_id         uuid PRIMARY KEY,
    use_case        text NOT NULL,
    interval_start  timestamptz NOT NULL,
    interval_end    timestamptz NOT NULL,
    options         jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'asked' CHECK (status IN ('asked', 'running', 'done', 'failed')),
    detail          text,
    nights          jsonb NOT NULL DEFAULT '[]',
    sums            jsonb NOT NULL DEFAULT '{}',
    actor           text NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (interval_start < interval_end)
);
CREATE INDEX backfill_plan_by_use_case ON backfill_plan (use_case, recorded_at DESC);
