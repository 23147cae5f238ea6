//! The key file: made on the first start, readable only by its owner.

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use domain::Entropy;

use crate::crypt::MasterKey;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("the key file {path} cannot be read or made")]
    Io {
        /// The path that was tried.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the key file {0} can be read by others: run chmod 600 on it")]
    Permissions(PathBuf),
    /// It holds something else.
    #[error("the key file {0} does not hold 32 bytes in hex")]
    Malformed(PathBuf),
}

impl MasterKey {
    /// Reads the key file, or makes it with a fresh key and mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        match Self::load(path)? {
            Some(key) => Ok(key),
            None => create(path, entropy)
                .map_err(|source| KeyFileError::Io { path: path.to_path_buf(), source }),
        }
    }

    /// Reads the key file; `None` where there is none.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_path_buf(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(KeyFileError::Malformed(path.into()));
            }
            Err(error) => return Err(io(error)),
        };
        if !check_permissions(path).map_err(io)? {
            return Err(KeyFileError::Permissions(path.into()));
        }
        let key = Self::from_hex_or_base64(&text);
        key.map(Some).map_err(|_| KeyFileError::Malformed(path.into()))
    }
}

fn create(path: &Path, entropy: &dyn Entropy) -> std::io::Result<MasterKey> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut bytes = [0u8; 32];
    entropy.fill(&mut bytes);
    let key = MasterKey::from_bytes(bytes);
    // Written beside and renamed: a crash leaves either no key file or a whole one.
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    writeln!(file, "{}", key.hex())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)?;
    Ok(key)
}

/// The name must survive a power cut too: what the database holds by then opens only with this key.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => std::fs::File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> std::io::Result<bool> {
    Ok(true)
}
