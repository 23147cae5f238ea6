//! What lies on this machine: folders, their rights, the room on their disks, the key.

use std::path::{Path, PathBuf};

use storage::MasterKey;

use super::report::Finding;
use crate::config::{DatabaseTarget, Settings};

const MIB: u64 = 1 << 20;
/// Less than this is used up by one burst.
const FREE_BYTES_MIN: u64 = 256 * MIB;
/// Less than this is worth a look.
const FREE_BYTES_LOW: u64 = 1024 * MIB;

/// Whether the data folder is there, ours, and nobody else's.
pub fn data_folder(settings: &Settings) -> Finding {
    const CHECK: &str = "data folder";
    let dir = &settings.data.dir;
    if !dir.is_dir() {
        return Finding::warning(
            CHECK,
            format!("{} is not there yet", dir.display()),
            "`waypost serve` makes it; if the gateway ran before, name its folder with data.dir (WAYPOST_DATA_DIR)",
        );
    }
    if let Some(finding) = not_writable(CHECK, dir) {
        return finding;
    }
    match others_may(dir) {
        0 => Finding::good(CHECK, format!("{} belongs to its owner alone", dir.display())),
        mode => Finding::warning(
            CHECK,
            format!("{} is open to other users of this machine (mode {mode:03o})", dir.display()),
            format!("chmod 700 {}", dir.display()),
        ),
    }
}

/// Whether media files can be kept; nothing to say before the first start.
pub fn media_folder(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "media folder";
    let dir = settings.media_dir();
    if !dir.is_dir() {
        return None;
    }
    let good = || Finding::good(CHECK, format!("{} can be written", dir.display()));
    Some(not_writable(CHECK, &dir).unwrap_or_else(good))
}

fn not_writable(check: &'static str, dir: &Path) -> Option<Finding> {
    use rustix::fs::{Access, access};
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let error = access(dir, wanted).err()?;
    Some(Finding::problem(
        check,
        format!("{} cannot be written by this user: {error}", dir.display()),
        format!(
            "run this as the gateway's user; or give that user the folder, or mount it writable again: {}",
            dir.display()
        ),
    ))
}

/// What the mode gives to those who are not the owner.
fn others_may(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 == 0 { 0 } else { mode }
}

/// The room on the disks of the ledger and the media files, once for each disk.
pub fn free_space(settings: &Settings) -> Vec<Finding> {
    let mut places: Vec<PathBuf> = match settings.database() {
        DatabaseTarget::Sqlite(file) => file.parent().map(Path::to_path_buf).into_iter().collect(),
        DatabaseTarget::Postgres(_) => vec![settings.data.dir.clone()],
    };
    places.push(settings.media_dir());
    let mut seen = Vec::new();
    places.retain(|place| {
        let Ok(found) = rustix::fs::stat(place) else { return false };
        let new = !seen.contains(&found.st_dev);
        seen.push(found.st_dev);
        new
    });
    places.iter().filter_map(|place| room(place)).collect()
}

fn room(place: &Path) -> Option<Finding> {
    const CHECK: &str = "disk";
    let found = rustix::fs::statvfs(place).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let says = format!("{} MiB free for {}", free / MIB, place.display());
    Some(match free {
        _ if free < FREE_BYTES_MIN => {
            Finding::problem(CHECK, says, "make room now: without it nothing can be stored")
        }
        _ if free < FREE_BYTES_LOW => Finding::warning(CHECK, says, "make room soon"),
        _ => Finding::good(CHECK, says),
    })
}

/// Whether there is a key, and whether others may read it.
pub fn master_key(settings: &Settings, key: &anyhow::Result<Option<MasterKey>>) -> Finding {
    const CHECK: &str = "master key";
    match key {
        Ok(Some(key)) => Finding::good(
            CHECK,
            format!("fingerprint {}; keep a copy apart from the backups", key.fingerprint()),
        ),
        Ok(None) => Finding::warning(
            CHECK,
            format!("none: neither WAYPOST_MASTER_KEY nor {}", settings.key_file().display()),
            "for a new installation `waypost serve` makes one; for one that ran before, put its key back",
        ),
        Err(error) => Finding::problem(
            CHECK,
            format!("{error:#}"),
            "without its key nothing of the ledger can be opened",
        ),
    }
}
