//! Data and files on their way to another installation.
//!
//! # The cast
//! - [`Transfer::export`] streams the tables as one JSON document, page by page; it never stands in memory as a whole.
//! - [`Transfer::import`] stores such a document in one transaction.
//! - [`Transfer::archive`] streams the media files as a tar, [`Transfer::unpack`] takes one in ([`tar`]).
//!
//! # Limits
//! One import at a time, and none while an export runs. An archive is read up to a number of bytes. What is exported is
//! read page by page while everything goes on, so it is no picture of one moment.

mod archive;
mod error;
mod tar;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use domain::{
    Clock, SessionId,
    port::{MediaFiles, Page, Store, StoreResult},
    transfer::{LEFT_OUT, TABLES, TransferCursor, TransferTables},
};
use futures::{Stream, stream};
use serde_json::json;

use crate::{Ports, Sessions};

pub use archive::Unpacked;
pub use error::TransferError;

/// Rows of one page of an export.
const PAGE: u32 = 200;

/// Where archives are taken in from, and how large they may be.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// The folder that archives are read from; nothing outside of it is.
    pub folder: PathBuf,
    /// Bytes of one archive.
    pub bytes_max: u64,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { folder: PathBuf::from("data/import"), bytes_max: 10 << 30 }
    }
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows of each table.
    pub counts: Vec<(&'static str, u64)>,
    /// What has to be done by hand.
    pub warnings: Vec<String>,
    /// Sessions that run and are not among the imported ones.
    pub orphans: Vec<SessionId>,
    /// Those of them that were stopped.
    pub stopped: Vec<SessionId>,
    /// Those that could not be.
    pub not_stopped: Vec<SessionId>,
}

/// What is done although sessions run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportWishes {
    /// Import all the same.
    pub force: bool,
    /// Stop the running sessions that are not among the imported ones.
    pub stop_orphans: bool,
}

/// A handle to exports and imports. Cheap to clone.
#[derive(Clone)]
pub struct Transfer {
    store: Arc<dyn Store>,
    files: Arc<dyn MediaFiles>,
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    options: TransferOptions,
    importing: Arc<tokio::sync::Mutex<()>>,
    exports: Arc<AtomicU64>,
}

/// Counts an export for as long as it runs.
struct ExportTicket(Arc<AtomicU64>);

impl Drop for ExportTicket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a streamed export stands.
struct ExportPlace {
    transfer: Transfer,
    /// Which of the tables, and from where on.
    table: usize,
    after: Option<TransferCursor>,
    begun: bool,
    counts: Vec<u64>,
    with_files: u64,
    done: bool,
    _ticket: ExportTicket,
}

impl Transfer {
    pub(crate) fn build(options: TransferOptions, ports: &Ports, sessions: &Sessions) -> Self {
        Self {
            store: ports.store.clone(),
            files: ports.media_files.clone(),
            clock: ports.clock.clone(),
            sessions: sessions.clone(),
            options,
            importing: Arc::default(),
            exports: Arc::default(),
        }
    }

