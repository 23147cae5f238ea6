//! The story: each step is checked from outside, by the HTTP API, the receiver and the network's own record.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use domain::{Clock as _, SessionId, port::SessionStore as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use whatsapp::LinkedDevice;

use super::{
    print::StepPrinter,
    stage::{ANSWER, CONTACT, CONTACT_NAME, NUMBER, SandboxStage},
};
use crate::system::SystemClock;

/// Longest wait for one step.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at something that has no signal.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long the simulated server waits before each answer while the pending state is watched.
const SERVER_DELAY: Duration = Duration::from_millis(250);

/// Plays every step of the conversation; an error says which one did not happen.
pub async fn play(stage: &SandboxStage, printer: &StepPrinter) -> anyhow::Result<()> {
    let session = link(stage, printer).await?;
    register_webhook(stage, printer, session).await?;
    let id = send(stage, printer, session).await?;
    follow(stage, printer, &id).await?;
    answer(stage, printer, session).await
}

/// Creates the story's session.
pub(super) async fn link(stage: &SandboxStage, printer: &StepPrinter) -> anyhow::Result<SessionId> {
    let session = link_number(stage, printer, "bakery", NUMBER).await?;
    stage.set_session(session);
    Ok(session)
}

/// Creates a session whose phone is linked, and waits until it is ready.
pub(super) async fn link_number(
    stage: &SandboxStage,
    printer: &StepPrinter,
    name: &str,
    number: &str,
) -> anyhow::Result<SessionId> {
    let created =
        stage.api.call(Method::POST, "/sessions", Some(json!({ "name": name })), 201).await?;
    let session: SessionId = text(&created, "id")?.parse()?;
    printer.step("session created", &format!("{session} ({})", text(&created, "status")?));
    let device = stage.network.provision_device(number).await?;
    let (key_id, key) = &device.app_state_key;
    let linked = LinkedDevice {
        device: serde_json::to_vec(&device.device)?,
        prekeys: device.prekeys.clone(),
        app_state_key: Some((key_id.clone(), serde_json::to_vec(key)?)),
    };
    let (store, now) = (&stage.assembled.store, SystemClock.now());
    let held = store.acquire_session(session, "pairing", now, STEP_LIMIT).await?;
    let held = held.context("the session is started already")?;
    whatsapp::import_device(store, &held.lease, linked).await?;
    store.release_session(&held.lease).await?;
    printer.step("number linked", &format!("+{number}, as if its phone had scanned the QR code"));
    stage.api.call(Method::POST, &format!("/sessions/{session}/start"), None, 200).await?;
    let ready = until(
        stage,
        "the session did not become ready",
        &format!("/sessions/{session}"),
        |answer| answer["status"] == "ready",
    )
    .await?;
    printer.step(
        "session ready",
        &format!("{} (Noise IK, keys from the ledger)", text(&ready, "pushName").unwrap_or("")),
    );
    Ok(session)
}

/// Every event goes to the receiver from here on.
pub(super) async fn register_webhook(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let url = format!("{}/hook", stage.receiver.base());
    let body = json!({ "url": url, "events": ["*"], "secret": stage.secret() });
    let webhook = stage
        .api
        .call(Method::POST, &format!("/sessions/{session}/webhooks"), Some(body), 201)
        .await?;
    printer.step("webhook registered", &format!("{url}, every event, {}", text(&webhook, "id")?));
    Ok(())
}

