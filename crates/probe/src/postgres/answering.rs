//! `postgres.answering`: whether a real, new login works, and if not, why. Why not the held connection: it answers while every
//! slot is taken. Full (53300) is said apart, because it is never a reason to restart anything.

use std::time::Duration;

use connect::{Looking, PostgresTrouble};
use runbook::finding::Seen;
use runbook::target::Target;
use sqlx::Connection;

use crate::nearly;
use crate::seen::Fields;

pub(crate) async fn look(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let mut fields = Fields::new();
    match looking.postgres_login(&target.id, nearly(within)).await {
        Ok(mut connection) => {
            fields.flag("answering", true).flag("full", false).text("reason", "");
            let recovering =
                sqlx::query_scalar::<_, bool>("SELECT pg_catalog.pg_is_in_recovery()").fetch_one(&mut connection).await;
            match recovering {
                Ok(recovering) => fields.flag("recovering", recovering),
                Err(error) => fields.unknown(&["recovering"], &error.to_string()),
            };
            // Politely, so that the server logs no lost connection; how it goes is of no interest.
            let _ = connection.close().await;
        }
        // Nobody asked the server, so nothing is known about it.
        Err(error) if error.trouble == PostgresTrouble::Unasked => return Err(error.words),
        Err(error) => {
            fields.flag("answering", false).flag("full", error.trouble == PostgresTrouble::Full);
            fields.text("reason", &error.trouble.to_string());
            fields.unknown(&["recovering"], &format!("no login: {error}"));
        }
    }
    Ok(fields.seen())
}
