//! What can be read about the past: the event log, the delivery log, replays, the audit, and how current everything is.
//!
//! A replay is a new delivery of an event that is in the log: a new delivery id, the same event, the same idempotency
//! key. It leaves in a lane of its own next to the lane it belongs to ([`replay_lane`]): in order among the replays of
//! that lane, never before, after or instead of what waits there, so no schedule is disturbed by it.

mod audit;

use std::time::Duration;

use crate::{
    delivery::{Attempt, DeliveryState, LaneId},
    event::{Event, EventDraft},
    ids::{DeliveryId, EventId, SessionId, WebhookId},
    time::Timestamp,
    webhook::Webhook,
};

pub use audit::{AuditEntry, AuditQuery, Severity};

/// Most deliveries that one call of a replay stores at once.
pub const REPLAY_BATCH_MAX: u32 = 500;

/// An event with its place in the log of all sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Grows with every event that is stored, over all sessions. Holes are events that are gone.
    pub position: u64,
    /// The event that is delivered.
    pub event: Event,
}

/// Where the log begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The last position given; 0 when nothing was ever stored.
    pub last: u64,
    /// Up to here events may be gone, because they were old enough; 0 when none are.
    pub pruned: u64,
}

/// How far the events of one session are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunedSession {
    /// The session it belongs to.
    pub session: SessionId,
    /// Sequences up to this one may be missing from the log.
    pub through: u64,
}

/// A row of the delivery log.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRecord {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// The webhook that gets it.
    pub webhook: WebhookId,
    /// The receiver's URL now.
    pub url: String,
    /// The receiver's lane it leaves in.
    pub lane: LaneId,
    /// How far the delivery has got.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// The delivery that this one repeats.
    pub replay_of: Option<DeliveryId>,
    /// The event that is delivered.
    pub event: Event,
    /// The tries, oldest first. Lists leave the excerpts out.
    pub tries: Vec<Attempt>,
}

/// The end of a page of the delivery log; the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryCursor {
    /// When the last row's event happened.
    pub occurred_at: Timestamp,
    /// The id of the last row.
    pub id: DeliveryId,
}

impl DeliveryCursor {
    /// The text that callers bring back.
    pub fn text(&self) -> String {
        format!("{}_{}", self.occurred_at.millis(), self.id)
    }

    /// Reads [`DeliveryCursor::text`]; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, id) = text.split_once('_')?;
        let occurred_at = Timestamp::from_millis(millis.parse().ok()?);
        Some(Self { occurred_at, id: id.parse().ok()? })
    }
}

/// A search in the delivery log; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeliveryQuery {
    /// Deliveries in this state only.
    pub state: Option<DeliveryState>,
    /// Of events with this name.
    pub event: Option<crate::event::EventType>,
    /// Of events that happened at or after this.
    pub since: Option<Timestamp>,
    /// Of events that happened before this.
    pub until: Option<Timestamp>,
    /// Of events in this chat.
    pub chat: Option<crate::ChatId>,
    /// Rows after this one, in the order of the list.
    pub after: Option<DeliveryCursor>,
}

/// Which dead letters are meant; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FailureQuery {
    /// Of these sessions; empty means all.
    pub sessions: Vec<SessionId>,
    /// Dead letters of this webhook only.
    pub webhook: Option<WebhookId>,
    /// These; `None` means all.
    pub ids: Option<Vec<DeliveryId>>,
}

/// What a replay covers. Within the selection events go out in the order of their sequences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplaySelection {
    /// From this sequence on.
    pub from: Option<u64>,
    /// Up to this sequence.
    pub to: Option<u64>,
    /// Events whose deliveries fit. Without it also events that never had a delivery, if the webhook wants them now.
    pub matching: Option<DeliveryQuery>,
    /// Only events of which no try was ever made.
    pub never_attempted: bool,
}

/// An event that may be replayed, with what the webhook had of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayCandidate {
    /// The event that is delivered.
    pub event: Event,
    /// The newest delivery of it to the webhook.
    pub delivery: Option<PastDelivery>,
    /// Whether one of its deliveries waits right now.
    pub waiting: bool,
    /// Whether a try was ever made.
    pub attempted: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDelivery {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// How far the delivery has got.
    pub state: DeliveryState,
}

/// What a replay does with a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayChoice {
    /// The event goes out again.
    Replay,
    /// It waits already: nothing to repeat.
    Waiting,
    /// Not meant by the selection.
    Leave,
}

impl ReplaySelection {
    /// Decides about one event of the webhook's session.
    pub fn choose(&self, webhook: &Webhook, candidate: &ReplayCandidate) -> ReplayChoice {
        if !self.means(webhook, candidate) {
            return ReplayChoice::Leave;
        }
        if candidate.waiting { ReplayChoice::Waiting } else { ReplayChoice::Replay }
    }

