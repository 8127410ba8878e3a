//! Waiting for what another process does: look, pause briefly, look again, give up at a deadline.
//!
//! The one place of the tests that lets time pass. A test names what it waits for, so a timeout reads as a sentence.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything that works on two busy cores; a test that needs more is wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(25);

/// Returns what `look` finds as soon as it finds something.
///
/// # Panics
/// After [`PATIENCE`], saying what was awaited.
pub fn until<T>(what: impl Display, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, &what, look).unwrap_or_else(|| panic!("waited {} s in vain: {what}", PATIENCE.as_secs()))
}

/// Like [`until`], but gives up quietly after `limit`.
pub fn within<T>(limit: Duration, _what: impl Display, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
