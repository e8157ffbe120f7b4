-- Why a field of a record has its value, asked by system, object, id and field.

-- Calls that a row has had under another key: those of the model that was asked before the one that answered.
CREATE INDEX inference_by_row ON inference USING hash (row_id);
CREATE INDEX outbox_undone ON outbox_intent (undo_of) WHERE undo_of IS NOT NULL;

-- Every call that was made for an answer up to a moment, oldest first: under its key by whichever run, and for the rows
-- in those runs under another one. With each goes the evaluation that held when it left. No outcome: its end is unknown.
-- `OFFSET 0` keeps each look-up by its index: without statistics, whole tables are read.
CREATE FUNCTION tries(wanted_key text, of_runs text[], of_rows text[], until timestamptz) RETURNS TABLE (
    inference_id uuid, asked_at timestamptz, run_id text, row_id text, row_key text, inference_key text, kind text,
    attempt integer, batch_job_id uuid, model text, model_answered text, prompt_version text, prompt_hash text,
    parameters jsonb, messages jsonb, outcome text, detail text, http_status integer, raw_text text,
    provider_request_id text, tokens_in integer, tokens_out integer, tokens_cached integer, cost numeric,
    cost_basis text, latency_ms integer, queue_ms integer, answered_at timestamptz, evaluation_id uuid,
    evaluated_at timestamptz, evaluation_verdict text, evaluation_rows integer, evaluation_correct integer)
LANGUAGE sql STABLE AS $$
    SELECT i.inference_id, i.recorded_at, i.run_id, i.row_id, i.row_key, i.inference_key, i.kind, i.attempt,
           i.batch_job_id, i.model, r.model_answered, i.prompt_version, i.prompt_hash, i.parameters, i.messages,
           r.outcome, r.detail, r.http_status, r.raw_text, r.provider_request_id, r.tokens_in, r.tokens_out,
           r.tokens_cached, r.cost, r.cost_basis, r.latency_ms, r.queue_ms, r.recorded_at, e.evaluation_id,
           e.recorded_at, e.verdict, e.rows, e.correct
      FROM (SELECT * FROM (
                SELECT * FROM nightledger.inference WHERE inference_key = wanted_key
                 UNION
                SELECT * FROM nightledger.inference WHERE row_id = ANY (of_rows) AND run_id = ANY (of_runs)) every_one
             WHERE recorded_at <= until ORDER BY recorded_at DESC LIMIT 200) i
      LEFT JOIN LATERAL (SELECT * FROM nightledger.inference_result
                          WHERE inference_id = i.inference_id OFFSET 0) r ON true
      LEFT JOIN LATERAL (SELECT * FROM nightledger.evaluation
                          WHERE use_case = i.use_case AND prompt_hash = i.prompt_hash AND model = i.model
                            AND verdict IN ('passed', 'failed') AND recorded_at < i.recorded_at
                          ORDER BY recorded_at DESC LIMIT 1) e ON true
     ORDER BY i.recorded_at, i.attempt
$$;

