//! What a connection does: it waits for a request, or works on one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Shared by a connection's socket, its requests, and who gives out the slots.
pub struct ConnectionPulse {
    state: Mutex<PulseState>,
    /// Set by the API while it only throws the rest of a request away.
    draining: Arc<AtomicBool>,
}

struct PulseState {
    /// Requests that are answered now; with HTTP/1 at most one.
    at_work: usize,
    /// Since when it waits for a request.
    waits_since: Instant,
    /// Whether a request was answered already.
    served: bool,
    /// Whether a byte of the next request has come.
    begun: bool,
    /// Whether it speaks another protocol by now: then no request is waited for.
    upgraded: bool,
}

/// How easily a connection gives its slot up: the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Idleness {
    /// It never sent a request.
    Mute(Instant),
    /// What it sends is thrown away.
    Draining,
    /// It has sent requests and may send another.
    Resting(Instant),
}

impl ConnectionPulse {
    pub fn new() -> Self {
        let (served, begun, upgraded) = (false, false, false);
        let waits_since = Instant::now();
        let state = PulseState { at_work: 0, waits_since, served, begun, upgraded };
        Self { state: Mutex::new(state), draining: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, PulseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the API is handed to say that it drains.
    pub fn draining(&self) -> Arc<AtomicBool> {
        self.draining.clone()
    }

    /// A request is there; it is under way until the guard goes.
    pub fn work(self: &Arc<Self>) -> RequestUnderWay {
        self.draining.store(false, Ordering::Relaxed);
        self.lock().at_work += 1;
        RequestUnderWay(self.clone())
    }

    /// A byte of a request has come.
    pub fn heard(&self) {
        self.lock().begun = true;
    }

    /// From here on it speaks another protocol.
    pub fn upgrade(&self) {
        self.lock().upgraded = true;
    }

    pub fn is_upgraded(&self) -> bool {
        self.lock().upgraded
    }

    pub fn at_work(&self) -> bool {
        self.lock().at_work > 0
    }

    /// When a kept connection without a new request ends.
    pub fn rests_until(&self, keep_alive: Duration) -> Option<Instant> {
        let state = self.lock();
        let rests = state.at_work == 0 && state.served && !state.begun && !state.upgraded;
        rests.then(|| state.waits_since + keep_alive)
    }

    /// None while it works.
    pub fn idleness(&self) -> Option<Idleness> {
        let state = self.lock();
        match state.at_work {
            _ if state.upgraded => None,
            0 if state.served => Some(Idleness::Resting(state.waits_since)),
            0 => Some(Idleness::Mute(state.waits_since)),
            _ => self.draining.load(Ordering::Relaxed).then_some(Idleness::Draining),
        }
    }
}

/// A request under way, until its answer is written or given up.
pub struct RequestUnderWay(Arc<ConnectionPulse>);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.at_work = state.at_work.saturating_sub(1);
        (state.waits_since, state.served, state.begun) = (Instant::now(), true, false);
    }
}
