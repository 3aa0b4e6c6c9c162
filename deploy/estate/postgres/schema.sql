-- What the sample application and its exporter find in voiceai_testing. Roles for runbookd come from deploy/sql/.
\getenv app_password APP_PASSWORD
\getenv exporter_password EXPORTER_PASSWORD
CREATE EXTENSION pg_stat_statements;
CREATE ROLE app LOGIN PASSWORD :'app_password';
CREATE ROLE exporter LOGIN PASSWORD :'exporter_password' IN ROLE pg_monitor;
GRANT CREATE ON SCHEMA public TO app;
SET ROLE app;
CREATE TABLE test_cases (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  status text NOT NULL,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO test_cases (name, status, body)
SELECT 'case ' || n, (ARRAY['active', 'draft', 'retired'])[1 + n % 3], repeat('step ', 20) FROM generate_series(1, 2000) AS n;
RESET ROLE;
ANALYZE;
