//! A disk that is full, and one that turns read-only, under a live load. They need root: one mounts a small file
//! system, the other forbids writes to files that are open.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    collector::Collector,
    counting::{
        ids, lanes_in_order, nothing_missing, phone, register, repeats_say_so, sequences_are_dense,
        talk,
    },
    support::{Api, Prepared, Running},
};

const SHOP: &str = "4915550001000";
const PATH: &str = "/everything";
const CHATS: usize = 10;
const MESSAGES: usize = 400;
const GAP: Duration = Duration::from_millis(50);
/// Calls that can be under way: one per lane, of each chat and of the session.
const LANES: usize = CHATS + 1;
/// A lease is over in this time, many times while nothing can be written.
const LEASE: &str = "1000";
/// So long nothing can be written.
const HELD: Duration = Duration::from_secs(8);
const LIMIT: Duration = Duration::from_secs(120);

fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).status();
    assert!(done.is_ok_and(|status| status.success()), "{program} {args:?}: this needs root");
}

/// A small file system: the database, and its log of up to 64 MiB.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=128m", "tmpfs", folder.to_str().unwrap()]);
        Self(folder.to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A folder that can be made read-only, with its files that are open. Not SQLite's index of its log: that is mapped
/// into memory, where a write that is forbidden ends the process by a signal.
struct Sealable(PathBuf);

impl Sealable {
    fn change(&self, flag: &str) {
        let database = self.0.join("waypost.sqlite");
        let log = self.0.join("waypost.sqlite-wal");
        for path in [&self.0, &database, &log] {
            run("chattr", &[flag, path.to_str().unwrap()]);
        }
    }
}

impl Drop for Sealable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-i"]).arg(&self.0).status();
    }
}

async fn until_ready_says(api: &Api, wanted: u16) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (status, body) = api.raw(reqwest::Method::GET, "/health/ready", None).await;
        if status == wanted {
            return body;
        }
        assert!(Instant::now() < deadline, "readiness never said {wanted}: {status} {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until readiness says why nothing is written.
async fn until_ready_says_why(api: &Api) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let body = until_ready_says(api, 503).await;
        if body["details"]["mainDatabase"]["status"] == "read_only" {
            return body;
        }
        assert!(Instant::now() < deadline, "readiness never said why: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A program with its data in a folder of its own, while ten contacts write to it.
struct House {
    house: Prepared,
    session: domain::SessionId,
    collector: Arc<Collector>,
    talks: Vec<JoinHandle<Vec<String>>>,
}

impl House {
    /// `data` is there.
    async fn open(house: Prepared, data: &Path) -> (Self, Running) {
        let session = house.link(&[SHOP]).await[0];
        for entry in std::fs::read_dir(house.data()).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("waypost.sqlite") {
                std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
            }
        }
        let collector = Collector::that_takes(Duration::from_millis(20)).await;
        let running = house.start_at(data, &[("WAYPOST_WEBHOOK_LEASE_MS", LEASE)]);
        running.api().ready(session).await;
        register(&running.api(), session, &collector.url(PATH), &["*"]).await;
        let mut talks = Vec::new();
        for chat in 0..CHATS {
            let contact = house.network.add_account(&phone(chat), &format!("Guest {chat}")).await;
            talks.push(tokio::spawn(talk(contact, SHOP, MESSAGES, GAP)));
        }
        (Self { house, session, collector, talks }, running)
    }

    /// What holds while nothing can be written.
    async fn stands_still(&self, api: &Api, word: &str) {
        until_ready_says(api, 503).await;
        // Before a write failed the reason is not known.
        let body = until_ready_says_why(api).await;
        let advice = body["details"]["mainDatabase"]["message"].as_str().unwrap().to_lowercase();
        assert!(advice.contains(word), "{advice}");
        let before = self.collector.received(PATH).len();
        let send = json!({ "chatId": format!("{}@c.us", phone(0)), "text": "not now" });
        let path = format!("/sessions/{}/messages/send-text", self.session);
        // A connection whose message is not stored ends: there may be none now.
        let answer = api.post(&path, &send).await;
        assert!(matches!(answer.0, 409 | 503), "{answer:?}");
        // That nothing happens takes its time.
        tokio::time::sleep(HELD).await;
        let more = self.collector.received(PATH).len() - before;
        assert!(more <= LANES, "{more} calls whose result cannot be recorded");
        let health = api.get("/health").await;
        assert!(health.to_string().contains("LEDGER_NOT_WRITABLE"), "{health}");
        assert!(api.metric("waypost_ledger_writable").await < 0.5);
    }

    /// What holds afterwards, without a restart.
    async fn ends_whole(self, running: Running, states: usize) {
        let api = running.api();
        until_ready_says(&api, 200).await;
        api.ready(self.session).await;
        let mut sent = BTreeMap::new();
        for (chat, talk) in self.talks.into_iter().enumerate() {
            sent.insert(format!("{}@c.us", phone(chat)), talk.await.unwrap());
        }
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline && ids(&self.collector.taken(PATH)).len() < CHATS * MESSAGES
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (log, received) = (running.log(), self.collector.received(PATH));
        nothing_missing(&self.collector.taken(PATH), &sent, PATH);
        repeats_say_so(&received, PATH);
        lanes_in_order(&received, &sent, PATH);
        sequences_are_dense(&received);
        let again = self.collector.repeats(PATH).of_kills();
        assert_eq!(again, 0, "what is known is not sent again");
        let told = log.matches("the ledger takes no writes").count();
        assert!((1..=states).contains(&told), "{told} times: {log}");
        let lines = log.lines().count();
        assert!(lines < 100, "{lines} lines: {log}");
        assert!(running.terminate().success());
        drop(self.house);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_deliveries_and_everything_goes_on_when_there_is_room() {
    let house = Prepared::new().await;
    let disk = Small::mount(&house.data().join("small"));
    let (house, running) = House::open(house, &disk.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    disk.fill();
    house.stands_still(&running.api(), "space").await;
    disk.free();
    // A checkpoint can make room for a while.
    house.ends_whole(running, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_stops_deliveries_until_it_can_be_written() {
    let house = Prepared::new().await;
    let folder = Sealable(house.data().join("sealed"));
    std::fs::create_dir_all(&folder.0).unwrap();
    let (house, running) = House::open(house, &folder.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    folder.change("+i");
    house.stands_still(&running.api(), "writ").await;
    folder.change("-i");
    house.ends_whole(running, 2).await;
}
