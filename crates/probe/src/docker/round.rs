//! A round of looks: what looks at services of one Engine ask alike is asked once. Why: a list costs the Engine a walk over all of its
//! containers, and a list for each of two hundred services is that walk two hundred times.
//!
//! Deliberately for looks that people read, and for one round of them: a container that came after the list is not in it. What an
//! act is decided by asks anew, each time, and so does every look that is not given a round. Each container is still described by
//! the Engine when its own service is looked at, and a service of which the list has nothing that is there is listed by itself.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::models::ContainerSummary;
use runbook::target::TargetId;
use tokio::sync::OnceCell;

/// All containers of an Engine, or why there is no list of them: also that is said once, and an Engine that hangs is waited for once.
type Listed = Result<Arc<[ContainerSummary]>, String>;

/// What was asked in this round; drop it with the round.
#[derive(Default)]
pub struct Round {
    lists: Mutex<HashMap<TargetId, Arc<OnceCell<Listed>>>>,
}

impl Round {
    /// A round in which nothing was asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What this Engine was asked first; `asking` is awaited where nobody asked yet, or who did gave up before the answer.
    pub(super) async fn listed(&self, engine: &TargetId, asking: impl Future<Output = Listed>) -> Listed {
        let cell = self.lists.lock().unwrap_or_else(PoisonError::into_inner).entry(engine.clone()).or_default().clone();
        cell.get_or_init(|| asking).await.clone()
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_engine_is_asked_once_and_a_failure_is_said_to_all() {
        let round = Round::new();
        let (one, two): (TargetId, TargetId) = ("engine/one".parse().unwrap(), "engine/two".parse().unwrap());
        let empty: Listed = Ok(Arc::from([]));
        let never = || async { panic!("it was asked twice") };
        let listed = tokio::join!(round.listed(&one, async { empty.clone() }), round.listed(&one, never()));
        assert_eq!(listed, (empty.clone(), empty));
        let why: Listed = Err("why".to_owned());
        assert_eq!(round.listed(&two, async { why.clone() }).await, why);
        assert_eq!(round.listed(&two, never()).await, why);
    }

    #[tokio::test]
    async fn who_gives_up_while_asking_leaves_the_question_to_the_next() {
        let round = Round::new();
        let engine: TargetId = "engine/one".parse().unwrap();
        {
            let hung = round.listed(&engine, std::future::pending());
            tokio::pin!(hung);
            assert!(futures_util::poll!(&mut hung).is_pending());
        }
        assert!(round.listed(&engine, async { Ok(Arc::from([])) }).await.is_ok());
    }
}
