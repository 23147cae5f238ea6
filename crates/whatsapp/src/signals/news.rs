//! What the pump takes in: the library's events, and what the engine finds beside them.

use std::sync::Arc;

use domain::{chat::Identity, port::EngineSignal};
use whatsapp_rust::types::events::Event;

use super::EventPump;
use crate::duplicates::LostMessage;

/// Side signals that may wait for the sink: the names of all groups of a busy account.
const SIDE_SIGNALS_MAX: usize = 4096;

/// One thing that the sink learns of.
pub(super) enum PumpInput {
    Event(Arc<Event>),
    Signal(EngineSignal),
    Pairs(Vec<Identity>),
    Lost(LostMessage),
}

impl PumpInput {
    /// The next of a pump. `None` when the queue is closed and empty, or the connection is closed.
    pub async fn next(
        pump: &EventPump,
        events: &async_channel::Receiver<Arc<Event>>,
    ) -> Option<Self> {
        tokio::select! {
            biased;
            () = pump.link.closing() => None,
            event = events.recv() => event.ok().map(Self::Event),
            Ok(signal) = pump.side_signals.waiting.recv() => Some(Self::Signal(signal)),
            pairs = pump.inbound.backend.pairs().next() => Some(Self::Pairs(pairs)),
            Ok(lost) = pump.lost.recv() => Some(Self::Lost(lost)),
        }
    }
}

/// Signals that the engine finds in addition to the library's events. They wait for the pump, so that the sink gets one
/// at a time.
#[derive(Clone)]
pub(crate) struct SideSignals {
    said: async_channel::Sender<EngineSignal>,
    waiting: async_channel::Receiver<EngineSignal>,
}

impl SideSignals {
    pub fn new() -> Self {
        let (said, waiting) = async_channel::bounded(SIDE_SIGNALS_MAX);
        Self { said, waiting }
    }

    /// When too many wait, this one is dropped: names and identities are learned again.
    pub fn say(&self, signal: EngineSignal) {
        let _ = self.said.try_send(signal);
    }

    /// As soon as there is room.
    pub(super) async fn say_in_turn(&self, signal: EngineSignal) {
        // A pump that has ended needs no news.
        let _ = self.said.send(signal).await;
    }
}
