//! Tells handlers of what happened, from a task of its own.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use domain::{SessionId, time::BoxFuture};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{HookPoint, HookScope, SharedHooks};

/// Chats about which handlers are told at once.
const AT_ONCE_MAX: usize = 64;
/// Notifications taken out of the queue that wait for the one before them; more of them wait in the queue.
const WAITING_MAX: usize = 4096;

pub(super) struct HookNotification {
    pub(super) point: HookPoint,
    pub(super) session: SessionId,
    pub(super) data: Value,
    /// What caused it.
    pub(super) scope: HookScope,
}

/// What keeps its order: a chat, or what is about no chat of a session.
type OrderKey = (SessionId, Option<String>);

impl HookNotification {
    fn order(&self) -> OrderKey {
        let data = &self.data;
        let chat = [&data["chatId"], &data["message"]["chatId"], &data["input"]["chatId"]]
            .into_iter()
            .find_map(Value::as_str);
        (self.session, chat.map(str::to_owned))
    }
}

/// What is under way, and what waits behind it.
struct Telling {
    hooks: Arc<SharedHooks>,
    waiting: HashMap<OrderKey, VecDeque<HookNotification>>,
    /// Of all chats together.
    waiting_count: usize,
    under_way: FuturesUnordered<BoxFuture<OrderKey>>,
}

impl Telling {
    fn add(&mut self, told: HookNotification) {
        match self.waiting.entry(told.order()) {
            Entry::Occupied(mut line) => {
                line.get_mut().push_back(told);
                self.waiting_count += 1;
            }
            Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(VecDeque::new());
                self.begin(key, told);
            }
        }
    }

    fn begin(&self, key: OrderKey, told: HookNotification) {
        let hooks = self.hooks.clone();
        self.under_way.push(Box::pin(async move {
            let HookNotification { point, session, data, scope } = told;
            let _ = scope.run(hooks.ask(point, session, data, |_| true)).await;
            key
        }));
    }

    fn done(&mut self, key: OrderKey) {
        let Entry::Occupied(mut line) = self.waiting.entry(key) else { return };
        match line.get_mut().pop_front() {
            Some(next) => {
                self.waiting_count -= 1;
                let key = line.key().clone();
                self.begin(key, next);
            }
            None => drop(line.remove()),
        }
    }

    fn takes_more(&self) -> bool {
        self.under_way.len() < AT_ONCE_MAX && self.waiting_count < WAITING_MAX
    }
}

/// Until the process stops.
pub(super) async fn tell_all(
    hooks: Arc<SharedHooks>,
    mut coming: mpsc::Receiver<HookNotification>,
    stopping: CancellationToken,
) {
    let mut telling = Telling {
        hooks,
        waiting: HashMap::new(),
        waiting_count: 0,
        under_way: FuturesUnordered::new(),
    };
    loop {
        tokio::select! {
            next = coming.recv(), if telling.takes_more() => match next {
                Some(next) => telling.add(next),
                None => return,
            },
            Some(key) = telling.under_way.next(), if !telling.under_way.is_empty() => telling.done(key),
            () = stopping.cancelled() => return,
        }
    }
}
