//! The first admin key: printed once, and kept in a file only its owner can read.

use std::{
    io::{self, Write as _},
    path::Path,
};

/// The file's name, OpenWA's.
pub const FILE_NAME: &str = ".api-key";

/// Writes the key to `dir/.api-key` with mode 0600, replacing an older one.
pub fn write(dir: &Path, key: &str) -> io::Result<()> {
    let path = dir.join(FILE_NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        super::write(dir.path(), "old").unwrap();
        super::write(dir.path(), "new").unwrap();
        let path = dir.path().join(super::FILE_NAME);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
