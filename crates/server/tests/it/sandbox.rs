//! The README's first command.

use crate::support::{finish, waypost};

fn has_steps(out: &str, steps: &[&str]) {
    let mut rest = out;
    for step in steps {
        let at =
            rest.find(step).unwrap_or_else(|| panic!("{step} is missing, or too early:\n{out}"));
        rest = &rest[at + step.len()..];
    }
}

#[test]
fn the_story_is_played_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.args(["sandbox", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
    has_steps(
        &out,
        &[
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
        ],
    );
    let key_file = dir.path().join("data/sandbox/.api-key");
    assert!(std::fs::read_to_string(key_file).unwrap().starts_with("owa_k1_"));
    // A second run starts from an empty ledger again.
    let mut command = waypost();
    command.args(["sandbox", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
}

#[test]
fn a_batch_is_played_with_its_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.args(["sandbox", "--story", "bulk", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
    has_steps(
        &out,
        &[
            "session ready",
            "webhook registered",
            "dry run found a mistake",
            "TEMPLATE_VARIABLE_MISSING",
            "dry run of the right list",
            "12 messages in 11 s, 12 people never written with",
            "batch stored",
            "sent 1 of 12",
            "sent 8 of 12",
            "cancelled",
            "counts",
            "batch.started",
            "batch.progress",
            "batch.cancelled",
            "receipts equal what was sent",
        ],
    );
    assert!(
        !out.contains('\r') && !out.contains("sent 12 of 12"),
        "plain lines, and an end:\n{out}"
    );
}

#[test]
fn the_story_of_the_plugins_is_played_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = waypost();
    command.args(["sandbox", "--story", "plugin", "--once", "--port", "0"]).current_dir(dir.path());
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
    has_steps(
        &out,
        &[
            "plugin enabled",
            "Paid with 4111",
            "Paid with [redacted]",
            "no card number",
            "My card is 4111",
            "My card is [redacted]",
            "the ledger keeps",
            "a send is refused",
            "business-hours",
            "goes out, once",
        ],
    );
}
