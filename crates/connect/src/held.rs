//! One connection, held open. Why held: when every slot of a server is taken nobody gets in, and that is when runbookd is
//! needed. Why not a pool: a pool gives a connection back to the server when it is idle, and asks for a new one when it counts.
//!
//! A question that was abandoned (its deadline passed) leaves the connection *doubtful*: its answer may still come. A doubtful
//! connection, and one that was quiet for a while, is checked before it is used again, and where that fails a new one is opened **before** the old one is let go, so a
//! slow server never costs us the slot. Deliberately nothing is sent twice: an order that got no answer is its caller's matter.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex as Plain, PoisonError, Weak};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Holding;
use crate::postgres::PostgresLogin;
use crate::trouble::{PostgresError, PostgresTrouble};

/// The connection answered everything it was asked.
const SOUND: u8 = 0;
/// It was asked something and the answer was not waited for.
const DOUBTFUL: u8 = 1;
/// It is of no more use.
const BROKEN: u8 = 2;

/// Time between two pings of an idle held connection; also keeps firewalls from forgetting it.
const PING_EVERY: Duration = Duration::from_secs(10);

/// The longest that a ping, or opening again, may take.
const TEND_WITHIN: Duration = Duration::from_secs(5);

/// A connection that answered this lately is used without asking first whether it is still there.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Pauses between attempts to open again grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Numbers the checks, so that the answer to an older question cannot pass for the answer to this one.
static CHECKS: AtomicI64 = AtomicI64::new(1);

/// A place for one connection.
pub(crate) struct Slot {
    login: PostgresLogin,
    open: Mutex<Option<PgConnection>>,
    condition: AtomicU8,
    trouble: Plain<Option<PostgresError>>,
    heard: Plain<Option<Instant>>,
    keeper: Plain<Option<tokio::task::AbortHandle>>,
}

impl Slot {
    pub(crate) fn new(login: PostgresLogin) -> Self {
        let not_yet = PostgresError::new(PostgresTrouble::NotYet, "not opened yet");
        Self {
            login,
            open: Mutex::new(None),
            condition: AtomicU8::new(SOUND),
            trouble: Plain::new(Some(not_yet)),
            heard: Plain::new(None),
            keeper: Plain::new(None),
        }
    }

    pub(crate) fn login(&self) -> &PostgresLogin {
        &self.login
    }

    pub(crate) fn holding(&self) -> Holding {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Holding { target: self.login.target().clone(), side: self.login.side(), trouble }
    }

