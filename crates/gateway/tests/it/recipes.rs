//! The signature recipes of `docs/webhooks.md`, as they stand there, on real deliveries. Languages that are not installed
//! are left out; Node and Python must be there.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use domain::webhook::Secret;
use gateway::webhooks::WebhookPatch;
use testkit::{Received, Receiver, build};

use crate::house::{House, within};

const SECRETS: [&str; 2] = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "plain secret, ünïcode"];

/// A language: what its block is called, the files that call the recipe, and how they are run. They take the secret, the
/// id, the time, both signatures and the present from the command line and the body from the standard input, and say
/// `true` or `false` for each recipe.
struct Language {
    block: &'static str,
    program: &'static str,
    recipe: &'static str,
    caller: (&'static str, &'static str),
    run: &'static [&'static str],
}

const LANGUAGES: [Language; 5] = [
    Language {
        block: "javascript",
        program: "node",
        recipe: "recipe.js",
        caller: (
            "recipe.js",
            r#"
const [secret, id, timestamp, signatures, signature, now] = process.argv.slice(2);
const input = require("node:fs").readFileSync(0);
console.log(openwa(secret, input, signature), standard(secret, input, id, timestamp, signatures, Number(now)));
"#,
        ),
        run: &["recipe.js"],
    },
    Language {
        block: "python",
        program: "python3",
        recipe: "recipe.py",
        caller: (
            "recipe.py",
            r#"
import sys
secret, id, timestamp, signatures, signature, now = sys.argv[1:]
body = sys.stdin.buffer.read()
good = [openwa(secret, body, signature), standard(secret, body, id, timestamp, signatures, int(now))]
print(*("true" if one else "false" for one in good))
"#,
        ),
        run: &["recipe.py"],
    },
    Language {
        block: "php",
        program: "php",
        recipe: "recipe.php",
        caller: (
            "recipe.php",
            r#"
[, $secret, $id, $timestamp, $signatures, $signature, $now] = $argv;
$body = stream_get_contents(STDIN);
echo json_encode(openwa($secret, $body, $signature)), ' ',
    json_encode(standard($secret, $body, $id, $timestamp, $signatures, (int) $now));
"#,
        ),
        run: &["recipe.php"],
    },
    Language {
        block: "go",
        program: "go",
        recipe: "recipe.go",
        caller: (
            "main.go",
            r#"
package main

import ("fmt"; "io"; "os"; "strconv"; "time")

func main() {
	secret, id, timestamp, signatures, signature := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	now, _ := strconv.ParseInt(os.Args[6], 10, 64)
	body, _ := io.ReadAll(os.Stdin)
	fmt.Println(openwa(secret, body, signature), standard(secret, body, id, timestamp, signatures, time.Unix(now, 0)))
}
"#,
        ),
        run: &["run", "recipe.go", "main.go"],
    },
    Language {
        block: "java",
        program: "java",
        recipe: "Signatures.java",
        caller: (
            "Main.java",
            r#"
class Main {
    public static void main(String[] args) throws Exception {
        byte[] body = System.in.readAllBytes();
        System.out.println(Signatures.openwa(args[0], body, args[4]) + " "
            + Signatures.standard(args[0], body, args[1], args[2], args[3], Long.parseLong(args[5])));
    }
}
"#,
        ),
        run: &["-Dsun.jnu.encoding=UTF-8", "-cp", ".", "Main"],
    },
];

/// The only block of a language in the page.
fn block(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let fence = format!("\n```{language}\n");
    let mut blocks = page.split(&fence).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("no {language} in the page"));
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block.split("\n```\n").next().unwrap().to_owned()
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

impl Language {
    /// The recipe with its caller, ready to run in a folder of its own.
    fn prepare(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let mut options = std::fs::OpenOptions::new();
            let mut file =
                options.create(true).append(true).open(folder.path().join(name)).unwrap();
            writeln!(file, "{text}").unwrap();
        };
        write(self.recipe, &block(self.block));
        write(self.caller.0, self.caller.1);
        if self.block == "java" {
            let compile = Command::new("javac")
                .args(["-encoding", "UTF-8", self.recipe, self.caller.0])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(compile.status.success(), "{}", String::from_utf8_lossy(&compile.stderr));
        }
        folder
    }

    /// What both recipes say.
    fn says(&self, folder: &Path, secret: &str, call: &Call, now: i64) -> [bool; 2] {
        let mut child = Command::new(self.program)
            .args(self.run)
            .args([secret, &call.id, &call.timestamp, &call.signatures, &call.signature])
            .arg(now.to_string())
            .current_dir(folder)
            .env("GO111MODULE", "off")
            .env("GOCACHE", folder.join("cache"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&call.body).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", self.program);
        let said = String::from_utf8(output.stdout).unwrap();
        let mut said = said.split_whitespace().map(|word| match word {
            "true" => true,
            "false" => false,
            other => panic!("{}: {other} {told}", self.program),
        });
        [said.next().unwrap(), said.next().unwrap()]
    }
}