    fn means(&self, webhook: &Webhook, candidate: &ReplayCandidate) -> bool {
        let sequence = candidate.event.sequence;
        if self.from.is_some_and(|from| sequence < from) || self.to.is_some_and(|to| sequence > to)
        {
            return false;
        }
        if self.never_attempted && candidate.attempted {
            return false;
        }
        match (&self.matching, &candidate.delivery) {
            (Some(query), past) => {
                let draft = &candidate.event.draft;
                let state = query
                    .state
                    .is_none_or(|state| past.as_ref().is_some_and(|past| past.state == state));
                state
                    && query.event.is_none_or(|kind| draft.kind == kind)
                    && query.since.is_none_or(|since| draft.occurred_at >= since)
                    && query.until.is_none_or(|until| draft.occurred_at < until)
                    && query.chat.as_ref().is_none_or(|chat| draft.chat.as_ref() == Some(chat))
                    && (past.is_some() || wants(webhook, draft))
            }
            (None, Some(_)) => true,
            // It was switched off or did not exist then: its filters decide now.
            (None, None) => wants(webhook, &candidate.event.draft),
        }
    }
}

/// What the webhook would get if it were switched on.
fn wants(webhook: &Webhook, draft: &EventDraft) -> bool {
    Webhook { active: true, ..webhook.clone() }.wants(draft)
}

/// The lane of a replay: next to the lane of the event.
pub fn replay_lane(webhook: &Webhook, event: &EventDraft, replay: DeliveryId) -> LaneId {
    let lane = webhook.lane(event);
    let own = lane.as_str().strip_prefix(&format!("{}/", webhook.id)).unwrap_or_default();
    // A lane of one delivery is named after it.
    let unordered = own.starts_with("dlv_");
    let own = if unordered { replay.to_string() } else { own.to_owned() };
    LaneId::from_stored(format!("{}/replay/{own}", webhook.id))
}

/// A replay to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReplay {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// The event that goes out again.
    pub event: EventId,
    /// The lane it leaves in, made by [`replay_lane`].
    pub lane: LaneId,
}

/// What old rows may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneLimits {
    /// Events stored at or before this position may go.
    pub events_through: u64,
    /// Dead letters of events stored at or before this position may go.
    pub failures_through: u64,
    /// Settled deliveries that were tried after this stay.
    pub settled_before: Timestamp,
    /// Dead letters that were tried after this stay.
    pub failed_before: Timestamp,
}

/// What a batch of pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Deliveries that are gone.
    pub deliveries: u64,
    /// Events that are gone.
    pub events: u64,
    /// The position looked at last; `None` when nothing is left to look at.
    pub next: Option<u64>,
}

/// When a session was last heard of. Kept in memory, stored now and then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// When WhatsApp last said something.
    pub engine_event: Option<Timestamp>,
    /// An event was stored.
    pub stored: Option<Timestamp>,
    /// A receiver took an event.
    pub delivered: Option<Timestamp>,
}

impl Activity {
    /// The later of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            engine_event: self.engine_event.max(other.engine_event),
            stored: self.stored.max(other.stored),
            delivered: self.delivered.max(other.delivered),
        }
    }
}

/// How far behind a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookLag {
    /// The webhook that it is about.
    pub webhook: WebhookId,
    /// The session whose events are read.
    pub session: SessionId,
    /// Whether it is switched on.
    pub active: bool,
    /// How many deliveries wait.
    pub pending: u64,
    /// When the event of the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// Lanes whose head waits for a retry.
    pub lanes_blocked: u64,
    /// The last delivery that succeeded.
    pub last_delivered: Option<Timestamp>,
}

impl WebhookLag {
    /// Whether it is behind for longer than a limit: something waits, and nothing got through for that long.
    pub fn is_stalled(&self, now: Timestamp, limit: Duration) -> bool {
        let long_ago = |at: Timestamp| now.since(at) > limit;
        self.pending > 0
            && self.oldest.is_some_and(long_ago)
            && self.last_delivered.is_none_or(long_ago)
    }
}

/// Numbers of webhooks whose receivers do not do well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoubtfulCounts {
    /// The breaker is open: nothing leaves until its time.
    pub open: u64,
    /// A few lanes at once, until it is trusted again.
    pub catching_up: u64,
    /// Deliveries of paused webhooks.
    pub paused: u64,
}

/// How many messages there are, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Messages that came in.
    pub incoming: u64,
    /// Messages that went out.
    pub outgoing: u64,
    /// Did not go out.
    pub failed: u64,
}

