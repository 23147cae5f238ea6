//! The crash tests: inbound messages from 20 chats to 2 webhooks, SIGKILL at random moments. Nothing is lost, nothing
//! doubled without saying so, nothing out of order.
//!
//! `cargo xtask soak` runs as many kills as asked; what a failure leaves is kept, and each missing message is looked
//! for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use simulator::Account;
use tokio::time::Instant;

use crate::{
    collector::{Collector, Manners, Repeats},
    counting::{
        ids, lanes_in_order, missing, nothing_missing, phone, register_with, repeats_say_so,
        sequences_are_dense,
    },
    dice::Dice,
    support::Prepared,
    whereabouts::whereabouts,
};

const SHOP: &str = "4915550001000";
const CHATS: usize = 20;
const PATHS: [&str; 2] = ["/messages", "/everything"];
/// Calls that can be under way: one per lane, of each chat and of the session, for each webhook.
const LANES: usize = PATHS.len() * (CHATS + 1);
/// From the last message sent to the last one delivered.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
/// A receiver as they are: a tenth of the deliveries is refused first, and each call takes a while.
const SLOW: Manners = Manners { takes: Duration::from_millis(20), refuses: 10, seed: 0x5eed_2026 };

/// A run of the program under a live load, killed again and again.
struct Run {
    seed: u64,
    kills: usize,
    /// Between two kills, milliseconds.
    lives: (u64, u64),
    /// Between two messages of one chat.
    gap: Duration,
    /// Messages of each chat; `None` goes on until the last kill.
    messages: Option<usize>,
    manners: Manners,
    /// Holds the row of each received message back for so long.
    hold_rows: Option<Duration>,
}

impl Run {
    fn of(seed: u64) -> Self {
        Self {
            seed,
            kills: 6,
            lives: (200, 1800),
            gap: Duration::from_millis(90),
            messages: Some(150),
            manners: Manners::default(),
            hold_rows: None,
        }
    }

    /// Runs it; how often something was delivered again.
    async fn run(&self) -> Repeats {
        let mut dice = Dice::part(self.seed, 0);
        let mut house = Prepared::new().await;
        let session = house.link(&[SHOP]).await[0];
        let collector = Collector::with(self.manners).await;
        let hold = self.hold_rows.map(|hold| hold.as_millis().to_string());
        let env: Vec<(&str, &str)> = match &hold {
            Some(hold) => {
                vec![("WAYPOST_TEST_SWITCHES", "true"), ("WAYPOST_HOLD_ROWS_MS", hold.as_str())]
            }
            None => vec![],
        };
        let mut running = house.start_with(&env);
        running.api().ready(session).await;
        // A refusal holds its lane up for a second, not for five.
        let policy = json!({ "schedule": [1, 1, 1, 1] });
        for (path, events) in PATHS.into_iter().zip([["message.received"], ["*"]]) {
            let (api, url) = (running.api(), collector.url(path));
            register_with(&api, session, &url, &events, policy.clone()).await;
        }

        let over = Arc::new(AtomicBool::new(false));
        let mut talks = Vec::new();
        for chat in 0..CHATS {
            let contact = house.network.add_account(&phone(chat), &format!("Guest {chat}")).await;
            talks.push(tokio::spawn(talk(contact, self.messages, self.gap, over.clone())));
        }
        for _ in 0..self.kills {
            let (least, most) = self.lives;
            tokio::time::sleep(Duration::from_millis(dice.between(least, most))).await;
            running.kill();
            tokio::time::sleep(Duration::from_millis(dice.between(0, 300))).await;
            running = house.start_with(&env);
        }
        over.store(true, Ordering::SeqCst);
        let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (chat, talk) in talks.into_iter().enumerate() {
            sent.insert(format!("{}@c.us", phone(chat)), talk.await.unwrap());
        }
        wait_for_all(&collector, &sent).await;
        let status = running.terminate();
        assert!(status.success(), "{status}");
        look_for_missing(&mut house, session, &collector, &sent).await;
        self.judge(&collector, &sent)
    }

