//! Whether loops that must not stand still make progress, for whoever watches over the process.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The loops that tell how they get on. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LoopPulses(Arc<Mutex<Vec<Arc<LoopState>>>>);

struct LoopState {
    name: &'static str,
    turns: AtomicU64,
    /// Whether its wait may take any time.
    free: AtomicBool,
}

/// The side of a loop: it says when a turn begins. A loop that has ended is watched no more.
pub struct LoopPulse(Arc<LoopState>);

/// How far a loop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopBeat {
    /// As the loop's task is called.
    pub name: &'static str,
    /// Turns that it has begun; the next one has to come. `None`: it waits, and may do so for any time.
    pub turns: Option<u64>,
}

impl LoopPulses {
    pub(super) fn begin(&self, name: &'static str) -> LoopPulse {
        let (turns, free) = (AtomicU64::new(0), AtomicBool::new(true));
        let state = Arc::new(LoopState { name, turns, free });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(state.clone());
        LoopPulse(state)
    }

    pub(super) fn beats(&self) -> Vec<LoopBeat> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|state| state.beat()).collect()
    }
}

impl LoopState {
    fn beat(&self) -> LoopBeat {
        let turns = self.turns.load(Ordering::Relaxed);
        LoopBeat { name: self.name, turns: (!self.free.load(Ordering::Relaxed)).then_some(turns) }
    }
}

impl LoopPulse {
    /// A turn begins. What it waits for has limits, so that the next one comes.
    pub fn beat(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        self.0.free.store(false, Ordering::Relaxed);
    }

    /// Until the next turn begins it waits for something that may never come.
    pub fn wait(&self) {
        self.0.free.store(true, Ordering::Relaxed);
    }
}

impl Drop for LoopPulse {
    fn drop(&mut self) {
        self.wait();
    }
}
