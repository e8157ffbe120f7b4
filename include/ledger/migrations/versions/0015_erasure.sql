-- What was erased, what may not be, and what was removed by policy. Rows keep the digest that they were sealed with; an
-- erasure says what that digest stood for until then (`was`) and what the row holds since (`now`), so that a verification
-- still proves every other row, and this one to be a tombstone.

-- What somebody asked to be erased: kept before anything is, so that a process that was killed goes on with it.
CREATE TABLE erasure_request (
    request_id  uuid PRIMARY KEY,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_by    text NOT NULL CHECK (btrim(asked_by) <> ''),
    reason      text NOT NULL CHECK (btrim(reason) <> ''),
    what        jsonb NOT NULL,                -- row keys by use case, and numbers of entries that have none
    counts      jsonb NOT NULL DEFAULT '{}',
    done_at     timestamptz
);
CREATE INDEX erasure_request_open ON erasure_request (asked_at) WHERE done_at IS NULL;

CREATE TABLE erasure (
    erasure_id  uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream      text,
    batch       uuid NOT NULL,
    run_id      text NOT NULL,                 -- of the row
    request_id  uuid NOT NULL,
    table_name  text NOT NULL,
    row_ref     text NOT NULL,                 -- its primary key
    columns     text[] NOT NULL,               -- those that hold tombstones since
    sealed      text[],                        -- what `was` and `now` are digests of, where the run's seal says it
    was         bytea NOT NULL,
    now         bytea NOT NULL,
    erased_by   text NOT NULL,
    reason      text NOT NULL,
    login       text NOT NULL,
    digest      bytea NOT NULL
);
CREATE INDEX erasure_by_row ON erasure (table_name, row_ref, recorded_at DESC);
CREATE INDEX erasure_by_run ON erasure (run_id);
CREATE INDEX erasure_by_request ON erasure (request_id);

-- A run that a policy removed: what of it was in each table, and the hash of the digests.
CREATE TABLE removal (
    removal_id  uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream      text,
    batch       uuid NOT NULL,
    run_id      text NOT NULL,
    table_name  text NOT NULL,
    rows        bigint NOT NULL,
    held        text NOT NULL,
    still_named uuid[] NOT NULL DEFAULT '{}',  -- results that decisions of other runs are about
    policy      text NOT NULL CHECK (btrim(policy) <> ''),
    removed_by  text NOT NULL CHECK (btrim(removed_by) <> ''),
    login       text NOT NULL,
    digest      bytea NOT NULL
);
CREATE UNIQUE INDEX removal_by_run ON removal (run_id, table_name);

-- What nobody may erase or remove: a row, a use case or everything (empty), of all nights or those within a time.
CREATE TABLE legal_hold (
    hold_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case    text NOT NULL DEFAULT '',
    row_key     text NOT NULL DEFAULT '',
    starts_at   timestamptz,
    ends_at     timestamptz,
    reason      text NOT NULL CHECK (btrim(reason) <> ''),
    set_by      text NOT NULL CHECK (btrim(set_by) <> ''),
    set_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_by   text,
    lifted_at   timestamptz,
    lifted_why  text,
    CHECK (starts_at < ends_at),
    CHECK (row_key = '' OR use_case <> '')
);
CREATE INDEX legal_hold_standing ON legal_hold (hold_id) WHERE lifted_at IS NULL;

CREATE FUNCTION stamp_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.recorded_at := clock_timestamp();
    NEW.login := session_user;
    NEW.digest := sha256(record_send(ROW(
        NEW.erasure_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.request_id, NEW.table_name, NEW.row_ref, NEW.columns,
        NEW.sealed, NEW.was, NEW.now, NEW.erased_by, NEW.reason, NEW.login)));
    RETURN NEW;
END $$;

CREATE FUNCTION stamp_removal() RETURNS trigger LANGUAGE plpgsql SET search_path = nightledger, pg_temp AS $$
BEGIN
    PERFORM require_utf8();
    NEW.stream := NULL;
    NEW.recorded_at := clock_timestamp();
    NEW.login := session_user;
    NEW.digest := sha256(record_send(ROW(
        NEW.removal_id, NEW.recorded_at, NEW.batch, NEW.run_id, NEW.table_name, NEW.rows, NEW.held, NEW.still_named,
        NEW.policy, NEW.removed_by, NEW.login)));
    RETURN NEW;
END $$;

