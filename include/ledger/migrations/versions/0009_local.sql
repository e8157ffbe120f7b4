-- Rows that a fitted model decides in the process are inferences too, of a kind of their own.
ALTER TABLE inference DROP CONSTRAINT inference_kind_check;
ALTER TABLE inference ADD CONSTRAINT inference_kind_check
    CHECK (kind IN ('ask', 'retry', 're-ask', 'hedge', 'local')) NOT VALID;
