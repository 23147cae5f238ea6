//! How many deliveries left and how many waited, over the last hours, for people who look at a dashboard.
//!
//! A ring in memory, filled once per bucket: what left is counted by this process since its start, what waits is read
//! from the ledger and so is that of all processes. A restart begins a new record.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Clock, Timer, Timestamp,
    port::{DeliveryQueue, StoreError},
};
use tokio_util::sync::CancellationToken;

use super::Meter;
use crate::{Policy, Ports, Supervisor};

/// The time that one point stands for. Buckets begin at multiples of it since 1970.
pub const RATES_BUCKET: Duration = Duration::from_secs(10);
/// How long points are kept.
pub const RATES_KEPT: Duration = Duration::from_secs(6 * 3600);
/// The points of that time.
const POINTS_MAX: usize = 6 * 360;

/// What happened to deliveries in one bucket of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RatePoint {
    /// When the bucket began.
    pub at: Timestamp,
    /// Deliveries that receivers took, of this process.
    pub delivered: u64,
    /// Tries that failed, of this process.
    pub failed: u64,
    /// Deliveries that waited in the ledger at the end of it.
    pub waiting: u64,
    /// How long the oldest of them had waited then.
    pub oldest_age: Duration,
}

/// A handle to the record. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryRates {
    clock: Arc<dyn Clock>,
    queue: Arc<dyn DeliveryQueue>,
    meter: Meter,
    since: Timestamp,
    /// Oldest first; buckets in which nobody could look are missing.
    points: Arc<Mutex<VecDeque<RatePoint>>>,
}

impl DeliveryRates {
    pub(crate) fn build(ports: &Ports, meter: &Meter) -> Self {
        Self {
            clock: ports.clock.clone(),
            queue: ports.queue.clone(),
            meter: meter.clone(),
            since: ports.clock.now(),
            points: Arc::default(),
        }
    }

    /// Begins to fill it, until shutdown.
    pub(crate) fn start(&self, supervisor: &Supervisor) {
        let (rates, stopping) = (self.clone(), supervisor.stopping());
        supervisor.spawn("webhooks/rates", Policy::Essential, async move {
            rates.run(&stopping).await;
        });
    }

    /// When the record of this process began.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The points of the last while, as many as there are buckets in it, earliest first, at most those of
    /// [`RATES_KEPT`]. The last is the last bucket that is over; what is not known is zero.
    pub fn last(&self, period: Duration) -> Vec<RatePoint> {
        let over = bucket_of(self.clock.now()).minus(RATES_BUCKET);
        let points = self.lock();
        let is_recorded = points.back().is_some_and(|last| last.at >= over);
        // One that ended just now is on its way.
        let last = if is_recorded { over } else { over.minus(RATES_BUCKET) };
        let count = period.min(RATES_KEPT).as_millis() / RATES_BUCKET.as_millis();
        let count = u32::try_from(count).unwrap_or(0);
        let mut known = points.iter().copied().peekable();
        let point = |back: u32| {
            let at = last.minus(RATES_BUCKET * back);
            while known.next_if(|point| point.at < at).is_some() {}
            known
                .next_if(|point| point.at == at)
                .unwrap_or(RatePoint { at, ..RatePoint::default() })
        };
        (0..count).rev().map(point).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RatePoint>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, stopping: &CancellationToken) {
        let (mut delivered, mut failed) = self.meter.delivered_and_failed();
        let mut standing = RatePoint::default();
        let mut is_away = false;
        loop {
            let end = bucket_of(self.clock.now()).plus(RATES_BUCKET);
            tokio::select! {
                () = self.clock.sleep_until(Timer::DeliveryRates, end) => {}
                () = stopping.cancelled() => return,
            }
            let was_away = is_away;
            match self.standing().await {
                Ok(now) => (standing, is_away) = (now, false),
                Err(error) => {
                    // What was known last goes on.
                    is_away = true;
                    if !was_away {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "what waits cannot be counted");
                    }
                }
            }
            let (all_delivered, all_failed) = self.meter.delivered_and_failed();
            self.push(RatePoint {
                at: end.minus(RATES_BUCKET),
                delivered: all_delivered - delivered,
                failed: all_failed - failed,
                ..standing
            });
            (delivered, failed) = (all_delivered, all_failed);
        }
    }

    async fn standing(&self) -> Result<RatePoint, StoreError> {
        let stats = self.queue.queue_stats().await?;
        let now = self.clock.now();
        let oldest_age = stats.oldest_pending.map_or(Duration::ZERO, |oldest| now.since(oldest));
        Ok(RatePoint { waiting: stats.pending, oldest_age, ..RatePoint::default() })
    }

    fn push(&self, point: RatePoint) {
        let mut points = self.lock();
        // A clock that was put back begins anew from there.
        while points.back().is_some_and(|last| last.at >= point.at) {
            points.pop_back();
        }
        if points.len() >= POINTS_MAX {
            points.pop_front();
        }
        points.push_back(point);
    }
}

/// The beginning of the bucket of a time.
fn bucket_of(at: Timestamp) -> Timestamp {
    let length = i64::try_from(RATES_BUCKET.as_millis()).unwrap_or(1);
    Timestamp::from_millis(at.millis().div_euclid(length) * length)
}

#[cfg(test)]
mod tests {
    use testkit::{ManualClock, model::ModelStore};

    use super::*;

    fn record(clock: &ManualClock) -> DeliveryRates {
        DeliveryRates {
            clock: Arc::new(clock.clone()),
            queue: Arc::new(ModelStore::default()),
            meter: Meter::default(),
            since: clock.now(),
            points: Arc::default(),
        }
    }

    fn point(at: Timestamp, delivered: u64) -> RatePoint {
        RatePoint { at, delivered, ..RatePoint::default() }
    }

    #[test]
    fn buckets_that_nobody_saw_are_zero() {
        let clock = ManualClock::default();
        let rates = record(&clock);
        let first = bucket_of(clock.now());
        let at = |number: u32| first.plus(RATES_BUCKET * number);
        rates.push(point(at(0), 3));
        rates.push(point(at(2), 5));
        clock.advance(RATES_BUCKET * 3);
        let told = rates.last(RATES_BUCKET * 4);
        let before = first.minus(RATES_BUCKET);
        assert_eq!(told, [point(before, 0), point(at(0), 3), point(at(1), 0), point(at(2), 5)]);
        clock.advance(RATES_BUCKET);
        let told = rates.last(RATES_BUCKET * 2);
        assert_eq!(told, [point(at(1), 0), point(at(2), 5)], "the bucket of now is on its way");
        clock.advance(RATES_BUCKET * 10);
        assert_eq!(rates.last(RATES_BUCKET), [point(at(12), 0)], "it did not come");
        assert_eq!(rates.last(Duration::ZERO), []);
    }

    #[test]
    fn it_is_bounded_and_begins_anew_where_the_clock_is_put_back() {
        let clock = ManualClock::default();
        let rates = record(&clock);
        let first = bucket_of(clock.now());
        let at = |number: u32| first.plus(RATES_BUCKET * number);
        let most = u32::try_from(POINTS_MAX).unwrap();
        for number in 0..=most {
            rates.push(point(at(number), 1));
        }
        assert_eq!(rates.lock().len(), POINTS_MAX);
        clock.advance(RATES_BUCKET * (most + 1));
        let all = rates.last(RATES_KEPT * 2);
        assert_eq!((all.len(), all[0]), (POINTS_MAX, point(at(1), 1)));
        rates.push(point(at(5), 9));
        let points = rates.lock();
        assert_eq!((points.len(), points.back()), (5, Some(&point(at(5), 9))));
    }
}
