//! Says what belongs to no incident, before anything else: it is about whether anybody would hear of the rest.

use std::time::{Duration, Instant};

use journal::Notice;
use report::{Delivery, Pace};

use super::{AFTER_REFUSAL, LONGEST_WAIT, Voice};
use crate::daemon::Daemon;

/// Says one notice. The outcome is on record before the next is looked for.
pub(super) async fn say(daemon: &Daemon, voice: &Voice, pace: &mut Pace, began: Instant, notice: Notice) -> anyhow::Result<()> {
    let later = async |wait: Duration, attempted: bool, why: &str| {
        tracing::error!(about = notice.name, why, "people could not be told; it is tried again");
        daemon.journal.notice_later(&notice, daemon.clock.now().plus(wait), attempted, why).await
    };
    if let Err(error) = voice.refresh().await {
        return later(AFTER_REFUSAL, notice.attempted, &format!("{error:#}")).await;
    }
    let outgoing = report::notice(&notice.name, notice.at, &notice.words, notice.attempted);
    daemon.journal.notice_attempted(&notice).await?;
    pace.spend(began.elapsed());
    match report::deliver(&voice.slack, &outgoing).await {
        Delivery::Delivered { .. } => daemon.journal.notice_told(&notice).await,
        Delivery::Later(wait, why) => {
            pace.hold_off(began.elapsed(), wait);
            later(wait, false, &why).await
        }
        Delivery::Unknown(why) => {
            let wait = Duration::from_secs(1 << notice.tries.min(8)).min(LONGEST_WAIT);
            later(wait, true, &why).await
        }
        Delivery::Never(refusal) => later(AFTER_REFUSAL, false, &refusal.to_string()).await,
    }
}
