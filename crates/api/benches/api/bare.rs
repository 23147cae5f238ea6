//! The yardstick: a route that answers when two writes are durable, one after the other. The writes of all requests that
//! wait are committed together.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

/// Writes of one commit.
const TOGETHER: usize = 1024;

type Writes = mpsc::Sender<(String, oneshot::Sender<()>)>;

pub struct Bare {
    pub address: SocketAddr,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Bare {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("bare.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut ledger = SqliteConnection::connect_with(&options).await.unwrap();
        let table = "create table line (id integer primary key, text text not null)";
        sqlx::query(table).execute(&mut ledger).await.unwrap();
        let (writes, waiting) = mpsc::channel(4096);
        tokio::spawn(write(ledger, waiting));
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

async fn answer(State(writes): State<Writes>, Json(body): Json<Value>) -> Json<Value> {
    for _ in 0..2 {
        let (tell, told) = oneshot::channel();
        writes.send((body.to_string(), tell)).await.unwrap();
        told.await.unwrap();
    }
    Json(json!({ "done": true }))
}

async fn write(
    mut ledger: SqliteConnection,
    mut waiting: mpsc::Receiver<(String, oneshot::Sender<()>)>,
) {
    let mut together = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut together, TOGETHER).await > 0 {
        let mut commit = ledger.begin().await.unwrap();
        for (text, _) in &together {
            let insert = sqlx::query("insert into line (text) values (?)").bind(text);
            insert.execute(&mut *commit).await.unwrap();
        }
        commit.commit().await.unwrap();
        for (_, tell) in together.drain(..) {
            let _ = tell.send(());
        }
    }
}
