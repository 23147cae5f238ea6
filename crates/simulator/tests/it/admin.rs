//! The control surface of a network that runs as its own process.

use serde_json::{Value, json};
use simulator::{Network, admin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use whatsapp_rust::prelude::*;

use crate::support::*;

struct Control {
    address: std::net::SocketAddr,
}

impl Control {
    async fn of(network: &Network) -> Control {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = admin::router(network.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Control { address }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_network_is_steered_over_http() {
    let network = Network::start().await.unwrap();
    let control = Control::of(&network).await;
    for (phone, name) in [(ALICE, "Alice"), (BOB, "Bob")] {
        let new = json!({ "phone": phone, "name": name });
        let (status, body) = control.ask("POST", "/accounts", new).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["phone"], phone);
    }
    let path = format!("/accounts/{ALICE}/provision");
    let (_, device) = control.ask("POST", &path, json!({})).await;
    let device: simulator::ProvisionedDevice = serde_json::from_value(device).unwrap();
    let alice = Gateway::connected(&network, store(&device).await, ALICE, device.device_id).await;

    let path = format!("/accounts/{BOB}/send");
    let (_, sent) = control.ask("POST", &path, json!({ "to": ALICE, "text": "over http" })).await;
    assert_eq!(alice.text("over http").await.id, sent["id"]);

    let fault = json!({ "kind": "nack", "code": 463 });
    assert_eq!(control.ask("POST", "/faults", fault).await.0, 200);
    let sent = alice.client.send_text(Jid::pn(BOB), "no").await.unwrap();
    assert_eq!(alice.ack(&sent.message_id).await.as_deref(), Some("463"));
    let (status, body) = control.ask("POST", "/faults", json!({ "kind": "earthquake" })).await;
    assert_eq!(status, 422, "{body}");

    let (_, record) = control.ask("GET", "/record", json!({})).await;
    assert_eq!(record["nacks"][0]["code"], 463);
    let path = format!("/accounts/{ALICE}/unlink");
    let which = json!({ "device": device.device_id });
    assert_eq!(control.ask("POST", &path, which.clone()).await.0, 200);
    alice.event(|event| matches!(event, Event::LoggedOut(_))).await;
    assert_eq!(control.ask("POST", &path, which).await.0, 422);
    assert_all_answered(&network);
}
