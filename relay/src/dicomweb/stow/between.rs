//! A body on its way to the parser of its parts, which holds in memory all that is no part's data: how much of that may
//! pass is bounded here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// Bytes before the first part, or from the end of a part's data to the beginning of the next one's. The parser holds
/// them all in memory.
pub const BETWEEN_PARTS_BYTES_MAX: u64 = 64 << 10;

/// How many bytes of a body the parser was given, and how many it may have.
pub struct Passed {
    n_bytes: AtomicU64,
    n_bytes_max: AtomicU64,
}

impl Default for Passed {
    fn default() -> Self {
        Self {
            n_bytes: AtomicU64::new(0),
            n_bytes_max: AtomicU64::new(BETWEEN_PARTS_BYTES_MAX),
        }
    }
}

impl Passed {
    /// Bytes that the parser was given.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }

    /// The data of a part begins: what passes is given on.
    pub fn open_part(&self) {
        self.n_bytes_max.store(u64::MAX, Ordering::Relaxed);
    }

    /// The data of a part has ended: what passes stays with the parser.
    pub fn close_part(&self) {
        let n_bytes_max = self.n_bytes().saturating_add(BETWEEN_PARTS_BYTES_MAX);
        self.n_bytes_max.store(n_bytes_max, Ordering::Relaxed);
    }

    /// How many more may pass.
    fn room(&self) -> u64 {
        self.n_bytes_max
            .load(Ordering::Relaxed)
            .saturating_sub(self.n_bytes())
    }

    /// The parser was given so many more. Bytes.
    pub fn count(&self, len: usize) {
        self.n_bytes.fetch_add(len as u64, Ordering::Relaxed);
    }
}

/// Why a body gives no more.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The connection failed.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No part begins in what came.
    #[error("the beginning of a part expected")]
    NoPart,
}

/// A body that gives one piece for each time it is asked: the parser would else gather all that has come in memory.
pub struct OneByOne<S> {
    body: S,
    /// What of a piece may not pass yet.
    rest: Bytes,
    has_given: bool,
    passed: Arc<Passed>,
}

impl<S> OneByOne<S> {
    /// The pieces of `body`; the reader of the parts tells `passed` where it is.
    pub fn new(body: S, passed: Arc<Passed>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            has_given: false,
            passed,
        }
    }
}

impl<S, E> Stream for OneByOne<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            self.rest = match ready!(self.body.poll_next_unpin(context)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::Broken(Box::new(error))))),
                None => return Poll::Ready(None),
            };
        }
        let room = usize::try_from(self.passed.room()).unwrap_or(usize::MAX);
        if room == 0 {
            return Poll::Ready(Some(Err(BodyFault::NoPart)));
        }
        let len = self.rest.len().min(room);
        let piece = self.rest.split_to(len);
        self.passed.count(len);
        self.has_given = true;
        Poll::Ready(Some(Ok(piece)))
    }
}
