-- `copy_relationships`, the on-call runbook's name for who copies whom: a view whose `status` an operator may set.
-- `{schema}` is the schema of the tables, `{writer}` the lock of whoever writes. May be run again at any time.

-- Microseconds since the Unix epoch, as the tables have them, exactly.
CREATE OR REPLACE FUNCTION {schema}.microseconds(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT CAST(extract(epoch FROM moment) * 1000000 AS bigint) $$;

-- And back. Hours and what is left of them: a factor is a floating-point number.
CREATE OR REPLACE FUNCTION {schema}.moment(microseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT timestamptz 'epoch' + microseconds / 3600000000 * interval '1 hour'
    + microseconds % 3600000000 * interval '1 microsecond' $$;

-- Counts a commit that the program did not make, as its own are counted (`rewound.rs`): the last thing of a transaction.
CREATE OR REPLACE FUNCTION {schema}.count_commit() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH counted AS (
        UPDATE {schema}.installation SET commit_number = commit_number + 1 WHERE id = 1 RETURNING commit_number
    ) INSERT INTO {schema}.commit_marks (number, mark)
        SELECT commit_number, CAST(random() * 9007199254740991 AS bigint) FROM counted
$$;

-- `status` is `stopped` or `paused` where its user said so, `paused` too where an operator did here; holds of other causes
-- do not show. `auto_resume_at` is the end of the operator's pause, NULL where it lasts until `status = 'active'`.
CREATE OR REPLACE VIEW {schema}.copy_relationships
    (id, status, auto_resume_at, paused_by, owner, account, leader) AS
SELECT
    r.id,
    CASE WHEN r.status = 2 THEN 'stopped' WHEN r.status = 1 OR h.id IS NOT NULL THEN 'paused' ELSE 'active' END,
    CASE WHEN r.status = 0 THEN {schema}.moment(h.expires_at) END,
    CASE r.status WHEN 0 THEN h.placed_by WHEN 1 THEN 'its user' END,
    o.name,
    a.label,
    '0x' || encode(l.wallet, 'hex')
FROM {schema}.relationships r
JOIN {schema}.owners o ON o.id = r.owner_id
JOIN {schema}.accounts a ON a.id = r.account_id
JOIN {schema}.leaders l ON l.id = r.leader_id
LEFT JOIN {schema}.holds h ON h.scope = 3 AND h.scope_id = r.id AND h.placed_by IS NOT NULL AND h.lifted_at IS NULL
    AND (h.expires_at IS NULL OR h.expires_at > {schema}.microseconds(statement_timestamp()));

-- Before the rows: waits for whoever writes, as every writer does, and then for the configuration. Commits 1 and 2 come
-- before it or after it.
CREATE OR REPLACE FUNCTION {schema}.copy_relationships_begin() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({writer});
    PERFORM 1 FROM {schema}.config_version WHERE id = 1 FOR UPDATE;
    -- One hold that is not lifted for each relationship: those that have run out are over.
    UPDATE {schema}.holds SET lifted_at = expires_at WHERE placed_by IS NOT NULL AND lifted_at IS NULL
        AND expires_at <= {schema}.microseconds(clock_timestamp());
    PERFORM set_config('slipstream.placed', '0', true), set_config('slipstream.lifted', '0', true);
    RETURN NULL;
END $$;

-- A row: one hold is placed, gets another end, or is lifted. What its user paused or stopped is left alone.
CREATE OR REPLACE FUNCTION {schema}.copy_relationships_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at_this_moment constant bigint := {schema}.microseconds(clock_timestamp());
    told text := 'slipstream.placed';
    copied record;
BEGIN
    IF (NEW.id, NEW.paused_by, NEW.owner, NEW.account, NEW.leader)
        IS DISTINCT FROM (OLD.id, OLD.paused_by, OLD.owner, OLD.account, OLD.leader) THEN
        RAISE EXCEPTION 'only status and auto_resume_at of copy_relationships can be set'
            USING ERRCODE = 'feature_not_supported', HINT = 'Everything else is changed with `slipstream edit`.';
    END IF;
    IF NEW.status IS NULL OR (NEW.status NOT IN ('active', 'paused') AND NEW.status <> OLD.status) THEN
        RAISE EXCEPTION 'a status of copy_relationships cannot be set to %', coalesce(quote_literal(NEW.status), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Set ''paused'' or ''active''; a relationship is ended with `slipstream stop`.';
    END IF;
    IF NEW.auto_resume_at IS DISTINCT FROM OLD.auto_resume_at AND NEW.auto_resume_at IS NOT NULL THEN
        IF NEW.status = 'active' THEN
            RAISE EXCEPTION 'auto_resume_at of an active relationship cannot be set'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Set status = ''paused'' with it.';
        END IF;
        IF NOT isfinite(NEW.auto_resume_at) OR NEW.auto_resume_at <= clock_timestamp()
            OR NEW.auto_resume_at >= timestamptz '10000-01-01 00:00:00+00' THEN
            RAISE EXCEPTION 'auto_resume_at % is no time to come', NEW.auto_resume_at
                USING ERRCODE = 'invalid_parameter_value', HINT = 'NULL pauses until status = ''active'' is set.';
        END IF;
    END IF;
    -- Read anew: what this statement saw was there before it waited.
    SELECT status, owner_id INTO copied FROM {schema}.relationships WHERE id = OLD.id;
    IF NEW.status <> 'active' AND copied.status IS DISTINCT FROM 0 THEN
        RETURN NULL;
    END IF;
    -- Also where the user has paused or stopped since: the operator's hold would come to light when the user resumes.
    IF NEW.status = 'active' THEN
        told := 'slipstream.lifted';
        UPDATE {schema}.holds SET lifted_at = at_this_moment
            WHERE scope_id = OLD.id AND placed_by IS NOT NULL AND lifted_at IS NULL;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    ELSE
        -- Scope 3 is a relationship, cause 3 an operator. Exits stop too, as they do where a user pauses. A pause that ended
        -- while this statement waited, and is repeated by it without another end, has none.
        INSERT INTO {schema}.holds
            (owner_id, scope, scope_id, cause, reason, stops_exits, sells, placed_at, expires_at, placed_by)
            VALUES (copied.owner_id, 3, OLD.id, 3, format('paused in copy_relationships by %s', session_user), 1, 0,
                at_this_moment,
                CASE WHEN NEW.auto_resume_at > clock_timestamp() THEN {schema}.microseconds(NEW.auto_resume_at) END,
                session_user)
            ON CONFLICT (scope_id) WHERE placed_by IS NOT NULL AND lifted_at IS NULL
            DO UPDATE SET expires_at = excluded.expires_at, reason = excluded.reason, placed_by = excluded.placed_by;
    END IF;
    -- What could not be sold is looked at now: it waits for an end that is another one.
    IF OLD.status = 'paused' THEN
        UPDATE {schema}.exit_revisits SET due = at_this_moment, version = version + 1
            WHERE relationship_id = OLD.id AND due > at_this_moment;
    END IF;
    PERFORM set_config(told, CAST(CAST(current_setting(told) AS bigint) + 1 AS text), true);
    RETURN NEW;
END $$;

-- After the rows: raises the configuration's version, tells it, and counts the commit, if there is anything to tell.
CREATE OR REPLACE FUNCTION {schema}.copy_relationships_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    placed constant bigint := CAST(current_setting('slipstream.placed') AS bigint);
    lifted constant bigint := CAST(current_setting('slipstream.lifted') AS bigint);
    what text := '';
BEGIN
    IF placed + lifted = 0 THEN
        RETURN NULL;
    END IF;
    IF placed > 0 THEN
        what := format(' paused %s relationships', placed);
    END IF;
    IF lifted > 0 THEN
        what := what || format(' lifted the pause of %s relationships', lifted);
    END IF;
    UPDATE {schema}.config_version SET version = version + 1 WHERE id = 1;
    INSERT INTO {schema}.events (owner_id, at, event) VALUES (NULL, {schema}.microseconds(clock_timestamp()),
        json_build_object('kind', 'following_changed', 'what', format('%s%s in copy_relationships', session_user, what)));
    PERFORM {schema}.count_commit();
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION {schema}.copy_relationships_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'rows of copy_relationships are neither made nor deleted here'
        USING ERRCODE = 'feature_not_supported', HINT = 'Use `slipstream follow` and `slipstream stop`.';
END $$;

CREATE OR REPLACE TRIGGER copy_relationships_begin BEFORE UPDATE ON {schema}.copy_relationships
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.copy_relationships_begin();
CREATE OR REPLACE TRIGGER copy_relationships_update INSTEAD OF UPDATE ON {schema}.copy_relationships
    FOR EACH ROW EXECUTE FUNCTION {schema}.copy_relationships_update();
CREATE OR REPLACE TRIGGER copy_relationships_end AFTER UPDATE ON {schema}.copy_relationships
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.copy_relationships_end();
CREATE OR REPLACE TRIGGER copy_relationships_refuse INSTEAD OF INSERT OR DELETE ON {schema}.copy_relationships
    FOR EACH ROW EXECUTE FUNCTION {schema}.copy_relationships_refuse();
