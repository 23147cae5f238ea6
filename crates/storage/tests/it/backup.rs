//! Backups of ledgers and folders, and what a restore makes of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::{
    MediaId,
    message::MessageStatus,
    port::{
        DeviceKeys as _, EventLog as _, KeyChange, Ledger as _, MediaFiles as _, MessageStore as _,
        NewMessage, SessionStore as _, Write,
    },
};
use storage::{
    BackupError, BackupMedia, BackupOptions, FolderMedia, LedgerStore, MasterKey, OpenError,
    ProgressListener, RestoreOptions, Revival, WrittenBackup,
};
use tempfile::TempDir;
use testkit::{START, build};

use crate::support::{self, append, database, held, open, open_at, tamper, told};

const DEVICE: (&str, &str) = ("device", "device");
const FORGET: &[&str] = &["session", "sender_key"];
const LATER: Duration = Duration::from_secs(3600);

pub fn key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

pub fn untold() -> ProgressListener {
    Arc::new(|_| {})
}

pub fn revival() -> Revival {
    Revival {
        forget: FORGET,
        device: DEVICE,
        renew: Arc::new(|stored| Some([stored, b" renewed"].concat())),
        now: START.plus(LATER),
        entropy: Arc::new(testkit::SeededEntropy::new(7)),
    }
}

/// An installation: a ledger and a media folder.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn ledger(&self) -> PathBuf {
        database(&self.0)
    }

    pub fn media(&self) -> PathBuf {
        self.0.path().join("media")
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("backup.tar")
    }

    pub fn backup_options(&self) -> BackupOptions {
        BackupOptions {
            ledger: self.ledger(),
            media: self.media(),
            without_media: false,
            key: key(),
            file: self.file(),
            program: "1.2.3".into(),
            now: START,
        }
    }

    pub fn back_up(&self) -> WrittenBackup {
        storage::back_up(&self.backup_options(), &untold()).unwrap()
    }

    fn restore_options(&self, file: &Path) -> RestoreOptions {
        RestoreOptions {
            file: file.to_path_buf(),
            ledger: self.ledger(),
            media: self.media(),
            key: key(),
            replace: false,
            revival: revival(),
        }
    }

    pub async fn keep(&self, bytes: &[u8]) -> MediaId {
        let store = FolderMedia::open(&self.media()).unwrap();
        let scratch = store.scratch().await.unwrap();
        std::io::Write::write_all(&mut scratch.handle().unwrap(), bytes).unwrap();
        store.keep(scratch).await.unwrap().id
    }

    /// Every file with its content, but for locks, so that two looks can be compared.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !name.ends_with("lock") {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        found
    }
}

fn put(namespace: &'static str, value: &[u8]) -> KeyChange {
    let name = if namespace == DEVICE.0 { DEVICE.1 } else { "name" };
    KeyChange::Put { namespace, key: name.into(), value: value.into(), expires_at: 0 }
}

/// A session with keys, an event, and a message on its way out.
pub async fn furnish(store: &LedgerStore) -> domain::port::Lease {
    let lease = held(store, 1).await;
    let session = lease.session;
    let keys = ["device", "session", "sender_key", "identity", "prekey"];
    let keys = keys.map(|namespace| put(namespace, namespace.as_bytes()));
    store.apply_key_changes(&lease, keys.into()).await.unwrap();
    append(store, build::event(1, session, &build::chat(1))).await.unwrap();
    let sending = NewMessage {
        outgoing: Some(build::outgoing(1)),
        ..NewMessage::row(build::message(1, session))
    };
    let write = Write::InsertMessage { message: Box::new(sending), events: vec![] };
    store.write(vec![write]).await.unwrap();
    lease
}

