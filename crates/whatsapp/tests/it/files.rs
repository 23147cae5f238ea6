//! Files: up and down as streams, byte for byte.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    time::Duration,
};

use domain::{
    content::{Content, Media, MediaKind, RemoteMedia},
    media::MEDIA_BYTES_MAX,
    port::EngineError,
};
use simulator::{CraftedFile, FileKind, NewFile};
use whatsapp::MediaEndpoint;

use crate::{
    kinds::Pair,
    support::{BOB, Line, World, chat, deliver, engine, open_with, options, outgoing},
};

const KINDS: [(MediaKind, FileKind, &str); 6] = [
    (MediaKind::Image, FileKind::Image, "image/png"),
    (MediaKind::Video, FileKind::Video, "video/mp4"),
    (MediaKind::Audio, FileKind::Audio, "audio/mpeg"),
    (MediaKind::Voice, FileKind::Voice, "audio/ogg; codecs=opus"),
    (MediaKind::Document, FileKind::Document, "application/pdf"),
    (MediaKind::Sticker, FileKind::Sticker, "image/webp"),
];

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

async fn fetched(line: &Line, kind: MediaKind, remote: &RemoteMedia) -> Vec<u8> {
    let mut into = file_with(b"left over from before");
    line.connection
        .download(kind, remote, into.try_clone().unwrap(), MEDIA_BYTES_MAX)
        .await
        .unwrap();
    let mut bytes = Vec::new();
    into.seek(SeekFrom::Start(0)).unwrap();
    into.read_to_end(&mut bytes).unwrap();
    bytes
}

fn media(kind: MediaKind, mimetype: &str, remote: RemoteMedia) -> Media {
    let has_caption = matches!(kind, MediaKind::Image | MediaKind::Video | MediaKind::Document);
    let plays = matches!(kind, MediaKind::Video | MediaKind::Audio | MediaKind::Voice);
    Media {
        kind,
        mimetype: mimetype.into(),
        filename: (kind == MediaKind::Document).then(|| "bill.pdf".into()),
        caption: has_caption.then(|| "look at this".into()),
        size_bytes: remote.length,
        seconds: plays.then_some(7),
        look: Default::default(),
        remote: Some(remote),
    }
}

#[tokio::test]
async fn every_kind_of_file_arrives_byte_for_byte_both_ways() {
    let pair = Pair::new().await;
    let content = bytes(100_003);
    for (number, (kind, theirs, mimetype)) in KINDS.into_iter().enumerate() {
        let (to, back) = &pair.ways[number % pair.ways.len()];
        let remote = pair.line.connection.upload(kind, file_with(&content)).await.unwrap();
        assert_eq!(remote.length, 100_003);
        let sent = media(kind, mimetype, remote);
        let message = outgoing(to, Content::Media(Box::new(sent.clone())));
        let received = deliver(&pair.line, &pair.bob, message).await;
        assert_eq!(received.kind(), kind.as_str());
        assert_eq!(received.text, sent.caption.clone().unwrap_or_default());
        assert!(pair.bob.file_of(&received).unwrap() == content, "{kind:?}");
        // The same file as Bob's phone forwards it is read as it was written.
        let id = pair.bob.send(back.clone(), received.message).await.unwrap();
        let forwarded = pair.line.ear.by_id(&id).await;
        assert_eq!(forwarded.content, Content::Media(Box::new(sent)));

        let mut file = NewFile::new(theirs, content.clone(), mimetype);
        file.caption = Some("from bob".into());
        let id = pair.bob.send_file(back, file).await.unwrap();
        let Content::Media(media) = pair.line.ear.by_id(&id).await.content else {
            panic!("no file");
        };
        assert_eq!((media.kind, media.size_bytes), (kind, 100_003));
        assert_eq!(media.mimetype, mimetype);
        let remote = media.remote.unwrap();
        assert!(fetched(&pair.line, kind, &remote).await == content, "{kind:?}");
    }
    pair.end().await;
}

#[tokio::test]
async fn a_file_of_fifty_megabytes_reaches_the_inbox() {
    const BIG: usize = 50 << 20;
    let pair = Pair::new().await;
    let piece = bytes(1 << 20);
    let mut file = tempfile::tempfile().unwrap();
    for _ in 0..50 {
        file.write_all(&piece).unwrap();
    }
    let remote = pair.line.connection.upload(MediaKind::Video, file).await.unwrap();
    assert_eq!(remote.length, BIG as u64);
    let sent = media(MediaKind::Video, "video/mp4", remote.clone());
    let message = outgoing(&chat(BOB), Content::Media(Box::new(sent)));
    let received = deliver(&pair.line, &pair.bob, message).await;
    let got = pair.bob.file_of(&received).unwrap();
    assert_eq!(got.len(), BIG);
    assert!(got.chunks(1 << 20).all(|chunk| chunk == piece));
    pair.end().await;
}