-- What of each table is erased. `ref` is a row's key as text, `found` a condition for the keys in $1, `run` and `key` say
-- whose the row is, `blanks` what each column holds afterwards. `audited` are the columns of a digest of its own.
CREATE FUNCTION erasable(name text, OUT ref text, OUT found text, OUT run text, OUT key text, OUT audited text[],
                         OUT blanks jsonb, OUT also text) LANGUAGE sql IMMUTABLE AS $$
    SELECT t.ref, t.found, t.run, t.key, string_to_array(t.audited, ' '), t.blanks::jsonb, t.also FROM (VALUES
        ('inference', 'x.inference_id::text', 'x.inference_id = ANY ($1::uuid[])', 'x.run_id', 'x.row_key',
         'inference_id recorded_at batch run_id use_case row_id row_key inference_key prompt_version prompt_hash model '
         'parameters messages kind attempt tokens_estimated cost_reserved batch_job_id',
         '{"messages": "''[{\"role\": \"user\", \"content\": \"[erased]\"}]''::jsonb"}', ''),
        ('inference_result', 'x.inference_id::text', 'x.inference_id = ANY ($1::uuid[])', 'x.run_id',
         '(SELECT i.row_key FROM inference i WHERE i.inference_id = x.inference_id LIMIT 1)',
         'inference_id recorded_at batch run_id outcome detail http_status model_answered provider_request_id raw_text '
         'parsed tokens_in tokens_out tokens_cached cost price_dated latency_ms queue_ms cost_basis',
         '{"detail": "CASE WHEN x.detail IS NOT NULL THEN ''[erased]'' END",
           "raw_text": "CASE WHEN x.raw_text IS NOT NULL THEN ''[erased]'' END", "parsed": "NULL::jsonb"}', ''),
        ('decision', 'x.decision_id::text', 'x.decision_id = ANY ($1::uuid[])', 'x.run_id', 'x.row_key',
         'decision_id recorded_at batch run_id use_case row_id row_key inference_key verdict rule decided_by origin '
         'inference_id output confidence shown_sha256',
         '{"output": "CASE WHEN x.output IS NOT NULL THEN ''{\"erased\": true}''::jsonb END"}', ''),
        ('answer', 'x.inference_key || ''@'' || (extract(epoch FROM x.recorded_at) * 1000000)::bigint',
         'x.inference_key IN (SELECT split_part(r, ''@'', 1) FROM unnest($1) r)
          AND x.inference_key || ''@'' || (extract(epoch FROM x.recorded_at) * 1000000)::bigint = ANY ($1)', 'x.run_id',
         '(SELECT d.row_key FROM decision d WHERE d.run_id = x.run_id AND d.inference_key = x.inference_key LIMIT 1)',
         NULL, '{"output": "NULL::jsonb"}', ''),
        ('quarantine', 'x.quarantine_id::text', 'x.quarantine_id = ANY ($1::bigint[])', 'x.run_id', 'x.row_key', NULL,
         '{"reasons": "ARRAY[''[erased]'']", "record": "''{\"erased\": true}''::jsonb"}',
         'status = CASE WHEN x.status IN (''open'', ''fixed'') THEN ''dismissed'' ELSE x.status END'),
        ('dead_letter', 'x.dead_letter_id::text', 'x.dead_letter_id = ANY ($1::bigint[])', 'x.run_id', 'x.row_key', NULL,
         '{"detail": "''[erased]''::text", "record": "''{\"erased\": true}''::jsonb"}',
         'status = CASE x.status WHEN ''open'' THEN ''dismissed'' ELSE x.status END'),
        ('review_item', 'x.review_item_id::text', 'x.review_item_id = ANY ($1::bigint[])', 'x.run_id', 'x.row_key', NULL,
         '{"shown": "''{\"erased\": true}''::jsonb", "proposed": "''{\"erased\": true}''::jsonb"}',
         'output = CASE WHEN x.output IS NOT NULL THEN ''{"erased": true}''::jsonb END,
          comment = CASE WHEN x.comment IS NOT NULL THEN ''[erased]'' END,
          status = CASE x.status WHEN ''waiting'' THEN ''superseded'' ELSE x.status END,
          decided_at = coalesce(x.decided_at, clock_timestamp()), applied_at = coalesce(x.applied_at, clock_timestamp())'),
        ('outcome', 'x.run_id || ''/'' || x.row_id',
         '(x.run_id, x.row_id) IN (SELECT split_part(r, ''/'', 1), substr(r, strpos(r, ''/'') + 1) FROM unnest($1) r)',
         'x.run_id', 'x.row_key', NULL, '{"reason": "CASE WHEN x.reason IS NOT NULL THEN ''[erased]'' END"}', ''),
        ('outbox_intent', 'x.outbox_id::text', 'x.outbox_id = ANY ($1::bigint[])', 'x.run_id', 'x.row_key', NULL,
         '{"fields": "''{\"erased\": true}''::jsonb",
           "before": "CASE WHEN x.before IS NOT NULL THEN ''{\"erased\": true}''::jsonb END"}', ''),
        ('outbox_result', 'x.outbox_id::text', 'x.outbox_id = ANY ($1::bigint[])',
         '(SELECT i.run_id FROM outbox_intent i WHERE i.outbox_id = x.outbox_id)',
         '(SELECT i.row_key FROM outbox_intent i WHERE i.outbox_id = x.outbox_id)', NULL,
         '{"after": "CASE WHEN coalesce(x.after, x.differs) IS NOT NULL THEN ''{\"erased\": true}''::jsonb END",
           "differs": "NULL::jsonb", "error": "CASE WHEN x.error IS NOT NULL THEN ''[erased]'' END"}', ''),
        ('manifest', 'x.run_id || ''/'' || x.dataset',
         '(x.run_id, x.dataset) IN (SELECT split_part(r, ''/'', 1), substr(r, strpos(r, ''/'') + 1) FROM unnest($1) r)',
         'x.run_id', 'NULL::text', NULL, '{"uri": "$2", "rows": "$3", "bytes": "$4", "sha256": "$5", "facts": "$6"}', '')
        ) AS t (name, ref, found, run, key, audited, blanks, also)
     WHERE t.name = erasable.name
$$;

-- The columns that a run's newest seal covers in a table; null where it has none of it.
CREATE FUNCTION sealed_columns(run text, name text) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN jsonb_typeof(details -> 'tables' -> name -> 'columns') = 'array'
                THEN ARRAY(SELECT jsonb_array_elements_text(details -> 'tables' -> name -> 'columns')) END
      FROM nightledger.event WHERE stream = run AND type = 'run.sealed' ORDER BY seq DESC LIMIT 1
$$;

-- A row's columns for a digest, with tombstones where `blanks` has one.
CREATE FUNCTION digest_form(columns text[], blanks jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'sha256(record_send(ROW(' || string_agg(coalesce(blanks ->> c, 'x.' || quote_ident(c)), ', ' ORDER BY at) || ')))'
      FROM unnest(columns) WITH ORDINALITY AS t (c, at)
$$;

-- Holds that stand over a row of a run.
CREATE FUNCTION holds_on(run text, key text) RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    SELECT h.hold_id FROM nightledger.legal_hold h JOIN nightledger.run u ON u.run_id = run
     WHERE h.lifted_at IS NULL AND h.use_case IN ('', u.use_case) AND h.row_key IN ('', key)
       AND (h.starts_at IS NULL OR u.interval_end > h.starts_at) AND (h.ends_at IS NULL OR u.interval_start < h.ends_at)
$$;

-- Append-only, but for what an erasure says that a row holds now, and for runs that are on record as removed.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql
    SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE what record; may boolean := false; name text := regexp_replace(TG_TABLE_NAME, '^inference_[0-9]{6}$', 'inference');
BEGIN
    IF TG_LEVEL = 'ROW' AND TG_OP = 'UPDATE' AND name IN ('inference', 'inference_result', 'decision', 'answer') THEN
        SELECT * INTO what FROM erasable(name);
        EXECUTE format('SELECT EXISTS (SELECT FROM erasure e, (SELECT ($1).*) x
                         WHERE e.table_name = %L AND e.row_ref = %s AND e.now = %s %s)', name, what.ref,
                       digest_form(coalesce(what.audited, (SELECT e.sealed FROM erasure e WHERE e.run_id = NEW.run_id
                           AND e.table_name = name ORDER BY e.recorded_at DESC LIMIT 1), ARRAY['output']), '{}'),
                       CASE WHEN what.audited IS NOT NULL THEN 'AND e.was = $2::bytea AND x.digest = $2::bytea' ELSE '' END)
           INTO may USING NEW, to_jsonb(OLD) ->> 'digest';
    ELSIF TG_LEVEL = 'ROW' AND TG_OP = 'DELETE' AND name IN ('inference', 'inference_result', 'decision', 'answer') THEN
        may := EXISTS (SELECT FROM removal r WHERE r.run_id = OLD.run_id AND r.table_name = name);
    END IF;
    IF may THEN RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END IF;
    RAISE EXCEPTION '% on %: this table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasure', 'removal'] LOOP
        EXECUTE format('CREATE TRIGGER stamp BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION stamp_%s()', name, name);
        EXECUTE format('CREATE TRIGGER seal AFTER INSERT ON %I REFERENCING NEW TABLE AS sealed
                        FOR EACH STATEMENT EXECUTE FUNCTION seal_batch(%L)', name, name);
        EXECUTE format('CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER keep_all BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;

-- Put tombstones in the place of what rows of a table hold; returns how many. Rows that are erased already are left out.
-- Refused as a whole for rows under hold, of runs that are going on, and where an audit row does not prove itself: an
-- erasure must not hide that somebody changed it.
CREATE FUNCTION erase_rows(request uuid, who text, why text, name text, refs text[]) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE what record; form record; done text[] := '{}'; fresh text[]; bad text; names text[]; wanted text; own text; sets text;
BEGIN
    PERFORM require_utf8();
    IF coalesce(btrim(why), '') = '' OR coalesce(btrim(who), '') = '' THEN
        RAISE EXCEPTION 'an erasure needs who and why';
    END IF;
    SELECT * INTO what FROM erasable(name);
    IF what.ref IS NULL OR name = 'manifest' THEN RAISE EXCEPTION 'nothing of table % is erased by rows', name; END IF;
    wanted := format('FROM %I x WHERE %s AND NOT EXISTS (SELECT FROM erasure e WHERE e.table_name = %L AND e.row_ref = %s)',
                     name, what.found, name, what.ref);
    EXECUTE format('SELECT string_agg(DISTINCT h::text, '', '') FROM (SELECT %s AS run, %s AS key %s) r,
                    LATERAL holds_on(r.run, r.key) h', what.run, what.key, wanted) INTO bad USING refs;
    IF bad IS NULL AND name IN ('inference', 'inference_result') AND EXISTS (
        SELECT FROM legal_hold WHERE lifted_at IS NULL) THEN  -- an answer may be one that other rows were given as well
        SELECT string_agg(DISTINCT h::text, ', ') INTO bad FROM decision d, LATERAL holds_on(d.run_id, d.row_key) h
         WHERE d.inference_id = ANY (refs::uuid[]);
    END IF;
    IF bad IS NOT NULL THEN RAISE EXCEPTION 'under legal hold %', bad USING ERRCODE = 'NL001'; END IF;
    EXECUTE format('SELECT string_agg(DISTINCT r.run, '', '') FROM (SELECT %s AS run %s) r
                      JOIN run u ON u.run_id = r.run AND u.finished_at IS NULL', what.run, wanted) INTO bad USING refs;
    IF bad IS NOT NULL THEN RAISE EXCEPTION 'going on: %', bad USING ERRCODE = 'NL002'; END IF;

    FOR form IN EXECUTE format('SELECT run, CASE WHEN %L THEN NULL ELSE sealed_columns(run, %L) END AS columns
                                  FROM (SELECT DISTINCT %s AS run %s) r', what.audited IS NOT NULL, name, what.run, wanted)
                USING refs LOOP
        own := format('%s AND %s = %L', wanted, what.run, form.run);
        names := coalesce(what.audited, form.columns, ARRAY(SELECT jsonb_object_keys(what.blanks) ORDER BY 1));
        IF what.audited IS NOT NULL THEN
            EXECUTE format('SELECT min(%s) %s AND x.digest IS DISTINCT FROM CASE WHEN x.stream IS NULL THEN %s ELSE
                            sha256(convert_to((to_jsonb(x) - ''digest''
                                - CASE WHEN to_jsonb(x) ->> %L IS NULL THEN %L ELSE ''digest'' END)::text, ''UTF8'')) END',
                           what.ref, own, digest_form(names, '{}'),
                           CASE name WHEN 'inference' THEN 'batch_job_id' ELSE 'cost_basis' END,
                           CASE name WHEN 'inference' THEN 'batch_job_id' ELSE 'cost_basis' END) INTO bad USING refs;
            IF bad IS NOT NULL THEN
                RAISE EXCEPTION '% % does not match its digest', name, bad USING ERRCODE = 'NL003';
            END IF;
        END IF;
        EXECUTE format('WITH put AS (
                            INSERT INTO erasure (erasure_id, batch, run_id, request_id, table_name, row_ref, columns, sealed,
                                                 was, now, erased_by, reason)
                            SELECT gen_random_uuid(), $2, %L, $3, %L, %s, $4, $5, %s, %s, $6, $7 %s RETURNING row_ref)
                        SELECT array_agg(row_ref) FROM put', form.run, name, what.ref,
                       CASE WHEN what.audited IS NULL THEN digest_form(names, '{}') ELSE 'x.digest' END,
                       digest_form(names, what.blanks), own) INTO fresh
          USING refs, gen_random_uuid(), request, ARRAY(SELECT jsonb_object_keys(what.blanks) ORDER BY 1), form.columns,
                who, why;
        done := done || fresh;
    END LOOP;
    SELECT string_agg(format('%I = %s', key, value), ', ') INTO sets FROM jsonb_each_text(what.blanks);
    EXECUTE format('UPDATE %I x SET %s WHERE %s', name, concat_ws(', ', sets, nullif(what.also, '')), what.found) USING done;
    RETURN coalesce(cardinality(done), 0);
END $$;

-- Say of every manifest of a staged file that it was written anew without what was erased.
CREATE FUNCTION erase_staged(request uuid, who text, why text, was_at text, now_at text, new_rows bigint, new_bytes bigint,
                             new_sha256 text, erased jsonb) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE one manifest%ROWTYPE; names text[]; before bytea; after bytea; first bytea; many bigint := 0;
BEGIN
    PERFORM require_utf8();
    IF coalesce(btrim(why), '') = '' OR coalesce(btrim(who), '') = '' THEN
        RAISE EXCEPTION 'an erasure needs who and why';
    END IF;
    FOR one IN SELECT * FROM manifest WHERE uri = was_at ORDER BY run_id, dataset FOR UPDATE LOOP
        names := coalesce(sealed_columns(one.run_id, 'manifest'),
                          ARRAY['uri', 'rows', 'bytes', 'sha256', 'facts']);
        EXECUTE format('SELECT %s FROM (SELECT ($1).*) x', digest_form(names, '{}')) INTO before USING one;
        SELECT e.was INTO first FROM erasure e WHERE e.table_name = 'manifest' AND e.row_ref = one.run_id || '/' || one.dataset
           AND e.now = before ORDER BY e.recorded_at DESC LIMIT 1;
        one.uri := now_at; one.rows := new_rows; one.bytes := new_bytes; one.sha256 := new_sha256;
        one.facts := one.facts || jsonb_build_object('erased', coalesce(one.facts -> 'erased', '[]') || erased);
        EXECUTE format('SELECT %s FROM (SELECT ($1).*) x', digest_form(names, '{}')) INTO after USING one;
        INSERT INTO erasure (erasure_id, batch, run_id, request_id, table_name, row_ref, columns, sealed, was, now, erased_by,
                             reason)
        VALUES (gen_random_uuid(), gen_random_uuid(), one.run_id, request, 'manifest', one.run_id || '/' || one.dataset,
                ARRAY['bytes', 'facts', 'rows', 'sha256', 'uri'], sealed_columns(one.run_id, 'manifest'),
                coalesce(first, before), after, who, why);
        UPDATE manifest SET uri = one.uri, rows = one.rows, bytes = one.bytes, sha256 = one.sha256, facts = one.facts
         WHERE run_id = one.run_id AND dataset = one.dataset;
        many := many + 1;
    END LOOP;
    RETURN many;
END $$;
REVOKE ALL ON FUNCTION erase_rows, erase_staged FROM PUBLIC;

-- Remove what a closed run left in one table, and keep on record what it was. Refused under hold, and where as many rows are
-- not there as were sealed. Results that decisions of other runs are about are named, so that those are not taken for forged.
CREATE FUNCTION remove_rows(run text, name text, why text, who text) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = nightledger, pg_temp SET timezone = 'UTC' AS $$
DECLARE many bigint; digests text; sealed jsonb; named uuid[] := '{}'; bad text;
        audited boolean := name IN ('inference', 'inference_result', 'decision'); ours text := format('x.run_id = %L', run);
BEGIN
    PERFORM require_utf8();
    IF name NOT IN ('inference', 'inference_result', 'decision', 'answer', 'outcome', 'review_item', 'outbox_intent',
                    'outbox_result', 'quarantine', 'dead_letter') THEN
        RAISE EXCEPTION 'nothing of table % is removed', name;
    END IF;
    IF coalesce(btrim(why), '') = '' OR coalesce(btrim(who), '') = '' THEN RAISE EXCEPTION 'a removal needs who and why'; END IF;
    IF EXISTS (SELECT FROM removal r WHERE r.run_id = run AND r.table_name = name) THEN RETURN 0; END IF;
    PERFORM FROM run u WHERE u.run_id = run AND u.finished_at IS NOT NULL;
    IF NOT FOUND THEN RAISE EXCEPTION 'going on: %', run USING ERRCODE = 'NL002'; END IF;
    SELECT string_agg(DISTINCT h.hold_id::text, ', ') INTO bad FROM legal_hold h, run u
     WHERE u.run_id = run AND h.lifted_at IS NULL AND h.use_case IN ('', u.use_case)
       AND (h.starts_at IS NULL OR u.interval_end > h.starts_at) AND (h.ends_at IS NULL OR u.interval_start < h.ends_at)
       AND (h.row_key = '' OR EXISTS (SELECT FROM outcome o WHERE o.run_id = run AND o.row_key = h.row_key)
                           OR EXISTS (SELECT FROM inference i WHERE i.run_id = run AND i.row_key = h.row_key)
                           OR EXISTS (SELECT FROM decision d WHERE d.run_id = run AND d.row_key = h.row_key)
                           OR EXISTS (SELECT FROM quarantine q WHERE q.run_id = run AND q.row_key = h.row_key));
    IF bad IS NOT NULL THEN RAISE EXCEPTION 'under legal hold %', bad USING ERRCODE = 'NL001'; END IF;

    IF name = 'outbox_result' THEN
        ours := format('x.outbox_id IN (SELECT outbox_id FROM outbox_intent WHERE run_id = %L)', run);
    END IF;
    EXECUTE format('SELECT count(*) FROM %I x WHERE %s', name, ours) INTO many;
    IF audited THEN
        EXECUTE format('SELECT encode(sha256(string_agg(digest, '''' ORDER BY digest)), ''hex'') FROM %I x WHERE %s', name, ours)
           INTO digests;
    ELSE
        SELECT details -> 'tables' -> name INTO sealed FROM event WHERE stream = run AND type = 'run.sealed'
         ORDER BY seq DESC LIMIT 1;
        IF sealed IS NOT NULL AND name NOT LIKE 'outbox%' AND sealed ->> 'rows' <> many::text THEN
            RAISE EXCEPTION '% of % has not the rows that were sealed', name, run USING ERRCODE = 'NL003';
        END IF;
        digests := sealed ->> 'digest';
    END IF;
    IF name = 'inference_result' THEN
        SELECT coalesce(array_agg(DISTINCT d.inference_id), '{}') INTO named FROM decision d
          JOIN inference_result r ON r.inference_id = d.inference_id WHERE r.run_id = run AND d.run_id <> run;
    END IF;
    INSERT INTO removal (removal_id, batch, run_id, table_name, rows, held, still_named, policy, removed_by)
    VALUES (gen_random_uuid(), gen_random_uuid(), run, name,
            CASE WHEN audited OR sealed IS NULL THEN many ELSE (sealed ->> 'rows')::bigint END,
            coalesce(digests, ''), named, why, who);
    EXECUTE format('DELETE FROM %I x WHERE %s', name, ours);
    IF name = 'quarantine' THEN DELETE FROM quarantine_count c WHERE c.run_id = run; END IF;
    RETURN many;
END $$;

-- Months of calls of which nothing is left, of which none is the present one; returns their names.
CREATE FUNCTION drop_empty_months() RETURNS SETOF text LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = nightledger, pg_temp SET timezone = 'UTC' SET lock_timeout = '10s' AS $$
DECLARE name text; empty boolean;
BEGIN
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'nightledger.inference'::regclass
                   AND c.relname < 'inference_' || to_char(clock_timestamp(), 'YYYYMM') ORDER BY 1 LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', name) INTO empty;
        IF empty THEN
            EXECUTE format('DROP TABLE %I', name);
            RETURN NEXT name;
        END IF;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION remove_rows, drop_empty_months FROM PUBLIC;
