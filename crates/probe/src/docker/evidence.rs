//! To be written.

use std::time::Duration;

use connect::Looking;
use runbook::identity::Selection;
use runbook::target::{Inventory, Target};

pub(crate) async fn capture(
    _: &Looking,
    _: &Inventory,
    _: &Target,
    _: &Selection,
    _: Duration,
) -> Vec<(String, Result<Vec<u8>, String>)> {
    vec![("containers".to_owned(), Err("not written".to_owned()))]
}
