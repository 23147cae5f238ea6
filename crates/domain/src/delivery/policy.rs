//! How often, when and how a delivery is tried, as the owner of a webhook chose it, and what follows a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AttemptErrorKind;
use crate::{backoff::Backoff, time::Timestamp};

/// The waits of the default policy, seconds; the last one repeats until the horizon.
const LONG_SCHEDULE: &[u64] = &[5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800];
/// How long a delivery is tried when nothing else is said.
pub const HORIZON_HOURS_DEFAULT: u32 = 72;
/// Jitter of the default policy, percent both ways.
const JITTER_DEFAULT: u8 = 20;
/// Jitter of OpenWA's `retryCount` policy.
const JITTER_COUNTED: u8 = 10;
/// The longest wait of OpenWA's `retryCount` policy.
const COUNTED_CAP: Duration = Duration::from_secs(3600);
/// Between these a receiver's `Retry-After` is obeyed.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));
/// A receiver that says that it is busy, or does not answer in time, is not called for at least this long by default.
const BUSY_WAIT: Duration = Duration::from_secs(60);

/// How the `webhook-signature` is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureScheme {
    /// HMAC-SHA256 with the webhook's secret.
    #[default]
    V1,
    /// ed25519 with a key of our own, of which the receiver knows the public half.
    V1a,
}

impl SignatureScheme {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

/// What the owner of a webhook chose; `None` means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyChoice {
    /// Total attempts, 1 to 100. Without it attempts end at the horizon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Waits before the second, third, … attempt in seconds; the last repeats. 1 to 50 of 1 to 86,400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Vec<u32>>,
    /// Limit of one attempt, 100 to 60,000 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// From the first attempt to giving up, 1 to 168 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon_hours: Option<u32>,
    /// How far waits differ from the schedule, 0 to 50 percent both ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<u8>,
    /// Most attempts per second, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// Most lanes on the way at once, 1 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most events of a lane in one POST, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// How it is signed.
    pub signature: SignatureScheme,
}

/// A value of a [`PolicyChoice`] outside its bounds; the text names field and bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy.{field} must be {bounds}")]
pub struct InvalidPolicy {
    /// The name of the field, as the API spells it.
    pub field: &'static str,
    /// The values that are allowed, in words.
    pub bounds: &'static str,
}

impl PolicyChoice {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`InvalidPolicy`] names the first field that is wrong.
    pub fn validate(&self) -> Result<(), InvalidPolicy> {
        let within = |value: Option<u32>, least, most| {
            value.is_none_or(|value| (least..=most).contains(&value))
        };
        let waits = self.schedule.as_deref().is_none_or(|waits| {
            (1..=50).contains(&waits.len()) && waits.iter().all(|wait| (1..=86_400).contains(wait))
        });
        let jitter = self.jitter_percent.map(u32::from);
        for (fits, field, bounds) in [
            (within(self.attempts, 1, 100), "attempts", "from 1 to 100"),
            (waits, "schedule", "1 to 50 waits of 1 to 86400 seconds"),
            (within(self.timeout_ms, 100, 60_000), "timeoutMs", "from 100 to 60000"),
            (within(self.horizon_hours, 1, 168), "horizonHours", "from 1 to 168"),
            (within(jitter, 0, 50), "jitterPercent", "from 0 to 50"),
            (within(self.rate_per_second, 1, 1000), "ratePerSecond", "from 1 to 1000"),
            (within(self.concurrency, 1, 256), "concurrency", "from 1 to 256"),
            (within(self.batch_size, 1, 100), "batchSize", "from 1 to 100"),
        ] {
            if !fits {
                return Err(InvalidPolicy { field, bounds });
            }
        }
        Ok(())
    }
}

/// What holds where a webhook says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyDefaults {
    /// The limit of one attempt.
    pub timeout: Duration,
    /// The first wait of OpenWA's `retryCount` policy; doubles with each.
    pub retry_delay: Duration,
}

/// The waits between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// These, the last one again and again.
    Listed(Vec<Duration>),
    /// From the first on, twice as long each time.
    Doubling(Backoff),
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Total attempts; `None`: until the horizon.
    pub attempts: Option<u32>,
    /// The waits between them.
    pub schedule: Schedule,
    /// The limit of one attempt.
    pub timeout: Duration,
    /// From the first attempt to giving up.
    pub horizon: Duration,
    /// How far waits differ from the schedule.
    pub jitter_percent: u8,
    /// Most attempts per second.
    pub rate_per_second: Option<u32>,
    /// Most lanes on the way at once.
    pub concurrency: Option<u32>,
    /// Most events in one POST.
    pub batch_size: u32,
    /// Neither a count nor a schedule was chosen: busy receivers get longer rests.
    pub is_default: bool,
}

/// What a failed attempt says about the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint {
    /// What the receiver asked for, from the end of the attempt on.
    pub retry_after: Option<Duration>,
    /// The receiver is busy: 429, or no answer in time.
    pub busy: bool,
}

