//! The yardstick: a route that answers when two writes are durable, one after the other. The writes of all requests that
//! wait are committed together, by a thread of its own.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, routing::post};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Writes of one commit.
const TOGETHER: usize = 1024;

/// A line to write, and whom to tell.
type Write = (String, oneshot::Sender<()>);

pub struct Bare {
    pub address: SocketAddr,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Bare {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Connection::open(folder.path().join("bare.sqlite")).unwrap();
        ledger.pragma_update(None, "journal_mode", "wal").unwrap();
        ledger.pragma_update(None, "synchronous", "full").unwrap();
        ledger
            .execute("create table line (id integer primary key, text text not null)", [])
            .unwrap();
        let (writes, waiting) = mpsc::channel(4096);
        std::thread::spawn(move || write(ledger, waiting));
        let router = Router::new().route("/", post(answer)).with_state(writes);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, served, _folder: folder }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn answer(State(writes): State<mpsc::Sender<Write>>, Json(body): Json<Value>) -> Json<Value> {
    for _ in 0..2 {
        let (tell, told) = oneshot::channel();
        writes.send((body.to_string(), tell)).await.unwrap();
        told.await.unwrap();
    }
    Json(json!({ "done": true }))
}

fn write(mut ledger: Connection, mut waiting: mpsc::Receiver<Write>) {
    let mut together = Vec::with_capacity(TOGETHER);
    while waiting.blocking_recv_many(&mut together, TOGETHER) > 0 {
        let commit = ledger.transaction().unwrap();
        for (text, _) in &together {
            let mut insert = commit.prepare_cached("insert into line (text) values (?)").unwrap();
            insert.execute([text]).unwrap();
        }
        commit.commit().unwrap();
        for (_, tell) in together.drain(..) {
            let _ = tell.send(());
        }
    }
}