    /// The connection, once nobody else uses it; opened or replaced when need be.
    pub(crate) async fn acquire(&self, within: Duration) -> Result<Held<'_>, PostgresError> {
        let until = Instant::now() + within;
        let guard = timeout_at(until, self.open.lock()).await.map_err(|_| PostgresError::no_answer(within))?;
        let guard = self.ready(guard, until, within).await?;
        MutexGuard::try_map(guard, Option::as_mut)
            .map(|connection| Held { slot: self, connection })
            .map_err(|_| PostgresError::new(PostgresTrouble::Lost, "the connection is gone"))
    }

    /// Opens it if it is not open.
    pub(crate) async fn hold(&self, within: Duration) -> Result<(), PostgresError> {
        self.acquire(within).await.map(|_| ())
    }

    /// Makes sure that what the guard guards is open and sound.
    async fn ready<'a>(
        &self,
        mut guard: MutexGuard<'a, Option<PgConnection>>,
        until: Instant,
        within: Duration,
    ) -> Result<MutexGuard<'a, Option<PgConnection>>, PostgresError> {
        if self.condition.load(Ordering::Acquire) == BROKEN {
            *guard = None;
        }
        if let Some(connection) = guard.as_mut() {
            if self.condition.load(Ordering::Acquire) == SOUND && self.was_heard_lately() {
                return Ok(guard);
            }
            // Half of the time that is left for the old connection, the rest for a new one.
            let half = until.saturating_duration_since(Instant::now()) / 2;
            match timeout(half, is_in_step(connection)).await {
                Ok(true) => {
                    self.sound();
                    return Ok(guard);
                }
                Ok(false) => *guard = None,
                // Silent: it may come back, so it is kept until there is a better one.
                Err(_) => {}
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        match self.login.connect(left).await {
            Ok(connection) => {
                *guard = Some(connection);
                self.sound();
                Ok(guard)
            }
            Err(error) => {
                let error = match error.trouble {
                    // The caller's time, not what was left of it.
                    PostgresTrouble::NoAnswer => PostgresError::no_answer(within),
                    _ => error,
                };
                self.note(Some(error.clone()));
                Err(error)
            }
        }
    }

    /// Whether the server answered a moment ago; a connection that was quiet for longer may be dead without our knowing.
    fn was_heard_lately(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < TRUSTED_FOR)
    }

    fn sound(&self) {
        self.condition.store(SOUND, Ordering::Release);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.note(None);
    }

    fn note(&self, trouble: Option<PostgresError>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// One round of keeping: pings when nobody uses it, opens it when it is not open.
    async fn tend(&self) -> Result<(), PostgresError> {
        // In use: whoever uses it finds out.
        let Ok(guard) = self.open.try_lock() else { return Ok(()) };
        let until = Instant::now() + TEND_WITHIN;
        let mut guard = self.ready(guard, until, TEND_WITHIN).await?;
        let Some(connection) = guard.as_mut() else { return Ok(()) };
        self.condition.store(DOUBTFUL, Ordering::Release);
        match timeout_at(until, connection.ping()).await {
            Ok(Ok(())) => {
                self.sound();
                Ok(())
            }
            Ok(Err(error)) => {
                *guard = None;
                let error = PostgresError::from(&error);
                self.note(Some(error.clone()));
                Err(error)
            }
            Err(_) => {
                let error = PostgresError::no_answer(TEND_WITHIN);
                self.note(Some(error.clone()));
                Err(error)
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

/// Whether the conversation is in step: old answers are read off, and a numbered question gets its own answer.
async fn is_in_step(connection: &mut PgConnection) -> bool {
    // What is read off may hold the error of the abandoned statement, once; a second one is not ours.
    for _ in 0..3 {
        match connection.ping().await {
            Ok(()) => break,
            Err(sqlx::Error::Database(_)) => {}
            Err(_) => return false,
        }
    }
    let number = CHECKS.fetch_add(1, Ordering::Relaxed);
    let answer = sqlx::query_scalar::<_, i64>("SELECT $1::int8").bind(number).persistent(false).fetch_one(connection).await;
    matches!(answer, Ok(answer) if answer == number)
}

/// Starts keeping a slot, unless it is being kept already. Ends with the slot.
pub(crate) fn keep(slot: &Arc<Slot>) {
    let mut keeper = slot.keeper.lock().unwrap_or_else(PoisonError::into_inner);
    if keeper.is_none() {
        *keeper = Some(tokio::spawn(keep_open(Arc::downgrade(slot))).abort_handle());
    }
}

async fn keep_open(slot: Weak<Slot>) {
    let mut pause = PING_EVERY;
    let mut was_open = match slot.upgrade() {
        Some(slot) => {
            let holding = slot.holding();
            if let Some(trouble) = &holding.trouble {
                pause = Duration::from_secs(1);
                tracing::warn!(target_name = %holding.target, side = %holding.side, reason = %trouble, "a held connection could not be opened; it is tried again");
            }
            holding.trouble.is_none()
        }
        None => return,
    };
    loop {
        sleep(pause).await;
        let Some(slot) = slot.upgrade() else { return };
        let tended = slot.tend().await;
        let (target, side) = (slot.login.target(), slot.login.side());
        match tended {
            Ok(()) => {
                if !was_open {
                    tracing::info!(target_name = %target, %side, "a held connection is open again");
                }
                was_open = true;
                pause = PING_EVERY;
            }
            Err(error) => {
                if was_open {
                    tracing::warn!(target_name = %target, %side, reason = %error, "a held connection is lost; it is tried again");
                    pause = Duration::from_secs(1);
                } else {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                was_open = false;
            }
        }
    }
}

/// The held connection, for as long as this value lives. Others wait for it meanwhile.
pub struct Held<'a> {
    slot: &'a Slot,
    connection: MappedMutexGuard<'a, PgConnection>,
}

impl Held<'_> {
    /// The connection, to ask something. Until [`Held::answered`] is told how it went, it counts as doubtful.
    pub fn ask(&mut self) -> &mut PgConnection {
        self.slot.condition.store(DOUBTFUL, Ordering::Release);
        &mut self.connection
    }

    /// Takes note of how the last question went.
    ///
    /// # Errors
    /// What went wrong, in a form to branch on.
    pub fn answered<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, PostgresError> {
        match answer {
            Ok(answer) => {
                self.slot.sound();
                Ok(answer)
            }
            Err(error) => {
                let told = PostgresError::from(&error);
                if PostgresError::ends_the_connection(&error) {
                    self.slot.condition.store(BROKEN, Ordering::Release);
                    self.slot.note(Some(told.clone()));
                }
                // Else it stays doubtful: the check before the next use reads off what is left of the error.
                Err(told)
            }
        }
    }
}
