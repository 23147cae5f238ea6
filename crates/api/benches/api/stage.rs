//! The house behind a socket: sessions that are linked, to a WhatsApp that answers at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{ApiOptions, RateOptions};
use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use gateway::{Gateway, Options, Ports};
use serde_json::{Value, json};
use storage::{FolderMedia, LedgerStore, StoreOptions};
use testkit::FakeWhatsApp;
use tower::ServiceExt as _;

use crate::{
    Requests,
    real::{RealClock, RealEntropy},
};

pub struct Stage {
    gateway: Gateway,
    store: LedgerStore,
    sessions: Vec<String>,
    pub key: String,
    pub address: SocketAddr,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub async fn start(sessions: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.sqlite");
        let options =
            StoreOptions { entropy: Arc::new(RealEntropy), ..StoreOptions::for_testing(path) };
        let store = LedgerStore::open(options).await.unwrap();
        let whatsapp = FakeWhatsApp::default();
        let shared = Arc::new(store.clone());
        let ports = Ports {
            clock: Arc::new(RealClock),
            entropy: Arc::new(RealEntropy),
            store: shared.clone(),
            queue: shared,
            media_files: Arc::new(FolderMedia::open(&folder.path().join("media")).unwrap()),
            whatsapp: Arc::new(whatsapp.clone()),
            plugins: Arc::new(plugins::Engine::of_this_build()),
        };
        let mut house = Options::default();
        if std::env::var_os("NO_SEARCH").is_some() {
            house.search.enabled = false;
        }
        let gateway = Gateway::start(house, ports).await.unwrap();
        let key = gateway.api_keys.ensure_admin(None).await.unwrap().unwrap();
        let options = ApiOptions { rates: RateOptions::off(), ..ApiOptions::default() };
        let router = api::router(options, gateway.clone());
        let ask = Ask { router: &router, key: &key };
        let mut ids = vec![];
        for number in 0..sessions {
            let body = json!({ "name": format!("shop-{number}") });
            let made = ask.of("POST", "/api/sessions", &body).await;
            let id = made["id"].as_str().unwrap().to_owned();
            whatsapp.link(id.parse().unwrap(), &format!("49155{number:08}"));
            ask.of("POST", &format!("/api/sessions/{id}/start"), &Value::Null).await;
            while ask.of("GET", &format!("/api/sessions/{id}"), &Value::Null).await["status"]
                != "ready"
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ids.push(id);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let served = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { gateway, store, sessions: ids, key, address, served, _folder: folder }
    }

    /// Texts for all sessions and chats in turn; each with a key of its own, or none.
    pub fn sends(&self, chats: u32, with_key: bool) -> Requests {
        let sessions = self.sessions.clone();
        let run = uuid::Uuid::new_v4();
        Arc::new(move |number| {
            let session = &sessions[number % sessions.len()];
            let chat = number / sessions.len() % chats as usize;
            let mut path = format!("/api/sessions/{session}/messages/send-text");
            if with_key {
                path.push_str(&format!("\nidempotency-key: {run}-{number}\r\n"));
            }
            let chat = format!("49170{chat:06}@c.us");
            let text = format!("number {number}: the cake is ready, come before six");
            (path, json!({ "chatId": chat, "text": text }).to_string())
        })
    }

    pub fn commits(&self) -> u64 {
        self.store.commits()
    }

    pub async fn stop(self) {
        self.served.abort();
        self.gateway.shutdown().await;
        self.store.close().await;
    }
}

struct Ask<'a> {
    router: &'a axum::Router,
    key: &'a str,
}

impl Ask<'_> {
    async fn of(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::builder().method(method).uri(path).header("x-api-key", self.key);
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
    }
}
