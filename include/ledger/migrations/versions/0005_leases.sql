-- Who is alive, in rows instead of sessions: a pooler lends a session to many, and a paused process keeps its own.

-- Until when a holder counts as alive, by this database's clock. Its heartbeat moves `until` on; once it has passed,
-- others may take the name, and what the holder had claimed is free.
CREATE TABLE lease (
    name    text PRIMARY KEY,
    holder  bigint NOT NULL,
    until   timestamptz NOT NULL
) WITH (fillfactor = 50);
-- Whoever asks while this is applied holds its claims by its session; it gets an hour to come to its end.
INSERT INTO lease SELECT DISTINCT 'claimant/' || holder, holder, clock_timestamp() + interval '1 hour'
  FROM claim WHERE holder <> 0;

ALTER TABLE run ADD COLUMN heard_at timestamptz NOT NULL DEFAULT clock_timestamp();
ALTER TABLE run DROP CONSTRAINT run_status_check;
ALTER TABLE run ADD CONSTRAINT run_status_check
    CHECK (status IN ('running', 'succeeded', 'stopped', 'failed', 'abandoned'));
CREATE INDEX run_unfinished ON run (use_case) WHERE status = 'running';

ALTER TABLE inference_result DROP CONSTRAINT inference_result_cost_basis_check;
ALTER TABLE inference_result ADD CONSTRAINT inference_result_cost_basis_check
    CHECK (cost_basis IN ('reported', 'estimated', 'bounded', 'none'));

-- Budgets change by these functions alone, so that a ceiling is raised and a sum corrected by a recorded act only.
ALTER FUNCTION reserve_budget SECURITY DEFINER;

-- What was set aside may have been corrected meanwhile, so what is given back is never more than what is there.
CREATE OR REPLACE FUNCTION settle_budget(scopes text[], released numeric, paid numeric) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM 1 FROM budget WHERE scope = ANY (scopes) ORDER BY scope FOR UPDATE;
    UPDATE budget SET reserved = greatest(reserved - released, 0), spent = spent + paid, updated_at = clock_timestamp()
     WHERE scope = ANY (scopes);
END $$;

-- Make scopes known. What is declared lower than the ceiling in force lowers it; nothing declared raises it.
CREATE FUNCTION open_budget(scopes text[], ceilings numeric[]) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = nightledger, pg_temp AS $$
    INSERT INTO budget AS known (scope, ceiling)
    SELECT scope, ceiling FROM unnest(scopes, ceilings) AS declared (scope, ceiling) ORDER BY scope
        ON CONFLICT (scope) DO UPDATE SET ceiling = excluded.ceiling, updated_at = clock_timestamp()
     WHERE excluded.ceiling < known.ceiling
$$;

-- Put a budget right; what was and what is goes on record with who and why. Null leaves a value as it is.
CREATE FUNCTION correct_budget(corrected text, new_ceiling numeric, new_spent numeric, new_reserved numeric,
                               why text, who text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = nightledger, pg_temp AS $$
DECLARE was budget%ROWTYPE; now_is budget%ROWTYPE;
BEGIN
    IF coalesce(btrim(why), '') = '' OR coalesce(btrim(who), '') = '' THEN
        RAISE EXCEPTION 'a correction needs who and why';
    END IF;
    SELECT * INTO was FROM budget WHERE scope = corrected FOR UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE budget SET ceiling = coalesce(new_ceiling, ceiling), spent = coalesce(new_spent, spent),
                      reserved = coalesce(new_reserved, reserved), updated_at = clock_timestamp()
     WHERE scope = corrected RETURNING * INTO now_is;
    INSERT INTO event (stream, type, actor, details) VALUES ('budget', 'budget.corrected', who, jsonb_build_object(
        'scope', corrected, 'why', why, 'login', session_user,
        'before', jsonb_build_object('ceiling', was.ceiling, 'spent', was.spent, 'reserved', was.reserved),
        'after', jsonb_build_object('ceiling', now_is.ceiling, 'spent', now_is.spent, 'reserved', now_is.reserved)));
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION open_budget, correct_budget, reserve_budget, settle_budget FROM PUBLIC;
