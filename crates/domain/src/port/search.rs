//! The search for messages.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::search::{SearchMatch, SearchPage, SearchQuery};

/// The search for messages. Their words are indexed in the transaction that stores, changes or deletes them.
#[async_trait]
pub trait SearchStore: Send + Sync + 'static {
    /// Looks for messages, newest first. Scopes narrow before paging and before counting.
    async fn search_messages(&self, query: &SearchQuery, page: Page) -> StoreResult<SearchPage>;
    /// Switches an index on or off. One that is switched on is filled from then on, and by
    /// [`index_older`](Self::index_older) with what was there before; one that is switched off is emptied.
    async fn switch_search(&self, how: SearchMatch, on: bool) -> StoreResult<()>;
    /// Indexes up to so many older messages of an index that is on; `false` when nothing is left. It goes on where it
    /// stopped, also after a restart.
    async fn index_older(&self, how: SearchMatch, limit: u32) -> StoreResult<bool>;
}
