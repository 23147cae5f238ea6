//! The file with the master key.

use std::path::Path;

use storage::{KeyFileError, LedgerStore, MasterKey, StoreOptions};
use testkit::SeededEntropy;

use crate::support;

fn load(path: &Path, seed: u64) -> Result<MasterKey, KeyFileError> {
    MasterKey::load_or_create(path, &SeededEntropy::new(seed))
}

/// A key file as an operator would make it: for the owner alone.
fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    std::fs::write(path, content).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[tokio::test]
async fn the_first_start_makes_it_and_later_starts_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("master.key");
    let first = load(&path, 1).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim().len(), 64, "hex");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    // Other entropy: a key that was made anew would be another one, and the database would not open.
    let second = load(&path, 2).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let database = support::database(&folder);
    let store = LedgerStore::open(StoreOptions::new(database.clone(), first)).await.unwrap();
    support::close(store).await;
    LedgerStore::open(StoreOptions::new(database, second)).await.unwrap();
}

#[test]
fn two_installations_have_two_keys() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    load(&one, 1).unwrap();
    load(&two, 2).unwrap();
    assert_ne!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
}

#[test]
fn a_malformed_one_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let short = "07".repeat(31);
    let contents: [&[u8]; 5] = [b"", b"\n", b"not a key", short.as_bytes(), &[0xFF, 0xFE, 7, 7]];
    for content in contents {
        write(&path, content, 0o600);
        let error = load(&path, 1).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed(_)), "{content:?}: {error:?}");
        let line = support::told(&error);
        assert_eq!(line.lines().count(), 1);
        assert!(line.contains(path.to_str().unwrap()), "{line}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn hex_with_white_space_and_base64_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    for content in [
        format!("  {}\r\n\n", "07".repeat(32)),
        "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n".to_owned(),
    ] {
        write(&path, content, 0o400);
        load(&path, 1).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn one_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    for mode in [0o640, 0o604, 0o644, 0o660] {
        write(&path, "07".repeat(32), mode);
        let error = load(&path, 1).unwrap_err();
        assert!(matches!(error, KeyFileError::Permissions(_)), "{mode:o}: {error:?}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn what_a_crash_left_beside_it_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    write(&path.with_extension("new"), "0707", 0o600);
    load(&path, 1).unwrap();
    load(&path, 2).unwrap();
}

#[test]
fn a_folder_in_its_place_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(folder.path(), 1).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
}
