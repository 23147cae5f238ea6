//! Limits of an account, over the control surface.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::AdminAnswer;
use crate::{
    limits::{NewChats, Timelock},
    network::Network,
};

/// What is set; what is absent stays, and `null` lifts it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitsWish {
    #[serde(default, deserialize_with = "present")]
    timelock: Option<Option<Timelock>>,
    #[serde(default, deserialize_with = "present")]
    new_chats: Option<Option<NewChats>>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

pub(super) async fn set(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(wish): Json<LimitsWish>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    if let Some(timelock) = wish.timelock {
        account.set_timelock(timelock)?;
    }
    if let Some(new_chats) = wish.new_chats {
        account.set_new_chats(new_chats)?;
    }
    Ok(Json(json!({})))
}
