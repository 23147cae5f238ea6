//! A receiver that keeps every call in the order of arrival, also those it did not take.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, http::Uri};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::dice::Dice;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The caller went away before it had one, or it waits still.
    None,
    Taken,
    Refused,
}

/// Fewer refusals in a row than open a breaker, and of [`RECENT`] calls fewer than open it by their share: its
/// cool-downs are no matter of these tests, and longer than their limits.
const IN_A_ROW: usize = 3;
const OF_RECENT: usize = 4;
const RECENT: usize = 10;

/// How a receiver takes its calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// From the arrival of a call to its answer.
    pub takes: Duration,
    /// Of a hundred deliveries so many are refused once or twice before they are taken; which, is a matter of the seed
    /// and of the delivery only, whenever and how often it comes. Never more than [`IN_A_ROW`] one after another, and
    /// never more than [`OF_RECENT`] of [`RECENT`].
    pub refuses: u64,
    pub seed: u64,
}

struct Call {
    path: String,
    event: Value,
    answer: Answer,
}

#[derive(Default)]
struct Kept {
    calls: Vec<Call>,
    /// Refusals so far, by path and delivery.
    refused: HashMap<(String, String), u64>,
    /// Whether the last calls were refused, by path; the newest first.
    recent: HashMap<String, VecDeque<bool>>,
}

/// Whether a receiver may refuse once more after these answers, the newest first, and keep its breaker closed.
fn may_refuse(recent: &VecDeque<bool>) -> bool {
    let in_a_row = recent.iter().take_while(|refused| **refused).count();
    let of_recent = recent.iter().filter(|refused| **refused).count();
    in_a_row < IN_A_ROW && of_recent < OF_RECENT
}

pub struct Collector {
    base: String,
    manners: Manners,
    kept: Mutex<Kept>,
}

/// Calls that came again, by how the call before them ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repeats {
    /// It was refused: a retry, as it should be.
    pub refused: usize,
    /// It had no answer: a kill hit a call under way.
    pub unanswered: usize,
    /// It was taken: a kill hit between the answer and the commit that records it.
    pub taken: usize,
}

impl Repeats {
    /// Those that a kill made.
    pub fn of_kills(self) -> usize {
        self.unanswered + self.taken
    }
}

impl std::ops::AddAssign for Repeats {
    fn add_assign(&mut self, other: Self) {
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.taken += other.taken;
    }
}

impl Collector {
    /// One that answers after a while.
    pub async fn that_takes(takes: Duration) -> Arc<Self> {
        Self::with(Manners { takes, ..Manners::default() }).await
    }

    pub async fn with(manners: Manners) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let collector = Arc::new(Self { base, manners, kept: Mutex::default() });
        let router = Router::new().fallback(keep).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Every call of a path, in the order of arrival.
    pub fn received(&self, path: &str) -> Vec<Value> {
        let kept = self.kept();
        kept.calls.iter().filter(|call| call.path == path).map(|call| call.event.clone()).collect()
    }

    /// Those that were taken.
    pub fn taken(&self, path: &str) -> Vec<Value> {
        let kept = self.kept();
        let taken =
            kept.calls.iter().filter(|call| call.path == path && call.answer == Answer::Taken);
        taken.map(|call| call.event.clone()).collect()
    }

    /// How often something came again to a path, and why.
    pub fn repeats(&self, path: &str) -> Repeats {
        let (kept, mut repeats) = (self.kept(), Repeats::default());
        let mut before: HashMap<&str, Answer> = HashMap::new();
        for call in kept.calls.iter().filter(|call| call.path == path) {
            let delivery = call.event["deliveryId"].as_str().unwrap_or_default();
            match before.insert(delivery, call.answer) {
                None => {}
                Some(Answer::None) => repeats.unanswered += 1,
                Some(Answer::Taken) => repeats.taken += 1,
                Some(Answer::Refused) => repeats.refused += 1,
            }
        }
        repeats
    }
}

/// Whether this call of a delivery is refused.
fn refuses(manners: Manners, delivery: &str, before: u64) -> bool {
    let number = delivery.bytes().fold(manners.seed | 1, |number, byte| {
        (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut dice = Dice::part(number, 0);
    let (is_chosen, times) = (dice.between(1, 100) <= manners.refuses, dice.between(1, 2));
    is_chosen && before < times
}

async fn keep(State(collector): State<Arc<Collector>>, uri: Uri, body: Bytes) -> StatusCode {
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let delivery = event["deliveryId"].as_str().unwrap_or_default().to_owned();
    let path = uri.path().to_owned();
    let index = {
        let mut kept = collector.kept();
        kept.calls.push(Call { path: path.clone(), event, answer: Answer::None });
        kept.calls.len() - 1
    };
    // Whoever goes away before the answer ends this here: the call keeps none.
    tokio::time::sleep(collector.manners.takes).await;
    let mut kept = collector.kept();
    let may = may_refuse(kept.recent.entry(path.clone()).or_default());
    let before = kept.refused.entry((path.clone(), delivery.clone())).or_default();
    let refused = may && refuses(collector.manners, &delivery, *before);
    *before += u64::from(refused);
    let recent = kept.recent.entry(path).or_default();
    recent.push_front(refused);
    recent.truncate(RECENT - 1);
    kept.calls[index].answer = if refused { Answer::Refused } else { Answer::Taken };
    if refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

#[test]
fn no_order_of_refusals_opens_a_breaker() {
    use domain::{
        Timestamp,
        delivery::{Breaker, Health},
    };
    for seed in 0..200 {
        let (mut dice, mut health) = (Dice::part(seed, 1), Health::default());
        let mut recent = VecDeque::new();
        for call in 0..500_i64 {
            let refused = may_refuse(&recent) && dice.between(1, 100) <= 70;
            recent.push_front(refused);
            recent.truncate(RECENT - 1);
            health.record(Timestamp::from_millis(call * 1_000), !refused);
            assert_eq!(health.breaker, Breaker::Closed, "seed {seed}, call {call}");
        }
    }
}
