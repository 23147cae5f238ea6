//! Senders that wait for the answer of WhatsApp's server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{SessionId, WaMessageId, message::Message};
use tokio::sync::oneshot;

/// What the server said about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The code of a refusal.
    pub(crate) refused: Option<u16>,
    /// WhatsApp's time, epoch seconds.
    pub(crate) timestamp: i64,
}

/// Senders that wait at once. When full, a send does not wait and answers `pending`.
const WAITERS_MAX: usize = 10_000;

type Key = (SessionId, WaMessageId);

struct Waiting {
    message: Arc<Message>,
    tell: oneshot::Sender<Answer>,
}

/// The waiting senders, and the rows they wait for: an ack needs the row's chat.
#[derive(Clone, Default)]
pub(crate) struct Waiters {
    waiting: Arc<Mutex<HashMap<Key, Waiting>>>,
}

/// Takes the waiter away when the sender stops waiting, whatever the reason.
pub(crate) struct Ticket {
    waiters: Waiters,
    key: Key,
    told: oneshot::Receiver<Answer>,
}

impl Waiters {
    /// Begins to wait; before the message is sent, so that no answer is too early.
    pub(crate) fn wait(&self, message: Arc<Message>) -> Option<Ticket> {
        let key = (message.session, message.wa_id.clone());
        let mut waiting = self.lock();
        if waiting.len() >= WAITERS_MAX {
            return None;
        }
        let (tell, told) = oneshot::channel();
        waiting.insert(key.clone(), Waiting { message, tell });
        Some(Ticket { waiters: self.clone(), key, told })
    }

    /// The row somebody waits for.
    pub(crate) fn message(&self, session: SessionId, id: &WaMessageId) -> Option<Arc<Message>> {
        self.lock().get(&(session, id.clone())).map(|waiting| waiting.message.clone())
    }

    /// Answers a sender, if there is one.
    pub(crate) fn answer(&self, session: SessionId, id: &WaMessageId, answer: Answer) {
        if let Some(waiting) = self.lock().remove(&(session, id.clone())) {
            let _ = waiting.tell.send(answer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The answer; never comes if the connection ends first.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiters.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::build;

    const TAKEN: Answer = Answer { refused: None, timestamp: 7 };

    fn message(number: u32) -> Arc<Message> {
        Arc::new(build::message(number, build::session(1).id))
    }

    #[tokio::test]
    async fn an_answer_reaches_its_sender_alone_and_once() {
        let waiters = Waiters::default();
        let (one, two) = (message(1), message(2));
        let mut first = waiters.wait(one.clone()).unwrap();
        let _second = waiters.wait(two.clone()).unwrap();
        waiters.answer(build::session(2).id, &one.wa_id, TAKEN);
        waiters.answer(one.session, &one.wa_id, TAKEN);
        assert_eq!(first.answer().await, Some(TAKEN));
        assert!(waiters.message(one.session, &one.wa_id).is_none());
        assert!(waiters.message(two.session, &two.wa_id).is_some());
    }

    #[test]
    fn a_sender_that_goes_away_is_forgotten() {
        let waiters = Waiters::default();
        let message = message(1);
        drop(waiters.wait(message.clone()));
        assert!(waiters.message(message.session, &message.wa_id).is_none());
        waiters.answer(message.session, &message.wa_id, TAKEN);
    }

    #[test]
    fn when_full_a_sender_does_not_wait() {
        let waiters = Waiters::default();
        let most = u32::try_from(WAITERS_MAX).unwrap();
        let mut tickets: Vec<_> =
            (0..most).map(|number| waiters.wait(message(number)).unwrap()).collect();
        assert!(waiters.wait(message(most)).is_none());
        tickets.pop();
        assert!(waiters.wait(message(most)).is_some());
    }
}
