//! The application under test and the way to ask it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::ApiOptions;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request},
};
use domain::port::{
    ApiKeyStore as _, MessageQuery, MessageStore as _, Page, SessionStore as _, WebhookStore as _,
};
use gateway::{Gateway, Options, Ports};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use storage::{SqliteStore, StoreOptions};
use testkit::{FakeWhatsApp, ManualClock, SeededEntropy};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

/// Everything, on a ledger of its own.
pub struct App {
    pub gateway: Gateway,
    pub store: SqliteStore,
    /// The first admin key.
    pub admin: String,
    router: Router,
    whatsapp: Arc<FakeWhatsApp>,
    _dir: tempfile::TempDir,
}

/// A key made for a test.
pub struct Key {
    pub id: String,
    pub text: String,
}

/// The body of an error answer.
pub fn refused(status: u16, error: &str, message: &str) -> Value {
    json!({ "statusCode": status, "message": message, "error": error })
}

const ALL: Page = Page { limit: 1000, offset: 0 };

impl App {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options of the API.
    pub async fn with(change: impl FnOnce(&mut ApiOptions)) -> Self {
        Self::build(change, 0).await
    }

    /// With at most so many started sessions.
    pub async fn with_cap(sessions: u32) -> Self {
        Self::build(|_| {}, sessions).await
    }
}
