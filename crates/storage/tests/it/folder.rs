//! The media store in a folder.

use std::{
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use domain::{
    MediaId,
    port::{KeptMedia, MediaFiles as _, StoreErrorKind},
};
use sha2::{Digest as _, Sha256};
use storage::FolderMedia;

fn id_of(bytes: &[u8]) -> MediaId {
    MediaId::of(&Sha256::digest(bytes).into())
}

async fn keep(store: &FolderMedia, bytes: &[u8]) -> KeptMedia {
    let scratch = store.scratch().await.unwrap();
    scratch.handle().unwrap().write_all(bytes).unwrap();
    store.keep(scratch).await.unwrap()
}

async fn read(store: &FolderMedia, id: &MediaId) -> Option<Vec<u8>> {
    let (mut file, size_bytes) = store.open(id).await.unwrap()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, size_bytes);
    Some(bytes)
}

/// Every file under a folder, but for those that are only locked.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn what_was_kept_reads_back_and_lies_under_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(&folder.path().join("deep").join("media")).unwrap();
    // Longer than a piece, and not a multiple of it; and nothing at all.
    let long: Vec<u8> = (0..200_001u32).map(|n| n.to_le_bytes()[0]).collect();
    for bytes in [long.as_slice(), b"", b"cake"] {
        let kept = keep(&store, bytes).await;
        assert_eq!(kept, KeptMedia { id: id_of(bytes), size_bytes: bytes.len() as u64 });
        assert_eq!(read(&store, &kept.id).await.as_deref(), Some(bytes));
        let name = kept.id.as_str();
        let place = folder.path().join("deep/media").join(&name[..2]).join(name);
        assert_eq!(std::fs::read(place).unwrap(), bytes);
    }
    assert_eq!(files(folder.path()).len(), 3, "nothing is left of the writing");
    assert_eq!(read(&store, &id_of(b"never kept")).await, None);
}

#[tokio::test]
async fn the_whole_file_counts_wherever_its_writer_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let mut scratch = store.scratch().await.unwrap();
    scratch.file.write_all(b"bread and cake").unwrap();
    scratch.file.seek(SeekFrom::Start(6)).unwrap();
    assert_eq!(store.keep(scratch).await.unwrap().id, id_of(b"bread and cake"));
}

#[tokio::test]
async fn the_same_bytes_are_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let first = keep(&store, b"cake").await;
    let place = files(folder.path()).remove(0);
    // The file stays as it is, and says that it is wanted: it is not removed as one that was kept before.
    let number =
        |place: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(place).unwrap());
    let before = number(&place);
    let kept_at = std::fs::metadata(&place).unwrap().modified().unwrap();
    assert_eq!(keep(&store, b"cake").await, first);
    assert_eq!(files(folder.path()), std::slice::from_ref(&place));
    assert_eq!(number(&place), before);
    assert!(std::fs::metadata(&place).unwrap().modified().unwrap() > kept_at);
    let both = futures::future::join(keep(&store, b"bread"), keep(&store, b"bread")).await;
    assert_eq!(both.0, both.1);
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
async fn a_cut_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let kept = keep(&store, b"cake").await;
    std::fs::write(files(folder.path()).remove(0), b"ca").unwrap();
    keep(&store, b"cake").await;
    assert_eq!(read(&store, &kept.id).await.as_deref(), Some(&b"cake"[..]));
}

#[tokio::test]
async fn what_was_not_kept_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let scratch = store.scratch().await.unwrap();
    scratch.handle().unwrap().write_all(b"half").unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    drop(scratch);
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn leftovers_of_an_earlier_life_are_removed_and_kept_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let kept = keep(&store, b"cake").await;
    let scratch = store.scratch().await.unwrap();
    scratch.handle().unwrap().write_all(b"half").unwrap();
    // As kill -9 does: nobody removes it.
    std::mem::forget(scratch);
    assert_eq!(files(folder.path()).len(), 2);
    drop(store);
    let store = FolderMedia::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    assert_eq!(read(&store, &kept.id).await.as_deref(), Some(&b"cake"[..]));
    let desks = std::fs::read_dir(folder.path().join("tmp")).unwrap();
    assert_eq!(desks.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 1);
}

#[tokio::test]
async fn a_process_that_starts_leaves_the_others_what_they_are_writing() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let scratch = store.scratch().await.unwrap();
    scratch.handle().unwrap().write_all(b"cake").unwrap();
    let other = FolderMedia::open(folder.path()).unwrap();
    assert_eq!(store.keep(scratch).await.unwrap().id, id_of(b"cake"));
    let kept = keep(&store, b"bread").await;
    assert_eq!(read(&other, &kept.id).await.as_deref(), Some(&b"bread"[..]));
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the age of a file is told by the file system's clock"
)]
async fn what_a_version_without_folders_was_writing_is_removed_a_day_later() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    for (name, age) in [("old", 90_000), ("new", 80_000)] {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        let at = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(at).unwrap();
    }
    FolderMedia::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()), [tmp.join("new")]);
}

#[tokio::test]
async fn removing_is_final_and_fine_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderMedia::open(folder.path()).unwrap();
    let kept = keep(&store, b"cake").await;
    for _ in 0..2 {
        let far = domain::Timestamp::from_millis(i64::MAX);
        assert!(store.remove(&kept.id, far).await.unwrap());
        assert_eq!(read(&store, &kept.id).await, None);
    }
    assert_eq!(keep(&store, b"cake").await, kept);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    let store = FolderMedia::open(&media).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let scratch = store.scratch().await.unwrap();
    assert_eq!(mode(&scratch.path), 0o600);
    store.keep(scratch).await.unwrap();
    let file = files(&media).remove(0);
    assert_eq!(mode(&file), 0o600);
    for folder in [media.as_path(), &media.join("tmp"), file.parent().unwrap()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_is_an_error_not_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    let store = FolderMedia::open(&media).unwrap();
    let scratch = store.scratch().await.unwrap();
    std::fs::remove_dir_all(&media).unwrap();
    let error = store.scratch().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(store.keep(scratch).await.is_err());
    std::fs::write(&media, b"a file").unwrap();
    assert!(FolderMedia::open(&media).is_err());
}
