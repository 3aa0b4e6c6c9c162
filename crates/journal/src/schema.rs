//! The tables, as a list of migrations. A migration is never edited after a release; a new one is added. Deliberately plain
//! SQL text, so that what is on disk can be read here.

/// Each entry brings the journal from its index to the next version (`PRAGMA user_version`).
pub(crate) const MIGRATIONS: [&str; 8] = [
    r"
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  received INTEGER NOT NULL,
  bodies BLOB NOT NULL              -- length-prefixed bodies of the deliveries that shared one commit
);
CREATE TABLE configurations (
  hash TEXT PRIMARY KEY,
  stored INTEGER NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE incidents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  runbook TEXT NOT NULL,
  target TEXT NOT NULL,
  title TEXT NOT NULL,
  config TEXT NOT NULL REFERENCES configurations(hash),
  opened INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  stage TEXT NOT NULL,
  why TEXT NOT NULL DEFAULT '',
  due INTEGER,                      -- when the engine has to look at it again; none once it is closed or unreadable
  closed INTEGER,
  how TEXT,
  resends INTEGER NOT NULL DEFAULT 0,
  lease INTEGER NOT NULL DEFAULT 0, -- generation: a late worker's is lower
  leased_until INTEGER NOT NULL DEFAULT 0,
  unreadable TEXT
);
CREATE UNIQUE INDEX one_open_incident ON incidents(runbook, target) WHERE closed IS NULL;
CREATE INDEX incidents_due ON incidents(due) WHERE due IS NOT NULL;
CREATE INDEX incidents_cured ON incidents(runbook, target, closed) WHERE how = 'cured';
CREATE INDEX incidents_closed ON incidents(closed) WHERE closed IS NOT NULL;
CREATE TABLE events (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  incident INTEGER NOT NULL REFERENCES incidents(id),
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  version INTEGER NOT NULL,
  config TEXT NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (incident, seq)
);
CREATE TABLE alerts (
  fingerprint TEXT PRIMARY KEY,
  incident INTEGER NOT NULL REFERENCES incidents(id),
  starts_at INTEGER NOT NULL,
  status TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX alerts_of ON alerts(incident);
CREATE TABLE unmatched (
  alertname TEXT PRIMARY KEY,
  times INTEGER NOT NULL,
  last INTEGER NOT NULL,
  why TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE attempts (
  incident INTEGER NOT NULL REFERENCES incidents(id),
  seq INTEGER NOT NULL,
  runbook TEXT NOT NULL,
  target TEXT NOT NULL,
  at INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  PRIMARY KEY (incident, seq)
) WITHOUT ROWID;
CREATE INDEX attempts_by_scope ON attempts(runbook, target, at) WHERE purpose = 'do';
CREATE TABLE holds (
  target TEXT PRIMARY KEY,
  incident INTEGER NOT NULL REFERENCES incidents(id),
  since INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pauses (
  scope TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER
) WITHOUT ROWID;
CREATE TABLE asks (
  id TEXT PRIMARY KEY,
  incident INTEGER NOT NULL REFERENCES incidents(id),
  expires INTEGER NOT NULL,
  answered TEXT
) WITHOUT ROWID;
CREATE TABLE evidence (
  hash TEXT PRIMARY KEY,
  kept INTEGER NOT NULL,
  size INTEGER NOT NULL,
  body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE evidence_of (
  incident INTEGER NOT NULL REFERENCES incidents(id),
  name TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (incident, name, hash)
) WITHOUT ROWID;
CREATE TABLE outbox (
  incident INTEGER PRIMARY KEY REFERENCES incidents(id),
  seq INTEGER NOT NULL,             -- events below this one are to be told
  told INTEGER NOT NULL DEFAULT 0,  -- events below this one are told
  tries INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL,
  error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outbox_due ON outbox(due) WHERE told < seq;
CREATE TABLE told (
  incident INTEGER PRIMARY KEY REFERENCES incidents(id),
  body TEXT NOT NULL
);
CREATE TABLE facts (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO facts (name, value) VALUES ('pause_epoch', '0');
",
    r"
-- What an act acted on, which need not be its incident's target, and what it cost of the budget of disruption.
ALTER TABLE attempts ADD COLUMN acted_on TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET acted_on = target;
CREATE INDEX attempts_on_target ON attempts(acted_on, at) WHERE purpose = 'do';
CREATE INDEX attempts_of_runbook ON attempts(runbook, at) WHERE purpose = 'do';
CREATE INDEX attempts_overall ON attempts(at, cost) WHERE purpose = 'do';
CREATE INDEX incidents_opened ON incidents(opened);
CREATE INDEX events_not_verified ON events(at) WHERE kind = 'not_verified';
",
    r"
-- What is urgent is told first; and what runbookd gave up is asked for once a minute.
ALTER TABLE outbox ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX incidents_given_up ON incidents(closed) WHERE how IN ('handed_over', 'stuck', 'denied');
",
    r"
-- What counts as a failed cure, found without reading every event.
DROP INDEX events_not_verified;
CREATE INDEX events_failed ON events(at) WHERE kind IN ('not_verified', 'harmed');
",
    r"
-- What is to be said about the daemon itself: at most one of a sort waits.
CREATE TABLE notices (
  name TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  words TEXT NOT NULL,
  due INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  attempted INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
",
    r"
-- What each text of a runbook has earned. It outlives the incidents that it was earned with.
CREATE TABLE earned (
  runbook TEXT NOT NULL,
  deed TEXT NOT NULL,               -- the name of what the text does
  body TEXT NOT NULL,
  PRIMARY KEY (runbook, deed)
) WITHOUT ROWID;
-- Every time that a person closed a breaker.
CREATE TABLE breaker_closings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  runbook TEXT,                     -- none for the breaker over all of them
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  why TEXT NOT NULL
);
",
    r"
-- Since when something waits to be said, however often it was put off meanwhile.
ALTER TABLE outbox ADD COLUMN waits_since INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET waits_since = COALESCE(
  (SELECT events.at FROM events WHERE events.incident = outbox.incident AND events.seq >= outbox.told ORDER BY events.seq LIMIT 1),
  due);
ALTER TABLE notices ADD COLUMN waits_since INTEGER NOT NULL DEFAULT 0;
UPDATE notices SET waits_since = at;
",
    r"
-- Pauses that a person lifted, and who; those in force stand in `pauses`.
CREATE TABLE lifted_pauses (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  scope TEXT NOT NULL,
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER,
  lifted INTEGER NOT NULL,
  lifted_by TEXT NOT NULL
);
",
];

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;
    use sqlx::{Connection, Row, SqliteConnection};

    #[tokio::test]
    async fn what_waited_before_it_was_counted_waits_since_its_first_event_and_not_since_it_was_put_off() {
        let mut store = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let (before, after) = MIGRATIONS.split_at(6);
        for migration in before {
            sqlx::raw_sql(*migration).execute(&mut store).await.unwrap();
        }
        sqlx::raw_sql(
            "INSERT INTO configurations VALUES ('c', 0, '');
             INSERT INTO incidents (id, runbook, target, title, config, opened, updated, seq, stage) VALUES (1, 'a', 't', '', 'c', 0, 0, 3, '');
             INSERT INTO events (incident, seq, at, kind, version, config, body)
               VALUES (1, 0, 100, '', 1, 'c', ''), (1, 1, 200, '', 1, 'c', ''), (1, 2, 300, '', 1, 'c', '');
             INSERT INTO outbox (incident, seq, told, tries, due) VALUES (1, 3, 1, 5, 90000);
             INSERT INTO notices (name, at, words, due, tries) VALUES ('ping', 400, '', 90000, 5);",
        )
        .execute(&mut store)
        .await
        .unwrap();
        sqlx::raw_sql(after[0]).execute(&mut store).await.unwrap();
        let row = sqlx::query("SELECT (SELECT waits_since FROM outbox), (SELECT waits_since FROM notices)");
        let row = row.fetch_one(&mut store).await.unwrap();
        assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (200, 400));
    }
}