/// What a receiver looks at.
#[derive(Clone)]
struct Call {
    body: Vec<u8>,
    id: String,
    timestamp: String,
    signatures: String,
    signature: String,
}

impl Call {
    fn of(call: &Received) -> Self {
        let header = |name: &str| call.header(name).to_owned();
        Self {
            body: call.body.to_vec(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signatures: header("webhook-signature"),
            signature: header("x-openwa-signature"),
        }
    }

    fn at(&self) -> i64 {
        self.timestamp.parse().unwrap()
    }
}

/// A delivery signed with a secret, and one in the overlap behind it, which the second secret signs too.
async fn deliveries() -> [Call; 2] {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let [first, second] = SECRETS.map(Secret::new);
    let webhook = house.webhook_with(session, &receiver, |new| new.secret = Some(first)).await;
    house.hear(session, &build::chat(1)).await;
    within("the call", receiver.wait_for(1)).await;
    house.drained().await;
    let patch = WebhookPatch { secret: Some(Some(second)), ..WebhookPatch::default() };
    house.gateway.webhooks.update(session, webhook.id, patch).await.unwrap();
    house.clock.advance(Duration::from_secs(60));
    house.hear(session, &build::chat(1)).await;
    let calls = within("both calls", receiver.wait_for(2)).await;
    [Call::of(&calls[0]), Call::of(&calls[1])]
}

async fn check(language: &Language) {
    if !is_installed(language.program) {
        assert!(!["node", "python3"].contains(&language.program), "{} is needed", language.program);
        eprintln!("{} is not installed: its recipe was not run", language.program);
        return;
    }
    let [call, rotated] = deliveries().await;
    let folder = language.prepare();
    let says =
        |secret: &str, call: &Call, now: i64| language.says(folder.path(), secret, call, now);
    assert_eq!(says(SECRETS[0], &call, call.at()), [true, true]);
    assert_eq!(says(SECRETS[1], &call, call.at()), [false, false], "another secret");
    // The contract's header has the newest secret alone.
    assert_eq!(says(SECRETS[0], &rotated, rotated.at()), [false, true]);
    assert_eq!(says(SECRETS[1], &rotated, rotated.at()), [true, true]);

    let mut tampered = call.clone();
    tampered.body[20] ^= 1;
    assert_eq!(says(SECRETS[0], &tampered, call.at()), [false, false], "another body");
    for change in [
        |call: &mut Call| call.id.push('x'),
        |call: &mut Call| call.timestamp = (call.at() + 1).to_string(),
        |call: &mut Call| call.timestamp = "soon".into(),
        |call: &mut Call| call.signatures.clear(),
        |call: &mut Call| call.signatures = call.signatures.replace("v1,", "v1a,"),
    ] {
        let mut tampered = call.clone();
        change(&mut tampered);
        assert_eq!(says(SECRETS[0], &tampered, call.at()), [true, false]);
    }
    for away in [301, -301] {
        assert_eq!(says(SECRETS[0], &call, call.at() + away), [true, false], "{away} s away");
    }
    for away in [299, -299] {
        assert_eq!(says(SECRETS[0], &call, call.at() + away), [true, true], "{away} s away");
    }
}

#[tokio::test]
async fn in_javascript() {
    check(&LANGUAGES[0]).await;
}

#[tokio::test]
async fn in_python() {
    check(&LANGUAGES[1]).await;
}

#[tokio::test]
async fn in_php() {
    check(&LANGUAGES[2]).await;
}

#[tokio::test]
async fn in_go() {
    check(&LANGUAGES[3]).await;
}

#[tokio::test]
async fn in_java() {
    check(&LANGUAGES[4]).await;
}
