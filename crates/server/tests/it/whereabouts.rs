//! Where a message is that did not arrive: for the failure of a test that counts.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use domain::{
    SessionId, WaMessageId,
    log::{DeliveryQuery, DeliveryRecord},
    port::{DeliveryLog as _, DeviceKeys, EventLog as _, MessageStore, Page, WebhookStore},
    webhook::Webhook,
};
use serde_json::json;
use simulator::Network;
use storage::LedgerStore;
use tokio::time::Instant;

use crate::{
    collector::{Collector, Manners, Repeats},
    counting::{missing, register_with},
    support::{LIMIT, Prepared},
};

/// The namespace in which the engine buffers a message until it is stored.
const BUFFERED: &str = "pending_inbound";
/// Of one read.
const PAGE: u32 = 1000;

/// Where messages to a session are that did not arrive, and where the ledger is kept. Once the program has ended.
pub async fn whereabouts(
    house: &mut Prepared,
    session: SessionId,
    phone: &str,
    of: &[String],
) -> String {
    let kept = house.keep().display().to_string();
    let store = house.store().await;
    let search = Search { network: &house.network, store: &store, session, phone };
    let report = search.report(of).await;
    store.close().await;
    format!("{report}the ledger is kept in {kept}")
}

struct Search<'a> {
    network: &'a Network,
    store: &'a LedgerStore,
    session: SessionId,
    phone: &'a str,
}

/// What the ledger knows of events and deliveries, by WhatsApp's id of the message.
struct Known {
    queued: Vec<(String, String)>,
    buffered: Vec<String>,
    events: BTreeMap<String, Vec<(u64, String)>>,
    webhooks: Vec<Webhook>,
    deliveries: Vec<DeliveryRecord>,
}

impl Search<'_> {
    /// One line for each of these messages: simulator's queue, buffered row, message, event, deliveries with their
    /// tries.
    async fn report(&self, missing: &[String]) -> String {
        let known = self.known().await;
        let mut report = String::new();
        for id in missing {
            let _ = writeln!(report, "{id}: {}", self.one(id, &known).await);
        }
        report
    }

    async fn known(&self) -> Known {
        let device = self.network.account(self.phone).unwrap().devices()[0];
        let buffered = self.store.device_keys(self.session, BUFFERED, "").await.unwrap();
        let page = Page { limit: 100, offset: 0 };
        let webhooks = self.store.webhooks(Some(self.session), page).await.unwrap();
        let mut deliveries = vec![];
        for webhook in &webhooks {
            deliveries.extend(self.deliveries(webhook).await);
        }
        Known {
            queued: self.network.queued(self.phone, device),
            buffered: buffered.into_iter().map(|entry| entry.key).collect(),
            events: self.events().await,
            webhooks,
            deliveries,
        }
    }

    async fn events(&self) -> BTreeMap<String, Vec<(u64, String)>> {
        let mut events: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = self.store.read_events(after, Some(self.session), PAGE).await.unwrap();
            let Some(last) = page.last() else { return events };
            after = last.position;
            for logged in &page {
                let draft = &logged.event.draft;
                if let Some(id) = draft.data.value()["id"].as_str() {
                    let told = (logged.event.sequence, draft.kind.as_str().to_owned());
                    events.entry(id.to_owned()).or_default().push(told);
                }
            }
        }
    }

    async fn deliveries(&self, webhook: &Webhook) -> Vec<DeliveryRecord> {
        let (mut all, mut query) = (vec![], DeliveryQuery::default());
        loop {
            let page = self.store.deliveries(webhook.id, &query, PAGE).await.unwrap();
            let Some(last) = page.last() else { return all };
            let occurred_at = last.event.draft.occurred_at;
            query.after = Some(domain::log::DeliveryCursor { occurred_at, id: last.id });
            all.extend(page);
        }
    }

    async fn one(&self, id: &str, known: &Known) -> String {
        let mut found = Vec::new();
        if known.queued.iter().any(|(_, queued)| queued == id) {
            found.push("waits at the network".to_owned());
        }
        if known.buffered.iter().any(|name| name.contains(id)) {
            found.push("buffered by the engine".to_owned());
        }
        let wa_id = WaMessageId::from_wire(id);
        if let Some(row) = self.store.message(self.session, &wa_id).await.unwrap() {
            found.push(format!("stored as a message at {}", row.created_at.iso()));
        }
        for (sequence, kind) in known.events.get(id).into_iter().flatten() {
            found.push(format!("event {sequence} {kind}"));
        }
        for delivery in &known.deliveries {
            if delivery.event.draft.data.value()["id"].as_str() == Some(id) {
                found.push(said(delivery, &known.webhooks));
            }
        }
        if found.is_empty() { "nowhere".into() } else { found.join("; ") }
    }
}

fn said(delivery: &DeliveryRecord, webhooks: &[Webhook]) -> String {
    let url = webhooks.iter().find(|webhook| webhook.id == delivery.webhook);
    let url = url.map_or("?", |webhook| webhook.url.as_str());
    let tries: Vec<String> = delivery
        .tries
        .iter()
        .map(|attempt| format!("{} {:?} {:?}", attempt.at.iso(), attempt.status, attempt.error))
        .collect();
    format!("delivery to {url} {:?}, tries {tries:?}", delivery.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_message_is_found_wherever_it_is() {
    const SHOP: &str = "4915550001000";
    let mut house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let guest = house.network.add_account("4917000000001", "Guest").await;
    let manners = Manners { refuses: 100, ..Manners::default() };
    let collector = Collector::with(manners).await;
    let running = house.start();
    running.api().ready(session).await;
    let policy = json!({ "schedule": [3600] });
    let events = ["message.received"];
    register_with(&running.api(), session, &collector.url("/"), &events, policy).await;
    let stored = guest.send_text(SHOP, "stored").await.unwrap();
    let deadline = Instant::now() + LIMIT;
    while collector.repeats("/") == Repeats::default() && collector.received("/").is_empty() {
        assert!(Instant::now() < deadline, "nothing arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(running.terminate().success());
    let waiting = guest.send_text(SHOP, "waiting").await.unwrap();
    assert_eq!(
        missing(&collector.taken("/"), &BTreeMap::from([(String::new(), vec![stored.clone()])])),
        std::slice::from_ref(&stored)
    );
    let nowhere = "3EB0NOWHERE".to_owned();
    let report = whereabouts(&mut house, session, SHOP, &[stored, waiting, nowhere]).await;
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].contains("stored as a message"), "{report}");
    assert!(lines[0].contains("message.received"), "{report}");
    assert!(lines[0].contains("Some(503)"), "{report}");
    assert!(lines[1].ends_with("waits at the network"), "{report}");
    assert!(lines[2].ends_with("nowhere"), "{report}");
    assert!(lines[3].starts_with("the ledger is kept in "), "{report}");
    std::fs::remove_dir_all(house.data()).unwrap();
}
