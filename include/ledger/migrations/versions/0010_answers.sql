-- What a night answered, row by row: the last decision on each row with what became of it. Other use cases read it.
CREATE VIEW decided_answer AS
SELECT DISTINCT ON (d.run_id, d.row_id)
       d.run_id, d.row_id, d.row_key, d.decision_id, d.verdict, d.origin, d.confidence, d.recorded_at, o.outcome,
       coalesce(d.output, said(r.parsed, r.raw_text)) AS output
  FROM decision d
  JOIN outcome o USING (run_id, row_id)
  LEFT JOIN LATERAL (SELECT parsed, raw_text FROM inference_result
                      WHERE inference_id = d.inference_id AND outcome = 'ok' OFFSET 0) r ON true
 ORDER BY d.run_id, d.row_id, d.recorded_at DESC;
