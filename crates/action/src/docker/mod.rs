//! Changes to the containers of Compose services, through the Engine's own interface.

mod body;

use connect::Acting;
use policy::Committed;
use runbook::action::DockerAction;
use runbook::incident::Reply;
use runbook::target::{Inventory, Target};

/// What is written on a container that was made here.
mod labels {
    /// The incident that it was made for.
    pub(super) const INCIDENT: &str = "runbookd.incident";
    /// The full id of the container that it is a clone of.
    pub(super) const CLONE_OF: &str = "runbookd.clone-of";
    /// The full id of the container that it replaces.
    pub(super) const REPLACES: &str = "runbookd.replaces";
}

pub(crate) async fn carry_out(_: &Acting, _: &Inventory, _: &Target, _: &DockerAction, _: &Committed) -> Reply {
    Reply::Refused("not written".to_owned())
}
