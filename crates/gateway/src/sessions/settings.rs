//! What is set for a session: its tunables, its proxy.

use domain::{SessionId, port::SessionPatch, proxy::ProxyUrl, session::SessionConfig};

use super::{ConfigPatch, Sessions, UpdateSessionError};

impl Sessions {
    /// Changes tunables; they apply from the next lost connection on.
    ///
    /// # Errors
    /// [`UpdateSessionError`].
    pub async fn set_config(
        &self,
        id: SessionId,
        patch: ConfigPatch,
    ) -> Result<SessionConfig, UpdateSessionError> {
        let session =
            self.inner.ports.store.session(id).await.map_err(UpdateSessionError::Store)?;
        let config = patch.apply(session.ok_or(UpdateSessionError::NotFound(id))?.config);
        self.patch(id, SessionPatch { config: Some(config.clone()), ..SessionPatch::default() })
            .await?;
        Ok(config)
    }

    /// Sets or clears the proxy; it applies from the next connect on.
    ///
    /// # Errors
    /// [`UpdateSessionError`].
    pub async fn set_proxy(
        &self,
        id: SessionId,
        proxy: Option<ProxyUrl>,
    ) -> Result<Option<ProxyUrl>, UpdateSessionError> {
        self.patch(id, SessionPatch { proxy: Some(proxy.clone()), ..SessionPatch::default() })
            .await?;
        Ok(proxy)
    }

    async fn patch(
        &self,
        id: SessionId,
        mut patch: SessionPatch,
    ) -> Result<(), UpdateSessionError> {
        patch.at = Some(self.inner.ports.clock.now());
        let applied = self.inner.ledger.patch(None, id, patch, vec![]).await;
        let applied = applied.map_err(UpdateSessionError::Store)?;
        if applied { Ok(()) } else { Err(UpdateSessionError::NotFound(id)) }
    }
}