async fn send(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<String> {
    // A slow server makes the pending state long enough to be seen from outside.
    stage.network.faults().delay(SERVER_DELAY);
    let path = format!("/sessions/{session}/messages/send-text");
    let body = json!({ "chatId": format!("{CONTACT}@c.us"), "text": "Your cake is ready. Pick it up until six?" });
    let posting = stage.api.call(Method::POST, &path, Some(body), 201);
    let list = format!("/sessions/{session}/messages?chatId={CONTACT}@c.us&direction=outgoing");
    let watching = async {
        let row = until(stage, "the message was never stored as pending", &list, |answer| {
            answer["messages"][0]["status"] == "pending"
        })
        .await?;
        let id = text(&row["messages"][0], "waMessageId")?.to_owned();
        printer.step("pending", &format!("stored with its WhatsApp id {id} before it left"));
        anyhow::Ok(id)
    };
    let (sent, pending) = tokio::join!(posting, watching);
    stage.network.faults().delay(Duration::ZERO);
    let id = text(&sent?, "messageId")?.to_owned();
    ensure!(pending? == id, "the pending row has another id than the answer");
    Ok(id)
}

async fn follow(stage: &SandboxStage, printer: &StepPrinter, id: &str) -> anyhow::Result<()> {
    let event = |name: &'static str, status: Option<&'static str>| {
        move |event: &Value| {
            event["event"] == name
                && event["data"]["id"] == id
                && status.is_none_or(|s| event["data"]["status"] == s)
        }
    };
    stage.receiver.wait_for("message.sent", STEP_LIMIT, event("message.sent", None)).await?;
    printer.step("sent", "WhatsApp's server took it; webhook message.sent, signature verified");
    let heard = stage.contact.wait_for(STEP_LIMIT, |message| message.id == id).await;
    let heard = heard.with_context(|| format!("{CONTACT_NAME}'s phone did not get the message"))?;
    stage
        .receiver
        .wait_for("message.ack delivered", STEP_LIMIT, event("message.ack", Some("delivered")))
        .await?;
    printer.step(
        "delivered",
        &format!("{CONTACT_NAME}'s phone decrypted “{}”; webhook message.ack", heard.text),
    );
    stage
        .receiver
        .wait_for("message.ack read", STEP_LIMIT, event("message.ack", Some("read")))
        .await?;
    printer.step("read", &format!("{CONTACT_NAME} read it; webhook message.ack"));
    Ok(())
}

async fn answer(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let received = stage
        .receiver
        .wait_for("message.received", STEP_LIMIT, |event| event["event"] == "message.received")
        .await?;
    let id = text(&received["data"], "id")?.to_owned();
    ensure!(received["data"]["body"] == ANSWER, "the answer arrived with another text");
    printer.step(&format!("{CONTACT_NAME} answered"), &format!("“{ANSWER}”"));
    let list = format!("/sessions/{session}/messages?messageId={id}");
    let stored = stage.api.get(&list).await?;
    ensure!(stored["total"] == 1, "the answer is not in the ledger exactly once: {stored}");
    printer.step(
        "event stored",
        &format!("sequence {}, in one commit with its delivery", received["sequence"]),
    );
    acknowledged(stage, &id).await?;
    printer.step("event acknowledged", "WhatsApp's server let go of the message, after the commit");
    printer.step(
        "event delivered and verified",
        &format!("key {}", text(&received, "idempotencyKey")?),
    );
    let record = stage.network.record();
    ensure!(
        record.unknown.is_empty(),
        "the network met requests it does not know: {:?}",
        record.unknown
    );
    Ok(())
}

/// Waits until the server's queue for the linked device is empty.
async fn acknowledged(stage: &SandboxStage, id: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + STEP_LIMIT;
    let device = stage
        .network
        .account(NUMBER)?
        .devices()
        .pop()
        .context("the number has no linked device")?;
    while stage.network.queued(NUMBER, device).iter().any(|(_, waiting)| waiting == id) {
        if Instant::now() > deadline {
            bail!("the answer was never acknowledged to WhatsApp");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Looks at a resource until it fits.
pub(super) async fn until(
    stage: &SandboxStage,
    otherwise: &str,
    path: &str,
    fits: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let deadline = Instant::now() + STEP_LIMIT;
    loop {
        let answer = stage.api.get(path).await?;
        if fits(&answer) {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{otherwise}; last seen: {answer}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A text of an answer.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value[key].as_str().with_context(|| format!("the answer has no {key}: {value}"))
}
