-- Alerts: one row per time that something stood, with what each channel took of it. No row of a night is in any of them.
CREATE TABLE alert (
    alert_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          text NOT NULL,                       -- the same thing as before has the same key
    use_case     text NOT NULL,                       -- empty: of no use case alone
    cause        text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('warning', 'severe')),
    sentence     text NOT NULL,
    page         text NOT NULL,
    first_seen   timestamptz NOT NULL,
    last_seen    timestamptz NOT NULL,
    notified_at  timestamptz,                         -- when a channel last took it
    channels     jsonb NOT NULL DEFAULT '{}',         -- by channel: what was told when, and how it failed
    resolved_at  timestamptz
);
CREATE UNIQUE INDEX alert_standing ON alert (key) WHERE resolved_at IS NULL;
CREATE INDEX alert_over ON alert (resolved_at DESC) WHERE resolved_at IS NOT NULL;

-- A window in which nobody is called: of one use case or all (empty), of one cause or all (empty).
CREATE TABLE silence (
    silence_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case     text NOT NULL DEFAULT '',
    cause        text NOT NULL DEFAULT '',
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    tz           text NOT NULL,                       -- the time zone in which it was asked for
    why          text NOT NULL CHECK (btrim(why) <> ''),
    by           text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,                         -- ended before its time
    ended_by     text,
    CHECK (starts_at < ends_at)
);
CREATE INDEX silence_by_end ON silence (ends_at);

-- The last look, so that a watch that does not run is seen.
CREATE TABLE alert_look (
    name       text PRIMARY KEY,
    looked_at  timestamptz NOT NULL,
    by         text NOT NULL,
    seconds    double precision NOT NULL,
    channels   text[] NOT NULL,                       -- those that were stored
    problem    text
);
