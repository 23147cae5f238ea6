//! The one task that looks at messages that came in, and the answers that it begins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    ChatId, Clock, Timer, Timestamp, WaMessageId,
    automation::{AutomationRule, LoopGuard},
    event::{Event, EventType},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::{ANSWERS_MAX, Automation, QUEUE_MAX};
use crate::{
    Messages, Policy, Supervisor,
    ledger::{Committed, LedgerWriter},
    messages::{IdempotencyKey, Preview, Say, ToSend},
};

/// Between two words about messages that found no place.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long an answer holds its place at most; it goes on behind it.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What looks at messages.
struct Looker {
    automation: Automation,
    messages: Messages,
    supervisor: Supervisor,
    clock: Arc<dyn Clock>,
    guard: LoopGuard,
    places: Arc<Semaphore>,
    missed: Arc<AtomicU64>,
    told_at: Timestamp,
}

pub(super) fn start(
    automation: &Automation,
    messages: &Messages,
    ledger: &LedgerWriter,
    supervisor: &Supervisor,
) {
    let (queue, heard) = mpsc::channel::<Arc<Event>>(QUEUE_MAX);
    let missed = Arc::new(AtomicU64::new(0));
    let count = missed.clone();
    ledger.subscribe(move |committed| {
        let Committed::Events(events) = committed else { return };
        for event in events.iter().filter(|event| event.draft.kind == EventType::MessageReceived) {
            if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(event.clone()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let looker = Looker {
        automation: automation.clone(),
        messages: messages.clone(),
        supervisor: supervisor.clone(),
        clock: automation.clock.clone(),
        guard: LoopGuard::default(),
        places: Arc::new(Semaphore::new(ANSWERS_MAX)),
        missed,
        told_at: automation.clock.now(),
    };
    supervisor.spawn("automation/looker", Policy::Essential, looker.run(heard));
}

impl Looker {
    async fn run(mut self, mut heard: mpsc::Receiver<Arc<Event>>) {
        let stopping = self.supervisor.stopping();
        loop {
            let tell_at = self.told_at.plus(TELL_EVERY);
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                event = heard.recv() => match event {
                    Some(event) => self.look(&event).await,
                    None => return,
                },
                () = self.clock.sleep_until(Timer::AutomationTell, tell_at) => {}
            }
            self.tell();
        }
    }

    /// Says how many messages found no place, once a minute.
    fn tell(&mut self) {
        let now = self.clock.now();
        if now.since(self.told_at) < TELL_EVERY {
            return;
        }
        self.told_at = now;
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!(
                missed,
                "messages were not looked at by automation rules: too many at once"
            );
        }
    }

    async fn look(&mut self, event: &Event) {
        let session = event.draft.session;
        if self.messages.are_paused() {
            // It would be refused, and no rule has its cooldown for an answer that nobody got.
            return;
        }
        let rules = match self.automation.rules_of(session).await {
            Ok(rules) => rules,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(session.id = %session, error, "a message was not looked at by automation rules");
                return;
            }
        };
        if rules.is_empty() {
            return;
        }
        let (data, now) = (event.draft.data.value(), self.clock.now());
        let Some(rule) = rules.iter().find(|rule| rule.answers(&data, now)) else { return };
        let Some(chat) = event.draft.chat.clone() else { return };
        let Some(id) = data["id"].as_str().map(WaMessageId::from_wire) else { return };
        match self.may_answer(rule, &chat, now).await {
            Ok(true) => self.answer(rule.clone(), chat, &id).await,
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(session.id = %session, rule.id = %rule.id, error, "a rule did not answer");
            }
        }
    }

    async fn may_answer(
        &mut self,
        rule: &AutomationRule,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<bool, domain::port::StoreError> {
        if !self.automation.store.claim_answer(rule, chat, now, rule.cooldown).await? {
            return Ok(false);
        }
        let free = self.guard.admit(rule.session, chat, now);
        if !free {
            tracing::warn!(session.id = %rule.session, rule.id = %rule.id,
                "a chat got many answers in a short time, as from another bot: it gets none for a while");
        }
        Ok(free)
    }

    /// Begins an answer when there is a place.
    async fn answer(&self, rule: AutomationRule, chat: ChatId, id: &WaMessageId) {
        let stopping = self.supervisor.stopping();
        let place = tokio::select! {
            place = self.places.clone().acquire_owned() => place,
            () = stopping.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let (messages, clock) = (self.messages.clone(), self.clock.clone());
        let (key, session) = (key_of(&rule, id), rule.session);
        self.supervisor.spawn("automation/answer", Policy::Once, async move {
            let say = Say::Text { text: rule.reply_text.clone(), preview: Preview::Usual };
            let to_send = ToSend { chat, say, mentions: vec![], quoted: None };
            let limit = clock.now().plus(ANSWER_LIMIT);
            let sent = tokio::select! {
                sent = Box::pin(messages.send(session, to_send, Some(key))) => sent,
                () = clock.sleep_until(Timer::AutomationAnswer, limit) => return,
            };
            drop(place);
            if let Err(error) = sent {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(session.id = %session, rule.id = %rule.id, error, "a rule's answer was not sent");
            }
        });
    }
}

fn key_of(rule: &AutomationRule, id: &WaMessageId) -> IdempotencyKey {
    let key = rule.send_key(id);
    let body = json!({ "rule": rule.id, "message": id });
    let fields = match body {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    IdempotencyKey { fingerprint: domain::idempotency::fingerprint("automation", &fields), key }
}
