//! Reads a body within its bounds: bytes, time, and the room that all larger bodies share. Small ones are free, because the
//! number of connections bounds them already. Deliberately hands out plain bytes: the journal stores what was sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size take no room.
const FREE: usize = 64 << 10;
/// The unit that room is counted in.
const UNIT: usize = 4 << 10;
/// Of a refused body so much is still read, so that the sender hears the refusal instead of a broken connection.
const DRAIN: usize = 64 << 20;

/// Why a body was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// It has more bytes than allowed.
    TooLarge,
    /// It did not come in time.
    Slow,
    /// Too many large ones are being read at once.
    NoRoom,
    /// The sender went away, or what it sends is not HTTP.
    Broken,
}

/// Room for larger bodies, shared by all connections.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }
}

/// A body with the room that it takes for as long as it is kept.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Given back when the body is done with.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Makes sure of room for a body of so many bytes.
    fn reserve(&mut self, room: &Room, bytes: usize) -> Result<(), Unread> {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes <= FREE || bytes <= held * UNIT {
            return Ok(());
        }
        // Twice as much as is needed now, so that a body without a length does not ask with every frame.
        let wanted = bytes.saturating_mul(2).div_ceil(UNIT) - held;
        let wanted = u32::try_from(wanted).map_err(|_| Unread::TooLarge)?;
        let more = room.0.clone().try_acquire_many_owned(wanted).map_err(|_| Unread::NoRoom)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of at most `most` bytes within `time`.
pub(super) async fn read(mut body: Incoming, most: usize, time: Duration, room: &Room) -> Result<Held, Unread> {
    // In a storm nearly every body has arrived with its header; then no timer is needed.
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut held = Held { bytes: Vec::new(), room: None };
    let outcome = if said > most {
        Err(Unread::TooLarge)
    } else {
        held.bytes.reserve_exact(said.min(FREE));
        let reading = fill(&mut held, &mut body, most, room);
        tokio::time::timeout(time, reading).await.unwrap_or(Err(Unread::Slow))
    };
    match outcome {
        Ok(()) => Ok(held),
        Err(why) => {
            drop(held);
            if matches!(why, Unread::TooLarge | Unread::NoRoom) {
                drain(body, DRAIN, time.min(Duration::from_secs(10))).await;
            }
            Err(why)
        }
    }
}

async fn fill(held: &mut Held, body: &mut Incoming, most: usize, room: &Room) -> Result<(), Unread> {
    while let Some(data) = next(body).await? {
        let length = held.bytes.len() + data.len();
        if length > most {
            return Err(Unread::TooLarge);
        }
        held.reserve(room, length)?;
        held.bytes.extend_from_slice(&data);
    }
    Ok(())
}

/// Reads on and throws away, for a while, so that the sender gets to read its answer.
pub(super) async fn drain(mut body: Incoming, most: usize, time: Duration) {
    let reading = async {
        let mut left = most;
        while let Ok(Some(data)) = next(&mut body).await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                break;
            }
        }
    };
    // What is not read by then is the sender's loss.
    let _ = tokio::time::timeout(time, reading).await;
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Unread> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Unread::Broken),
            Some(Ok(frame)) => {
                if let Ok(data) = Frame::into_data(frame) {
                    return Ok(Some(data));
                }
            }
        }
    }
}
