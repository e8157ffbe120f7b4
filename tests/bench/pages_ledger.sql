-- A ledger of many nights, statement by statement; names after a colon are given by the benchmark.
INSERT INTO nightledger.run (run_id, use_case, interval_start, interval_end, attempt, external_ref, mode, options, model,
       prompt_version, prompt_hash, contract_hash, code_version, git_sha, status, counts, started_at, finished_at, totals)
SELECT c.name || '-' || n.night || '-1', c.name, day, day + interval '1 day', 1, c.name || '/night_' || n.night, 'auto', '{}', 'sandbox-small',
       'v1', 'p', 'c', '0.1.0', 'g', CASE WHEN n.night % 37 = 0 THEN 'failed' ELSE 'succeeded' END,
       jsonb_build_object('written', 1500, 'in_review', 100, 'quarantined', 60, 'unchanged', 40),
       day + interval '1 day', day + interval '1 day 20 minutes',
       jsonb_build_object('rows_in', 1700, 'seconds', 1200.5, 'calls', 300, 'tokens_in', 90000, 'tokens_out', 20000,
           'cost_usd', '0.1234', 'reused', 900, 'failed_expectations', 2, 'quarantined_open', 60, 'drifted', 1)
  FROM unnest(CAST(:cases AS text[])) AS c (name), generate_series(1, :nights) AS n (night), LATERAL (SELECT timestamptz '2026-11-20 02:00+00' - n.night * interval '1 day' AS day) d;

CREATE TEMP TABLE chosen ON COMMIT DROP AS
SELECT run_id, use_case, interval_start, interval_end, row_number() OVER () AS at FROM nightledger.run;

INSERT INTO nightledger.outcome (run_id, row_id, row_key, outcome, stage, lineage)
SELECT r.run_id, 'crm/contacts/' || s, 'key-' || r.at || '-' || s, 'written', 'write', '{"page": 3}'
  FROM chosen r, generate_series(1, :outcomes) AS s;

INSERT INTO nightledger.inference_result (inference_id, stream, batch, run_id, outcome, tokens_in, tokens_out, cost,
       latency_ms, queue_ms, digest)
SELECT md5(r.run_id || '/' || s)::uuid, r.run_id, '00000000-0000-0000-0000-000000000000', r.run_id,
       CASE WHEN s % 50 = 0 THEN 'timeout' ELSE 'ok' END, 300, 60, 0.0004, 400, 20, 'd'
  FROM chosen r, generate_series(1, :calls) AS s;

-- What was asked, decided and written for it: records of the first use case are written every night, the others once.
SELECT nightledger.ensure_inference_month(month::date)
  FROM generate_series((SELECT min(interval_start) FROM chosen), (SELECT max(interval_start) + interval '1 month' FROM chosen),
                       interval '1 month') AS month;

INSERT INTO nightledger.prompt (prompt_hash, name, version, system_text, user_text) VALUES ('p', 'prompt', 'v1', 'Be fair.', '');

INSERT INTO nightledger.inference (inference_id, recorded_at, batch, run_id, use_case, row_id, row_key, inference_key,
       prompt_version, prompt_hash, model, parameters, messages, kind, attempt, tokens_estimated, cost_reserved, digest)
SELECT md5(r.run_id || '/' || s)::uuid, r.interval_start, '00000000-0000-0000-0000-000000000000', r.run_id, r.use_case,
       'crm/contacts/' || s, 'key-' || r.at || '-' || s, md5('key' || r.run_id || '/' || s), 'v1', 'p', 'sandbox-small', '{}',
       '[{"role": "user", "content": "job_title: buyer"}]', 'ask', 1, 300, 0.0004, 'd'
  FROM chosen r, generate_series(1, :calls) AS s;

INSERT INTO nightledger.decision (decision_id, recorded_at, batch, run_id, use_case, row_id, row_key, inference_key, verdict, rule,
       decided_by, origin, inference_id, output, confidence, shown_sha256, digest)
SELECT md5('decision' || r.run_id || '/' || s)::uuid, r.interval_end, '00000000-0000-0000-0000-000000000000', r.run_id, r.use_case,
       'crm/contacts/' || s, 'key-' || r.at || '-' || s, md5('key' || r.run_id || '/' || s), 'write', 'mode auto', 'gate', 'model',
       md5(r.run_id || '/' || s)::uuid, '{"score": 80}', 0.9, repeat('a', 64), 'd'
  FROM chosen r, generate_series(1, :calls) AS s WHERE s % 50 <> 0;

INSERT INTO nightledger.outbox_intent (run_id, use_case, interval_start, interval_end, row_id, row_key, decision_id, destination,
       object, external_id, fields, before)
