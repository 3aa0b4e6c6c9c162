-- The login with which runbookd looks at PostgreSQL. It changes nothing and may see everybody's sessions:
-- without pg_monitor the state of other users' sessions reads NULL, and a look would find nothing and call that well.
--
-- Run as a superuser, against any one database of the server (roles belong to the whole server); running it again is safe.
--   RUNBOOKD_LOOK_PASSWORD=... psql -v ON_ERROR_STOP=1 -U postgres -d postgres -f look.sql
-- The password may be a ready SCRAM-SHA-256 verifier. It never stands in this file and is kept out of the server's log.
-- Undo: DROP OWNED BY runbookd_look; DROP ROLE runbookd_look;
\if :{?look_password}
\else
  \getenv look_password RUNBOOKD_LOOK_PASSWORD
\endif
\if :{?look_password}
\else
  DO $$ BEGIN RAISE EXCEPTION 'set RUNBOOKD_LOOK_PASSWORD in the environment, or give psql -v look_password=...'; END $$;
  \quit
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL pg_stat_statements.track_utility = off;
SELECT 'CREATE ROLE runbookd_look' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'runbookd_look') \gexec
ALTER ROLE runbookd_look WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'look_password';
GRANT pg_monitor TO runbookd_look;
-- A look that takes longer than this is part of the problem.
ALTER ROLE runbookd_look SET default_transaction_read_only = on;
ALTER ROLE runbookd_look SET statement_timeout = '10s';
ALTER ROLE runbookd_look SET lock_timeout = '2s';
ALTER ROLE runbookd_look SET idle_in_transaction_session_timeout = '60s';
COMMIT;
