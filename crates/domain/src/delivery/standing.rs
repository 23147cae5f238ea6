//! How a lane stands that something waits in: who has it, or what keeps it from leaving.

use super::{Breaker, Health, LaneId};
use crate::{
    event::EventType,
    ids::{DeliveryId, SessionId, WebhookId},
    time::Timestamp,
};

/// Lanes that a list looks at, at most: those that wait longest.
pub const LANES_LOOKED_AT_MAX: u32 = 20_000;

/// Why the head of a lane is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitReason {
    /// A worker has it.
    Delivering,
    /// It may leave as soon as there is a place.
    Due,
    /// Its head was tried, or put off, and waits for a time.
    Retry,
    /// The rate of its webhook is used up.
    Held,
    /// The breaker of its receiver is open.
    Breaker,
    /// Its webhook is paused.
    Paused,
    /// Its webhook is switched off.
    Inactive,
}

impl WaitReason {
    /// Every reason, in the order of the API's description.
    pub const ALL: [Self; 7] = [
        Self::Delivering,
        Self::Due,
        Self::Retry,
        Self::Held,
        Self::Breaker,
        Self::Paused,
        Self::Inactive,
    ];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivering => "delivering",
            Self::Due => "due",
            Self::Retry => "retry",
            Self::Held => "held",
            Self::Breaker => "breaker",
            Self::Paused => "paused",
            Self::Inactive => "inactive",
        }
    }

    /// Reads the API's word; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Who has a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHolder {
    /// The worker's name in leases.
    pub owner: String,
    /// The end of its lease.
    pub until: Timestamp,
}

/// What decides how a lane stands.
#[derive(Debug, Clone, Copy)]
pub struct LaneFacts<'a> {
    /// Who has it, as far as is known; a lease that is over counts for nothing.
    pub holder: Option<&'a LaneHolder>,
    /// Whether its webhook is switched on.
    pub active: bool,
    /// How the receiver does.
    pub health: &'a Health,
    /// Until when the rate of the webhook is used up.
    pub held_until: Option<Timestamp>,
    /// Until when its head waits.
    pub retry_at: Option<Timestamp>,
}

impl LaneFacts<'_> {
    /// The reason, and until when it holds where that is known. Of several that end by themselves it is the one that
    /// ends last: before that nothing leaves.
    pub fn reason(&self, now: Timestamp) -> (WaitReason, Option<Timestamp>) {
        if self.holder.is_some_and(|holder| holder.until > now) {
            return (WaitReason::Delivering, None);
        }
        if !self.active {
            return (WaitReason::Inactive, None);
        }
        if self.health.pause.is_some() {
            return (WaitReason::Paused, None);
        }
        let breaker = match self.health.breaker {
            Breaker::Open { until } => Some(until),
            Breaker::Closed | Breaker::CatchUp { .. } => None,
        };
        // Of two that end together the later in this list is named.
        [
            (WaitReason::Held, self.held_until),
            (WaitReason::Retry, self.retry_at),
            (WaitReason::Breaker, breaker),
        ]
        .into_iter()
        .filter(|(_, until)| until.is_some_and(|until| until > now))
        .max_by_key(|(_, until)| *until)
        .unwrap_or((WaitReason::Due, None))
    }
}

/// The delivery that leaves next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHead {
    /// The delivery's id.
    pub delivery: DeliveryId,
    /// What its event is called.
    pub event: EventType,
    /// The event's dense number in its session.
    pub sequence: u64,
    /// How many attempts were made.
    pub attempts: u32,
    /// How the last of them failed, in a sentence.
    pub last_error: Option<String>,
}

/// A lane in which something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStanding {
    /// The name of the lane.
    pub lane: LaneId,
    /// Whose deliveries wait in it.
    pub webhook: WebhookId,
    /// Where they go.
    pub url: String,
    /// The session of the webhook.
    pub session: SessionId,
    /// Deliveries that wait in it, the one under way among them.
    pub waiting: u64,
    /// When the oldest of their events happened.
    pub oldest: Timestamp,
    /// What leaves next.
    pub head: LaneHead,
    /// Why it has not left yet.
    pub reason: WaitReason,
    /// Until when that holds, where it is known.
    pub until: Option<Timestamp>,
    /// Who has it.
    pub holder: Option<LaneHolder>,
}

/// A place in the list of lanes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneCursor {
    /// When the oldest event of the last row happened.
    pub oldest: Timestamp,
    /// The lane of the last row.
    pub lane: LaneId,
}

impl LaneCursor {
    /// The text that callers bring back.
    pub fn text(&self) -> String {
        format!("{}_{}", self.oldest.millis(), self.lane)
    }

    /// Reads [`LaneCursor::text`]; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, lane) = text.split_once('_')?;
        let lane = LaneId::from_stored(lane.to_owned());
        lane.webhook()?;
        Some(Self { oldest: Timestamp::from_millis(millis.parse().ok()?), lane })
    }
}

