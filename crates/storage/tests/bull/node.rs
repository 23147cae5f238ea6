//! BullMQ's own client for Node reads the queue: what a dashboard does.
//!
//! It is installed by `npm` into the build's folder for temporary files when it is missing.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use domain::port::Verdict;
use serde_json::{Value, json};
use testkit::build;

use crate::{
    house::{House, claim, now, soon},
    server,
};

/// What the buttons of a dashboard do.
const PRESS: &str = r#"
const { Queue } = require("bullmq");
const [host, port, prefix, button] = process.argv.slice(1);
(async () => {
  const queue = new Queue("webhook", { prefix, connection: { host, port: Number(port) } });
  if (button === "pause") await queue.pause();
  if (button === "resume") await queue.resume();
  if (button === "promote") await queue.promoteJobs();
  if (button === "obliterate") await queue.obliterate({ force: true });
  await queue.close();
})();
"#;

const READ: &str = r#"
const { Queue } = require("bullmq");
const [host, port, prefix, id] = process.argv.slice(1);
(async () => {
  const queue = new Queue("webhook", { prefix, connection: { host, port: Number(port) } });
  const counts = await queue.getJobCounts("wait", "active", "delayed", "completed", "failed");
  const job = await queue.getJob(id);
  const workers = await queue.getWorkersCount();
  console.log(JSON.stringify({ counts, name: job.name, data: job.data, state: await job.getState(), workers }));
  await queue.close();
})();
"#;

fn run(command: &mut Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The folder with the client. Made aside and renamed: tests run side by side.
fn library() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = home.join("bullmq");
    if !folder.exists() {
        let made = tempfile::tempdir_in(home).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(made.path());
        run(npm.arg("bullmq@5"), "npm is needed, and a package registry");
        // Whoever is second finds the folder there and drops its own.
        let _ = std::fs::rename(made.path(), &folder);
    }
    folder
}

#[tokio::test]
async fn a_node_client_reads_the_counts_and_a_job() {
    let (house, options) = (House::new().await, server::options());
    let queue = house.queue(&options).await;
    for chat in 1..=4 {
        house.push(chat).await;
    }
    let lanes = claim(&queue, "worker", 2).await;
    let retry = now().plus(Duration::from_secs(600));
    house.settle(&queue, &lanes[0], Verdict::RetryAt(retry)).await;
    let webhook = build::webhook(1, house.session).id;
    let id = format!("{webhook}_{}", build::chat(1));
    let mut node = Command::new("node");
    node.current_dir(library()).args(["-e", READ, &options.host, &options.port.to_string()]);
    let told = run(node.args([&options.prefix, &id]), "node reads the queue");
    let told: Value = serde_json::from_str(&told).unwrap();
    let counts = json!({ "wait": 2, "active": 1, "delayed": 1, "completed": 0, "failed": 0 });
    assert_eq!(told["counts"], counts);
    assert_eq!((&told["name"], &told["state"]), (&json!("lane"), &json!("delayed")));
    let data =
        json!({ "lane": format!("{webhook}/{}", build::chat(1)), "webhook": webhook.to_string() });
    assert_eq!(told["data"], data);
    assert_eq!(told["workers"], 1, "dashboards see the worker");
}

fn press(options: &storage::RedisOptions, button: &str) {
    let mut node = Command::new("node");
    node.current_dir(library()).args(["-e", PRESS, &options.host, &options.port.to_string()]);
    run(node.args([&options.prefix, button]), button);
}

#[tokio::test]
async fn the_buttons_of_a_dashboard_do_no_harm() {
    let (house, options) = (House::new().await, server::options());
    let queue = house.queue(&options).await;
    house.push(1).await;
    let lanes = claim(&queue, "worker", 1).await;
    // Longer than a busy machine takes to start two Node programs.
    let retry = now().plus(Duration::from_secs(20));
    house.settle(&queue, &lanes[0], Verdict::RetryAt(retry)).await;
    press(&options, "promote");
    assert!(claim(&queue, "worker", 4).await.is_empty(), "the ledger says when");
    house.push(2).await;
    press(&options, "pause");
    house.push(3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(claim(&queue, "worker", 4).await.is_empty(), "paused");
    press(&options, "resume");
    let lane = soon("a lane", async || claim(&queue, "worker", 1).await.pop()).await;
    house.drain(&queue, &lane).await;
    press(&options, "obliterate");
    house.work(&queue, "worker").await;
    assert!(now() >= retry);
    house.assert_delivered_once_in_order();
}
