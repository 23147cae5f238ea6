//! Packages come in: from an upload or a URL.

use std::{sync::Arc, time::Duration};

use domain::{
    plugin::{Manifest, PACKAGE_BYTES_MAX, Plugin, PluginId, Signature},
    port::Package,
};
use url::Url;

use super::{PluginError, Plugins, runner::Runner};
use crate::egress::GetLimits;

const FETCH_LIMIT: Duration = Duration::from_secs(60);

impl Plugins {
    /// Installs a package; it is not enabled.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn install(&self, package: &[u8]) -> Result<Plugin, PluginError> {
        let (manifest, _) = self.read_package(package)?;
        let now = self.shared.ports.clock.now();
        let plugin = Plugin {
            id: manifest.id.clone(),
            enabled: false,
            config: manifest.schema().defaults(),
            session_configs: Default::default(),
            sessions: None,
            hooks: vec![],
            error: None,
            installed_at: now,
            updated_at: now,
            enabled_at: None,
            revision: 0,
            manifest,
        };
        let stored = self.shared.ports.store.insert_plugin(&plugin, package).await?;
        let revision = stored.ok_or_else(|| PluginError::Exists(plugin.id.to_string()))?;
        Ok(Plugin { revision, ..plugin })
    }

    /// Puts another package in the place of an installed one; what is configured stays. One that is enabled has to
    /// start, or nothing is changed.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn update(&self, id: &PluginId, package: &[u8]) -> Result<Plugin, PluginError> {
        let (manifest, _) = self.read_package(package)?;
        if manifest.id != *id {
            return Err(PluginError::refused(format!(
                "the package is of another plugin: {}",
                manifest.id
            )));
        }
        let mut plugin = self.found(id).await?;
        let mut config = manifest.schema().defaults();
        config.extend(std::mem::take(&mut plugin.config));
        (plugin.config, plugin.manifest) = (config, manifest);
        let now = self.shared.ports.clock.now();
        (plugin.installed_at, plugin.updated_at, plugin.error) = (now, now, None);
        if plugin.enabled {
            plugin.hooks = self.probe(&plugin, package).await?;
            plugin.enabled_at = Some(now);
        }
        self.store(plugin, Some(package)).await
    }

    /// Fetches a package through the guard of outgoing calls. `#sha256=<hex>` behind the URL says what it has to be.
    ///
    /// # Errors
    /// [`PluginError::NotFetched`], [`PluginError::Refused`].
    pub async fn fetch_package(&self, url: &str) -> Result<Vec<u8>, PluginError> {
        let mut url =
            Url::parse(url).map_err(|error| PluginError::refused(format!("url: {error}")))?;
        let wanted =
            url.fragment().and_then(|text| text.strip_prefix("sha256=")).map(str::to_owned);
        url.set_fragment(None);
        let fetched = |error: &dyn std::fmt::Display| {
            PluginError::NotFetched(format!("the package could not be fetched: {error}"))
        };
        let scratch = self.shared.ports.media_files.scratch().await?;
        let file = scratch.file.try_clone().map_err(|error| fetched(&error))?;
        let limits = GetLimits { bytes_max: PACKAGE_BYTES_MAX as u64, time: FETCH_LIMIT };
        self.shared
            .egress
            .get_into(&url, file, limits, None)
            .await
            .map_err(|error| fetched(&error))?;
        let mut file = scratch.file.try_clone().map_err(|error| fetched(&error))?;
        let bytes = read(&mut file).map_err(|error| fetched(&error))?;
        match wanted {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&digest(&bytes)) => {
                Err(PluginError::refused("the package is not the one that #sha256= names"))
            }
            _ => Ok(bytes),
        }
    }

    fn read_package(&self, bytes: &[u8]) -> Result<(Manifest, Package), PluginError> {
        let package = self.shared.ports.plugins.unpack(bytes).map_err(PluginError::refused)?;
        let manifest = package.judged().map_err(PluginError::refused)?;
        let open = manifest.ingress.iter().find(|route| route.signature == Signature::Unsigned);
        if let Some(route) = open.filter(|_| !self.shared.options.unsigned_ingress) {
            return Err(PluginError::refused(format!(
                "ingress route {} is not signed, so anybody could call it: ALLOW_UNSIGNED_INGRESS=true takes such routes",
                route.route
            )));
        }
        Ok((manifest, package))
    }

    /// Runs a package once, to see what it registers.
    pub(super) async fn probe(
        &self,
        plugin: &Plugin,
        package: &[u8],
    ) -> Result<Vec<domain::plugin::HookRegistration>, PluginError> {
        let (_, package) = self.read_package(package)?;
        let shared: &Arc<_> = &self.shared;
        let probed = Runner::probe(shared, plugin.clone(), package).await;
        probed.map_err(|why| PluginError::NotStarted(plugin.id.to_string(), why))
    }
}

fn read(file: &mut std::fs::File) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    let mut bytes = vec![];
    file.rewind()?;
    file.take(PACKAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
