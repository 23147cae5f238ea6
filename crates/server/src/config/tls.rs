//! TLS towards a database or a queue: on with verification, or off.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// The server's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// A PEM file of authorities; without it the usual roots.
    pub ca: Option<PathBuf>,
}

/// What two settings mean.
pub(super) fn target(on: bool, ca: &Path) -> Option<TlsSettings> {
    on.then(|| TlsSettings { ca: (!ca.as_os_str().is_empty()).then(|| ca.to_path_buf()) })
}

/// An authority that would not be asked, or that cannot be read, is a mistake.
pub(super) fn check(switch: (&str, bool), file: (&str, &Path)) -> Result<(), ConfigError> {
    let ((switch, on), (setting, path)) = (switch, file);
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    if !on {
        return Err(ConfigError(format!("{setting}: is set, but {switch} is false")));
    }
    match std::fs::read_to_string(path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Ok(()),
        Ok(_) => {
            Err(ConfigError(format!("{setting}: {} holds no PEM certificate", path.display())))
        }
        Err(error) => {
            Err(ConfigError(format!("{setting}: cannot read {}: {error}", path.display())))
        }
    }
}