/// Most memory this process ever held, bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Each test has a process of its own, so the peak is this test's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_does_not_grow_with_the_file() {
    const GROWTH_MAX: u64 = 16 << 20;
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let host = crate::disk_host::start(folder.path().join("blob")).await;
    let mut options = options(&world.network);
    options.media = MediaEndpoint::Mapped { base: format!("http://{host}").parse().unwrap() };
    let (session, _) = world.linked(crate::support::ALICE).await;
    let line = open_with(&engine(options, &world.keys), session, None).await.unwrap();
    line.ear.connected().await;
    let piece = bytes(1 << 20);
    let mut file = tempfile::tempfile().unwrap();
    for _ in 0..50 {
        file.write_all(&piece).unwrap();
    }
    // Whatever is made once is made now.
    let small = line.connection.upload(MediaKind::Document, file_with(b"small")).await.unwrap();
    fetched(&line, MediaKind::Document, &small).await;

    let before = peak_memory();
    let remote = line.connection.upload(MediaKind::Document, file).await.unwrap();
    let into = tempfile::tempfile().unwrap();
    let handle = into.try_clone().unwrap();
    line.connection.download(MediaKind::Document, &remote, handle, MEDIA_BYTES_MAX).await.unwrap();
    assert_eq!(into.metadata().unwrap().len(), 50 << 20);
    let growth = peak_memory() - before;
    assert!(growth < GROWTH_MAX, "{} KiB more", growth >> 10);
    line.connection.close().await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused_and_leaves_nothing() {
    let pair = Pair::new().await;
    let remote =
        pair.line.connection.upload(MediaKind::Image, file_with(b"a picture")).await.unwrap();
    let into = file_with(b"before");
    let mut damaged = remote.clone();
    damaged.media_key[0] ^= 1;
    let handle = into.try_clone().unwrap();
    let result =
        pair.line.connection.download(MediaKind::Image, &damaged, handle, MEDIA_BYTES_MAX).await;
    assert!(matches!(&result, Err(EngineError::Unanswered(_))), "{result:?}");
    assert_eq!(into.metadata().unwrap().len(), 0);

    pair.world.network.forget_media();
    let handle = into.try_clone().unwrap();
    let result =
        pair.line.connection.download(MediaKind::Image, &remote, handle, MEDIA_BYTES_MAX).await;
    assert!(matches!(&result, Err(EngineError::Refused(_))), "{result:?}");
    assert_eq!(into.metadata().unwrap().len(), 0);
    pair.end().await;
}

#[tokio::test]
async fn an_upload_ends_with_its_link() {
    let world = World::new().await;
    let (_, device, line) = world.connected(crate::support::ALICE).await;
    world.network.faults().delay_media(Duration::from_secs(3));
    let upload = line.connection.upload(MediaKind::Image, file_with(b"a picture"));
    let (result, ()) = tokio::join!(upload, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.network.kick(crate::support::ALICE, device.device_id).await;
    });
    assert!(matches!(&result, Err(EngineError::Unanswered(_))), "{result:?}");
    line.ear.lost().await;
    let again = line.connection.upload(MediaKind::Image, file_with(b"a picture")).await;
    assert!(matches!(again, Err(EngineError::NotConnected)));
}

#[tokio::test]
async fn a_file_without_upload_is_refused() {
    let pair = Pair::new().await;
    let unsent = Media {
        kind: MediaKind::Image,
        mimetype: "image/png".into(),
        filename: None,
        caption: None,
        size_bytes: 1,
        seconds: None,
        look: Default::default(),
        remote: None,
    };
    let message = outgoing(&chat(BOB), Content::Media(Box::new(unsent)));
    let result = pair.line.connection.send(message).await;
    assert!(matches!(result, Err(EngineError::Refused(_))));
    pair.end().await;
}

