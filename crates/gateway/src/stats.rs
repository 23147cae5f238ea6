//! Numbers of sessions and messages, for people who look at a dashboard.
//!
//! The ledger counts as messages come, so a request costs little however many there are; what is asked for all sessions
//! is kept for a while, so that a dashboard that is open on many screens costs as much as one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    Clock, SessionId, Timestamp,
    pacing::{DaySends, PacingRules, PacingState},
    port::{Store, StoreResult},
    stats::{
        ChatCount, HOUR_MS, MessageFlow, MessageNumbers, StatsBucket, start_of_day, start_of_hour,
    },
};

use crate::{
    Options, Ports, Sessions,
    sessions::{Overview, SessionView},
};

/// Chats in a list of the busiest.
const TOP_CHATS: u32 = 10;
/// A day without the hour that is not over.
const OTHER_HOURS: Duration = Duration::from_secs(23 * 3600);
const DAY: Duration = Duration::from_secs(86_400);

/// How far back numbers of messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsPeriod {
    /// Twenty-four hours, the one that is not over among them.
    Day,
    /// Seven days of UTC with today.
    Week,
    /// Thirty days of UTC with today.
    Month,
}

impl StatsPeriod {
    /// Reads OpenWA's word for it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "24h" => Some(Self::Day),
            "7d" => Some(Self::Week),
            "30d" => Some(Self::Month),
            _ => None,
        }
    }

    /// How finely it is shown.
    pub const fn bucket(self) -> StatsBucket {
        match self {
            Self::Day => StatsBucket::Hour,
            Self::Week | Self::Month => StatsBucket::Day,
        }
    }

    fn since(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day => start_of_hour(now).minus(OTHER_HOURS),
            Self::Week => start_of_day(now).minus(6 * DAY),
            Self::Month => start_of_day(now).minus(29 * DAY),
        }
    }
}

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsOverview {
    /// How many sessions there are.
    pub sessions: Overview,
    /// Messages that are stored.
    pub messages: MessageFlow,
    /// Stored messages that failed.
    pub failed: u64,
    /// Messages since the day of UTC began.
    pub today: MessageFlow,
}

/// A chat with many messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusyChat {
    /// The chat and its messages.
    pub count: ChatCount,
    /// Its name, when known.
    pub name: Option<String>,
    /// WhatsApp's time of its newest message, epoch seconds; 0 when it has none.
    pub last_active: i64,
}

/// Messages of all sessions in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodStats {
    /// How finely the time is told apart.
    pub bucket: StatsBucket,
    /// The numbers; of every hour or day of the period, also of those without messages.
    pub numbers: MessageNumbers,
    /// Names of the sessions that have numbers.
    pub names: Vec<(SessionId, String)>,
    /// Counted by days of UTC.
    pub top_chats: Vec<BusyChat>,
}

/// The numbers of one session.
#[derive(Debug, Clone)]
pub struct SessionStats {
    /// The session that is counted.
    pub session: SessionView,
    /// Messages that are stored.
    pub messages: MessageFlow,
    /// Stored messages that failed.
    pub failed: u64,
    /// Messages since the day of UTC began, in both directions.
    pub today: u64,
    /// Of the last 30 days.
    pub top_chats: Vec<BusyChat>,
    /// Messages of the last 24 hours, by the hour of the day in UTC.
    pub hourly: [MessageFlow; 24],
}

type Kept<T> = Arc<tokio::sync::Mutex<Option<(Timestamp, T)>>>;

/// A handle to the numbers. Cheap to clone.
#[derive(Clone)]
pub struct Stats {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    kept_for: Duration,
    pacing: Arc<PacingRules>,
    overview: Kept<StatsOverview>,
    periods: [Kept<PeriodStats>; 3],
}

impl Stats {
    pub(crate) fn build(options: &Options, ports: &Ports, sessions: &Sessions) -> Self {
        Self {
            store: ports.store.clone(),
            clock: ports.clock.clone(),
            sessions: sessions.clone(),
            kept_for: options.stats_kept,
            pacing: Arc::new(options.sends.pacing.clone()),
            overview: Kept::default(),
            periods: Default::default(),
        }
    }

