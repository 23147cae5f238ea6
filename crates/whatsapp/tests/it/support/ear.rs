//! A sink that remembers what it heard.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use domain::{
    WaMessageId,
    group::GroupSignal,
    message::{Content, InboundMessage},
    port::{EngineSignal, EngineSink, PeopleSignal, StoreResult},
    session::LossCause,
};
use tokio::sync::Notify;

use super::{LIMIT, failure};

/// What a sink heard, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Message(Box<InboundMessage>),
    Signal(EngineSignal),
}

/// A sink that remembers everything and can fail.
#[derive(Default)]
pub struct Ear {
    heard: Mutex<VecDeque<Heard>>,
    changed: Notify,
    /// Whether messages cannot be committed.
    pub deaf: AtomicBool,
    /// Whether signals are never taken.
    pub stuck: AtomicBool,
    /// Calls with messages that were not committed.
    pub refused: AtomicU32,
    /// Whether the next message or signal panics.
    pub breaks: AtomicBool,
    /// Every message that was committed.
    stored: Mutex<HashSet<WaMessageId>>,
}

#[async_trait]
impl EngineSink for Ear {
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.may_break();
        if self.deaf.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(failure());
        }
        self.stored.lock().unwrap().extend(messages.iter().map(|message| message.id.clone()));
        let heard = messages.into_iter().map(|message| Heard::Message(Box::new(message)));
        self.heard.lock().unwrap().extend(heard);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn knows(&self, id: &WaMessageId) -> StoreResult<bool> {
        Ok(self.stored.lock().unwrap().contains(id))
    }

    async fn signal(&self, signal: EngineSignal) {
        self.may_break();
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.heard.lock().unwrap().push_back(Heard::Signal(signal));
        self.changed.notify_waiters();
    }
}

impl Ear {
    fn may_break(&self) {
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "a sink that panics");
    }

    /// Takes the oldest thing that fits, and keeps the rest.
    #[track_caller]
    pub fn hear<T, F>(&self, mut fits: F) -> impl Future<Output = T> + use<'_, T, F>
    where
        F: FnMut(&Heard) -> Option<T>,
    {
        let caller = std::panic::Location::caller();
        async move {
            let found = tokio::time::timeout(LIMIT, async {
                loop {
                    let changed = self.changed.notified();
                    if let Some(found) = self.take(&mut fits) {
                        return found;
                    }
                    changed.await;
                }
            });
            match found.await {
                Ok(found) => found,
                Err(_) => panic!("{caller}: not heard; instead: {:#?}", self.all()),
            }
        }
    }

    fn take<T>(&self, fits: &mut impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        let mut heard = self.heard.lock().unwrap();
        let position = heard.iter().position(|heard| fits(heard).is_some())?;
        let found = heard.remove(position)?;
        fits(&found)
    }

    /// What is left, without what each login brings by itself.
    pub fn all(&self) -> Vec<Heard> {
        let of_login = |heard: &Heard| {
            matches!(
                heard,
                Heard::Signal(
                    EngineSignal::Limits(_)
                        | EngineSignal::People(
                            PeopleSignal::Identities(_) | PeopleSignal::BlockList(_)
                        )
                        | EngineSignal::Group(GroupSignal::Known(..) | GroupSignal::Listed(..))
                )
            )
        };
        self.heard.lock().unwrap().iter().filter(|heard| !of_login(heard)).cloned().collect()
    }

    /// Logged in, and everything that waited has come.
    pub async fn connected(&self) -> EngineSignal {
        let connected = self.hear(|heard| match heard {
            Heard::Signal(signal @ EngineSignal::Connected { .. }) => Some(signal.clone()),
            _ => None,
        });
        let connected = connected.await;
        self.signal(|signal| matches!(signal, EngineSignal::CaughtUp).then_some(())).await;
        connected
    }

    pub async fn qr(&self) -> String {
        self.hear(|heard| match heard {
            Heard::Signal(EngineSignal::QrCode { code, .. }) => Some(code.clone()),
            _ => None,
        })
        .await
    }

    pub async fn lost(&self) -> LossCause {
        self.hear(|heard| match heard {
            Heard::Signal(EngineSignal::Lost(cause)) => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// The message with this id.
    #[track_caller]
    pub fn by_id<'e>(&'e self, id: &'e str) -> impl Future<Output = InboundMessage> + use<'e> {
        self.hear(move |heard| match heard {
            Heard::Message(message) if message.id.as_str() == id => Some((**message).clone()),
            _ => None,
        })
    }

    /// The first signal that fits.
    #[track_caller]
    pub fn signal<'e, T>(
        &'e self,
        fits: impl Fn(&EngineSignal) -> Option<T> + 'e,
    ) -> impl Future<Output = T> {
        self.hear(move |heard| match heard {
            Heard::Signal(signal) => fits(signal),
            Heard::Message(_) => None,
        })
    }

    /// Everything heard before the first signal that fits.
    pub async fn position(&self, fits: impl Fn(&EngineSignal) -> Option<()>) -> Vec<Heard> {
        let found = tokio::time::timeout(LIMIT, async {
            loop {
                let changed = self.changed.notified();
                let heard = self.all();
                let index = heard.iter().position(
                    |heard| matches!(heard, Heard::Signal(signal) if fits(signal).is_some()),
                );
                if let Some(index) = index {
                    return heard[..index].to_vec();
                }
                changed.await;
            }
        });
        found.await.unwrap()
    }

    /// Whether the server took a message, or its reason not to.
    #[track_caller]
    pub fn acked<'e>(&'e self, id: &'e WaMessageId) -> impl Future<Output = Option<u16>> {
        self.signal(move |signal| match signal {
            EngineSignal::ServerAck { id: acked, refused, .. } if acked == id => Some(*refused),
            _ => None,
        })
    }

    /// The message that says this.
    pub async fn message(&self, text: &str) -> InboundMessage {
        self.hear(|heard| match heard {
            Heard::Message(message) => match &message.content {
                Content::Text { body, .. } if body == text => Some((**message).clone()),
                _ => None,
            },
            Heard::Signal(_) => None,
        })
        .await
    }
}
