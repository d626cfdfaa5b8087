-- Who may do what: roles of the server, and their rights in this database. Run by whoever may make roles, then by
-- `slipstream_migration` too. `{schema}` is the schema of the tables. May be run again at any time.
-- Roles have no password: whoever administers the server sets one (`\password slipstream_app`).

DO $$
DECLARE
    -- Connections that only operators, readers and the migration get.
    others constant int := 12;
    room int;
    wanted record;
    part record;
BEGIN
    FOR wanted IN SELECT unnest(ARRAY['slipstream_app', 'slipstream_readonly', 'ops_operator', 'slipstream_migration'])
        AS name LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted.name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    IF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    -- Whatever the program and readers take, operators find a free connection.
    SELECT setting::int INTO room FROM pg_settings WHERE name = 'max_connections';
    SELECT room - coalesce(sum(setting::int), 0) INTO room FROM pg_settings
        WHERE name IN ('superuser_reserved_connections', 'reserved_connections');
    FOR wanted IN SELECT * FROM (VALUES ('slipstream_app', greatest(room - others, room / 2)), ('slipstream_readonly', 5),
        ('ops_operator', 5), ('slipstream_migration', 2)) AS limits (name, connections) LOOP
        IF (SELECT rolconnlimit <> wanted.connections FROM pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', wanted.name, wanted.connections);
        END IF;
    END LOOP;
    -- Its functions show operators our sessions, and end them.
    FOR wanted IN SELECT unnest(ARRAY['slipstream_app', 'slipstream_readonly', 'ops_operator']) AS name LOOP
        IF NOT pg_has_role('slipstream_migration', wanted.name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO slipstream_migration', wanted.name);
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, 'slipstream_migration', 'USAGE') THEN
        EXECUTE format('GRANT slipstream_migration TO %I', current_user);
    END IF;
    -- PostgreSQL 16 keeps connections for members of this role.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_use_reserved_connections')
        AND NOT pg_has_role('ops_operator', 'pg_use_reserved_connections', 'USAGE') THEN
        BEGIN
            GRANT pg_use_reserved_connections TO ops_operator;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'ops_operator may not use the reserved connections: a superuser must grant it pg_use_reserved_connections';
        END;
    END IF;
    FOR wanted IN SELECT * FROM (VALUES
        ('slipstream_app', 'statement_timeout', '10s'), ('slipstream_app', 'lock_timeout', '5s'),
        ('slipstream_app', 'idle_in_transaction_session_timeout', '2s'),
        ('slipstream_readonly', 'default_transaction_read_only', 'on'),
        ('slipstream_readonly', 'statement_timeout', '60s'), ('slipstream_readonly', 'lock_timeout', '5s'),
        ('slipstream_readonly', 'idle_in_transaction_session_timeout', '60s'),
        -- A pause waits for whoever writes, and then all others wait for it.
        ('ops_operator', 'statement_timeout', '30s'), ('ops_operator', 'lock_timeout', '10s'),
        ('ops_operator', 'idle_in_transaction_session_timeout', '5s'),
        ('slipstream_migration', 'lock_timeout', '5s'),
        ('slipstream_migration', 'idle_in_transaction_session_timeout', '60s')) AS settings (role, name, value) LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %I = %L', wanted.role, current_database(), wanted.name,
            wanted.value);
    END LOOP;
    -- An operator's `pg_stat_activity` and `pg_terminate_backend` are those below, its tables those of operations.sql.
    FOR wanted IN SELECT * FROM (VALUES ('slipstream_readonly', ''), ('ops_operator', 'slipstream_operator, '))
        AS paths (name, tables) LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = slipstream_operations, %spg_catalog, {schema}',
            wanted.name, current_database(), wanted.tables);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO slipstream_app, slipstream_readonly, ops_operator, slipstream_migration',
        current_database());
    REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA {schema} TO slipstream_migration WITH GRANT OPTION;
    CREATE SCHEMA IF NOT EXISTS slipstream_operations AUTHORIZATION slipstream_migration;
    CREATE SCHEMA IF NOT EXISTS slipstream_operator AUTHORIZATION slipstream_migration;
    FOR part IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
        WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind IN ('r', 'p', 'v')
        AND c.relowner <> 'slipstream_migration'::regrole LOOP
        EXECUTE format('ALTER %s %s OWNER TO slipstream_migration',
            CASE part.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, part.name);
    END LOOP;
    FOR part IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = '{schema}'::regnamespace AND p.proowner <> 'slipstream_migration'::regrole LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO slipstream_migration', part.name);
    END LOOP;
