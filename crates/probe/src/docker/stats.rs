//! To be written.

use std::time::Duration;

use connect::Looking;
use runbook::finding::Seen;
use runbook::target::{Inventory, Target};

pub(crate) async fn look(_: &Looking, _: &Inventory, _: &Target, _: Duration) -> Result<Seen, String> {
    Err("not written".to_owned())
}
