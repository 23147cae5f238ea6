//! What a person does with the phone, over the control surface.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use whatsapp_rust::wacore_binary::Jid;

use super::{AdminAnswer, AdminError};
use crate::{
    account::{Account, CallEnd, FileKind, NewFile},
    network::Network,
    phone::{MessageRef, ReceivedMessage},
};

/// A message to send; `kind` says which of the other fields count.
#[derive(Deserialize)]
pub(super) struct AdminSend {
    to: String,
    #[serde(default = "text_kind")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    bytes: String,
    #[serde(default)]
    mimetype: String,
    filename: Option<String>,
    caption: Option<String>,
    seconds: Option<u32>,
    #[serde(default)]
    latitude: f64,
    #[serde(default)]
    longitude: f64,
    #[serde(default)]
    contacts: Vec<CardToSend>,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default = "one_choice")]
    choices: u32,
    about: Option<ChangedMessage>,
}

#[derive(Deserialize)]
struct CardToSend {
    name: String,
    number: String,
}

/// The message that is changed; without an author it is one's own.
#[derive(Deserialize)]
struct ChangedMessage {
    id: String,
    author: Option<String>,
}

fn text_kind() -> String {
    "text".to_owned()
}

fn one_choice() -> u32 {
    1
}

/// A phone number, a LID or a group.
pub(super) fn address(text: &str) -> Result<Jid> {
    match text.contains('@') {
        true => text.parse().with_context(|| format!("{text} is no address")),
        false => Ok(Jid::pn(text)),
    }
}

pub(super) async fn send(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<AdminSend>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let id = say(&account, body).await?;
    Ok(Json(json!({ "id": id })))
}

async fn say(account: &Account, said: AdminSend) -> Result<String> {
    let to = address(&said.to)?;
    let options: Vec<&str> = said.options.iter().map(String::as_str).collect();
    let about = said.about.as_ref().map(|about| MessageRef {
        id: about.id.clone(),
        author: about.author.clone().unwrap_or_else(|| account.phone().to_owned()),
    });
    let about = || about.clone().with_context(|| format!("{} needs about", said.kind));
    if let Some(kind) = FileKind::parse(&said.kind) {
        let bytes = STANDARD.decode(&said.bytes).context("bytes must be base64")?;
        let mut file = NewFile::new(kind, bytes, &said.mimetype);
        (file.filename, file.caption, file.seconds) = (said.filename, said.caption, said.seconds);
        return account.send_file(&to, file).await;
    }
    match said.kind.as_str() {
        "text" => account.send_text_to(&to, &said.text).await,
        "location" => {
            let name = (!said.text.is_empty()).then_some(said.text.as_str());
            account.send_location(&to, (said.latitude, said.longitude), name).await
        }
        "contact" => {
            let people: Vec<(&str, &str)> = said
                .contacts
                .iter()
                .map(|card| (card.name.as_str(), card.number.as_str()))
                .collect();
            account.send_contacts(&to, &people).await
        }
        "poll" => account.send_poll(&to, &said.text, &options, said.choices).await,
        "vote" => account.vote(&to, &about()?.id, &options).await,
        "reaction" => account.react(&to, &about()?, &said.text).await,
        "edit" => account.edit(&to, &about()?.id, &said.text).await,
        "revoke" => account.revoke(&to, &about()?).await,
        "pin" => account.pin(&to, &about()?, said.seconds).await,
        other => bail!("nothing to send is called {other}"),
    }
}

/// Longest wait for messages.
const WAIT_MS_MAX: u64 = 60_000;

/// How many messages somebody waits for, and how long.
#[derive(Deserialize)]
pub(super) struct InboxWait {
    #[serde(default)]
    at_least: usize,
    #[serde(default)]
    wait_ms: u64,
}

pub(super) async fn inbox(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Query(wait): Query<InboxWait>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let limit = Duration::from_millis(wait.wait_ms.min(WAIT_MS_MAX));
    // Over in time or not: the answer is what there is.
    let _ = tokio::time::timeout(limit, account.wait_for_count(wait.at_least)).await;
    let inbox = account.inbox().await;
    Ok(Json(inbox.iter().map(|message| entry(&account, message)).collect()))
}

fn entry(account: &Account, message: &ReceivedMessage) -> Value {
    json!({
        "id": message.id,
        "from": message.from,
        "group": message.group,
        "from_me": message.from_me,
        "kind": message.kind(),
        "text": message.text,
        "target": message.target(),
        "change": message.change(),
        "vote": account.vote_of(message).ok(),
    })
}

/// The file of a received message, as its bytes.
pub(super) async fn file(
    State(network): State<Network>,
    Path((phone, id)): Path<(String, String)>,
) -> Result<Response, AdminError> {
    let account = network.account(&phone)?;
    let inbox = account.inbox().await;
    let message = inbox.iter().find(|message| message.id == id).context("no such message")?;
    Ok(account.file_of(message)?.into_response())
}

#[derive(Deserialize)]
pub(super) struct NewMark {
    chat: String,
    mark: String,
    #[serde(default)]
    value: bool,
    until: Option<i64>,
}

pub(super) async fn mark(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<NewMark>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let chat = address(&body.chat)?;
    match body.mark.as_str() {
        "archived" => account.archive_chat(&chat, body.value).await?,
        "pinned" => account.pin_chat(&chat, body.value).await?,
        "muted" => account.mute_chat(&chat, body.until).await?,
        "read" => account.mark_chat_read(&chat, body.value).await?,
        "deleted" => account.delete_chat(&chat).await?,
        other => return Err(anyhow::anyhow!("no mark is called {other}").into()),
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct CallWish {
    to: String,
    #[serde(default)]
    video: bool,
}

pub(super) async fn call(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<CallWish>,
) -> AdminAnswer {
    let id = network.account(&phone)?.call(&body.to, body.video).await?;
    Ok(Json(json!({ "id": id })))
}

#[derive(Deserialize)]
pub(super) struct EndOfCall {
    to: String,
    id: String,
    #[serde(default)]
    end: String,
}

pub(super) async fn end_call(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<EndOfCall>,
) -> AdminAnswer {
    let end = match body.end.as_str() {
        "" | "unanswered" => CallEnd::Unanswered,
        "accepted" => CallEnd::AcceptedElsewhere,
        "rejected" => CallEnd::RejectedElsewhere,
        other => return Err(anyhow::anyhow!("no call ends {other}").into()),
    };
    network.account(&phone)?.end_call(&body.to, &body.id, end).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct AliasRequest {
    dialled: String,
    phone: String,
}

pub(super) async fn alias(
    State(network): State<Network>,
    Json(body): Json<AliasRequest>,
) -> AdminAnswer {
    network.add_alias(&body.dialled, &body.phone)?;
    Ok(Json(json!({})))
}
