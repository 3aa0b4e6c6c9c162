-- The login with which runbookd ends sessions of logins that are not superusers, and nothing else: it owns no table, reads none
-- and is no superuser. pg_signal_backend lets it end sessions; pg_monitor lets it see which ones, right before it does.
-- Sessions of superusers stay out of reach; where the application logs in as one, see terminate-as-superuser-function.sql.
--
-- Run as a superuser, against any one database of the server; running it again is safe.
--   RUNBOOKD_ACT_PASSWORD=... psql -v ON_ERROR_STOP=1 -U postgres -d postgres -f act-terminate.sql
-- The password may be a ready SCRAM-SHA-256 verifier. It never stands in this file and is kept out of the server's log.
-- Undo: DROP OWNED BY runbookd_act; DROP ROLE runbookd_act;
\if :{?act_password}
\else
  \getenv act_password RUNBOOKD_ACT_PASSWORD
\endif
\if :{?act_password}
\else
  DO $$ BEGIN RAISE EXCEPTION 'set RUNBOOKD_ACT_PASSWORD in the environment, or give psql -v act_password=...'; END $$;
  \quit
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL pg_stat_statements.track_utility = off;
SELECT 'CREATE ROLE runbookd_act' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'runbookd_act') \gexec
ALTER ROLE runbookd_act WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'act_password';
GRANT pg_signal_backend, pg_monitor TO runbookd_act;
ALTER ROLE runbookd_act SET statement_timeout = '30s';
ALTER ROLE runbookd_act SET lock_timeout = '2s';
ALTER ROLE runbookd_act SET idle_in_transaction_session_timeout = '60s';
COMMIT;