-- A row for each field of each write: ask by system, object, record_id and field. `value` is what the record held once
-- the write had ended, null where it was not set or found; `wanted` is what was decided. `left_as` is what the write
-- before it had left there, `left_by` that write: where `before` is another, somebody else was there in between, or a
-- write whose end is unknown arrived after all (a text that is kept as tokens is compared as such). `input` is where the row lies as the model was shown it, and as it
-- was read. `tries` has every call for the answer; what was said in them is in `messages` and in function tries().
CREATE VIEW explained_field AS
SELECT o.destination AS system, o.object, o.external_id AS record_id, f.key AS field, o.outbox_id, o.undo_of,
       o.before -> f.key AS before, o.before IS NOT NULL AS before_read,
       CASE WHEN o.status = 'written' AND o.after ? f.key THEN o.after -> f.key
            WHEN o.status = 'written' THEN f.value
            WHEN o.status = 'unchanged' AND o.error IS NULL THEN o.before -> f.key END AS value,
       f.value AS wanted, o.status AS write_status, o.error AS write_error, o.attempts, o.recorded_at AS intended_at,
       o.updated_at AS written_at, was.outbox_id AS left_by, was.value AS left_as,
       EXISTS (SELECT FROM nightledger.outbox u WHERE u.undo_of = o.outbox_id AND u.status = 'written') AS undone,
       o.use_case, o.row_id, o.row_key, o.decision_id, d.verdict, d.rule, d.decided_by, d.confidence,
       d.recorded_at AS decided_at, d.origin, d.shown_sha256, d.inference_key, d.inference_id,
       coalesce(d.output, said(r.parsed, r.raw_text)) AS output, v.review_item_id, v.comment,
       words.decisions, i.model, r.model_answered, i.parameters, i.prompt_version, i.prompt_hash, p.name AS prompt_name,
       p.system_text, i.messages, i.recorded_at AS asked_at, i.run_id AS asked_by, i.row_id AS asked_row_id,
       r.provider_request_id, r.cost, r.cost_basis, r.tokens_in, r.tokens_out, r.tokens_cached, r.latency_ms, r.queue_ms,
       r.recorded_at AS answered_at, calls.tries, e.evaluation_id, e.recorded_at AS evaluated_at,
       e.verdict AS evaluation_verdict, e.rows AS evaluation_rows, e.correct AS evaluation_correct,
       w.lineage, w.outcome, w.reason AS outcome_reason, read.input, checked.expectations, checked.not_met,
       aside.quarantine, letters.dead_letters, o.run_id, u.attempt, o.interval_start, o.interval_end, u.mode,
       u.external_ref, u.contract_hash, u.code_version, u.git_sha, u.started_at
  FROM nightledger.outbox o
 CROSS JOIN LATERAL jsonb_each(o.fields) f
  JOIN nightledger.run u ON u.run_id = o.run_id
  LEFT JOIN LATERAL (SELECT * FROM nightledger.decision WHERE decision_id = o.decision_id OFFSET 0) d ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.inference WHERE inference_id = d.inference_id OFFSET 0) i ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.inference_result WHERE inference_id = d.inference_id OFFSET 0) r ON true
  LEFT JOIN nightledger.prompt p ON p.prompt_hash = i.prompt_hash
  LEFT JOIN LATERAL (SELECT review_item_id, comment FROM nightledger.review_item
                      WHERE use_case = o.use_case AND interval_start = o.interval_start
                        AND interval_end = o.interval_end AND row_key = o.row_key
                        AND shown_sha256 = d.shown_sha256 OFFSET 0) v ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.outcome WHERE run_id = o.run_id AND row_id = o.row_id OFFSET 0) w ON true
  LEFT JOIN LATERAL (
        SELECT b.outbox_id,
               CASE WHEN b.status = 'unchanged' THEN b.before -> f.key WHEN b.after ? f.key THEN b.after -> f.key
                    ELSE b.fields -> f.key END AS value
          FROM nightledger.outbox b
         WHERE (b.destination, b.object, b.external_id) = (o.destination, o.object, o.external_id)
           AND b.fields ? f.key AND b.outbox_id < o.outbox_id
           AND (b.status = 'written' OR b.status = 'unchanged' AND b.error IS NULL)
         ORDER BY b.outbox_id DESC LIMIT 1) was ON true
  LEFT JOIN LATERAL (
        SELECT * FROM nightledger.evaluation
         WHERE use_case = i.use_case AND prompt_hash = i.prompt_hash AND model = i.model
           AND verdict IN ('passed', 'failed') AND recorded_at < i.recorded_at
         ORDER BY recorded_at DESC LIMIT 1) e ON true
  LEFT JOIN LATERAL (
        SELECT jsonb_agg(to_jsonb(t) - 'messages' - 'raw_text' - 'parameters') AS tries
          FROM nightledger.tries(d.inference_key, ARRAY[i.run_id, d.run_id], ARRAY[i.row_id, d.row_id],
                                 d.recorded_at) t) calls ON true
  LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('at', x.recorded_at, 'run_id', x.run_id, 'verdict', x.verdict,
                   'rule', x.rule, 'by', x.decided_by) ORDER BY x.recorded_at) AS decisions
          FROM nightledger.run a
         CROSS JOIN LATERAL (SELECT * FROM nightledger.decision
                              WHERE run_id = a.run_id AND row_id = o.row_id OFFSET 0) x
         WHERE a.use_case = o.use_case AND a.interval_start = o.interval_start AND a.interval_end = o.interval_end
           AND x.recorded_at <= o.updated_at) words ON true
  LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(m.dataset, jsonb_build_object('uri', m.uri, 'sha256', m.sha256)) AS input
          FROM nightledger.manifest m WHERE m.run_id = o.run_id AND m.dataset IN ('raw', 'good')) read ON true
  LEFT JOIN LATERAL (
        SELECT count(*) AS expectations,
               jsonb_agg(jsonb_build_object('expectation', q.expectation, 'stage', q.stage, 'severity', q.severity,
                   'meaning', q.meaning, 'rows', q.unexpected_count, 'handling', q.handling, 'met', q.success)
                   ORDER BY q.expectation) FILTER (WHERE NOT q.success OR q.unexpected_count > 0) AS not_met
          FROM nightledger.quality_result q WHERE q.run_id = o.run_id) checked ON true
  LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('at', q.recorded_at, 'run_id', q.run_id, 'reasons', q.reasons,
                   'status', q.status, 'number', q.quarantine_id) ORDER BY q.recorded_at) AS quarantine
          FROM nightledger.run a
         CROSS JOIN LATERAL (SELECT * FROM nightledger.quarantine
                              WHERE run_id = a.run_id AND row_id = o.row_id OFFSET 0) q
         WHERE a.use_case = o.use_case AND a.interval_start = o.interval_start
           AND a.interval_end = o.interval_end) aside ON true
  LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('at', l.recorded_at, 'run_id', l.run_id, 'stage', l.stage,
                   'cause', l.cause, 'detail', l.detail, 'tries', l.tries, 'status', l.status,
                   'number', l.dead_letter_id) ORDER BY l.recorded_at) AS dead_letters
          FROM nightledger.run a
         CROSS JOIN LATERAL (SELECT * FROM nightledger.dead_letter
                              WHERE run_id = a.run_id AND row_id = o.row_id OFFSET 0) l
         WHERE a.use_case = o.use_case AND a.interval_start = o.interval_start
           AND a.interval_end = o.interval_end) letters ON true;