END $$;

SET LOCAL ROLE slipstream_migration;

-- Every session of the server; what those of our roles do, and only they.
CREATE OR REPLACE FUNCTION slipstream_operations.sessions() RETURNS SETOF pg_catalog.pg_stat_activity
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM pg_catalog.pg_stat_activity $$;

CREATE OR REPLACE VIEW slipstream_operations.pg_stat_activity AS SELECT * FROM slipstream_operations.sessions();

-- Ends a session of one of our roles in this database.
CREATE OR REPLACE FUNCTION slipstream_operations.pg_terminate_backend(pid integer, timeout bigint DEFAULT 0)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity s WHERE s.pid = $1 AND s.datname = current_database()
        AND s.usename IN ('slipstream_app', 'slipstream_readonly', 'ops_operator')) THEN
        RAISE EXCEPTION 'session % is none of this program''s in this database', $1
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only its own sessions are ended here.';
    END IF;
    RETURN pg_catalog.pg_terminate_backend($1, $2);
END $$;

REVOKE ALL ON FUNCTION slipstream_operations.sessions(), slipstream_operations.pg_terminate_backend(integer, bigint)
    FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO slipstream_app, slipstream_readonly, ops_operator;
GRANT USAGE ON SCHEMA slipstream_operations TO slipstream_readonly, ops_operator;
GRANT EXECUTE ON FUNCTION slipstream_operations.sessions() TO slipstream_readonly, ops_operator;
GRANT EXECUTE ON FUNCTION slipstream_operations.pg_terminate_backend(integer, bigint) TO ops_operator;
GRANT SELECT ON slipstream_operations.pg_stat_activity TO slipstream_readonly, ops_operator;
GRANT SELECT, UPDATE (status, auto_resume_at) ON {schema}.copy_relationships TO ops_operator;

DO $$
DECLARE
    -- Facts: nothing that was written is changed.
    facts constant text[] := ARRAY['owners', 'policies', 'intents', 'signed_orders', 'foreign_orders', 'adopted_orders',
        'paper_matches', 'ledger', 'queue_history', 'audit_log'];
    part record;
BEGIN
    FOR part IN SELECT c.relname AS name FROM pg_class c
        WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('REVOKE ALL ON {schema}.%I FROM slipstream_app, slipstream_readonly', part.name);
        EXECUTE format('GRANT %s ON {schema}.%I TO slipstream_app',
            CASE WHEN part.name IN ('_sqlx_migrations', 'installation') THEN 'SELECT'
                WHEN part.name = ANY (facts) THEN 'SELECT, INSERT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END, part.name);
        IF part.name NOT IN ('sealed_keys', 'key_header', 'users', 'recovery_codes', 'passkeys', 'user_sessions', 'api_tokens',
            'tickets', 'sign_in_attempts') THEN
            EXECUTE format('GRANT SELECT ON {schema}.%I TO slipstream_readonly', part.name);
        END IF;
    END LOOP;
    -- The schema's version is the migration's.
    FOR part IN SELECT attname AS name FROM pg_attribute WHERE attrelid = '{schema}.installation'::regclass AND attnum > 0
        AND NOT attisdropped AND attname NOT IN ('id', 'schema_version', 'serves', 'software') LOOP
        EXECUTE format('GRANT UPDATE (%I) ON {schema}.installation TO slipstream_app', part.name);
    END LOOP;
    -- Of whoever is erased, addresses and the name go.
    GRANT UPDATE (address, subject) ON {schema}.audit_log TO slipstream_app;
    GRANT SELECT ON {schema}.copy_relationships TO slipstream_app, slipstream_readonly;
END $$;

RESET ROLE;
