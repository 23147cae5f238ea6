//! Messages that nobody sends again: channel posts, messages recovered from the own phone, placeholders of messages
//! that could not be read. WhatsApp has no acknowledgement to wait for, so they wait here until the ledger takes
//! them, for as long as the process lives: a line for each session, which outlives its connections. A process that is
//! killed loses what is in it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    SessionId,
    message::InboundMessage as Inbound,
    port::{EngineSink, StoreErrorKind},
};
use tokio::{sync::Notify, time::timeout};

use crate::link::LinkState;

/// What waits of one session. When full the oldest is given up, which is said in the log.
const WAITING_MAX: usize = 1000;
/// Between two tries to store the oldest; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest time between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// For what waits at the end of a connection. The rest waits for the next one.
const FINISH: Duration = Duration::from_secs(5);

/// The lines of all sessions.
#[derive(Default)]
pub(crate) struct UnheldLines(Mutex<HashMap<SessionId, Arc<UnheldLine>>>);

impl UnheldLines {
    /// The line of a session.
    pub fn line(&self, session: SessionId) -> Arc<UnheldLine> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| Arc::strong_count(line) > 1 || !line.is_empty());
        lines.entry(session).or_default().clone()
    }
}

#[derive(Default)]
struct UnheldQueue {
    entries: VecDeque<(u64, Vec<Inbound>)>,
    last: u64,
}

/// What waits of one session, oldest first.
#[derive(Default)]
pub(crate) struct UnheldLine {
    waiting: Mutex<UnheldQueue>,
    news: Notify,
}

impl UnheldLine {
    fn lock(&self) -> MutexGuard<'_, UnheldQueue> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Adds messages that belong together.
    pub fn push(&self, messages: Vec<Inbound>) {
        if messages.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        if waiting.entries.len() >= WAITING_MAX {
            waiting.entries.pop_front();
            tracing::error!("a message that WhatsApp does not send again was lost: too many wait");
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.entries.push_back((number, messages));
        drop(waiting);
        self.news.notify_one();
    }

    fn first(&self) -> Option<(u64, Vec<Inbound>)> {
        self.lock().entries.front().cloned()
    }

    fn done(&self, number: u64) {
        let mut waiting = self.lock();
        if waiting.entries.front().is_some_and(|(first, _)| *first == number) {
            waiting.entries.pop_front();
        }
    }

    /// Tries to store the oldest; `false` when it has to wait.
    async fn store(&self, sink: &dyn EngineSink, number: u64, messages: Vec<Inbound>) -> bool {
        match sink.messages(messages).await {
            Ok(()) => self.done(number),
            // Its session was deleted.
            Err(error) if error.kind == StoreErrorKind::Gone => self.done(number),
            Err(error) => {
                tracing::debug!(%error, "a message that came once waits for the ledger");
                return false;
            }
        }
        true
    }

    /// Stores what comes until the link is over.
    pub async fn run(&self, sink: &dyn EngineSink, link: &LinkState) {
        let mut pause = PAUSE_FIRST;
        loop {
            let Some((number, messages)) = self.first() else {
                tokio::select! {
                    () = link.over() => return,
                    () = self.news.notified() => continue,
                }
            };
            let stored = tokio::select! {
                biased;
                () = link.over() => return,
                stored = self.store(sink, number, messages) => stored,
            };
            if stored {
                pause = PAUSE_FIRST;
                continue;
            }
            tokio::select! {
                () = link.over() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    /// Stores what is left at the end of a connection, as far as that goes.
    pub async fn finish(&self, sink: &dyn EngineSink) {
        let rest = async {
            while let Some((number, messages)) = self.first() {
                if !self.store(sink, number, messages).await {
                    return;
                }
            }
        };
        if timeout(FINISH, rest).await.is_err() || !self.is_empty() {
            tracing::warn!("messages that came once wait for the next connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::build;

    use super::*;

    #[test]
    fn a_full_line_gives_up_its_oldest() {
        let line = UnheldLine::default();
        for number in 0..=u32::try_from(WAITING_MAX).unwrap() {
            line.push(vec![build::inbound(number, &build::chat(1))]);
        }
        let (number, messages) = line.first().unwrap();
        assert_eq!((number, messages[0].id.clone()), (2, build::inbound(1, &build::chat(1)).id));
        assert_eq!(line.lock().entries.len(), WAITING_MAX);
        line.done(1);
        assert_eq!(line.first().unwrap().0, 2, "it was given up meanwhile");
    }

    #[test]
    fn a_line_outlives_its_connection_while_something_is_in_it() {
        let unheld = UnheldLines::default();
        let (one, other) = (build::session(1).id, build::session(2).id);
        unheld.line(one).push(vec![build::inbound(1, &build::chat(1))]);
        drop(unheld.line(other));
        assert!(!unheld.line(one).is_empty());
        assert_eq!(unheld.0.lock().unwrap().len(), 1);
    }
}