impl Hint {
    /// From the outcome of an attempt.
    pub fn of(
        status: Option<u16>,
        error: Option<AttemptErrorKind>,
        retry_after: Option<Duration>,
    ) -> Self {
        let busy = status == Some(429) || error == Some(AttemptErrorKind::Timeout);
        Self { retry_after, busy }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again at this time; the lane waits.
    Retry(Timestamp),
    /// No attempt is left; the lane goes on without it.
    Exhaust,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptProgress {
    /// Failed attempts, this one included.
    pub attempts: u32,
    /// When the first of them began.
    pub first_at: Timestamp,
    /// When the last of them ended.
    pub now: Timestamp,
}

impl Policy {
    /// What is in force for a webhook. An explicit `retry_count` keeps OpenWA's meaning: the total of attempts (0 and 1
    /// both mean one), exponential from the configured delay.
    pub fn of(retry_count: Option<u8>, choice: &PolicyChoice, defaults: PolicyDefaults) -> Self {
        let counted = retry_count.map(|count| u32::from(count).max(1));
        let jitter = if counted.is_some() { JITTER_COUNTED } else { JITTER_DEFAULT };
        let listed = |seconds: &mut dyn Iterator<Item = u64>| {
            Schedule::Listed(seconds.map(Duration::from_secs).collect())
        };
        let schedule = match (&choice.schedule, counted) {
            (Some(waits), _) => listed(&mut waits.iter().map(|wait| u64::from(*wait))),
            (None, Some(_)) => Schedule::Doubling(Backoff {
                base: defaults.retry_delay,
                cap: COUNTED_CAP,
                jitter_percent: 0,
            }),
            (None, None) => listed(&mut LONG_SCHEDULE.iter().copied()),
        };
        let hours = u64::from(choice.horizon_hours.unwrap_or(HORIZON_HOURS_DEFAULT));
        Self {
            attempts: choice.attempts.or(counted),
            schedule,
            timeout: choice
                .timeout_ms
                .map_or(defaults.timeout, |millis| Duration::from_millis(millis.into())),
            horizon: Duration::from_secs(hours * 3600),
            jitter_percent: choice.jitter_percent.unwrap_or(jitter),
            rate_per_second: choice.rate_per_second,
            concurrency: choice.concurrency,
            batch_size: choice.batch_size.unwrap_or(1).max(1),
            is_default: counted.is_none() && choice.attempts.is_none() && choice.schedule.is_none(),
        }
    }

    /// The wait after so many failures, without jitter.
    pub fn planned(&self, attempts: u32) -> Duration {
        match &self.schedule {
            Schedule::Doubling(backoff) => backoff.wait(attempts, 0.5),
            Schedule::Listed(waits) => {
                let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
                waits.get(index).or(waits.last()).copied().unwrap_or(BUSY_WAIT)
            }
        }
    }

    /// Decides after a failure; `fraction` in `0.0..1.0` is the jitter. What the receiver asked for comes before the
    /// schedule, and is never undercut.
    pub fn after_failure(
        &self,
        progress: AttemptProgress,
        hint: Hint,
        fraction: f64,
    ) -> AfterFailure {
        if self.attempts.is_some_and(|most| progress.attempts >= most) {
            return AfterFailure::Exhaust;
        }
        let spread = f64::from(self.jitter_percent) / 100.0;
        let fraction = fraction.clamp(0.0, 1.0);
        let wait = match hint.retry_after {
            // Later than asked, never earlier.
            Some(asked) => {
                asked.clamp(RETRY_AFTER.0, RETRY_AFTER.1).mul_f64(1.0 + spread * fraction)
            }
            None => {
                let planned = self.planned(progress.attempts);
                let busy = hint.busy && self.is_default;
                let planned = if busy { planned.max(BUSY_WAIT) } else { planned };
                planned.mul_f64(1.0 - spread + 2.0 * spread * fraction)
            }
        };
        let end = progress.first_at.plus(self.horizon);
        if progress.now >= end {
            return AfterFailure::Exhaust;
        }
        // One last attempt at the horizon itself.
        AfterFailure::Retry(progress.now.plus(wait).min(end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: PolicyDefaults =
        PolicyDefaults { timeout: Duration::from_secs(10), retry_delay: Duration::from_secs(5) };

    fn policy(retry_count: Option<u8>, choice: PolicyChoice) -> Policy {
        Policy::of(retry_count, &choice, DEFAULTS)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn after(policy: &Policy, attempts: u32, now: i64, hint: Hint) -> AfterFailure {
        policy.after_failure(AttemptProgress { attempts, first_at: at(0), now: at(now) }, hint, 0.5)
    }

    #[test]
    fn retry_count_is_the_total_of_attempts_as_openwa_counts_them() {
        let three = policy(Some(3), PolicyChoice::default());
        assert_eq!(after(&three, 1, 0, Hint::default()), AfterFailure::Retry(at(5)));
        assert_eq!(after(&three, 2, 5, Hint::default()), AfterFailure::Retry(at(15)));
        assert_eq!(after(&three, 3, 15, Hint::default()), AfterFailure::Exhaust);
        for count in [0, 1] {
            let once = policy(Some(count), PolicyChoice::default());
            assert_eq!(after(&once, 1, 0, Hint::default()), AfterFailure::Exhaust);
        }
    }

    #[test]
    fn the_default_is_the_long_schedule_up_to_three_days() {
        let long = policy(None, PolicyChoice::default());
        let (mut now, mut waits, mut attempts) = (0, Vec::new(), 0);
        loop {
            attempts += 1;
            match after(&long, attempts, now, Hint::default()) {
                AfterFailure::Retry(next) => {
                    waits.push(next.seconds() - now);
                    now = next.seconds();
                }
                AfterFailure::Exhaust => break,
            }
        }
        assert_eq!(waits[..10], [5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800]);
        assert_eq!(now, 72 * 3600, "the last attempt is at the horizon");
    }

    #[test]
    fn a_chosen_schedule_count_and_horizon_hold_together() {
        let choice = PolicyChoice {
            attempts: Some(9),
            schedule: Some(vec![10, 20]),
            horizon_hours: Some(1),
            jitter_percent: Some(0),
            ..PolicyChoice::default()
        };
        let chosen = policy(Some(2), choice);
        assert_eq!(after(&chosen, 1, 0, Hint::default()), AfterFailure::Retry(at(10)));
        assert_eq!(after(&chosen, 5, 100, Hint::default()), AfterFailure::Retry(at(120)));
        assert_eq!(after(&chosen, 5, 3595, Hint::default()), AfterFailure::Retry(at(3600)));
        assert_eq!(after(&chosen, 5, 3600, Hint::default()), AfterFailure::Exhaust);
        assert_eq!(after(&chosen, 9, 200, Hint::default()), AfterFailure::Exhaust);
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds() {
        let long = policy(None, PolicyChoice { jitter_percent: Some(0), ..Default::default() });
        let asked = |seconds| Hint { retry_after: Some(Duration::from_secs(seconds)), busy: true };
        assert_eq!(after(&long, 5, 0, asked(7)), AfterFailure::Retry(at(7)));
        assert_eq!(after(&long, 1, 0, asked(0)), AfterFailure::Retry(at(1)));
        assert_eq!(after(&long, 1, 0, asked(999_999)), AfterFailure::Retry(at(86_400)));
    }

    #[test]
    fn a_busy_receiver_rests_for_a_minute_only_by_default() {
        let busy = Hint::of(Some(429), None, None);
        assert_eq!(Hint::of(None, Some(AttemptErrorKind::Timeout), None), busy);
        assert!(!Hint::of(Some(500), Some(AttemptErrorKind::Status), None).busy);
        assert_eq!(
            after(&policy(None, PolicyChoice::default()), 1, 0, busy),
            AfterFailure::Retry(at(60))
        );
        assert_eq!(
            after(&policy(Some(3), PolicyChoice::default()), 1, 0, busy),
            AfterFailure::Retry(at(5))
        );
    }

    #[test]
    fn every_bound_is_checked() {
        let wrong = |change: fn(&mut PolicyChoice)| {
            let mut choice = PolicyChoice::default();
            change(&mut choice);
            choice.validate().err().map(|error| error.field)
        };
        assert_eq!(wrong(|_| ()), None);
        assert_eq!(wrong(|c| c.attempts = Some(0)), Some("attempts"));
        assert_eq!(wrong(|c| c.schedule = Some(vec![])), Some("schedule"));
        assert_eq!(wrong(|c| c.schedule = Some(vec![0])), Some("schedule"));
        assert_eq!(wrong(|c| c.timeout_ms = Some(99)), Some("timeoutMs"));
        assert_eq!(wrong(|c| c.horizon_hours = Some(169)), Some("horizonHours"));
        assert_eq!(wrong(|c| c.jitter_percent = Some(51)), Some("jitterPercent"));
        assert_eq!(wrong(|c| c.rate_per_second = Some(1001)), Some("ratePerSecond"));
        assert_eq!(wrong(|c| c.concurrency = Some(0)), Some("concurrency"));
        assert_eq!(wrong(|c| c.batch_size = Some(101)), Some("batchSize"));
    }

    proptest! {
        #[test]
        fn waits_keep_their_floor_and_attempts_end(
            attempts in 1u32..200,
            fraction in 0.0f64..1.0,
            now in 0i64..400_000,
        ) {
            let long = policy(None, PolicyChoice::default());
            let progress = AttemptProgress { attempts, first_at: at(0), now: at(now) };
            match long.after_failure(progress, Hint::default(), fraction) {
                AfterFailure::Retry(next) => {
                    prop_assert!(next <= at(72 * 3600));
                    let least = long.planned(attempts).mul_f64(0.799);
                    prop_assert!(next.since(at(now)) >= least || next == at(72 * 3600));
                }
                AfterFailure::Exhaust => prop_assert!(now >= 72 * 3600),
            }
        }
    }
}
