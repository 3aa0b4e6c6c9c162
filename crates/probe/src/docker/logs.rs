//! To be written.

use std::time::Duration;

use connect::Looking;
use runbook::finding::Seen;
use runbook::probe::Logs;
use runbook::target::{Inventory, Target};
use runbook::time::Stamp;

pub(crate) async fn look(_: &Looking, _: &Inventory, _: &Target, _: &Logs, _: Stamp, _: Duration) -> Result<Seen, String> {
    Err("not written".to_owned())
}
