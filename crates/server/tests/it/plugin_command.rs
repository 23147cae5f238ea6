//! `waypost plugin …`, as an author meets it.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{finish, waypost};

fn example(name: &str) -> String {
    format!("{}/../../examples/plugins/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn plugin(arguments: &[&str]) -> Command {
    let mut command = waypost();
    command.arg("plugin").args(arguments);
    command
}

fn written(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn the_examples_are_right() {
    for (name, handlers) in [
        ("redact", "message:sending (45, closed), webhook:before (45, closed)"),
        ("keyword-reply", "message:received (80)"),
        ("business-hours", "message:sending (50), message:received (95)"),
        ("http-action", "message:received (70)"),
    ] {
        let (code, out, err) = finish(plugin(&["check", &example(name)]));
        assert_eq!(code, Some(0), "{name}\n{out}\n{err}");
        assert!(out.contains(handlers) && out.contains("Nothing is wrong"), "{out}");
    }
}

#[test]
fn a_new_plugin_works_and_can_be_packed() {
    let dir = tempfile::tempdir().unwrap();
    for (id, more) in [("signature", vec![]), ("typed", vec!["--typescript"])] {
        let mut command = plugin(&["new", id]);
        command.args(more).current_dir(dir.path());
        let (code, out, err) = finish(command);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains(&format!("waypost plugin run {id}")), "{out}");
        for step in ["check", "run", "pack"] {
            let mut command = plugin(&[step, id]);
            command.current_dir(dir.path());
            let (code, out, err) = finish(command);
            assert_eq!(code, Some(0), "{step}\n{out}\n{err}");
            if step == "run" {
                assert!(out.contains(r#"+ "Your cake is ready.\n-- Corner Bakery""#), "{out}");
            }
        }
        let zip = format!("{id}-0.1.0.zip");
        let mut command = plugin(&["check", &zip]);
        command.current_dir(dir.path());
        assert_eq!(finish(command).0, Some(0));
        let mut again = plugin(&["new", id]);
        again.current_dir(dir.path());
        let (code, _, err) = finish(again);
        assert_eq!(code, Some(1));
        assert!(err.contains("not an empty folder"), "{err}");
    }
}

#[test]
fn a_run_prints_what_a_handler_answers_and_asks_for() {
    let redact = example("redact");
    let (code, out, err) = finish(plugin(&["run", &redact, "--hook", "message:sending", "--json"]));
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let masked = lines.iter().find(|line| line["sample"] == "a text with secrets").unwrap();
    assert_eq!(masked["answer"]["data"]["input"]["text"], "Card [redacted], key [redacted]");

    let config = r#"{"rules":[{"keyword":"open","reply":"From 8 to 6"}]}"#;
    let (code, out, err) =
        finish(plugin(&["run", &example("keyword-reply"), "--plugin-config", config]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("messages.reply(") && out.contains("From 8 to 6"), "{out}");
    assert!(out.contains("claims it"), "{out}");

    let closed = [
        "run",
        &example("business-hours"),
        "--hook",
        "message:sending",
        "--plugin-config",
        r#"{"mode":"block","hours":{"fri":"09:00-17:00"}}"#,
        "--at",
    ];
    for (at, said) in [("2026-11-27T12:00:00Z", "goes on"), ("2026-11-27T20:00:00Z", "stops it")] {
        let (code, out, err) = finish(plugin(&[&closed[..], &[at]].concat()));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains(said), "{at}\n{out}");
    }
}

#[test]
fn what_a_plugin_fetches_is_answered_by_its_author() {
    let config = r#"{"baseUrl":"https://api.example.com","actions":[
        {"command":"order","path":"/orders/{rest}","reply":"It is {status}"}]}"#;
    let data =
        r#"{"id":"A","chatId":"49170@c.us","body":"order 17","fromMe":false,"isGroup":false}"#;
    let run = ["run", &example("http-action"), "--plugin-config", config, "--data", data];
    let (code, out, err) = finish(plugin(
        &[&run[..], &["--fetch", r#"{"status":200,"body":{"status":"on its way"}}"#]].concat(),
    ));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("net.fetch(\"https://api.example.com/orders/17\""), "{out}");
    assert!(out.contains("It is on its way"), "{out}");
    let (_, out, _) = finish(plugin(&run));
    assert!(out.contains("--fetch says what"), "{out}");
}

/// The program's allocator sets addresses aside at its start, which the limit of a plugin's process once counted.
#[test]
fn a_plugin_has_the_memory_that_it_may_take() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = r#"{"id":"a","name":"A","version":"1.0.0","type":"extension","main":"index.js","budgetMs":5000}"#;
    let hook = "const kept = [];
        module.exports = { onEnable(ctx) { ctx.registerHook('message:received', () => {
            while (kept.length < MIB) kept.push(new Uint8Array(1 << 20).fill(1));
        }) } };";
    let run = |mib: &str| {
        written(
            dir.path(),
            &[("manifest.json", manifest), ("index.js", &hook.replace("MIB", mib))],
        );
        finish(plugin(&["run", dir.path().to_str().unwrap()]))
    };
    let (code, out, err) = run("50");
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, _) = run("70");
    assert!(code == Some(1) && out.contains("out of memory"), "{out}");
}

#[test]
fn what_is_wrong_is_said_in_one_line_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let check = |script: &str, manifest: &str| {
        written(dir.path(), &[("manifest.json", manifest), ("index.js", script)]);
        let (code, out, err) = finish(plugin(&["check", at]));
        assert_eq!(code, Some(1), "{out}{err}");
        (out, err)
    };
    let manifest =
        r#"{"id":"a","name":"A","version":"1.0.0","type":"extension","main":"index.js"}"#;
    assert!(check("", "{").1.contains("manifest.json is no JSON"));
    assert!(check("", r#"{"id":"a"}"#).1.contains("manifest.json: "));
    assert!(check("", &manifest.replace("index.js", "main.js")).1.contains("no file main.js"));
    let thrown = check("module.exports = { onEnable() { throw new Error('no tea') } }", manifest);
    assert!(thrown.1.contains("onEnable failed") && thrown.1.contains("no tea"), "{}", thrown.1);
    let hook = "module.exports = { onEnable(ctx) { ctx.registerHook('message:received', BODY) } }";
    let (out, err) = check(&hook.replace("BODY", "() => { while (true); }"), manifest);
    assert!(out.contains("250 ms") && err.contains("calls failed"), "{out}{err}");
    let asks = "(hook) => ctx.messages.sendText(hook.sessionId, hook.data.chatId, 'x')";
    let (out, _) = check(&hook.replace("BODY", asks), manifest);
    assert!(out.contains("messages:send"), "{out}");
    let (code, _, err) = finish(plugin(&["check", "/nowhere"]));
    assert_eq!((code, err.trim_end().lines().count()), (Some(1), 1), "{err}");
    let (code, _, err) = finish(plugin(&["run", &example("redact"), "--hook", "message:eaten"]));
    assert!(code == Some(1) && err.contains("message:sending"), "{err}");
}
