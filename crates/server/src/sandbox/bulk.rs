//! The story of a batch: foretold, sent at its pace, cancelled on the way; checked from outside like the other one.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{bail, ensure};
use domain::{SessionId, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::Account;
use tokio::time::Instant;

use super::{
    print::StepPrinter,
    stage::SandboxStage,
    story::{LOOK_AGAIN, STEP_LIMIT, link, register_webhook, text, until},
};

/// The name of the batch.
pub const BATCH: &str = "saturday-cakes";
/// The shortest that is allowed, so that nobody has to wait long.
const DELAY_MS: u64 = 1000;
/// So many are sent before the bakery changes its mind.
const CANCEL_AT: u64 = 8;
/// Longer than the wait between two messages: what a cancel did not stop would have gone out.
const QUIET: Duration = Duration::from_millis(DELAY_MS + 500);
const TEMPLATE: &str = "Hello {{name}}, your {{cake}} is ready on Saturday";
const PEOPLE: [(&str, &str); 12] = [
    ("Lea", "apple cake"),
    ("Noa", "cheesecake"),
    ("Ida", "plum cake"),
    ("Leo", "carrot cake"),
    ("Ada", "lemon tart"),
    ("Ben", "nut cake"),
    ("Eva", "poppy cake"),
    ("Jan", "cherry pie"),
    ("Kim", "marble cake"),
    ("Max", "pear tart"),
    ("Pia", "sponge cake"),
    ("Tom", "brownie"),
];

/// Plays every step; an error says which one did not happen.
pub async fn play(stage: &SandboxStage, printer: &StepPrinter) -> anyhow::Result<()> {
    let mut people = Vec::with_capacity(PEOPLE.len());
    for (index, (name, _)) in PEOPLE.iter().enumerate() {
        people.push(stage.network.add_account(&phone(index), name).await);
    }
    let session = link(stage, printer).await?;
    register_webhook(stage, printer, session).await?;
    foretell(stage, printer, session).await?;
    let path = begin(stage, printer, session).await?;
    watch(stage, printer, &path).await?;
    let batch = cancel(stage, printer, &path).await?;
    events(stage, printer, &batch).await?;
    receipts(stage, printer, &people, &batch).await?;
    let record = stage.network.record();
    ensure!(
        record.unknown.is_empty(),
        "the network met requests it does not know: {:?}",
        record.unknown
    );
    Ok(())
}

fn phone(index: usize) -> String {
    format!("49170200{index:05}")
}

fn order(people: &[(&str, Option<&str>)]) -> Value {
    let message = |(index, (name, cake)): (usize, &(&str, Option<&str>))| {
        let mut variables = json!({ "name": name });
        if let Some(cake) = cake {
            variables["cake"] = json!(cake);
        }
        json!({
            "chatId": format!("{}@c.us", phone(index)),
            "type": "text",
            "content": { "text": TEMPLATE },
            "variables": variables,
        })
    };
    let messages: Vec<Value> = people.iter().enumerate().map(message).collect();
    let options = json!({ "delayBetweenMessages": DELAY_MS, "randomizeDelay": false });
    json!({ "batchId": BATCH, "messages": messages, "options": options })
}

/// A dry run of a list with a mistake, and of the right one.
async fn foretell(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<()> {
    let path = format!("/sessions/{session}/messages/send-bulk?dryRun=true");
    let mut people = PEOPLE.map(|(name, cake)| (name, Some(cake)));
    people[4].1 = None;
    let wrong = stage.api.call(Method::POST, &path, Some(order(&people)), 200).await?;
    let invalid = &wrong["invalid"][0];
    let code = text(invalid, "code")?;
    ensure!(
        invalid["index"] == 4 && code == "TEMPLATE_VARIABLE_MISSING",
        "the mistake was not found: {wrong}"
    );
    printer.step("dry run found a mistake", &format!("message {}: {code}", invalid["index"]));
    people[4].1 = Some(PEOPLE[4].1);
    let told = stage.api.call(Method::POST, &path, Some(order(&people)), 200).await?;
    ensure!(told["invalid"] == json!([]), "the list is still wrong: {told}");
    let time = |name| text(&told, name).map(Timestamp::parse_iso);
    let (Some(starts), Some(ends)) = (time("startsAt")?, time("estimatedCompletionTime")?) else {
        bail!("the dry run does not say when it would end: {told}");
    };
    printer.step(
        "dry run of the right list",
        &format!(
            "{} messages in {} s, {} people never written with, {} limits met",
            told["totalMessages"],
            ends.since(starts).as_secs(),
            told["newContacts"],
            told["limits"].as_array().map_or(0, Vec::len),
        ),
    );
    let none = stage.api.get(&format!("/sessions/{session}/messages/batches")).await?;
    ensure!(none == json!([]), "a dry run stored a batch: {none}");
    Ok(())
}

/// The batch is taken in; the path of its state.
async fn begin(
    stage: &SandboxStage,
    printer: &StepPrinter,
    session: SessionId,
) -> anyhow::Result<String> {
    let people = PEOPLE.map(|(name, cake)| (name, Some(cake)));
    let path = format!("/sessions/{session}/messages/send-bulk");
    let taken = stage.api.call(Method::POST, &path, Some(order(&people)), 202).await?;
    printer.step(
        "batch stored",
        &format!("{} messages, {}", taken["totalMessages"], text(&taken, "batchId")?),
    );
    Ok(format!("/sessions/{session}/messages/batch/{BATCH}"))
}

/// Follows it until it is time to cancel.
async fn watch(stage: &SandboxStage, printer: &StepPrinter, path: &str) -> anyhow::Result<()> {
    let mut progress = printer.progress("sent", PEOPLE.len() as u64);
    let mut deadline = Instant::now() + STEP_LIMIT;
    let mut last = 0;
    loop {
        let batch = stage.api.get(path).await?;
        let sent = batch["progress"]["sent"].as_u64().unwrap_or_default();
        if sent > last {
            (last, deadline) = (sent, Instant::now() + STEP_LIMIT);
            let to = batch["results"].as_array().and_then(|results| results.last());
            let to = to.and_then(|result| result["chatId"].as_str()).unwrap_or_default();
            progress.at(sent, format!("to {to}"));
        }
        if sent >= CANCEL_AT {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the batch does not go on; last seen: {batch}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Cancels it; the batch as it stays.
async fn cancel(stage: &SandboxStage, printer: &StepPrinter, path: &str) -> anyhow::Result<Value> {
    let cancelled = stage.api.call(Method::POST, &format!("{path}/cancel"), None, 200).await?;
    ensure!(cancelled["status"] == "cancelled", "it was not cancelled: {cancelled}");
    printer.step("cancelled", "nothing more is begun");
    let settled =
        until(stage, "what was in flight did not settle", &format!("{path}?all=true"), |batch| {
            batch["progress"]["pending"] == 0
        })
        .await?;
    tokio::time::sleep(QUIET).await;
    let batch = stage.api.get(&format!("{path}?all=true")).await?;
    ensure!(
        batch["progress"] == settled["progress"],
        "something went out after the cancel: {batch}"
    );
    let progress = &batch["progress"];
    let count = |name: &str| progress[name].as_u64().unwrap_or_default();
    let (sent, gone) = (count("sent"), count("cancelled"));
    ensure!(
        sent >= CANCEL_AT && gone > 0 && sent + gone == PEOPLE.len() as u64,
        "the counts are wrong: {progress}"
    );
    printer.step("counts", &format!("{sent} sent, {gone} cancelled, none open"));
    Ok(batch)
}

/// What the webhook heard of the batch.
async fn events(stage: &SandboxStage, printer: &StepPrinter, batch: &Value) -> anyhow::Result<()> {
    for name in ["batch.started", "batch.progress", "batch.cancelled"] {
        let ours = move |event: &Value| event["event"] == name && event["data"]["batchId"] == BATCH;
        let event = stage.receiver.wait_for(name, STEP_LIMIT, ours).await?;
        let progress = &event["data"]["progress"];
        let shown =
            format!("{} of {} sent; signature verified", progress["sent"], progress["total"]);
        printer.step(name, &shown);
        if name == "batch.cancelled" {
            ensure!(
                progress["cancelled"] == batch["progress"]["cancelled"],
                "the event counts otherwise: {event}"
            );
        }
    }
    Ok(())
}

/// Each phone that was sent to shows its message once and has confirmed it; the others show nothing.
async fn receipts(
    stage: &SandboxStage,
    printer: &StepPrinter,
    people: &[Account],
    batch: &Value,
) -> anyhow::Result<()> {
    let mut sent = BTreeSet::new();
    for (index, account) in people.iter().enumerate() {
        let (name, cake) = PEOPLE[index];
        let result = &batch["results"][index];
        let inbox = account.inbox().await;
        let got: Vec<_> = inbox.iter().map(|message| message.text.as_str()).collect();
        if result["status"] == "sent" {
            let said = TEMPLATE.replace("{{name}}", name).replace("{{cake}}", cake);
            ensure!(got == [said.as_str()], "{name}'s phone shows {got:?}");
            sent.insert(text(result, "messageId")?.to_owned());
        } else {
            ensure!(got.is_empty(), "{name} was cancelled, but the phone shows {got:?}");
        }
    }
    let deadline = Instant::now() + STEP_LIMIT;
    loop {
        let receipts = stage.network.record().receipts;
        let delivered = receipts.into_iter().filter(|receipt| receipt.kind == "delivery");
        let delivered: BTreeSet<String> = delivered.flat_map(|receipt| receipt.ids).collect();
        if delivered == sent {
            break;
        }
        if Instant::now() > deadline {
            bail!("receipts for {delivered:?}, sent were {sent:?}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    printer.step(
        "receipts equal what was sent",
        &format!(
            "{} phones show their message once, {} show none",
            sent.len(),
            people.len() - sent.len()
        ),
    );
    Ok(())
}
