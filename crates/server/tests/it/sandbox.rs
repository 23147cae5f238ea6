//! The README's first command.

use crate::support::{finish, waypost};

#[test]
fn the_story_is_played_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.args(["sandbox", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let mut rest = out.as_str();
    for step in [
        "session created",
        "number linked",
        "session ready",
        "webhook registered",
        "pending",
        "sent",
        "delivered",
        "read",
        "answered",
        "event stored",
        "event acknowledged",
        "event delivered and verified",
    ] {
        let at =
            rest.find(step).unwrap_or_else(|| panic!("{step} is missing, or too early:\n{out}"));
        rest = &rest[at + step.len()..];
    }
    let key_file = dir.path().join("data/sandbox/.api-key");
    assert!(std::fs::read_to_string(key_file).unwrap().starts_with("owa_k1_"));
    // A second run starts from an empty ledger again.
    let mut command = waypost();
    command.args(["sandbox", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
}
