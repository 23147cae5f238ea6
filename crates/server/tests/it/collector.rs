//! A receiver that keeps every delivery in the order of arrival.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, http::Uri};
use serde_json::Value;
use tokio::net::TcpListener;

pub struct Collector {
    base: String,
    /// From the arrival of a delivery to its answer.
    takes: Duration,
    received: Mutex<Vec<(String, Value)>>,
}

impl Collector {
    pub async fn start() -> Arc<Self> {
        Self::that_takes(Duration::ZERO).await
    }

    /// One that answers after a while.
    pub async fn that_takes(takes: Duration) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let collector = Arc::new(Self { base, takes, received: Mutex::default() });
        let router = Router::new().fallback(keep).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn received(&self, path: &str) -> Vec<Value> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|(to, _)| to == path).map(|(_, event)| event.clone()).collect()
    }
}

async fn keep(State(collector): State<Arc<Collector>>, uri: Uri, body: Bytes) -> StatusCode {
    let Ok(event) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    collector
        .received
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((uri.path().to_owned(), event));
    tokio::time::sleep(collector.takes).await;
    StatusCode::OK
}