SELECT r.run_id, r.use_case, r.interval_start, r.interval_end, 'crm/contacts/' || s, 'key-' || r.at || '-' || s,
       md5('decision' || r.run_id || '/' || s)::uuid, 'crm', 'contacts', CASE WHEN r.use_case = :first THEN s::text ELSE r.at || '-' || s END,
       jsonb_build_object('nl_lead_score', (r.at % 100)::text, 'nl_lead_tier', 'hot'), '{"nl_lead_score": "12", "nl_lead_tier": "cold"}'
  FROM chosen r, generate_series(1, :calls) AS s WHERE s % 50 <> 0 ORDER BY r.interval_start;

INSERT INTO nightledger.outbox_result (outbox_id, status, differs, attempts, updated_at)
SELECT outbox_id, 'written', '{}', 1, interval_end FROM nightledger.outbox_intent;

INSERT INTO nightledger.evaluation (evaluation_id, recorded_at, batch, run_id, use_case, prompt_version, prompt_hash, model,
       contract_hash, labels_sha256, rows, correct, verdict, reasons, scores, cost, digest)
SELECT gen_random_uuid(), r.interval_start - interval '1 hour', '00000000-0000-0000-0000-000000000000', r.run_id, r.use_case, 'v1',
       'p', 'sandbox-small', 'c', 'l', 50, 47, 'passed', '{}', '{}', 0, 'd' FROM chosen r;

INSERT INTO nightledger.quality_result (run_id, expectation, type, columns, severity, meaning, success, rows_checked,
       unexpected_count, threshold, handling)
SELECT r.run_id, 'rule_' || lpad(s::text, 2, '0'), 'expect_x', ARRAY['column_' || s % 9],
       (ARRAY['critical', 'warning', 'info'])[1 + s % 3], 'Rule ' || s || ' holds for the rows of the night',
       (r.at + s) % 11 <> 0, 1700, (r.at * s) % 40, 0.98, CASE WHEN s % 2 = 0 THEN 'quarantine' ELSE 'keep' END
  FROM chosen r, generate_series(1, 20) AS s;

INSERT INTO nightledger.quarantine (run_id, use_case, row_id, row_key, source, stage, reasons, record, counts_as_input,
       status, interval_start, interval_end, expectations, owner)
SELECT r.run_id, r.use_case, 'crm/contacts/' || s, 'key-' || r.at || '-' || s, 'crm page 3', 'check',
       ARRAY['not met: Rule ' || s % 20 || ' holds'], '{"email": "tok_1", "company": "Works"}', true,
       CASE WHEN (r.at + s) % 3 = 0 THEN 'dismissed' ELSE 'open' END, r.interval_start, r.interval_end,
       ARRAY['rule_' || lpad((1 + s % 20)::text, 2, '0')], 'team-' || s % 4
  FROM chosen r, generate_series(1, :bad) AS s ORDER BY r.interval_start;

INSERT INTO nightledger.quarantine_count (run_id, status, owner, expectations, use_case, interval_start, interval_end,
       digest, rows)
SELECT run_id, status, owner, expectations, use_case, interval_start, interval_end,
       md5(array_to_string(expectations, ',')), count(*)
  FROM nightledger.quarantine GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO nightledger.dead_letter (run_id, use_case, interval_start, interval_end, row_id, row_key, stage, cause,
       detail, record, tries, system)
SELECT r.run_id, r.use_case, r.interval_start, r.interval_end, 'crm/contacts/' || s, 'key-' || s, 'enrich',
       (ARRAY['model_unavailable', 'invalid_output', 'refused'])[1 + s % 3], 'no answer', '{"email": "tok_1"}', 5, 'model'
  FROM chosen r, generate_series(1, :dead) AS s;

INSERT INTO nightledger.event (stream, seq, recorded_at, type, actor, details, prev_hash, hash)
SELECT r.run_id, s, r.interval_end, CASE WHEN s % 2 = 0 THEN 'audit.sealed' ELSE 'check.completed' END, 'nightledger',
       '{"rows": 5}', 'p', 'h' FROM chosen r, generate_series(1, :events) AS s;

INSERT INTO nightledger.manifest (run_id, dataset, uri, rows, bytes, sha256, columns, facts)
SELECT r.run_id, d, 'nowhere', 1700, 100000, 's', '{}', '{"input_rows": 1700}'
  FROM chosen r, unnest(ARRAY['raw', 'good', 'enriched', 'approved']) AS d;

