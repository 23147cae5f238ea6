//! Statuses, channels, labels and the business of a person, over the control surface.

use anyhow::{Context as _, Result};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;
use whatsapp_rust::wacore_binary::Jid;

use super::{AdminAnswer, say::address};
use crate::{
    network::Network,
    server::{
        business::{Business, CatalogueProduct},
        newsletters::NewsletterRole,
    },
};

#[derive(Deserialize)]
pub(super) struct NewStatus {
    audience: Vec<String>,
    #[serde(default)]
    text: String,
    /// Takes the status of this id back in the place of posting one.
    revoke: Option<String>,
}

pub(super) async fn status(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<NewStatus>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let audience: Vec<&str> = body.audience.iter().map(String::as_str).collect();
    let id = match &body.revoke {
        Some(id) => account.revoke_status(&audience, id).await?,
        None => account.post_status(&audience, &body.text).await?,
    };
    Ok(Json(json!({ "id": id })))
}

#[derive(Deserialize)]
pub(super) struct NewNewsletter {
    name: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn newsletter(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<NewNewsletter>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let (jid, invite) = account.create_newsletter(&body.name, &body.description).await?;
    Ok(Json(json!({ "jid": jid.to_string(), "invite": invite })))
}

#[derive(Deserialize)]
pub(super) struct NewsletterPlace {
    role: String,
}

pub(super) async fn enrol(
    State(network): State<Network>,
    Path((phone, newsletter)): Path<(String, String)>,
    Json(body): Json<NewsletterPlace>,
) -> AdminAnswer {
    let role = match body.role.as_str() {
        "owner" => NewsletterRole::Owner,
        "admin" => NewsletterRole::Admin,
        "subscriber" => NewsletterRole::Subscriber,
        other => return Err(anyhow::anyhow!("nobody in a channel is called {other}").into()),
    };
    network.account(&phone)?.enrol_in_newsletter(&channel(&newsletter)?, role).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct NewsletterText {
    text: String,
}

pub(super) async fn post(
    State(network): State<Network>,
    Path((phone, newsletter)): Path<(String, String)>,
    Json(body): Json<NewsletterText>,
) -> AdminAnswer {
    let jid = channel(&newsletter)?;
    let id = network.account(&phone)?.post_in_newsletter(&jid, &body.text).await?;
    Ok(Json(json!({ "id": id })))
}

fn channel(text: &str) -> Result<Jid> {
    text.parse().with_context(|| format!("{text} is no channel"))
}

/// With a chat: whether the chat has the label. Without: the label itself, gone when it has no name.
#[derive(Deserialize)]
pub(super) struct LabelWish {
    id: String,
    name: Option<String>,
    #[serde(default)]
    colour: i32,
    chat: Option<String>,
    #[serde(default)]
    value: bool,
}

pub(super) async fn label(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<LabelWish>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    match (&body.chat, &body.name) {
        (Some(chat), _) => account.label_chat(&body.id, &address(chat)?, body.value).await?,
        (None, Some(name)) => account.put_label(&body.id, name, body.colour).await?,
        (None, None) => account.delete_label(&body.id).await?,
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct NewBusiness {
    #[serde(default)]
    description: String,
    products: Option<Vec<NewProduct>>,
}

#[derive(Deserialize)]
struct NewProduct {
    id: String,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    price: i64,
    #[serde(default)]
    currency: String,
    image_url: Option<String>,
    #[serde(default)]
    retailer_id: String,
    #[serde(default)]
    hidden: bool,
}

pub(super) async fn business(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<NewBusiness>,
) -> AdminAnswer {
    let product = |new: NewProduct| CatalogueProduct {
        id: new.id,
        name: new.name,
        description: new.description,
        price: new.price,
        currency: new.currency,
        image_url: new.image_url,
        retailer_id: new.retailer_id,
        hidden: new.hidden,
    };
    let products = body.products.map(|products| products.into_iter().map(product).collect());
    let business = Business { description: body.description, products };
    network.account(&phone)?.become_business(business);
    Ok(Json(json!({})))
}
