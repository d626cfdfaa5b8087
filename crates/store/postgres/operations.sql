-- What operators may see of the program's tables, and do with its jobs, beside the view `copy_relationships`. Run with
-- roles.sql, after it. `{schema}` is the schema of the tables, `{writer}` the lock of whoever writes.

SET LOCAL ROLE slipstream_migration;

-- Under the tables' own names, so that the program asks with the same statements whoever it is connected as: rows as jobs and
-- holds show them, and nothing of wallets, keys, policies or money.
CREATE OR REPLACE VIEW slipstream_operator.installation AS
    SELECT id, schema_version, serves, software FROM {schema}.installation;
CREATE OR REPLACE VIEW slipstream_operator.work AS
    SELECT intent_id, owner_id, state, lane, due, attempts FROM {schema}.work;
CREATE OR REPLACE VIEW slipstream_operator.intents AS
    SELECT id, owner_id, relationship_id, side, token, amount, decided_at FROM {schema}.intents;
CREATE OR REPLACE VIEW slipstream_operator.intent_ends AS
    SELECT intent_id, reason, at FROM {schema}.intent_ends;
CREATE OR REPLACE VIEW slipstream_operator.queue_history AS
    SELECT id, intent_id, at, act, who, reason FROM {schema}.queue_history;
CREATE OR REPLACE VIEW slipstream_operator.holds AS
    SELECT id, scope, scope_id, cause, reason, stops_exits, sells, expires_at, lifted_at FROM {schema}.holds;
CREATE OR REPLACE VIEW slipstream_operator.accounts AS
    SELECT id, label FROM {schema}.accounts;

-- Does with jobs what `SqlStore::act_on_jobs` does for the program (act 0 sets aside, 1 puts back, 2 gives up): with those of
-- `of_jobs`, or with all of these lanes, that are in the state for it; which. `by_user` is what the shell says, and the role is
-- kept with it.
CREATE OR REPLACE FUNCTION slipstream_operations.act_on_jobs
    (what bigint, of_jobs bigint[], of_lanes bigint[], by_user text, why text) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_whom constant text := format('%s (%s)', by_user, session_user);
    at_this_moment bigint;
    done bigint[];
BEGIN
    IF what NOT IN (0, 1, 2) THEN
        RAISE EXCEPTION 'there is no act % on jobs', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock({writer});
    at_this_moment := {schema}.microseconds(clock_timestamp());
    SELECT array_agg(w.intent_id ORDER BY w.intent_id) INTO done FROM {schema}.work w
        WHERE (CASE what WHEN 0 THEN w.state = 0 ELSE w.state IN (2, 3) END) AND w.lane = ANY (of_lanes)
        AND (of_jobs IS NULL OR w.intent_id = ANY (of_jobs));
    IF done IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO {schema}.queue_history (intent_id, owner_id, at, act, who, reason)
        SELECT w.intent_id, w.owner_id, at_this_moment, what, by_whom, why FROM {schema}.work w
        WHERE w.intent_id = ANY (done) ORDER BY w.intent_id;
    IF what = 2 THEN
        DELETE FROM {schema}.reservations WHERE intent_id = ANY (done);
        IF FOUND THEN
            UPDATE {schema}.booked_version SET version = version + 1 WHERE id = 1;
        END IF;
        -- Reason 5 is "given up".
        INSERT INTO {schema}.intent_ends (intent_id, owner_id, reason, at)
            SELECT w.intent_id, w.owner_id, 5, at_this_moment FROM {schema}.work w WHERE w.intent_id = ANY (done);
        DELETE FROM {schema}.work WHERE intent_id = ANY (done);
        -- What was to be sold is looked at again.
        INSERT INTO {schema}.exit_revisits (relationship_id, token, owner_id, due, tries, version)
            SELECT DISTINCT i.relationship_id, i.token, i.owner_id, at_this_moment, 0, 1 FROM {schema}.intents i
            WHERE i.side = 1 AND i.id = ANY (done)
            ON CONFLICT (relationship_id, token) DO UPDATE SET version = exit_revisits.version + 1;
    ELSE
        UPDATE {schema}.work SET state = CASE what WHEN 0 THEN 2 ELSE 0 END, failures = 0 WHERE intent_id = ANY (done);
    END IF;
    INSERT INTO {schema}.events (owner_id, at, event) VALUES (NULL, at_this_moment,
        json_build_object('kind', 'queue_changed', 'what', format('%s jobs %s by %s: %s', cardinality(done),
            CASE what WHEN 0 THEN 'set aside' WHEN 1 THEN 'put back' ELSE 'given up' END, by_whom, why)));
    PERFORM {schema}.count_commit();
    RETURN QUERY SELECT unnest(done);
END $$;

REVOKE ALL ON FUNCTION slipstream_operations.act_on_jobs(bigint, bigint[], bigint[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION slipstream_operations.act_on_jobs(bigint, bigint[], bigint[], text, text) TO ops_operator;
GRANT USAGE ON SCHEMA slipstream_operator TO ops_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA slipstream_operator TO ops_operator;

RESET ROLE;
