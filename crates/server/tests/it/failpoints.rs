//! Between any two steps, one after another: the program ends itself at the n-th commit of a kind, before it happens or
//! before anybody learns of it, for every n of a small run. Started again, it goes on, and everything is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use domain::{SessionId, port::WebhookStore, webhook::Webhook};
use serde_json::{Value, json};
use simulator::Account;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    collector::{Collector, Manners},
    counting::{ids, lanes_in_order, nothing_missing, repeats_say_so, sequences_are_dense},
    sends::{insist, shown},
    support::{Api, LIMIT, Prepared, Running, free_port},
};

const SHOP: &str = "4915550001000";
const GUESTS: [&str; 2] = ["4917000000001", "4917000000002"];
/// Most points of one kind: a run that never gets through is a fault of the test.
const PLACES_MAX: u32 = 60;

fn chat(guest: usize) -> String {
    format!("{}@c.us", GUESTS[guest])
}

/// The network took it. A receipt that says more may be lost with the process: WhatsApp sends it once.
fn is_out(row: &Value) -> bool {
    ["sent", "delivered", "read"].iter().any(|status| row["status"] == *status)
}

/// A program that ends itself once, and whoever starts it again.
struct Life {
    house: Prepared,
    session: SessionId,
    collector: Arc<Collector>,
    guests: Vec<Account>,
    running: Option<Running>,
    env: Vec<(&'static str, String)>,
    struck: bool,
}

impl Life {
    async fn begin(failpoint: &str, refuses: u64, more: &[(&'static str, String)]) -> Self {
        let house = Prepared::new().await;
        let session = house.link(&[SHOP]).await[0];
        let manners = Manners { takes: Duration::from_millis(5), refuses, seed: 7 };
        let collector = Collector::with(manners).await;
        let mut guests = Vec::new();
        for phone in GUESTS {
            guests.push(house.network.add_account(phone, "Guest").await);
        }
        let mut webhook =
            Webhook { url: collector.url("/"), ..testkit::build::webhook(1, session) };
        webhook.policy.schedule = Some(vec![1]);
        let store = house.store().await;
        assert!(store.insert_webhook(&webhook, 0).await.unwrap());
        store.close().await;
        // Its hold on the file ends with the last handle.
        drop(store);
        let mut env = vec![("PORT", free_port()), ("WAYPOST_TEST_SWITCHES", "true".into())];
        env.extend_from_slice(more);
        let mut life =
            Self { house, session, collector, guests, running: None, env, struck: false };
        life.start(Some(failpoint));
        life
    }

    fn start(&mut self, failpoint: Option<&str>) {
        let mut env: Vec<(&str, &str)> =
            self.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        env.extend(failpoint.map(|failpoint| ("WAYPOST_FAILPOINT", failpoint)));
        // It may end before it listens.
        self.running = self.house.try_start_with(&env);
    }

    /// Starts it again if it ended.
    fn tend(&mut self) {
        if self.running.as_mut().is_none_or(Running::has_ended) {
            assert!(!self.struck, "it ended by itself a second time");
            self.struck = true;
            self.start(None);
        }
    }

    /// The program, while it runs: it may end at any moment.
    fn api(&self) -> Api {
        self.house.api(&self.env[0].1)
    }

    /// Tends it until this holds and nothing waits for a receiver.
    async fn until(&mut self, what: &str, holds: impl AsyncFn(&Api, &Self) -> Option<bool>) {
        let deadline = Instant::now() + LIMIT;
        loop {
            self.tend();
            let api = self.api();
            if holds(&api, self).await == Some(true)
                && api.try_metric("waypost_deliveries_pending").await == Some(0.0)
            {
                return;
            }
            if Instant::now() >= deadline {
                // Asked only here: the numbers are good for seconds, and those of a moment at which nothing waited yet
                // would end this too early. A breaker's cool-down is longer than the limit.
                let breakers = api.try_metric("waypost_breakers").await.unwrap_or_default();
                let open = if breakers > 0.0 { " (the receiver opened its breaker)" } else { "" };
                self.fail(&format!("never: {what}{open}")).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails with what there is to see, and leaves the ledger where it is.
    async fn fail(&mut self, what: &str) -> ! {
        let pending = self.api().try_metric("waypost_deliveries_pending").await;
        let state = self.api().try_get(&format!("/sessions/{}", self.session)).await;
        let taken = ids(&self.collector.taken("/")).len();
        let log = self.running.as_ref().map(Running::log).unwrap_or_default();
        let folder = self.house.keep().display().to_string();
        panic!(
            "{what}: {pending:?} deliveries wait, {taken} messages were taken, the session is {state:?}; see {folder}\n\
             {log}"
        );
    }

    /// Every event arrived, in order; nothing came twice but what was under way.
    fn events_are_right(&self) -> Vec<Value> {
        let received = self.collector.received("/");
        repeats_say_so(&received, "/");
        sequences_are_dense(&received);
        lanes_in_order(&received, &BTreeMap::new(), "/");
        let repeats = self.collector.repeats("/");
        // One call for each chat, and one for what is about the session.
        assert!(repeats.of_kills() <= GUESTS.len() + 1, "{repeats:?}");
        let mut seen = BTreeSet::new();
        let mut first = self.collector.taken("/");
        first.retain(|event| seen.insert(event["idempotencyKey"].to_string()));
        first
    }

    fn end(mut self) -> bool {
        let status = self.running.take().unwrap().terminate();
        if !self.struck && status.code().is_none() {
            // What was written last was written by the stop itself.
            self.tend();
            let status = self.running.take().unwrap().terminate();
            assert!(status.success(), "{status}");
            return true;
        }
        assert!(status.success(), "{status}");
        self.struck
    }
}

/// Runs a small run for every point of a kind, until one is beyond the last commit.
async fn every_point(kind: &str, least: u32, run: impl AsyncFn(String) -> bool) {
    for number in 1..=PLACES_MAX {
        if !run(format!("{kind}:{number}")).await {
            println!("{kind}: {} points", number - 1);
            assert!(number > least, "{kind}: only {} points", number - 1);
            return;
        }
    }
    panic!("{kind}: no end of points");
}

/// A test for each kind of point, so that several run at once; with the least number of points there must be.
macro_rules! at_every_commit {
    ($run:ident: $($name:ident $kind:literal $least:literal;)*) => {
        mod $run {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::every_point($kind, $least, super::$run).await;
                }
            )*
        }
    };
}

at_every_commit! { sends:
    an_end_before_a_row "before:send" 3;
    an_end_after_a_row "after:send" 3;
    an_end_before_an_ack "before:ack" 3;
    an_end_after_an_ack "after:ack" 3;
    an_end_before_keys "before:keys" 3;
    an_end_after_keys "after:keys" 3;
    an_end_before_a_delivery "before:settled" 3;
    an_end_after_a_delivery "after:settled" 3;
}

at_every_commit! { inbound:
    an_end_before_a_message "before:inbound" 1;
    an_end_after_a_message "after:inbound" 1;
    an_end_before_keys "before:keys" 2;
    an_end_after_keys "after:keys" 2;
    an_end_before_a_delivery "before:settled" 4;
    an_end_after_a_delivery "after:settled" 4;
    an_end_before_a_retry "before:retry" 1;
    an_end_after_a_retry "after:retry" 1;
}

at_every_commit! { batch:
    an_end_before_an_item_begins "before:begin" 4;
    an_end_after_an_item_began "after:begin" 4;
    an_end_before_a_row "before:send" 4;
    an_end_after_a_row "after:send" 4;
    an_end_before_an_ack "before:ack" 4;
    an_end_after_an_ack "after:ack" 4;
    an_end_before_an_outcome "before:item" 4;
    an_end_after_an_outcome "after:item" 4;
}

async fn sends(point: String) -> bool {
    const SENDS: usize = 3;
    let mut life = Life::begin(&point, 0, &[]).await;
    let (api, session) = (life.api(), life.session);
    let client: JoinHandle<Vec<String>> = tokio::spawn(async move {
        let mut sent = Vec::new();
        for number in 0..SENDS {
            let body = json!({ "chatId": chat(0), "text": format!("order {number}") });
            let answer = insist(&api, session, &format!("order-{number}"), &body).await;
            sent.push(answer["messageId"].as_str().unwrap().to_owned());
        }
        sent
    });
    life.until(&format!("{point}: the sends are settled"), async |api, _| {
        let rows = api.try_get(&format!("/sessions/{session}/messages?limit=100")).await?;
        let rows = rows["messages"].as_array()?.clone();
        let settled = rows.iter().filter(|row| is_out(row)).count();
        Some(client.is_finished() && settled == SENDS)
    })
    .await;
    let sent = client.await.unwrap();
    let texts: Vec<String> = (0..SENDS).map(|number| format!("order {number}")).collect();
    assert_eq!(shown(&life.guests[0], SHOP).await, texts, "{point}: each once, in order");
    let events = life.events_are_right();
    for id in &sent {
        let emitted = |kind: &str, status: Option<&str>| {
            let fits = |event: &&Value| {
                event["event"] == kind
                    && event["data"]["id"].as_str().or(event["data"]["messageId"].as_str())
                        == Some(id.as_str())
                    && status.is_none_or(|status| event["data"]["status"] == status)
            };
            events.iter().filter(fits).count()
        };
        assert_eq!(emitted("message.sent", None), 1, "{point}: {id}");
        assert_eq!(emitted("message.ack", Some("sent")), 1, "{point}: {id}");
        assert!(emitted("message.ack", Some("delivered")) <= 1, "{point}: {id}");
        assert_eq!(emitted("message.failed", None), 0, "{point}: {id}");
    }
    life.end()
}

async fn inbound(point: String) -> bool {
    const EACH: usize = 3;
    let mut life = Life::begin(&point, 30, &[]).await;
    let mut sent = BTreeMap::new();
    for (number, guest) in life.guests.iter().enumerate() {
        let mut ids = Vec::new();
        for text in 0..EACH {
            ids.push(guest.send_text(SHOP, &format!("message {text}")).await.unwrap());
        }
        sent.insert(chat(number), ids);
    }
    life.until(&format!("{point}: the messages arrived"), async |_, life| {
        Some(ids(&life.collector.taken("/")).len() == EACH * GUESTS.len())
    })
    .await;
    let received = life.collector.received("/");
    nothing_missing(&received, &sent, &point);
    lanes_in_order(&received, &sent, &point);
    life.events_are_right();
    life.end()
}

async fn batch(point: String) -> bool {
    const ITEMS: usize = 4;
    const RATE: u64 = 20;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // Limits are of the fast clock as well: the longest that are allowed, so that a busy machine is none.
    let env = [
        ("WAYPOST_CLOCK_RATE", format!("{RATE}@{now}")),
        ("WAYPOST_SEND_ANSWER_LIMIT_MS", "120000".into()),
        ("MESSAGE_REAPER_GRACE_MS", "604800000".into()),
    ];
    let mut life = Life::begin(&point, 0, &env).await;
    let text = |number: usize| format!("Hello number {number}");
    let message = |number: usize| {
        let content = json!({ "text": text(number) });
        json!({ "chatId": chat(number % 2), "type": "text", "content": content })
    };
    let messages: Vec<Value> = (0..ITEMS).map(message).collect();
    let options = json!({ "delayBetweenMessages": 1000, "randomizeDelay": false });
    let order = json!({ "batchId": "spring", "messages": messages, "options": options });
    let base = format!("/sessions/{}/messages", life.session);
    let mut made = false;
    let deadline = Instant::now() + LIMIT;
    while !made {
        life.tend();
        // Where the answer before was lost, the key gets it again.
        let answer = life.api().try_post_with(&format!("{base}/send-bulk"), &order, "spring").await;
        made = answer.is_some_and(|(status, _)| status == 202);
        assert!(Instant::now() < deadline, "{point}: the batch was never accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    life.until(&format!("{point}: the batch is over"), async |api, _| {
        let batch = api.try_get(&format!("{base}/batch/spring")).await?;
        let rows = api.try_get(&format!("{base}?limit=100")).await?;
        let rows = rows["messages"].as_array()?.clone();
        let settled = rows.iter().filter(|row| is_out(row)).count();
        Some(batch["completedAt"].is_string() && settled == ITEMS)
    })
    .await;
    let batch = life.api().get(&format!("{base}/batch/spring")).await;
    let progress =
        json!({ "total": ITEMS, "sent": ITEMS, "failed": 0, "pending": 0, "cancelled": 0 });
    assert_eq!((&batch["status"], &batch["progress"]), (&json!("completed"), &progress), "{point}");
    for (number, guest) in life.guests.iter().enumerate() {
        let texts: Vec<String> = (0..ITEMS).filter(|item| item % 2 == number).map(text).collect();
        assert_eq!(shown(guest, SHOP).await, texts, "{point}: each once, in order");
    }
    let ends = life.events_are_right();
    let ends = ends.iter().filter(|event| event["event"] == "batch.completed").count();
    assert_eq!(ends, 1, "{point}: the end is emitted once");
    life.end()
}

#[test]
fn a_failpoint_without_its_switch_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (switch, failpoint) in [(None, "after:send:1"), (Some("true"), "after:tea:1")] {
        let mut command = crate::support::waypost();
        command.arg("serve").current_dir(dir.path()).env("WAYPOST_FAILPOINT", failpoint);
        if let Some(switch) = switch {
            command.env("WAYPOST_TEST_SWITCHES", switch);
        }
        let (code, _, error) = crate::support::finish(command);
        assert_eq!(code, Some(64), "{error}");
        assert!(error.contains("WAYPOST_FAILPOINT"), "{error}");
    }
}