/// What a sender wrote instead of the path never becomes a connection: the media host is not asked either.
#[tokio::test]
async fn a_path_that_a_sender_made_up_leads_nowhere() {
    let pair = Pair::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let evil = format!("127.0.0.1:{port}");
    for path in [
        format!("@{evil}/x"),
        format!(".{evil}/x"),
        format!(":x@{evil}/x"),
        format!("//{evil}/x"),
        format!("\\{evil}/x"),
        format!("/\\{evil}/x"),
        "/a b".into(),
        String::from("x"),
    ] {
        let mut file = NewFile::new(FileKind::Image, b"a picture".to_vec(), "image/png");
        file.crafted.direct_path = Some(path.clone());
        let id = pair.bob.send_file(&pair.ways[0].1, file).await.unwrap();
        let Content::Media(media) = pair.line.ear.by_id(&id).await.content else {
            panic!("no file");
        };
        assert_eq!(media.remote, None, "{path}");
        // Rows that were stored before anybody looked.
        let remote = RemoteMedia {
            direct_path: path.clone(),
            url: String::new(),
            media_key: vec![1; 32],
            media_key_timestamp: 0,
            sha256: vec![2; 32],
            enc_sha256: vec![3; 32],
            length: 9,
            streaming_sidecar: vec![],
        };
        let into = tempfile::tempfile().unwrap();
        let result = pair.line.connection.download(MediaKind::Image, &remote, into, 1000).await;
        assert!(matches!(&result, Err(EngineError::Refused(_))), "{path}: {result:?}");
    }
    assert_eq!(pair.world.network.media_requests(), Vec::<String>::new());
    assert!(futures::FutureExt::now_or_never(listener.accept()).is_none());
    pair.end().await;
}

#[tokio::test]
async fn a_redirect_of_the_media_host_is_not_followed() {
    let pair = Pair::new().await;
    let remote =
        pair.line.connection.upload(MediaKind::Image, file_with(b"a picture")).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/latest/meta-data", listener.local_addr().unwrap());
    pair.world.network.faults().redirect_media(Some(&elsewhere));
    let into = file_with(b"before");
    let handle = into.try_clone().unwrap();
    let result = pair.line.connection.download(MediaKind::Image, &remote, handle, 1000).await;
    assert!(matches!(&result, Err(EngineError::Unanswered(_))), "{result:?}");
    assert_eq!(into.metadata().unwrap().len(), 0);
    assert!(futures::FutureExt::now_or_never(listener.accept()).is_none());
    pair.world.network.faults().redirect_media(None);
    assert_eq!(fetched(&pair.line, MediaKind::Image, &remote).await, b"a picture");
    pair.end().await;
}

/// Of the hosts that are named, those that are not WhatsApp's are not called.
#[tokio::test]
async fn hosts_of_strangers_are_not_called() {
    let world = World::new().await;
    world.network.faults().name_media_hosts(&["media.example", "127.0.0.1", "sim.invalid"]);
    let (_, _, line) = world.connected(crate::support::ALICE).await;
    let result = line.connection.upload(MediaKind::Image, file_with(b"a picture")).await;
    assert!(matches!(&result, Err(EngineError::Refused(_))), "{result:?}");
    assert_eq!(world.network.media_requests(), Vec::<String>::new());
    line.connection.close().await;
}

/// A sender may say ten bytes and send as many as it likes: the rest is not read.
#[tokio::test]
async fn a_file_that_grows_beyond_its_word_is_cut_off() {
    let pair = Pair::new().await;
    let mut file = NewFile::new(FileKind::Document, bytes(20 << 20), "application/pdf");
    file.crafted = CraftedFile { length: Some(10), ..CraftedFile::default() };
    let id = pair.bob.send_file(&pair.ways[0].1, file).await.unwrap();
    let Content::Media(media) = pair.line.ear.by_id(&id).await.content else { panic!("no file") };
    let mut remote = media.remote.unwrap();
    for (declared, limit) in [(10, MEDIA_BYTES_MAX), (0, 1 << 20), (u64::MAX, 1 << 20)] {
        remote.length = declared;
        let into = file_with(b"before");
        let handle = into.try_clone().unwrap();
        let before = pair.world.network.media_requests().len();
        let result =
            pair.line.connection.download(MediaKind::Document, &remote, handle, limit).await;
        assert!(matches!(&result, Err(EngineError::TooBig)), "{result:?}");
        assert_eq!(into.metadata().unwrap().len(), 0);
        assert_eq!(pair.world.network.media_requests().len(), before + 1, "it is asked once");
    }
    remote.length = 20 << 20;
    assert_eq!(fetched(&pair.line, MediaKind::Document, &remote).await.len(), 20 << 20);
    pair.end().await;
}
