-- Drift has more signals: rows and values that repeat, values that are new or gone, single figures of a column.
ALTER TABLE drift_result DROP CONSTRAINT drift_result_signal_check;
ALTER TABLE drift_result ADD CONSTRAINT drift_result_signal_check
    CHECK (signal IN ('schema', 'volume', 'repeated', 'null_share', 'category_share', 'values', 'distribution',
                      'level', 'freshness'));