/// The upper ends of the classes in which sizes of commits are counted.
pub const COMMIT_SIZE_CLASSES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// How the ledger's writer does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions that were committed.
    pub commits: u64,
    /// How many writes these commits held.
    pub jobs: u64,
    /// Commits with at most so many jobs, per class of [`COMMIT_SIZE_CLASSES`]; not cumulated.
    pub classes: [u64; COMMIT_SIZE_CLASSES.len()],
    /// Jobs that wait right now.
    pub waiting: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        event::{EventType, Subscription},
        webhook::{LaneOrder, tests::webhook},
    };

    fn candidate(sequence: u64) -> ReplayCandidate {
        let hook = webhook(LaneOrder::Chat);
        let draft = EventDraft {
            id: EventId::from_uuid(Uuid::from_u128(sequence.into())),
            session: hook.session,
            kind: EventType::MessageReceived,
            occurred_at: Timestamp::from_millis(1000),
            chat: Some("49170111@c.us".parse().unwrap()),
            idempotency_key: "k".into(),
            data: json!({}).into(),
        };
        let event = Event { draft, sequence };
        ReplayCandidate { event, delivery: None, waiting: false, attempted: false }
    }

    fn delivered(sequence: u64, state: DeliveryState) -> ReplayCandidate {
        let id = DeliveryId::from_uuid(Uuid::from_u128(90 + u128::from(sequence)));
        let past = Some(PastDelivery { id, state });
        ReplayCandidate { delivery: past, attempted: true, ..candidate(sequence) }
    }

    #[test]
    fn a_range_takes_what_was_delivered_and_what_is_wanted_now() {
        let mut hook = webhook(LaneOrder::Chat);
        hook.active = false;
        let range = ReplaySelection { from: Some(2), to: Some(3), ..Default::default() };
        assert_eq!(range.choose(&hook, &candidate(1)), ReplayChoice::Leave);
        assert_eq!(range.choose(&hook, &candidate(2)), ReplayChoice::Replay);
        assert_eq!(
            range.choose(&hook, &delivered(3, DeliveryState::Delivered)),
            ReplayChoice::Replay
        );
        assert_eq!(range.choose(&hook, &candidate(4)), ReplayChoice::Leave);
        hook.events = vec![Subscription::One(EventType::MessageAck)];
        assert_eq!(range.choose(&hook, &candidate(2)), ReplayChoice::Leave);
        assert_eq!(
            range.choose(&hook, &delivered(3, DeliveryState::Delivered)),
            ReplayChoice::Replay
        );
        let waits = ReplayCandidate { waiting: true, ..delivered(3, DeliveryState::Pending) };
        assert_eq!(range.choose(&hook, &waits), ReplayChoice::Waiting);
    }

    #[test]
    fn never_attempted_and_filters_narrow() {
        let hook = webhook(LaneOrder::Chat);
        let never = ReplaySelection { never_attempted: true, ..Default::default() };
        assert_eq!(never.choose(&hook, &candidate(1)), ReplayChoice::Replay);
        assert_eq!(
            never.choose(&hook, &delivered(1, DeliveryState::Exhausted)),
            ReplayChoice::Leave
        );
        let query = DeliveryQuery { state: Some(DeliveryState::Exhausted), ..Default::default() };
        let dead = ReplaySelection { matching: Some(query), ..Default::default() };
        assert_eq!(
            dead.choose(&hook, &delivered(1, DeliveryState::Exhausted)),
            ReplayChoice::Replay
        );
        assert_eq!(
            dead.choose(&hook, &delivered(1, DeliveryState::Delivered)),
            ReplayChoice::Leave
        );
        assert_eq!(dead.choose(&hook, &candidate(1)), ReplayChoice::Leave);
    }

    #[test]
    fn a_replay_leaves_in_a_lane_of_its_own() {
        let id = DeliveryId::from_uuid(Uuid::from_u128(5));
        let draft = candidate(1).event.draft;
        let lane = |order| {
            let hook = webhook(order);
            let lane = replay_lane(&hook, &draft, id);
            lane.as_str().strip_prefix(&hook.id.to_string()).unwrap().to_owned()
        };
        assert_eq!(lane(LaneOrder::Chat), "/replay/49170111@c.us");
        assert_eq!(lane(LaneOrder::Session), "/replay/session");
        assert_eq!(lane(LaneOrder::None), format!("/replay/{id}"));
    }

    #[test]
    fn cursors_round_trip() {
        let id = DeliveryId::from_uuid(Uuid::from_u128(5));
        let cursor = DeliveryCursor { occurred_at: Timestamp::from_millis(-7), id };
        assert_eq!(DeliveryCursor::parse(&cursor.text()), Some(cursor));
        assert_eq!(DeliveryCursor::parse("7"), None);
    }

    #[test]
    fn a_webhook_is_stalled_when_something_waits_and_nothing_gets_through() {
        let at = Timestamp::from_seconds;
        let lag = WebhookLag {
            webhook: WebhookId::from_uuid(Uuid::from_u128(1)),
            session: SessionId::from_uuid(Uuid::from_u128(2)),
            active: true,
            pending: 1,
            oldest: Some(at(0)),
            lanes_blocked: 1,
            last_delivered: None,
        };
        let limit = Duration::from_secs(60);
        assert!(!lag.is_stalled(at(60), limit));
        assert!(lag.is_stalled(at(61), limit));
        assert!(
            !WebhookLag { last_delivered: Some(at(30)), ..lag.clone() }.is_stalled(at(61), limit)
        );
        assert!(!WebhookLag { pending: 0, oldest: None, ..lag }.is_stalled(at(61), limit));
    }
}
