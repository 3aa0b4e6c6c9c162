//! `http.get`: one GET to its end. No redirects are followed: another place answering well says nothing about this one.

use std::time::Duration;

use connect::Looking;
use connect::http::Proof;
use runbook::finding::Seen;
use runbook::target::{Place, Target};
use tokio::time::Instant;

use crate::nearly;
use crate::seen::Fields;

/// Enough of a page to know that it comes.
const MOST_BYTES: usize = 1024 * 1024;

pub(crate) async fn get(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let Place::Http { url, expect } = &target.place else { return Err(format!("{} is no HTTP endpoint", target.id)) };
    let address: reqwest::Url = url.parse().map_err(|error| format!("the address of {} is no URL: {error}", target.id))?;
    let begun = Instant::now();
    let mut fields = Fields::new();
    match looking.http().get_url(address, Proof::None, MOST_BYTES, nearly(within)).await {
        Ok(answer) => {
            fields.flag("answering", true).number("status", f64::from(answer.status));
            fields.flag("expected", answer.status == *expect).number("seconds", begun.elapsed().as_secs_f64());
        }
        Err(error) => {
            // No answer is not the expected one; how long none took is of no meaning.
            fields.flag("answering", false).flag("expected", false).unknown(&["status", "seconds"], &format!("{error:#}"));
        }
    }
    Ok(fields.seen())
}
