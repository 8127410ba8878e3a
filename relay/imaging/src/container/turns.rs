//! Turns at coding: as many frames at once as there are processors and memory, urgent objects before others.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Shared by all encoders of a program.
#[derive(Debug)]
pub struct CodingTurns {
    n_threads: usize,
    memory_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    n_taken: usize,
    memory_taken: u64,
    /// Urgent objects being coded: others wait at their next frame.
    n_urgent: usize,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a CodingTurns,
    memory: u64,
}

/// While this lives, encoders without it wait before their next frame.
#[derive(Debug)]
pub struct Urgent<'a>(&'a CodingTurns);

impl CodingTurns {
    /// Turns for so many frames at once that together take no more memory than this; one frame that takes more by
    /// itself has its turn alone.
    #[must_use]
    pub fn new(n_threads: usize, memory_bytes: u64) -> Self {
        Self {
            n_threads: n_threads.max(1),
            memory_bytes,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Frames at once.
    #[must_use]
    pub fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// Lets urgent work go first until the answer is dropped.
    #[must_use]
    pub fn begin_urgent(&self) -> Urgent<'_> {
        self.lock().n_urgent += 1;
        Urgent(self)
    }

    /// Waits for a turn with a frame that takes so much memory, in bytes.
    pub(super) fn take(&self, memory: u64, is_urgent: bool) -> Turn<'_> {
        let memory = memory.min(self.memory_bytes);
        let must_wait = |state: &mut State| {
            state.n_taken >= self.n_threads
                || state.memory_taken + memory > self.memory_bytes
                || state.n_urgent > 0 && !is_urgent
        };
        let mut state = self
            .changed
            .wait_while(self.lock(), must_wait)
            .unwrap_or_else(PoisonError::into_inner);
        state.n_taken += 1;
        state.memory_taken += memory;
        Turn { turns: self, memory }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.n_taken -= 1;
        state.memory_taken -= self.memory;
        self.turns.changed.notify_all();
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.lock().n_urgent -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_urgent_work_hold_frames_back_and_a_large_frame_still_has_its_turn() {
        let turns = CodingTurns::new(2, 900);
        let small = turns.take(500, false);
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let urgent = turns.begin_urgent();
            let other = scope.spawn(|| {
                let _turn = turns.take(u64::MAX, false);
                order.lock().unwrap().push("large");
            });
            let of_urgent = turns.take(400, true);
            order.lock().unwrap().push("urgent");
            drop(of_urgent);
            drop(urgent);
            assert!(!other.is_finished(), "the small frame holds memory");
            drop(small);
        });
        assert_eq!(order.into_inner().unwrap(), ["urgent", "large"]);
    }
}