    /// The kind of the database: `sqlite` or `postgres`.
    pub fn database_kind(&self) -> &'static str {
        self.store.database_kind()
    }

    /// How many media files there are, and their bytes.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn files(&self) -> StoreResult<(u64, u64)> {
        self.files.census().await
    }

    fn ticket(&self) -> ExportTicket {
        self.exports.fetch_add(1, Ordering::AcqRel);
        ExportTicket(self.exports.clone())
    }

    /// The tables as the pieces of one JSON document. A failure in between ends the document early.
    pub fn export(&self) -> impl Stream<Item = StoreResult<Bytes>> + Send + use<> {
        let place = ExportPlace {
            transfer: self.clone(),
            table: 0,
            after: None,
            begun: false,
            counts: vec![0; TABLES.len()],
            with_files: 0,
            done: false,
            _ticket: self.ticket(),
        };
        stream::try_unfold(place, |mut place| async move {
            Ok(place.piece().await?.map(|piece| (Bytes::from(piece), place)))
        })
    }

    /// Stores an exported document, all of it or nothing.
    ///
    /// # Errors
    /// [`TransferError`]; nothing is changed then.
    pub async fn import(
        &self,
        tables: TransferTables,
        wishes: ImportWishes,
    ) -> Result<Imported, TransferError> {
        let _one = self.importing.try_lock().map_err(|_| TransferError::AlreadyRunning)?;
        if self.exports.load(Ordering::Acquire) > 0 {
            return Err(TransferError::ExportRunning);
        }
        let rows = tables.get("session").into_iter().flatten();
        let ids = rows.filter_map(|row| row.get("id")?.as_str());
        let named: HashSet<String> = ids.map(str::to_owned).collect();
        let everything = Page { limit: u32::MAX, offset: 0 };
        let running = self.sessions.list(None, everything).await?;
        let running = running.into_iter().filter(|view| view.engine_loaded);
        let running: Vec<SessionId> = running.map(|view| view.session.id).collect();
        if !running.is_empty() && !wishes.force {
            return Err(TransferError::SessionsRun(running.len()));
        }
        let with_webhooks = tables.get("webhook").is_some_and(|rows| !rows.is_empty());
        let counts = self.store.import_rows(tables).await?.map_err(TransferError::Refused)?;
        let is_orphan = |id: &SessionId| !named.contains(&id.to_string());
        let mut imported = Imported {
            counts,
            orphans: running.into_iter().filter(is_orphan).collect(),
            ..Imported::default()
        };
        if with_webhooks {
            imported.warnings.push(
                "Imported webhooks are inactive: set their secrets and headers, then switch them on".into(),
            );
        }
        if wishes.stop_orphans {
            for session in imported.orphans.clone() {
                match self.sessions.stop(session).await {
                    Ok(_) => imported.stopped.push(session),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(session.id = %session, error, "a session was not stopped after an import");
                        imported.not_stopped.push(session);
                    }
                }
            }
        }
        Ok(imported)
    }
}

impl ExportPlace {
    /// The next piece of the document; `None` behind its end.
    async fn piece(&mut self) -> StoreResult<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        let mut piece = Vec::new();
        if self.table == 0 && !self.begun {
            let (at, kind) = (self.transfer.clock.now().iso(), self.transfer.database_kind());
            let head = format!(
                "{{\"exportedAt\":{},\"dataDbType\":{},\"tables\":{{",
                json!(at),
                json!(kind)
            );
            piece.extend(head.into_bytes());
        }
        let Some(name) = TABLES.get(self.table).copied() else {
            self.done = true;
            let counts: serde_json::Map<String, serde_json::Value> = TABLES
                .iter()
                .zip(&self.counts)
                .map(|(name, count)| ((*name).to_owned(), json!(count)))
                .collect();
            let tail = format!(
                "}},\"counts\":{},\"skippedTables\":{},\"omittedInlineMedia\":{}}}",
                json!(counts),
                json!(LEFT_OUT),
                self.with_files
            );
            piece.extend(tail.into_bytes());
            return Ok(Some(piece));
        };
        if !self.begun {
            let comma = if self.table == 0 { "" } else { "," };
            piece.extend(format!("{comma}{}:[", json!(name)).into_bytes());
        }
        let page = self.transfer.store.export_rows(name, self.after.take(), PAGE).await?;
        for row in page.rows {
            if self.counts[self.table] > 0 {
                piece.push(b',');
            }
            self.counts[self.table] += 1;
            let metadata = row.get("metadata").and_then(|text| text.as_str()).unwrap_or("");
            self.with_files += u64::from(name == "message" && metadata.contains("\"media\""));
            piece.extend(serde_json::to_vec(&row).unwrap_or_default());
        }
        self.begun = true;
        self.after = page.next;
        if self.after.is_none() {
            piece.push(b']');
            (self.table, self.begun) = (self.table + 1, false);
        }
        Ok(Some(piece))
    }
}
