-- People decide on what waits. Each verdict is a decision like the gate's, sealed when it is recorded; the item says which
-- one stands and whether the night's records have it.
ALTER TABLE decision DROP CONSTRAINT decision_origin_check;
ALTER TABLE decision ADD CONSTRAINT decision_origin_check CHECK (origin IN ('model', 'rule', 'person'));

ALTER TABLE review_item DROP CONSTRAINT review_item_status_check;
ALTER TABLE review_item ADD CONSTRAINT review_item_status_check
    CHECK (status IN ('waiting', 'approved', 'edited', 'rejected', 'expired', 'superseded'));
ALTER TABLE review_item
    ADD COLUMN confidence  numeric,
    ADD COLUMN risk        double precision NOT NULL DEFAULT 1,   -- 0 to 1; the riskiest are shown first
    ADD COLUMN expires_at  timestamptz,
    ADD COLUMN assigned_to text,
    ADD COLUMN agreed_by   text,                      -- who has approved what a second person has to approve
    ADD COLUMN output      jsonb,                     -- what was approved, where it is not what was proposed
    ADD COLUMN decision_id uuid,
    ADD COLUMN decided_by  text,
    ADD COLUMN decided_at  timestamptz,
    ADD COLUMN comment     text,
    ADD COLUMN applied_at  timestamptz;
CREATE INDEX review_item_waiting ON review_item (use_case, risk DESC, review_item_id) WHERE status = 'waiting';
CREATE INDEX review_item_due ON review_item (use_case) WHERE status <> 'waiting' AND applied_at IS NULL;
CREATE INDEX review_item_by_key ON review_item (use_case, row_key);
CREATE INDEX review_item_decided ON review_item (use_case, reason, decided_at DESC)
    WHERE status IN ('approved', 'edited', 'rejected');
