//! What WhatsApp is asked about the account's business.

use async_trait::async_trait;

use super::EngineError;
use crate::catalogue::{BusinessProfile, ProductPage};

/// The business of an account, by its connection. Nothing of it is kept: WhatsApp is asked each time.
#[async_trait]
pub trait CatalogueActions {
    /// The business behind the account; `None` when it is no business.
    async fn business(&self) -> Result<Option<BusinessProfile>, EngineError>;

    /// A part of the account's catalogue, from its beginning or from where another part ended; `None` when it has
    /// none.
    async fn products(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Option<ProductPage>, EngineError>;
}
