-- How far the nights of a use case may go, set by people while they run, and whether anybody is asked at all. Every change
-- is an event of stream control/<use case>; the row is what the last one said.
CREATE TABLE control (
    use_case   text PRIMARY KEY,
    mode       text CHECK (mode IN ('shadow', 'gated', 'auto')),
    off        boolean NOT NULL DEFAULT false,
    prompt     text,
    reason     text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
