//! A client of our own, for what a stock client would never do: it does not read, or it sends nonsense.

use std::time::Duration;

use domain::message::InboundMessage;
use serde_json::{Value, json};

use super::no_limit;
use crate::app::App;

/// What separates packets in one poll.
const SEPARATOR: char = '\u{1e}';

/// A polling client, through the router itself.
struct Poller<'a> {
    app: &'a App,
    path: String,
}

impl<'a> Poller<'a> {
    async fn open(app: &'a App) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling";
        let answer = app.ask("GET", path).send().await;
        answer.expect(200);
        let text = answer.text();
        let opened: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        Self { app, path: format!("{path}&sid={}", opened["sid"].as_str().unwrap()) }
    }

    async fn post(&self, packets: &str) -> u16 {
        let ask =
            self.app.ask("POST", &self.path).header("content-type", "text/plain;charset=UTF-8");
        ask.raw(packets.as_bytes().to_vec()).send().await.status
    }

    async fn poll(&self) -> Vec<String> {
        let poll = self.app.ask("GET", &self.path).send();
        let answer = tokio::time::timeout(Duration::from_secs(30), poll).await.expect("no answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().split(SEPARATOR).map(str::to_owned).collect()
    }

    /// Connects and enters the room of everything that comes in.
    async fn enter(&self) {
        let key = json!({ "apiKey": self.app.admin });
        assert_eq!(self.post(&format!("40/events,{key}")).await, 200);
        // Who says something before it is let in is shut out by the library.
        self.until(|packet| packet.starts_with("40/events,")).await;
        let frame =
            json!({ "type": "subscribe", "sessionId": "*", "events": ["message.received"] });
        assert_eq!(self.post(&format!("42/events,[\"message\",{frame}]")).await, 200);
    }

    /// Polls until a packet of this kind has come, and answers with all before it.
    async fn until(&self, end: impl Fn(&str) -> bool) -> Vec<String> {
        let mut packets = Vec::new();
        loop {
            for packet in self.poll().await {
                if packet == "2" {
                    self.post("3").await;
                } else if end(&packet) {
                    packets.push(packet);
                    return packets;
                } else {
                    packets.push(packet);
                }
            }
        }
    }
}

/// What a packet of the namespace says.
fn said(packet: &str) -> Value {
    let data = packet.strip_prefix("42/events,").unwrap_or("[]");
    serde_json::from_str::<Value>(data).unwrap()[1].clone()
}

fn messages(numbers: std::ops::Range<u32>) -> Vec<InboundMessage> {
    numbers.map(|number| testkit::build::inbound(number, &testkit::build::chat(1))).collect()
}

#[tokio::test]
async fn who_does_not_read_is_shut_out_with_a_reason_and_not_buffered() {
    let app = App::with(|options| {
        options.sockets.stall_limit = Duration::from_millis(300);
    })
    .await;
    let session = app.ready_session("bakery").await;
    let poller = Poller::open(&app).await;
    poller.enter().await;
    poller.until(|packet| said(packet)["type"] == "subscribed").await;
    assert_eq!(app.gateway.live.clients(), 1);
    for step in 0..20 {
        app.hear(&session, messages(step * 50..step * 50 + 50)).await;
    }
    super::all_gone(&app).await;
    let packets = poller.until(|packet| packet == "41/events,").await;
    let events = packets.iter().filter(|packet| said(packet)["type"] == "event").count();
    assert!((1..100).contains(&events), "{events} of 1000 waited");
    let last = said(&packets[packets.len() - 2]);
    assert_eq!((&last["type"], &last["code"]), (&json!("error"), &json!("SLOW_READER")));
}

#[tokio::test]
async fn who_reads_slowly_is_told_everything_in_order() {
    let app = App::with(|options| {
        options.sockets.stall_limit = Duration::from_secs(20);
    })
    .await;
    let session = app.ready_session("bakery").await;
    let poller = Poller::open(&app).await;
    poller.enter().await;
    poller.until(|packet| said(packet)["type"] == "subscribed").await;
    app.hear(&session, messages(1..501)).await;
    let heard = poller.until(|packet| said(packet)["payload"]["data"]["body"] == "text 500").await;
    let heard: Vec<Value> =
        heard.iter().map(|packet| said(packet)["payload"]["data"]["body"].clone()).collect();
    let expected: Vec<Value> = (1..501).map(|number| json!(format!("text {number}"))).collect();
    assert_eq!(heard, expected);
}

/// Chances from a seed: a failure repeats.
struct PacketDice(u64);

impl PacketDice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    /// A packet that is nearly right.
    fn packet(&mut self) -> String {
        const RIGHT: [&str; 12] = [
            "40/events,{\"apiKey\":\"x\"}",
            "42/events,[\"message\",{\"type\":\"ping\"}]",
            "42/events,7[\"message\",{\"type\":\"subscribe\",\"sessionId\":\"*\",\"events\":[\"*\"]}]",
            "41/events,",
            "43/events,1[]",
            "44/events,{\"message\":\"no\"}",
            "451-/events,[\"message\",{\"_placeholder\":true,\"num\":0}]",
            "45999999999-/events,[\"message\"]",
            "bAAEC",
            "42/events,[\"message\",[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
            "3",
            "6",
        ];
        const ODD: [&str; 10] =
            ["", "4", "é", "😀", "\u{0}", "\"", "]", "/events,", "18446744073709551616", "2"];
        let mut packet: Vec<char> = RIGHT[self.below(RIGHT.len())].chars().collect();
        for _ in 0..self.below(4) {
            let at = self.below(packet.len() + 1);
            match self.below(3) {
                0 => packet.truncate(at),
                1 => drop(packet.splice(at..at, ODD[self.below(ODD.len())].chars())),
                _ if at < packet.len() => drop(packet.remove(at)),
                _ => {}
            }
        }
        packet.into_iter().collect()
    }
}

