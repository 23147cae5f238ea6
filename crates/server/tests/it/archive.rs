//! A machine with nothing but the archive: a root of its own, in which are the archive, the libraries that its program
//! names, and empty folders.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use simulator::Account;
use tokio::time::Instant;

use crate::{
    ledgers,
    support::{Api, LIMIT, Prepared, Running, finish},
};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";
/// Longest time from the start of a restored gateway until both sides have read each other.
const TALK_LIMIT: Duration = Duration::from_secs(60);

struct Machine {
    root: tempfile::TempDir,
    /// The program, as the machine sees it.
    program: String,
    house: Prepared,
}

impl Machine {
    async fn new() -> Self {
        let house = Prepared::new().await;
        let root = tempfile::tempdir().unwrap();
        for folder in ["tmp", "data", "earlier", "restored"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let archive = pack(house.data());
        let mut unpack = Command::new("tar");
        unpack.arg("-xzf").arg(&archive).arg("-C").arg(root.path());
        assert!(unpack.status().unwrap().success());
        let name = archive.file_name().unwrap().to_str().unwrap().replace(".tar.gz", "");
        let program = format!("/{name}/waypost");
        libraries(&root.path().join(&name).join("waypost"), root.path());
        Self { root, program, house }
    }

    /// A command of the program, with the settings of the house and this data folder.
    fn command(&self, data: &str, args: &[&str]) -> Command {
        let outside = self.house.tool(args);
        let mut command = match rustix::process::geteuid().is_root() {
            true => Command::new("/usr/sbin/chroot"),
            false => {
                let mut command = Command::new("/usr/bin/unshare");
                command.args(["--map-root-user", "--root"]);
                command
            }
        };
        command.arg(self.root.path()).arg(&self.program).args(args).env_clear();
        command.envs(outside.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("WAYPOST_DATA_DIR", data).env_remove("PATH");
        command
    }

    fn start(&self, data: &str) -> Running {
        let log = self.house.data().join("stderr.log");
        Running::spawn(self.command(data, &["serve"]), log)
    }

    /// Runs a command that has to succeed; what it prints.
    fn run(&self, data: &str, args: &[&str]) -> String {
        let (code, out, err) = finish(self.command(data, args));
        assert_eq!(code, Some(0), "{args:?}: {out}{err}");
        out
    }

    /// Links a number as its owner would: the code from the terminal is typed on the phone.
    async fn link(&self, running: &Running) {
        let owner = self.house.network.add_account(SHOP, "Shop").await;
        let base = running.base.clone();
        let mut command = self.command("/data", &["link", "shop", "--code", SHOP, "--url", &base]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let code = lines.find_map(|line| {
            let (first, second) = line.trim().split_once('-')?;
            (first.len() == 4 && second.len() == 4).then(|| format!("{first}{second}"))
        });
        self.house.network.enter_code(SHOP, &code.unwrap()).await.unwrap();
        assert!(lines.any(|line| line == format!("shop is linked: +{SHOP}")));
        assert!(child.wait().unwrap().success());
        assert_eq!(owner.devices().len(), 1);
    }
}

/// The archive of the program under test, in a folder.
fn pack(into: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_waypost"));
    let packer = program.with_file_name("xtask");
    assert!(packer.exists(), "build it first: cargo build -p xtask");
    let mut command = Command::new(packer);
    command.arg("dist").arg("--program").arg(program).arg("--into").arg(into);
    let (code, _, err) = finish(command);
    assert_eq!(code, Some(0), "{err}");
    let files = std::fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path());
    { files }.find(|path| path.to_str().unwrap().ends_with(".tar.gz")).unwrap()
}

/// What the smallest base of an image has: the libraries that a program names, under the same paths.
fn libraries(program: &Path, root: &Path) {
    let (code, out, _) = finish({
        let mut command = Command::new("ldd");
        command.arg(program);
        command
    });
    assert_eq!(code, Some(0), "{out}");
    for path in out.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
}

/// Each side says something to the other and reads it.
async fn both_read_each_other(api: &Api, session: &str, mia: &Account, word: &str) {
    let (said, answered) = (format!("{word}, says Mia"), format!("{word}, says the shop"));
    mia.send_text(SHOP, &said).await.unwrap();
    let list = format!("/sessions/{session}/messages?limit=100");
    api.until(&list, |body| body.to_string().contains(&said)).await;
    let body = json!({ "chatId": format!("{MIA}@c.us"), "text": answered });
    let (status, sent) = api.post(&format!("/sessions/{session}/messages/send-text"), &body).await;
    assert_eq!(status, 201, "{sent}");
    mia.wait_for(LIMIT, |message| message.text == answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_nothing_but_the_archive_does_everything() {
    let machine = Machine::new().await;
    let mia = machine.house.network.add_account(MIA, "Mia").await;
    let running = machine.start("/data");
    let api = running.api();
    machine.link(&running).await;
    let session = api.get("/sessions?limit=1").await[0]["id"].as_str().unwrap().to_owned();
    both_read_each_other(&api, &session, &mia, "linked").await;
    machine.run("/data", &["backup", "/tmp/backup.tar"]);
    both_read_each_other(&api, &session, &mia, "behind the backup").await;
    assert!(running.terminate().success());

    // In place, from the tables of the version before.
    let before = ledgers::names().pop().unwrap();
    let said = ledgers::lay_out(&before, &machine.root.path().join("earlier"));
    let running = machine.start("/earlier");
    ledgers::check(&running.api(), &said).await;
    assert!(running.terminate().success());

    machine.run("/restored", &["restore", "/tmp/backup.tar"]);
    let running = machine.start("/restored");
    let began = Instant::now();
    let api = running.api();
    api.until(&format!("/sessions/{session}"), |body| body["status"] == "ready").await;
    both_read_each_other(&api, &session, &mia, "restored").await;
    assert!(began.elapsed() < TALK_LIMIT, "{:?}", began.elapsed());
    assert!(running.terminate().success());
}
