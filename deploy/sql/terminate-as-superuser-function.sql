-- Opt-in, for servers whose application logs in as a superuser: such sessions cannot be ended by pg_signal_backend
-- ("must be a superuser to terminate superuser process"). Instead of making runbookd_act a superuser, this gives it one function
-- whose limits are inside and cannot be talked away by whoever calls it.
--
-- It ends one session, named by (pid, backend_start), and only while that session is an idle client: idle or idle in
-- transaction, for at least `min_idle`. It never ends its caller, runbookd's own logins, replication, or a backup.
-- True: the signal was sent. False: no session matched all of it (gone, active again, excluded). True is not proof: look.
--
-- Run after act-terminate.sql, as a superuser, in the database that runbookd_act connects to; running it again is safe.
--   psql -v ON_ERROR_STOP=1 -U postgres -d voiceai_testing -f terminate-as-superuser-function.sql
-- Undo: DROP SCHEMA runbookd CASCADE;
BEGIN;
CREATE SCHEMA IF NOT EXISTS runbookd;
REVOKE ALL ON SCHEMA runbookd FROM PUBLIC;

CREATE OR REPLACE FUNCTION runbookd.terminate_idle_session(pid int, backend_start timestamptz, min_idle interval)
RETURNS boolean
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((
    SELECT pg_catalog.pg_terminate_backend(a.pid)
      FROM pg_catalog.pg_stat_activity AS a
     WHERE a.pid = $1
       AND a.backend_start = $2
       AND $3 >= interval '0'
       AND a.backend_type = 'client backend'
       AND a.state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)')
       AND a.state_change <= pg_catalog.clock_timestamp() - $3
       AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.usename !~ '^runbookd_'
       AND a.application_name !~* '^(pg_(dump|dumpall|restore|basebackup|receivewal|recvlogical|rewind|verifybackup|repack)|pgbackrest|barman|wal-[eg])'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication AS r WHERE r.pid = a.pid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS u WHERE u.oid = a.usesysid AND u.rolreplication AND NOT u.rolsuper)
  ), false)
$$;

COMMENT ON FUNCTION runbookd.terminate_idle_session(int, timestamptz, interval) IS
  'Ends one idle client session named by (pid, backend_start). Its exclusions are inside. Installed for runbookd_act.';
REVOKE ALL ON FUNCTION runbookd.terminate_idle_session(int, timestamptz, interval) FROM PUBLIC;
GRANT USAGE ON SCHEMA runbookd TO runbookd_act;
GRANT EXECUTE ON FUNCTION runbookd.terminate_idle_session(int, timestamptz, interval) TO runbookd_act;
COMMIT;