/// Which lanes are asked for; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneQuery {
    /// Of these sessions; empty means all.
    pub sessions: Vec<SessionId>,
    /// Of this webhook.
    pub webhook: Option<WebhookId>,
    /// That stand like this.
    pub reason: Option<WaitReason>,
    /// Behind this place of the list.
    pub after: Option<LaneCursor>,
}

/// A part of the list of lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanePage {
    /// Those that wait longest first; what waits behind the first [`LANES_LOOKED_AT_MAX`] is on no page.
    pub lanes: Vec<LaneStanding>,
    /// How many there are without paging; with a reason those among the [`LANES_LOOKED_AT_MAX`] that wait longest.
    pub total: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<LaneCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Pause, PauseReason};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(NOW.millis() + seconds * 1000))
    }

    fn open(seconds: i64) -> Health {
        let until = at(seconds).unwrap();
        Health { breaker: Breaker::Open { until }, streak: 5, ..Health::default() }
    }

    fn facts(health: &Health) -> LaneFacts<'_> {
        LaneFacts { holder: None, active: true, health, held_until: None, retry_at: None }
    }

    #[test]
    fn what_nothing_keeps_is_due() {
        let sound = Health::default();
        assert_eq!(facts(&sound).reason(NOW), (WaitReason::Due, None));
        let over = LaneFacts { retry_at: at(0), held_until: at(-1), ..facts(&sound) };
        assert_eq!(over.reason(NOW), (WaitReason::Due, None), "times that have come");
        let probe = open(0);
        assert_eq!(facts(&probe).reason(NOW), (WaitReason::Due, None), "one may probe");
        let slow = Health { breaker: Breaker::CatchUp { left: 3 }, ..Health::default() };
        assert_eq!(facts(&slow).reason(NOW), (WaitReason::Due, None), "for one of two places");
    }

    #[test]
    fn whoever_has_it_counts_most_while_the_lease_lasts() {
        let health = open(9);
        let held = |seconds| LaneHolder { owner: "worker-1".into(), until: at(seconds).unwrap() };
        let (living, over) = (held(1), held(0));
        let facts = |holder| LaneFacts { holder: Some(holder), active: false, ..facts(&health) };
        assert_eq!(facts(&living).reason(NOW), (WaitReason::Delivering, None));
        assert_eq!(facts(&over).reason(NOW), (WaitReason::Inactive, None));
    }

    #[test]
    fn what_people_did_counts_before_what_ends_by_itself() {
        let pause = Some(Pause { at: NOW, reason: PauseReason::Requested });
        let paused = Health { pause, ..open(9) };
        let both = LaneFacts { retry_at: at(7), ..facts(&paused) };
        assert_eq!(both.reason(NOW), (WaitReason::Paused, None));
        let off = LaneFacts { active: false, ..both };
        assert_eq!(off.reason(NOW), (WaitReason::Inactive, None));
    }

    #[test]
    fn of_what_ends_by_itself_the_last_to_end_is_named() {
        let (sound, broken) = (Health::default(), open(5));
        let held = LaneFacts { held_until: at(1), ..facts(&sound) };
        assert_eq!(held.reason(NOW), (WaitReason::Held, at(1)));
        let tried = LaneFacts { retry_at: at(7), ..held };
        assert_eq!(tried.reason(NOW), (WaitReason::Retry, at(7)));
        let broken = LaneFacts { health: &broken, ..held };
        assert_eq!(broken.reason(NOW), (WaitReason::Breaker, at(5)));
        assert_eq!(LaneFacts { retry_at: at(7), ..broken }.reason(NOW), (WaitReason::Retry, at(7)));
        assert_eq!(
            LaneFacts { retry_at: at(5), held_until: at(5), ..broken }.reason(NOW),
            (WaitReason::Breaker, at(5)),
            "all of them end together"
        );
    }

    #[test]
    fn a_lane_tells_its_chat() {
        let webhook = WebhookId::from_uuid(uuid::Uuid::from_u128(7));
        let chat: crate::ChatId = "49170111@c.us".parse().unwrap();
        assert_eq!(LaneId::chat(webhook, &chat).chat_of(), Some(chat.clone()));
        let stored = |own: &str| LaneId::from_stored(format!("{webhook}/{own}")).chat_of();
        assert_eq!(stored("replay/49170111@c.us"), Some(chat));
        for other in ["session", "replay/session", "dlv_00000000-0000-4000-8000-000000000000"] {
            assert_eq!(stored(other), None, "{other}");
        }
    }

    #[test]
    fn words_and_cursors_round_trip() {
        for reason in WaitReason::ALL {
            assert_eq!(WaitReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(WaitReason::parse("waiting"), None);
        let webhook = WebhookId::from_uuid(uuid::Uuid::from_u128(7));
        let chat = "49170111@c.us".parse().unwrap();
        let cursor =
            LaneCursor { oldest: Timestamp::from_millis(-7), lane: LaneId::chat(webhook, &chat) };
        assert_eq!(LaneCursor::parse(&cursor.text()), Some(cursor));
        for wrong in ["", "7", "7_", "x_00000000-0000-4000-8000-000000000000/session", "7_a/b"] {
            assert_eq!(LaneCursor::parse(wrong), None, "{wrong}");
        }
    }
}