    fn judge(&self, collector: &Collector, sent: &BTreeMap<String, Vec<String>>) -> Repeats {
        let mut repeats = Repeats::default();
        for path in PATHS {
            let received = collector.received(path);
            nothing_missing(&collector.taken(path), sent, path);
            repeats_say_so(&received, path);
            lanes_in_order(&received, sent, path);
            repeats += collector.repeats(path);
        }
        sequences_are_dense(&collector.received(PATHS[1]));
        let (again, most) = (repeats.of_kills(), self.kills * LANES);
        assert!(again <= most, "{again} deliveries came again because of {} kills", self.kills);
        repeats
    }
}

/// A contact says its messages in order; the ids are the simulator's own list.
async fn talk(
    contact: Account,
    count: Option<usize>,
    gap: Duration,
    over: Arc<AtomicBool>,
) -> Vec<String> {
    let mut ids = Vec::new();
    while count.map_or(!over.load(Ordering::SeqCst), |count| ids.len() < count) {
        ids.push(contact.send_text(SHOP, &format!("message {}", ids.len())).await.unwrap());
        tokio::time::sleep(gap).await;
    }
    ids
}

async fn wait_for_all(collector: &Arc<Collector>, sent: &BTreeMap<String, Vec<String>>) {
    let deadline = Instant::now() + DRAIN_LIMIT;
    let wanted = sent.values().map(Vec::len).sum::<usize>();
    while Instant::now() < deadline {
        if PATHS.iter().all(|path| ids(&collector.taken(path)).len() == wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look_for_missing(
    house: &mut Prepared,
    session: domain::SessionId,
    collector: &Collector,
    sent: &BTreeMap<String, Vec<String>>,
) {
    for path in PATHS {
        let missing = missing(&collector.taken(path), sent);
        if !missing.is_empty() {
            let found = whereabouts(house, session, SHOP, &missing).await;
            panic!("{path}: {} missing\n{found}", missing.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_messages_survive_kill_minus_nine() {
    Run::of(0x5eed_2026).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_hit_calls_and_commits_and_lose_nothing() {
    let run = Run { manners: SLOW, ..Run::of(0x5eed_2027) };
    let repeats = run.run().await;
    assert!(repeats.refused > 0, "the receiver refused nothing: {repeats:?}");
    assert!(repeats.of_kills() > 0, "no kill hit a call under way: {repeats:?}");
}

/// What made every run lose messages: the longer a row takes, the more messages are decrypted and not stored.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_written_late_lose_nothing_at_a_kill() {
    let hold_rows = Some(Duration::from_millis(60));
    Run { hold_rows, ..Run::of(0x5eed_2028) }.run().await;
}

/// Runs until `WAYPOST_SOAK_KILLS` kills, the receiver fast and slow in turns, every third run with late rows. A few
/// kills when nothing is asked.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_kills_as_asked_lose_nothing() {
    let asked = std::env::var("WAYPOST_SOAK_KILLS").ok().and_then(|text| text.parse().ok());
    let (asked, each) = (asked.unwrap_or(8_usize), 20);
    let seed = std::env::var("WAYPOST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x50a4);
    let (mut done, mut all) = (0, Repeats::default());
    for round in 0.. {
        if done >= asked {
            break;
        }
        let run = Run {
            kills: each.min(asked - done),
            lives: (150, 900),
            gap: Duration::from_millis(60),
            messages: None,
            manners: if round % 2 == 0 { SLOW } else { Manners::default() },
            hold_rows: (round % 3 == 2).then_some(Duration::from_millis(60)),
            ..Run::of(seed + round)
        };
        all += run.run().await;
        done += run.kills;
        println!("{done} kills, seed {}: nothing lost; repeated so far {all:?}", run.seed);
    }
}
