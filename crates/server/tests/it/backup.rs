//! Backup and restore of the built program on the simulated network.

use std::{path::PathBuf, time::Duration};

use domain::SessionId;
use serde_json::{Value, json};
use simulator::{Account, Jid};
use tokio::time::Instant;

use crate::support::{Api, LIMIT, MASTER_KEY, Prepared, finish, waypost};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";
/// Longest time from the start of a restored gateway until both sides have read each other.
const TALK_LIMIT: Duration = Duration::from_secs(60);

/// A shop that runs, a guest, and a group of the two.
struct Talk {
    house: Prepared,
    session: SessionId,
    mia: Account,
    group: Jid,
}

impl Talk {
    async fn begin() -> Self {
        let house = Prepared::new().await;
        let session = house.link(&[SHOP]).await[0];
        let mia = house.network.add_account(MIA, "Mia").await;
        let group = mia.create_group("Market", &[SHOP]).await.unwrap();
        Self { house, session, mia, group }
    }

    fn file(&self) -> PathBuf {
        self.house.data().join("backup.tar")
    }

    /// The answer of the program to a command.
    fn tool(&self, args: &[&str]) -> (Option<i32>, String, String) {
        finish(self.house.tool(args))
    }

    async fn send(&self, api: &Api, chat: &str, text: &str) -> (u16, Value) {
        let body = json!({ "chatId": chat, "text": text });
        api.post(&format!("/sessions/{}/messages/send-text", self.session), &body).await
    }

    /// Each side says something to the other, alone and in the group, and reads it.
    async fn both_read_each_other(&self, api: &Api, word: &str) {
        for (chat, is_group) in [(format!("{MIA}@c.us"), false), (self.group.to_string(), true)] {
            let (said, answered) =
                (format!("{word} from mia {is_group}"), format!("{word} answer {is_group}"));
            match is_group {
                true => self.mia.send_text_to(&self.group, &said).await.unwrap(),
                false => self.mia.send_text(SHOP, &said).await.unwrap(),
            };
            let list = format!("/sessions/{}/messages?chatId={chat}&limit=100", self.session);
            api.until(&list, |body| {
                body["messages"].as_array().unwrap().iter().any(|one| one["body"] == said.as_str())
            })
            .await;
            let (status, sent) = self.send(api, &chat, &answered).await;
            assert_eq!(status, 201, "{sent}");
            let read = self.mia.wait_for(LIMIT, |message| message.text == answered).await.unwrap();
            assert_eq!(read.group.is_some(), is_group);
        }
    }

