//! To be written.

use connect::Acting;
use policy::Committed;
use runbook::action::DockerAction;
use runbook::incident::Reply;
use runbook::target::{Inventory, Target};

pub(crate) async fn carry_out(_: &Acting, _: &Inventory, _: &Target, _: &DockerAction, _: &Committed) -> Reply {
    Reply::Refused("not written".to_owned())
}
