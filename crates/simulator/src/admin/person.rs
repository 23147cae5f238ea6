//! What else a person does, over the control surface: reads, types, comes online.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AdminAnswer;
use crate::{
    account::{ChatState, Online},
    network::Network,
};

/// Everybody, with their linked devices.
pub(super) async fn list(State(network): State<Network>) -> AdminAnswer {
    let mut people = Vec::new();
    for phone in network.phones() {
        let account = network.account(&phone)?;
        let devices = account.devices().into_iter().map(
            |device| json!({ "device": device, "connected": network.is_connected(&phone, device) }),
        );
        people.push(json!({
            "phone": phone,
            "lid": account.lid(),
            "name": account.name(),
            "devices": devices.collect::<Vec<Value>>(),
        }));
    }
    Ok(Json(Value::Array(people)))
}

/// What a client needs to trust this network.
pub(super) async fn certificate(State(network): State<Network>) -> AdminAnswer {
    Ok(Json(json!({
        "root": network.root_key().map(hex::encode),
        "serial": 0,
        "mediaCertificate": network.media_certificate(),
    })))
}

#[derive(Deserialize)]
pub(super) struct PasskeyWish {
    wanted: bool,
}

pub(super) async fn passkey(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<PasskeyWish>,
) -> AdminAnswer {
    network.account(&phone)?.ask_for_passkey(body.wanted);
    Ok(Json(json!({})))
}

pub(super) async fn passkey_code(
    State(network): State<Network>,
    Path(phone): Path<String>,
) -> AdminAnswer {
    Ok(Json(json!({ "code": network.account(&phone)?.passkey_code() })))
}

#[derive(Deserialize)]
pub(super) struct WhichMessage {
    id: String,
}

pub(super) async fn read(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<WhichMessage>,
) -> AdminAnswer {
    network.account(&phone)?.read(&body.id).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct TypingTo {
    to: String,
    #[serde(default)]
    paused: bool,
}

pub(super) async fn typing(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<TypingTo>,
) -> AdminAnswer {
    let state = if body.paused { ChatState::Paused } else { ChatState::Composing };
    network.account(&phone)?.chat_state(&body.to, state).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct OnlineWish {
    online: bool,
}

pub(super) async fn online(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<OnlineWish>,
) -> AdminAnswer {
    let online = if body.online { Online::Available } else { Online::Unavailable };
    network.account(&phone)?.set_online(online).await?;
    Ok(Json(json!({})))
}