-- A row's writes say why one of them was not sent, and what they take back; one without a decision is a write all the same.
CREATE OR REPLACE VIEW explanation AS
SELECT o.use_case, o.row_key, o.destination, o.object, o.external_id, o.fields, o.before, o.after,
       o.status AS write_status, o.updated_at AS written_at,
       d.verdict, d.rule, d.decided_by, d.confidence, d.recorded_at AS decided_at,
       d.inference_key, d.origin, coalesce(d.output, said(r.parsed, r.raw_text)) AS output, d.inference_id,
       i.messages, i.parameters, i.prompt_version, i.prompt_hash, i.model,
       r.provider_request_id, r.model_answered, r.cost, r.tokens_in, r.tokens_out, r.recorded_at AS answered_at,
       w.lineage, u.run_id, u.interval_start, u.interval_end, u.mode, u.code_version, u.git_sha, u.external_ref,
       o.outbox_id, o.error AS write_error, o.undo_of
  FROM outbox o
  JOIN run u USING (run_id)
  LEFT JOIN decision d ON d.decision_id = o.decision_id
  LEFT JOIN inference i ON i.inference_id = d.inference_id
  LEFT JOIN inference_result r ON r.inference_id = d.inference_id
  LEFT JOIN outcome w ON w.run_id = o.run_id AND w.row_id = o.row_id;

-- What a person was shown of the records that an answer would be written to, if they were: a hash of what those held.
ALTER TABLE review_item ADD COLUMN held_sha256 text;
-- Where the answer would be written to as it was proposed; not known of items from before.
ALTER TABLE review_item ADD COLUMN sinks text[];
