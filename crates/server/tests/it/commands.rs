//! The command line, as a person meets it.

use crate::support::{MASTER_KEY, finish, waypost};

#[test]
fn help_says_where_to_start() {
    let mut command = waypost();
    command.arg("--help");
    let (code, out, _) = finish(command);
    assert_eq!(code, Some(0));
    for word in ["sandbox", "serve", "keys", "openapi", "check-config", "data/.api-key"] {
        assert!(out.contains(word), "{word}\n{out}");
    }
}

#[test]
fn bad_configuration_stops_the_start_with_one_line_that_names_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", "http"),
        ("WEBHOOK_TIMEOUT", "-5"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_TYPE", "mysql"),
        ("WAYPOST_ROLE", "boss"),
    ] {
        let mut command = waypost();
        command.current_dir(dir.path()).env(name, value);
        let (code, _, err) = finish(command);
        assert_eq!(code, Some(64), "{err}");
        assert_eq!(err.trim_end().lines().count(), 1, "{err}");
        let setting = if name == "LOG_LEVEL" { "log.level" } else { name };
        assert!(err.contains(setting), "{err}");
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "a refused start leaves nothing behind"
    );
}

#[test]
fn a_worker_on_an_sqlite_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.current_dir(dir.path()).args(["serve", "--role", "worker"]);
    let (code, _, err) = finish(command);
    assert_eq!((code, err.trim_end().lines().count()), (Some(64), 1), "{err}");
    assert!(err.contains("DATABASE_TYPE=postgres"), "{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn check_config_shows_what_is_in_force_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command
        .arg("check-config")
        .current_dir(dir.path())
        .env("PORT", "3999")
        .env("WAYPOST_MASTER_KEY", MASTER_KEY);
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{err}");
    let port = out.lines().find(|line| line.starts_with("port = 3999 ")).unwrap();
    assert!(port.ends_with(" # environment: PORT"), "{out}");
    assert!(out.contains("# environment: WAYPOST_MASTER_KEY\n"), "{out}");
    assert!(!out.contains(MASTER_KEY), "{out}");
    // It is a file for the same settings.
    std::fs::write(dir.path().join("waypost.toml"), &out).unwrap();
    let mut command = waypost();
    command.arg("check-config").current_dir(dir.path());
    let (code, again, err) = finish(command);
    assert_eq!(code, Some(0), "{err}");
    assert!(again.lines().any(|line| line.starts_with("port = 3999 ")), "{again}");
}

#[test]
fn check_config_refuses_with_one_line_that_names_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.arg("check-config").current_dir(dir.path()).env("WEBHOOK_TIMEOUT", "-5");
    let (code, out, err) = finish(command);
    assert_eq!((code, out.as_str()), (Some(64), ""), "{err}");
    assert!(err.starts_with("waypost: WEBHOOK_TIMEOUT: "), "{err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let mut command = waypost();
        command.args(["completions", shell]);
        let (code, out, err) = finish(command);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("check-config") && out.contains("sandbox"), "{shell}: {out}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.args(["manual", "--dir"]).arg(dir.path());
    let (code, _, err) = finish(command);
    assert_eq!(code, Some(0), "{err}");
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(page("waypost.1").contains(".TH waypost 1"), "{}", page("waypost.1"));
    for name in ["waypost-serve.1", "waypost-plugin-check.1"] {
        assert!(page("waypost.1").len() > 500 && page(name).contains(".SH SYNOPSIS"), "{name}");
    }
    let mut command = waypost();
    command.args(["manual", "--dir", "/no/such/folder"]);
    let (code, _, err) = finish(command);
    assert_eq!((code, err.trim_end().lines().count()), (Some(1), 1), "{err}");
}

#[test]
fn openapi_prints_the_checked_in_document() {
    let mut command = waypost();
    command.arg("openapi");
    let (code, out, _) = finish(command);
    assert_eq!(code, Some(0));
    assert_eq!(out, include_str!("../../../../openapi.json"));
}

#[test]
fn a_key_made_on_the_command_line_is_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        let mut command = waypost();
        command
            .args(["keys", "create", "--role", "viewer", "--name", name])
            .current_dir(dir.path());
        finish(command)
    };
    let (code, out, err) = create("till");
    assert_eq!(code, Some(0), "{err}");
    assert!(out.trim().starts_with("owa_k1_") && out.trim().len() == 71, "{out}");
    assert_eq!(create("x").0, Some(1));
}

#[test]
fn a_wrong_master_key_stops_the_start_with_a_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let create = |key: &str| {
        let mut command = waypost();
        command
            .args(["keys", "create", "--name", "till"])
            .current_dir(dir.path())
            .env("WAYPOST_MASTER_KEY", key);
        finish(command)
    };
    assert_eq!(create(MASTER_KEY).0, Some(0));
    let (code, _, err) = create(&MASTER_KEY.replace("00", "ff"));
    assert_eq!(code, Some(1));
    assert!(err.contains("key") && err.trim_end().lines().count() == 1, "{err}");
}