    /// Everything at a glance.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn overview(&self) -> StoreResult<StatsOverview> {
        let now = self.clock.now();
        // Held while reading: askers at the same time share one answer.
        let mut kept = self.overview.lock().await;
        if let Some((at, overview)) = &*kept
            && now.since(*at) < self.kept_for
        {
            return Ok(overview.clone());
        }
        let counts = self.store.message_counts().await?;
        let today = self.store.message_numbers(None, start_of_day(now), StatsBucket::Day).await?;
        let overview = StatsOverview {
            sessions: self.sessions.overview(&|_| true).await?,
            messages: MessageFlow { received: counts.incoming, sent: counts.outgoing },
            failed: counts.failed,
            today: sum(&today),
        };
        Ok(kept.insert((now, overview)).1.clone())
    }

    /// Messages of a period.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn messages(&self, period: StatsPeriod) -> StoreResult<PeriodStats> {
        let now = self.clock.now();
        let mut kept = self.periods[period as usize].lock().await;
        if let Some((at, stats)) = &*kept
            && now.since(*at) < self.kept_for
        {
            return Ok(stats.clone());
        }
        let (since, bucket) = (period.since(now), period.bucket());
        let mut numbers = self.store.message_numbers(None, since, bucket).await?;
        numbers.by_time = filled(&numbers.by_time, since, now, bucket);
        let counted: Vec<SessionId> = numbers.by_session.iter().map(|(id, _)| *id).collect();
        let named = self.store.sessions_among(&counted).await?;
        let mut names: Vec<_> =
            named.into_iter().map(|session| (session.id, session.name)).collect();
        names.sort_by_key(|(id, _)| *id);
        let top_chats = self.busiest(None, since).await?;
        let stats = PeriodStats { bucket, numbers, names, top_chats };
        Ok(kept.insert((now, stats)).1.clone())
    }

    /// The numbers of a session; `None` when it does not exist.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn of_session(&self, id: SessionId) -> StoreResult<Option<SessionStats>> {
        let Some(session) = self.sessions.get(id).await? else { return Ok(None) };
        let now = self.clock.now();
        let since = StatsPeriod::Day.since(now);
        let counts = self.store.counts_of_session(id).await?;
        let hours = self.store.message_numbers(Some(id), since, StatsBucket::Hour).await?;
        let mut hourly = [MessageFlow::default(); 24];
        let (mut today, midnight) = (0, start_of_day(now));
        for (at, flow) in &hours.by_time {
            let hour = at.millis().div_euclid(HOUR_MS).rem_euclid(24);
            hourly[usize::try_from(hour).unwrap_or(0)] = *flow;
            if *at >= midnight {
                today += flow.sent + flow.received;
            }
        }
        Ok(Some(SessionStats {
            session,
            messages: MessageFlow { received: counts.incoming, sent: counts.outgoing },
            failed: counts.failed,
            today,
            top_chats: self.busiest(Some(id), StatsPeriod::Month.since(now)).await?,
            hourly,
        }))
    }

    /// What some sessions sent today, in their order, in one read.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn sends_today(&self, views: &[SessionView]) -> StoreResult<Vec<DaySends>> {
        let now = self.clock.now();
        let ids: Vec<SessionId> = views.iter().map(|view| view.session.id).collect();
        if ids.is_empty() {
            return Ok(vec![]);
        }
        if !self.pacing.enabled {
            let sent = self.store.sent_since(&ids, start_of_day(now)).await?;
            let sent: HashMap<SessionId, u64> = sent.into_iter().collect();
            let sent_of = |id| sent.get(id).copied().unwrap_or(0);
            return Ok(ids.iter().map(|id| DaySends::unpaced(sent_of(id), now)).collect());
        }
        let states: HashMap<SessionId, _> =
            self.store.pacing_states(&ids).await?.into_iter().collect();
        let none = PacingState::default();
        let of = |view: &SessionView| {
            let state = states.get(&view.session.id).unwrap_or(&none);
            DaySends::paced(state, &self.pacing, view.session.created_at, now)
        };
        Ok(views.iter().map(of).collect())
    }

    async fn busiest(
        &self,
        session: Option<SessionId>,
        since: Timestamp,
    ) -> StoreResult<Vec<BusyChat>> {
        let counts = self.store.busiest_chats(session, since, TOP_CHATS).await?;
        let mut chats = Vec::with_capacity(counts.len());
        for count in counts {
            let chat = self.store.chat(count.session, &count.chat).await?;
            let last_active = chat.as_ref().map_or(0, |chat| chat.timestamp);
            chats.push(BusyChat { count, name: chat.and_then(|chat| chat.name), last_active });
        }
        Ok(chats)
    }
}

fn sum(numbers: &MessageNumbers) -> MessageFlow {
    numbers.by_time.iter().fold(MessageFlow::default(), |sum, (_, flow)| MessageFlow {
        received: sum.received + flow.received,
        sent: sum.sent + flow.sent,
    })
}

/// Every hour or day of a while, with nothing where nothing was.
fn filled(
    found: &[(Timestamp, MessageFlow)],
    since: Timestamp,
    now: Timestamp,
    bucket: StatsBucket,
) -> Vec<(Timestamp, MessageFlow)> {
    let step = bucket.hours() * HOUR_MS;
    let first = since.millis().div_euclid(step);
    let last = now.millis().div_euclid(step);
    let flow_of = |at: Timestamp| {
        found.iter().find(|(found, _)| *found == at).map(|(_, flow)| *flow).unwrap_or_default()
    };
    let times = (first..=last).map(|number| Timestamp::from_millis(number * step));
    times.map(|at| (at, flow_of(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_all_its_hours_or_days() {
        let now = Timestamp::parse_iso("2026-10-01T08:30:00Z").unwrap();
        for (period, count, first) in [
            (StatsPeriod::Day, 24, "2026-09-30T09:00:00.000Z"),
            (StatsPeriod::Week, 7, "2026-09-25T00:00:00.000Z"),
            (StatsPeriod::Month, 30, "2026-09-02T00:00:00.000Z"),
        ] {
            let since = period.since(now);
            let one = MessageFlow { received: 2, sent: 1 };
            let found = [(since, one)];
            let all = filled(&found, since, now, period.bucket());
            assert_eq!((all.len(), all[0].0.iso().as_str(), all[0].1), (count, first, one));
            assert!(all[1..].iter().all(|(_, flow)| *flow == MessageFlow::default()));
        }
    }
}
