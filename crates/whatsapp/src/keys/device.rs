//! The device itself: one row.

use async_trait::async_trait;
use whatsapp_rust::{traits::DeviceStore, wacore::store::Device};

use super::{LedgerBackend, StoreOutcome, namespace as ns, put_json};

/// The row's name; a session has one device.
pub(super) const DEVICE: &str = "device";

/// The number the library wants for a device. Which device it is, is the session's id in the ledger.
const ONLY_DEVICE: i32 = 1;

#[async_trait]
impl DeviceStore for LedgerBackend {
    async fn save(&self, device: &Device) -> StoreOutcome<()> {
        self.apply(vec![put_json(ns::DEVICE, DEVICE, device)?]).await
    }

    async fn load(&self) -> StoreOutcome<Option<Device>> {
        self.json(ns::DEVICE, DEVICE).await
    }

    async fn exists(&self) -> StoreOutcome<bool> {
        Ok(self.entry(ns::DEVICE, DEVICE).await?.is_some())
    }

    async fn create(&self) -> StoreOutcome<i32> {
        let _exclusive = self.exclusive().await;
        if !self.exists().await? {
            self.save(&Device::new()).await?;
        }
        Ok(ONLY_DEVICE)
    }
}