INSERT INTO nightledger.drift_result (run_id, signal, column_name, statistic, value, expected, threshold, verdict, nights)
SELECT r.run_id, 'null_share', 'column_' || s, 'share', 0.2, 0.1, 0.15, CASE WHEN s < 3 THEN 'drifted' ELSE 'steady' END, 14
  FROM chosen r, generate_series(1, 12) AS s;

INSERT INTO nightledger.budget (scope, ceiling, spent) SELECT 'run/' || r.run_id, 5, 0.1 FROM chosen r;

-- 50,000 answers wait for people, and 5,000 were decided.
INSERT INTO nightledger.review_item (run_id, use_case, interval_start, interval_end, row_id, row_key, inference_key, shown,
       shown_sha256, proposed, reason, status, confidence, risk, expires_at, decided_by, decided_at, applied_at)
SELECT r.run_id, r.use_case, r.interval_start, r.interval_end, 'crm/contacts/' || s, 'key-' || r.at || '-' || s, 'k' || s,
       jsonb_build_object('origin', 'model', 'input', jsonb_build_object('job_title', 'Head of ' || s, 'country', 'France',
           'notes', repeat('what somebody wrote ', 20))),
       repeat('a', 58) || lpad(s::text, 6, '0'),
       jsonb_build_object('score', s % 100, 'tier', (ARRAY['hot', 'warm', 'cold'])[1 + s % 3], 'confidence', (s % 100) / 100.0,
           'summary', 'A lead of number ' || s, 'reasons', jsonb_build_array('one', 'two'), 'next_action', 'call'),
       (ARRAY['confidence below 0.7', 'mode gated: a person decides', 'answered by the fallback rule'])[1 + s % 3],
       CASE WHEN s % 11 = 0 THEN 'approved' ELSE 'waiting' END, (s % 100) / 100.0, 1 - (s % 100) / 100.0,
       r.interval_end + interval '10 years', CASE WHEN s % 11 = 0 THEN 'ada' END,
       CASE WHEN s % 11 = 0 THEN r.interval_end END, CASE WHEN s % 11 = 0 THEN r.interval_end END
  FROM (SELECT * FROM chosen WHERE use_case = :first ORDER BY interval_start DESC LIMIT 1) r, generate_series(1, 55000) AS s;


-- 10,000 evaluations with 200 labelled rows each; four of ten are conditions, 50 are set aside.
INSERT INTO nightledger.evaluation (evaluation_id, recorded_at, batch, run_id, use_case, prompt_version, prompt_hash, model,
       contract_hash, labels_sha256, rows, correct, verdict, reasons, scores, cost, condition, digest)
SELECT lpad(s::text, 32, '0')::uuid, timestamptz '2026-11-20' - s * interval '5 minutes', gen_random_uuid(), 'evals_' || s / 16,
       :first, 'v' || s % 7, md5((s % 7)::text), 'model-' || s % 5, 'c', repeat('a', 63) || s % 3, 200, 150 + s % 50,
       CASE WHEN s % 10 < 4 THEN 'compared' WHEN s % 10 < 8 THEN 'passed' ELSE 'failed' END, ARRAY['190 of 200 rows'],
       jsonb_build_object('right', jsonb_build_object('hits', 150 + s % 50, 'of', 200), 'macro_f1', jsonb_build_object('tier', 0.9),
           'fields', (SELECT jsonb_object_agg('field_' || f, jsonb_build_object('hits', 190, 'of', 200, 'share', 0.95, 'bounds',
               jsonb_build_array(0.9, 0.97))) FROM generate_series(1, 15) AS f), 'row_cost_usd', '0.0001'),
       0.02, CASE WHEN s % 10 < 4 THEN 'without column_' || s % 16 END, '\x00'
  FROM generate_series(1, 10000) AS s;

INSERT INTO nightledger.evaluation_row (evaluation_row_id, recorded_at, batch, run_id, evaluation_id, row_sha256, inference_key,
       verdict, digest)
SELECT gen_random_uuid(), timestamptz '2026-11-20', '00000000-0000-0000-0000-000000000000', 'evals', lpad(s::text, 32, '0')::uuid,
       md5(r::text), md5(r::text || s), (ARRAY['right', 'right', 'right', 'wrong', 'invalid'])[1 + r % 5], '\x00'
  FROM generate_series(1, 10000) AS s, generate_series(1, 200) AS r;

INSERT INTO nightledger.event (stream, seq, recorded_at, type, actor, details, prev_hash, hash)
SELECT 'evaluation/' || :first, s, timestamptz '2026-11-20', 'evaluation.set_aside', 'ada',
       jsonb_build_object('evaluation_id', lpad((s * 10 - 1)::text, 32, '0')::uuid, 'reason', 'wrong labels'), 'p', 'h'
  FROM generate_series(1, 50) AS s;