#[tokio::test]
async fn a_ledger_comes_back_while_its_gateway_goes_on_and_drops_what_is_old() {
    let (old, new) = (Place::new(), Place::new());
    let store = open(&old.0).await;
    let lease = furnish(&store).await;
    let session = lease.session;
    let picture = old.keep(b"a picture").await;
    let written = old.back_up();
    assert_eq!((written.media_files, written.header.media), (1, BackupMedia::Included));
    // What comes after it is not in it.
    append(&store, build::event(2, session, &build::chat(1))).await.unwrap();
    let before = store.read_events(0, None, 10).await.unwrap();
    assert_eq!(before.len(), 2);

    let restored = storage::restore(new.restore_options(&old.file()), untold()).await.unwrap();
    assert_eq!((restored.replaced, restored.missing_media), (None, 0));
    assert_eq!((restored.revived.sessions, restored.revived.devices), (1, 1));
    assert_eq!((restored.revived.keys, restored.revived.messages), (2, 1));
    let again = open(&new.0).await;
    for (namespace, value) in [
        ("device", Some(&b"device renewed"[..])),
        ("session", None),
        ("sender_key", None),
        ("identity", Some(b"identity")),
        ("prekey", Some(b"prekey")),
    ] {
        let name = if namespace == DEVICE.0 { DEVICE.1 } else { "name" };
        let found = again.device_key(session, namespace, name).await.unwrap();
        assert_eq!(found.map(|entry| entry.value).as_deref(), value, "{namespace}");
    }
    let message = again.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!(message.status, MessageStatus::Failed);
    assert_eq!(message.metadata["failure"]["kind"], "expired");
    assert_eq!(again.unresolved_sends(session).await.unwrap(), []);
    // Nobody goes on with a lease of then.
    let taken = again.acquire_session(session, "new", START, LATER).await.unwrap().unwrap();
    assert!(taken.lease.epoch > lease.epoch + 1);
    let (mut file, size) =
        FolderMedia::open(&new.media()).unwrap().open(&picture).await.unwrap().unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    assert_eq!((&bytes[..], size), (&b"a picture"[..], 9));
}

#[tokio::test]
async fn numbers_that_were_given_after_the_backup_are_not_given_again() {
    let (old, new) = (Place::new(), Place::new());
    let store = open(&old.0).await;
    let session = furnish(&store).await.session;
    old.back_up();
    let mut after = Vec::new();
    for number in 2..20 {
        after.push(append(&store, build::event(number, session, &build::chat(1))).await.unwrap());
    }
    let end = store.log_bounds().await.unwrap().last;
    storage::restore(new.restore_options(&old.file()), untold()).await.unwrap();
    let again = open(&new.0).await;
    let event = append(&again, build::event(99, session, &build::chat(1))).await.unwrap();
    assert!(after.iter().all(|old| old.sequence < event.sequence));
    let bounds = again.log_bounds().await.unwrap();
    assert!(bounds.last > end && bounds.pruned > end, "{bounds:?}");
    let told = again.pruned_sessions(10).await.unwrap();
    assert!(told[0].through > after.last().unwrap().sequence && told[0].through < event.sequence);
    // What is there is still read, across the gap.
    let all = again.read_events(0, Some(session), 100).await.unwrap();
    assert_eq!(all.first().unwrap().event.sequence, 1);
    assert_eq!(all.last().unwrap().event, event);
}

