//! The pause of all sends, which every process on the ledger obeys.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreResult;
use crate::brake::SendsPause;

/// Told when a pause of all sends began or ended, or may have: whoever listens reads it anew.
pub type PauseListener = Arc<dyn Fn() + Send + Sync>;

/// The pause of all sends. There is one for the whole ledger, or none.
#[async_trait]
pub trait BrakeStore: Send + Sync + 'static {
    /// The pause in force.
    async fn sends_pause(&self) -> StoreResult<Option<SendsPause>>;
    /// Begins a pause; one in force stays as it is. The pause in force afterwards.
    async fn pause_sends(&self, pause: &SendsPause) -> StoreResult<SendsPause>;
    /// Ends the pause in force; `false` when there was none.
    async fn resume_sends(&self) -> StoreResult<bool>;
    /// Calls the listener whenever a pause begins or ends, here or in another process. A word may be lost. The
    /// listener must not wait.
    fn listen_for_pauses(&self, listener: PauseListener);
}
