//! Rows on their way to another installation.

use async_trait::async_trait;

use super::StoreResult;
use crate::transfer::{TransferCursor, TransferPage, TransferRefused, TransferTables};

/// Reading and writing whole tables as JSON.
#[async_trait]
pub trait TransferStore: Send + Sync + 'static {
    /// The kind of the database: `sqlite` or `postgres`.
    fn database_kind(&self) -> &'static str;
    /// Up to so many rows of one of [`TABLES`](crate::transfer::TABLES), from behind a cursor on. Secrets stay out.
    async fn export_rows(
        &self,
        table: &'static str,
        after: Option<TransferCursor>,
        limit: u32,
    ) -> StoreResult<TransferPage>;
    /// Stores rows, all of them or none. What a session of them had before of these tables is replaced; other sessions
    /// stay as they are. How many rows of each table.
    async fn import_rows(
        &self,
        tables: TransferTables,
    ) -> StoreResult<Result<Vec<(&'static str, u64)>, TransferRefused>>;
}