#[tokio::test]
async fn a_ledger_that_runs_or_is_there_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    let store = open(&place.0).await;
    furnish(&store).await;
    place.back_up();
    let replacing = RestoreOptions { replace: true, ..place.restore_options(&place.file()) };
    let refused = storage::restore(replacing.clone(), untold()).await.unwrap_err();
    assert!(matches!(refused, BackupError::Open(OpenError::InUse(_))), "{refused}");
    store.close().await;
    drop(store);
    let before = place.everything();
    let refused = storage::restore(place.restore_options(&place.file()), untold()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, BackupError::Occupied(_)), "{refused}");
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert!(place.everything() == before, "a refused restore changed something");

    let restored = storage::restore(replacing, untold()).await.unwrap();
    let kept = restored.replaced.unwrap();
    let left = std::fs::read_dir(place.0.path()).unwrap();
    let left: Vec<_> = left.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("restoring")), "{left:?}");
    // The one that was there can still be opened.
    let earlier = open_at(&kept).await;
    assert_eq!(earlier.unresolved_sends(build::session(1).id).await.unwrap().len(), 1);
    earlier.close().await;
    let now = open(&place.0).await;
    assert_eq!(now.unresolved_sends(build::session(1).id).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_log_that_was_left_beside_the_old_ledger_is_not_read_as_that_of_the_new_one() {
    let place = Place::new();
    let store = open(&place.0).await;
    furnish(&store).await;
    place.back_up();
    let session = build::session(1).id;
    append(&store, build::event(2, session, &build::chat(1))).await.unwrap();
    // As after `kill -9`: what the log holds is not in the file.
    let log = support::beside(&place.ledger(), "-wal");
    let left = std::fs::read(&log).unwrap();
    let file = std::fs::read(place.ledger()).unwrap();
    store.close().await;
    drop(store);
    std::fs::write(place.ledger(), file).unwrap();
    std::fs::write(&log, left).unwrap();
    let options = RestoreOptions { replace: true, ..place.restore_options(&place.file()) };
    let restored = storage::restore(options, untold()).await.unwrap();
    let now = open(&place.0).await;
    let events = now.read_events(0, Some(session), 10).await.unwrap();
    let late = build::event(2, session, &build::chat(1)).id;
    assert!(events.iter().all(|one| one.event.draft.id != late));
    let earlier = open_at(&restored.replaced.unwrap()).await;
    assert_eq!(earlier.read_events(0, Some(session), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_byte_that_is_wrong_anywhere_is_noticed_before_anything_is_changed() {
    let (old, new) = (Place::new(), Place::new());
    let store = open(&old.0).await;
    furnish(&store).await;
    old.keep(b"a picture").await;
    old.back_up();
    let whole = std::fs::read(old.file()).unwrap();
    let bent = old.0.path().join("bent.tar");
    let refused = async |bytes: &[u8], what: &str| {
        std::fs::write(&bent, bytes).unwrap();
        let refused = storage::restore(new.restore_options(&bent), untold()).await.unwrap_err();
        let known = matches!(
            refused,
            BackupError::Spoiled { .. }
                | BackupError::NotABackup { .. }
                | BackupError::OtherKey { .. }
                | BackupError::Newer { .. }
        );
        assert!(known, "{what}: {}", told(&refused));
        assert!(new.everything().is_empty(), "{what} changed something");
    };
    // In every part: headers of the tar, ours, the ledger, the picture, the list, the end.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        // A letter stays one and a zero of the padding is not looked at: turn what carries something.
        let Some(at) = (at..whole.len()).find(|at| bytes[*at] != 0) else { continue };
        bytes[at] ^= 0x41;
        std::fs::write(&bent, &bytes).unwrap();
        if storage::check_backup(&bent, &untold()).is_ok() {
            // Owner or time in a tar's header: nothing that is restored.
            continue;
        }
        refused(&bytes, &format!("byte {at}")).await;
    }
    for length in [0, 100, 512, 1024, whole.len() / 2, whole.len() - 2048] {
        refused(&whole[..length], &format!("{length} bytes")).await;
    }
    refused(b"something else entirely", "a text").await;
}

#[tokio::test]
async fn the_wrong_key_and_a_newer_schema_are_refused_before_anything_is_changed() {
    let (old, new) = (Place::new(), Place::new());
    let store = open(&old.0).await;
    furnish(&store).await;
    let written = old.back_up();
    let other = MasterKey::from_bytes([8; 32]);
    let options = RestoreOptions { key: other.clone(), ..new.restore_options(&old.file()) };
    let refused = storage::restore(options, untold()).await.unwrap_err().to_string();
    let fingerprints = [other.fingerprint(), written.header.key_fingerprint.clone()];
    assert!(fingerprints.iter().all(|one| refused.contains(one)), "{refused}");
    assert!(new.everything().is_empty());

    let options =
        BackupOptions { key: other, file: old.0.path().join("b"), ..old.backup_options() };
    let refused = storage::back_up(&options, &untold()).unwrap_err();
    assert!(matches!(refused, BackupError::WrongKey { .. }), "{refused}");

    tamper(
        &old.ledger(),
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9000, 'later', 1, x'00', 0)",
    )
    .await;
    let options = BackupOptions { file: old.0.path().join("later"), ..old.backup_options() };
    storage::back_up(&options, &untold()).unwrap();
    let refused = storage::restore(new.restore_options(&options.file), untold()).await.unwrap_err();
    assert!(matches!(refused, BackupError::Newer { .. }), "{refused}");
    assert!(refused.to_string().contains("1.2.3"), "{refused}");
    assert!(new.everything().is_empty());
}

#[tokio::test]
async fn without_media_the_files_are_listed_and_missed() {
    let (old, new) = (Place::new(), Place::new());
    let store = open(&old.0).await;
    furnish(&store).await;
    for number in 0..3u8 {
        old.keep(&[number; 100]).await;
    }
    let options = BackupOptions { without_media: true, ..old.backup_options() };
    let written = storage::back_up(&options, &untold()).unwrap();
    assert_eq!((written.media_files, written.header.media), (3, BackupMedia::Listed));
    let checked = storage::check_backup(&old.file(), &untold()).unwrap();
    assert_eq!((checked.media_files, checked.media_bytes), (3, 300));
    new.keep(&[1; 100]).await;
    let restored = storage::restore(new.restore_options(&old.file()), untold()).await.unwrap();
    assert_eq!(restored.missing_media, 2);
}