#[tokio::test]
async fn odd_packets_hurt_nobody_else() {
    let app = App::with(|options| options.sockets = no_limit()).await;
    let healthy = Poller::open(&app).await;
    healthy.enter().await;
    healthy.until(|packet| said(packet)["type"] == "subscribed").await;
    let mut dice = PacketDice(0x5eed);
    for _ in 0..300 {
        let poller = Poller::open(&app).await;
        if dice.below(2) == 0 {
            poller.post(&format!("40/events,{}", json!({ "apiKey": app.admin }))).await;
        }
        for _ in 0..3 {
            let packets: Vec<String> = (0..=dice.below(3)).map(|_| dice.packet()).collect();
            let packets = packets.join(&SEPARATOR.to_string());
            let status = poller.post(&packets).await;
            assert!([200, 400].contains(&status), "{status}: {packets:?}");
        }
        // The end of a connection, in the words of its transport.
        poller.post("1").await;
    }
    let session = app.ready_session("bakery").await;
    app.hear(&session, messages(1..2)).await;
    healthy.until(|packet| said(packet)["payload"]["data"]["body"] == "text 1").await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_are_bounded() {
    let app = App::start().await;
    for _ in 0..30 {
        Poller::open(&app).await;
    }
    let answer = app.ask("GET", "/socket.io/?EIO=4&transport=polling").send().await;
    answer.expect(429);
    assert_eq!(answer.headers["retry-after"], "60");
    let large = Poller {
        app: &app,
        path: "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs".into(),
    };
    assert_eq!(large.post(&"4".repeat(100_000)).await, 400);
    for query in [
        "",
        "?EIO=3&transport=polling",
        "?EIO=4&transport=polling&sid=%C3%A9",
        "?EIO=4&transport=x&sid=1",
    ] {
        let status = app.ask("GET", &format!("/socket.io/{query}")).send().await.status;
        assert!((400..500).contains(&status), "{query}: {status}");
    }
}
