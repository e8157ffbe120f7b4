-- An agent's steps and the reads of its tools are inferences too; a step that asks for tools is no answer.
ALTER TABLE inference DROP CONSTRAINT inference_kind_check;
ALTER TABLE inference ADD CONSTRAINT inference_kind_check
    CHECK (kind IN ('ask', 'retry', 're-ask', 'hedge', 'local', 'step', 'tool')) NOT VALID;
ALTER TABLE inference_result DROP CONSTRAINT inference_result_outcome_check;
ALTER TABLE inference_result ADD CONSTRAINT inference_result_outcome_check
    CHECK (outcome IN ('ok', 'invalid', 'refused', 'empty', 'rate_limited', 'http_error', 'timeout', 'cancelled',
                       'tools')) NOT VALID;
