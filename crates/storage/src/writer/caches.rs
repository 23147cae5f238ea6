//! What this process remembers of commits, and whom it tells of them.

use std::sync::Arc;

use domain::WebhookId;
use tokio::sync::Notify;

use super::unit::Committing;
use crate::{
    brake::PauseListeners,
    delivery::{claims::LaneClaims, recent::Recent},
    known_keys::KnownKeys,
    receivers::Receivers,
    wishes::WishListeners,
};

/// The memories that a commit changes. All of them may forget at any time: the database has everything.
pub(crate) struct CommitCaches {
    claims: Arc<dyn LaneClaims>,
    pub(crate) recent: Recent,
    pub(crate) receivers: Receivers,
    pub(crate) keys: KnownKeys,
    pub(crate) wishes: WishListeners,
    pub(crate) pauses: PauseListeners,
    /// Notified when another process stored deliveries, or may have.
    pub(crate) elsewhere: Notify,
}

impl CommitCaches {
    pub(crate) fn new(claims: Arc<dyn LaneClaims>, keys: KnownKeys) -> Self {
        Self {
            claims,
            recent: Recent::default(),
            receivers: Receivers::default(),
            keys,
            wishes: WishListeners::default(),
            pauses: PauseListeners::default(),
            elsewhere: Notify::new(),
        }
    }

    /// A transaction of this process is committed. Its callers are answered afterwards, so that whoever has its answer
    /// finds everything done.
    ///
    /// The order is that in which others come to know of it:
    /// 1. What is new: events, then the deliveries that name them. A worker that finds a delivery finds its event.
    /// 2. What is over: webhooks and keys as they were. Whoever claims a lane from here on sees the health that was stored.
    /// 3. Listeners, who may claim the new lanes at once.
    /// 4. Claims, because a claim that ends lets the next worker in: it must find all of the above. Of a lane what
    ///    waits is put right before its claim ends, or the next worker would be given the head that was delivered.
    pub(super) fn apply(&self, committing: Committing, webhooks_changed: bool) {
        let Committing { events, pushed, steps, opened, wished, braked, keys } = committing;
        self.recent.keep(events);
        self.claims.stored(&opened, pushed);
        if webhooks_changed {
            self.receivers.forget();
        }
        if keys {
            self.keys.forget();
        }
        self.recent.tell_opened(&opened);
        self.wishes.notify(&wished);
        if braked {
            self.pauses.notify();
        }
        self.claims.recorded(steps);
    }

    /// A webhook is gone, and its lanes with it: no attempt of them will be recorded.
    pub(crate) fn forget_webhook(&self, webhook: WebhookId) {
        self.claims.forget(webhook);
    }

    /// A session is gone, and lanes with it: nothing of them may keep room.
    pub(crate) fn forget_lanes(&self) {
        self.claims.forget_pending();
    }

    /// Something of another process may not have been heard: what is remembered counts no longer, and lanes are looked
    /// for.
    pub(crate) fn missed(&self) {
        self.receivers.forget();
        self.pauses.notify();
        self.elsewhere.notify_one();
    }

    /// What another process told: see [`Turn::commit`](super::Turn::commit).
    pub(crate) fn heard(&self, word: &str) {
        match word {
            "webhooks" => self.receivers.forget(),
            "sends" => self.pauses.notify(),
            _ => match word.strip_prefix("session:") {
                Some(session) => self.wishes.notify(session.parse().ok().as_slice()),
                None => self.elsewhere.notify_one(),
            },
        }
    }
}
