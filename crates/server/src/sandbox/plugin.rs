//! The story of two plugins: one takes secrets out of what is sent and handed on, the other lets nothing be sent.

use anyhow::{Context as _, ensure};
use domain::SessionId;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    print::StepPrinter,
    stage::{CONTACT, CONTACT_NAME, NUMBER, SandboxStage},
    story::{STEP_LIMIT, link, register_webhook, text, until},
};

/// The bank's number for trials.
const CARD: &str = "4111 1111 1111 1111";
const SENT: &str = "Paid with 4111 1111 1111 1111, thank you!";
const SENT_MASKED: &str = "Paid with [redacted], thank you!";
const ASKED: &str = "My card is 4111 1111 1111 1111, is that right?";
const ASKED_MASKED: &str = "My card is [redacted], is that right?";
const AFTER: &str = "We are open again.";

macro_rules! example {
    ($name:literal) => {
        [
            (
                "manifest.json",
                include_bytes!(concat!("../../../../examples/plugins/", $name, "/manifest.json"))
                    as &[u8],
            ),
            (
                "index.js",
                include_bytes!(concat!("../../../../examples/plugins/", $name, "/index.js")),
            ),
        ]
    };
}

/// Plays every step; an error says which one did not happen.
pub async fn play(stage: &SandboxStage, printer: &StepPrinter) -> anyhow::Result<()> {
    let session = link(stage, printer).await?;
    register_webhook(stage, printer, session).await?;
    enable(stage, printer, &example!("redact"), json!({})).await?;
    redacted_out(stage, printer, session).await?;
    redacted_in(stage, printer, session).await?;
    // No day has hours: it is never open.
    enable(stage, printer, &example!("business-hours"), json!({ "mode": "block" })).await?;
    blocked(stage, printer, session).await?;
    let record = stage.network.record();
    ensure!(
        record.unknown.is_empty(),
        "the network met requests it does not know: {:?}",
        record.unknown
    );
    Ok(())
}

/// Installs an example, configures it, and turns it on.
async fn enable(
    stage: &SandboxStage,
    printer: &StepPrinter,
    files: &[(&str, &[u8])],
    config: Value,
) -> anyhow::Result<()> {
    let package = plugins::pack_files(files.iter().copied())?;
    let bytes = package.len();
    let installed = stage.api.install(package).await?;
    let id = text(&installed, "id")?;
    let version = text(&installed, "version")?;
    printer.step("plugin installed", &format!("{id} {version}, a zip of {bytes} bytes"));
    let body = json!({ "config": config });
    stage.api.call(Method::PUT, &format!("/plugins/{id}/config"), Some(body), 200).await?;
    stage.api.call(Method::POST, &format!("/plugins/{id}/enable"), None, 200).await?;
    let health = stage.api.get(&format!("/plugins/{id}/health")).await?;
    ensure!(health["healthy"] == true, "the plugin {id} is not well: {health}");
    printer.step("plugin enabled", &format!("{id}, in a process of its own"));
    Ok(())
}

async fn send(
    stage: &SandboxStage,
    session: SessionId,
    said: &str,
    expect: u16,
) -> anyhow::Result<Value> {
    let body = json!({ "chatId": format!("{CONTACT}@c.us"), "text": said });
    let path = format!("/sessions/{session}/messages/send-text");
    stage.api.call(Method::POST, &path, Some(body), expect).await
}

/// A card number in what is sent reaches nobody.
async fn redacted_out(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let sent = send(stage, session, SENT, 201).await?;
    let id = text(&sent, "messageId")?;
    printer.step("sent through the API", SENT);
    let heard = stage.contact.wait_for(STEP_LIMIT, |message| message.id == id).await;
    let heard = heard.with_context(|| format!("{CONTACT_NAME}'s phone did not get the message"))?;
    ensure!(heard.text == SENT_MASKED, "the phone shows “{}”", heard.text);
    printer.step(&format!("{CONTACT_NAME}'s phone shows"), &heard.text);
    let list = format!("/sessions/{session}/messages?messageId={id}");
    let stored = stage.api.get(&list).await?;
    ensure!(
        stored["total"] == 1 && !stored.to_string().contains(CARD),
        "the ledger has what was not sent: {stored}"
    );
    let ours = |event: &Value| event["event"] == "message.sent" && event["data"]["id"] == id;
    let event = stage.receiver.wait_for("message.sent", STEP_LIMIT, ours).await?;
    ensure!(event["data"]["body"] == SENT_MASKED, "the webhook got {event}");
    printer.step("ledger and webhook", "have the text that was sent, and no card number");
    Ok(())
}

/// A card number in what comes in stays in the ledger and does not reach the webhook.
async fn redacted_in(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let id = stage.contact.send_text(NUMBER, ASKED).await?;
    printer.step(&format!("{CONTACT_NAME} writes"), ASKED);
    let ours = |event: &Value| event["event"] == "message.received" && event["data"]["id"] == *id;
    let event = stage.receiver.wait_for("message.received", STEP_LIMIT, ours).await?;
    ensure!(event["data"]["body"] == ASKED_MASKED, "the webhook got {event}");
    printer.step("the webhook gets", text(&event["data"], "body")?);
    let list = format!("/sessions/{session}/messages?messageId={id}");
    let stored = stage.api.get(&list).await?;
    ensure!(stored["messages"][0]["body"] == ASKED, "the ledger has {stored}");
    printer.step("the ledger keeps", "what she wrote: the plugin changes what leaves the house");
    Ok(())
}

/// A send is stopped, and goes when its plugin is turned off.
async fn blocked(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let before = stage.contact.inbox().await.len();
    let refused = send(stage, session, AFTER, 400).await?;
    let said = refused["message"].to_string();
    ensure!(said.contains("business-hours"), "the refusal names nobody: {refused}");
    printer.step("a send is refused", said.trim_matches('"'));
    stage.api.call(Method::POST, "/plugins/business-hours/disable", None, 200).await?;
    let sent = send(stage, session, AFTER, 201).await?;
    let id = text(&sent, "messageId")?;
    stage
        .contact
        .wait_for(STEP_LIMIT, |message| message.id == id)
        .await
        .with_context(|| format!("{CONTACT_NAME}'s phone did not get the message"))?;
    let inbox = stage.contact.inbox().await;
    ensure!(inbox.len() == before + 1, "the refused message came all the same: {inbox:?}");
    printer.step("plugin disabled", "the same text goes out, once");
    let list = format!("/sessions/{session}/messages?direction=outgoing");
    until(stage, "the ledger has a row of what was refused", &list, |answer| answer["total"] == 2)
        .await?;
    Ok(())
}