    /// How often the guest's phone shows a text.
    async fn shown(&self, text: &str) -> usize {
        self.mia.inbox().await.iter().filter(|message| message.text == text).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_both_sides_read_each_other_and_nothing_goes_out_twice() {
    let talk = Talk::begin().await;
    let file = talk.file();
    let first = talk.house.start();
    let api = first.api();
    api.ready(talk.session).await;
    talk.both_read_each_other(&api, "before").await;

    // It is on its way while the backup is made: the guest has it, the ledger does not know yet.
    talk.house.network.faults().delay_acks(Duration::from_secs(20));
    let (chat, text) = (format!("{MIA}@c.us"), "on its way");
    let sending = talk.send(&api, &chat, text);
    let backing_up = async {
        talk.mia.wait_for(LIMIT, |message| message.text == text).await.unwrap();
        let file = file.to_str().unwrap().to_owned();
        let command = talk.house.tool(&["backup", &file]);
        tokio::task::spawn_blocking(move || finish(command)).await.unwrap()
    };
    let (code, out, err) = tokio::select! {
        done = backing_up => done,
        answer = sending => panic!("answered before the backup was made: {answer:?}"),
    };
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("whole") && out.contains("fingerprint"), "{out}");
    assert!(!out.contains(MASTER_KEY) && !err.contains(MASTER_KEY));
    assert!(err.contains("copying the ledger"), "{err}");
    talk.house.network.faults().clear();

    // The ratchets go on after it.
    talk.both_read_each_other(&api, "after").await;
    let (code, _, err) = talk.tool(&["restore", file.to_str().unwrap(), "--replace"]);
    assert_eq!(code, Some(1), "a gateway runs");
    assert!(err.contains("in use"), "{err}");
    first.kill();
    let (code, _, err) = talk.tool(&["restore", file.to_str().unwrap()]);
    assert!(code == Some(1) && err.contains("--replace"), "{err}");
    let (code, out, err) = talk.tool(&["restore", file.to_str().unwrap(), "--replace"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 messages (failed") && out.contains("kept as"), "{out}");

    let again = talk.house.start();
    let began = Instant::now();
    let api = again.api();
    api.ready(talk.session).await;
    talk.both_read_each_other(&api, "restored").await;
    assert!(began.elapsed() < TALK_LIMIT, "{:?}", began.elapsed());
    let list = format!("/sessions/{}/messages?chatId={chat}&limit=100", talk.session);
    let rows = api.get(&list).await;
    let rows = rows["messages"].as_array().unwrap();
    let row = rows.iter().find(|row| row["body"] == text).unwrap();
    assert_eq!(row["status"], "failed", "{row}");
    assert!(!rows.iter().any(|row| row["body"] == "after answer false"), "that was later");
    assert_eq!(talk.shown(text).await, 1, "it went out once");
    let record = talk.house.network.record();
    assert!(record.undecryptable.is_empty(), "{:?}", record.undecryptable);
    assert!(!record.handshakes.contains_key("XX"), "the device is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_copied_by_other_tools_is_made_ready_in_place() {
    let talk = Talk::begin().await;
    let first = talk.house.start();
    first.api().ready(talk.session).await;
    talk.both_read_each_other(&first.api(), "before").await;
    assert!(first.terminate().success());
    let ledger = talk.house.data().join("waypost.sqlite");
    let of_then = std::fs::read(&ledger).unwrap();
    let second = talk.house.start();
    second.api().ready(talk.session).await;
    talk.both_read_each_other(&second.api(), "after").await;
    let (code, _, err) = talk.tool(&["restore", "--in-place"]);
    assert!(code == Some(1) && err.contains("in use"), "{err}");
    assert!(second.terminate().success());
    std::fs::write(&ledger, of_then).unwrap();
    let (code, out, err) = talk.tool(&["restore", "--in-place"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("Linked devices: 1"), "{out}");
    let third = talk.house.start();
    third.api().ready(talk.session).await;
    talk.both_read_each_other(&third.api(), "restored").await;
}

#[test]
fn each_command_helps() {
    for (name, words) in [
        ("backup", ["FILE", "--without-media", "master key"]),
        ("restore", ["--replace", "--in-place", "pg_restore"]),
        ("doctor", ["--json", "Exit code", "--url"]),
    ] {
        let mut command = waypost();
        command.args([name, "--help"]);
        let (code, out, _) = finish(command);
        assert_eq!(code, Some(0));
        for word in words {
            assert!(out.contains(word), "{name}: {word}\n{out}");
        }
    }
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = waypost();
        command.current_dir(dir.path()).args(args).envs(env.iter().copied());
        let (code, _, err) = finish(command);
        assert_eq!(code, Some(1), "{err}");
        err
    };
    let key = ("WAYPOST_MASTER_KEY", MASTER_KEY);
    let err = run(&["backup", "a.tar"], &[]);
    assert!(err.contains("no master key") && err.trim_end().lines().count() == 1, "{err}");
    let err = run(&["backup", "a.tar"], &[key]);
    assert!(err.contains("no ledger") && err.contains("WAYPOST_DATA_DIR"), "{err}");
    let err = run(&["restore", "a.tar"], &[key]);
    assert!(err.contains("a.tar"), "{err}");
    let postgres = ("DATABASE_TYPE", "postgres");
    let err = run(&["backup", "a.tar"], &[key, postgres]);
    assert!(err.contains("pg_dump --format=custom") && err.contains("--in-place"), "{err}");
    let err = run(&["restore", "a.tar"], &[key, postgres]);
    assert!(err.contains("pg_restore"), "{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
