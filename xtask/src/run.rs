//! Tests, checks and generated files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::servers::Servers;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A cargo command in the root.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(root());
    command
}

/// Runs a command and fails when it does.
pub fn must(mut command: Command) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

/// Runs a command without showing what it says; they are in the error when it fails.
pub fn quietly(mut command: Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {program:?}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{program:?} ended with {}: {}", output.status, words.trim());
    }
    Ok(())
}

/// Whether a program can be run and is content.
pub fn works(probe: &[&str]) -> bool {
    let (program, args) = probe.split_first().map_or(("true", probe), |(p, rest)| (*p, rest));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What is run besides cargo: how it is looked for, and the Debian package that brings it.
pub struct Tool {
    pub works: fn() -> bool,
    pub package: &'static str,
}

/// What single tests run.
const TOOLS: [Tool; 3] = [
    PIP,
    Tool { works: || works(&["npm", "--version"]), package: "npm" },
    Tool { works: || works(&["chromium", "--version"]), package: "chromium" },
];

pub const PIP: Tool =
    Tool { works: || works(&["python3", "-m", "pip", "--version"]), package: "python3-pip" };

/// Installs what a fresh machine lacks.
pub fn install(tools: &[Tool]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        tools.iter().filter(|tool| !(tool.works)()).map(|tool| tool.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {} for the tests", missing.join(" and "));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        // Only the exports of `cargo xtask servers` belong on standard output.
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
        must(command)
    };
    apt(&["update", "-q"])
        .and_then(|()| apt(&[&["install", "-y", "-q"][..], &missing].concat()))
        .with_context(|| format!("the tests need {}: please install it", missing.join(" and ")))
}

/// `cargo xtask test`: with PostgreSQL and Redis; by nextest where it is installed, by cargo's own runner
/// elsewhere.
pub fn test(args: &[String]) -> anyhow::Result<()> {
    install(&TOOLS)?;
    let servers = Servers::start()?;
    let nextest =
        cargo(&["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_nextest = nextest.is_ok_and(|status| status.success());
    let runner: &[&str] = if is_nextest { &["nextest", "run"] } else { &["test"] };
    let mut command = cargo(runner);
    command.arg("--workspace").args(args);
    servers.hand_to(&mut command);
    let report = root().join("target/nextest/default/junit.xml");
    if is_nextest {
        // Not the one of an earlier run.
        let _ = std::fs::remove_file(&report);
    }
    must(command)?;
    // Without a report no test was run, for instance with `--no-run`.
    let report = std::fs::read_to_string(report).unwrap_or_default();
    match second_tries(&report) {
        tries if tries.is_empty() => Ok(()),
        tries => bail!("needed a second try, so they have found something: {}", tries.join(", ")),
    }
}

/// The tests of a JUnit report that failed and passed when they were tried again.
fn second_tries(report: &str) -> Vec<&str> {
    let cases = report.split("<testcase ").skip(1);
    let tried = cases.filter(|case| case.contains("<flakyFailure") || case.contains("<flakyError"));
    let name = |case: &'_ str| -> Option<(usize, usize)> {
        let from = case.find("name=\"")? + "name=\"".len();
        Some((from, from + case[from..].find('"')?))
    };
    tried.map(|case| name(case).map_or("?", |(from, to)| &case[from..to])).collect()
}

/// `cargo xtask soak`: one test of the program's, asked for more. Outside of the test runner, which has a limit of
/// time.
pub fn soak(kills: u32, seed: Option<u64>) -> anyhow::Result<()> {
    let test = "crash::as_many_kills_as_asked_lose_nothing";
    let mut command =
        cargo(&["test", "-p", "server", "--test", "it", "--", test, "--exact", "--nocapture"]);
    command.env("WAYPOST_SOAK_KILLS", kills.to_string());
    if let Some(seed) = seed {
        command.env("WAYPOST_SEED", seed.to_string());
    }
    must(command)
}

/// `cargo xtask check`, which is what `.ci/run` runs.
pub fn check() -> anyhow::Result<()> {
    println!("== format");
    must(cargo(&["fmt", "--check"]))?;
    println!("== lints");
    must(cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    println!("== house and architecture");
    crate::house::check()?;
    crate::architecture::only_known_arrows()?;
    crate::architecture::no_danger_feature()?;
    println!("== dependencies");
    crate::dependencies::check()?;
    println!("== tests");
    test(&[])
}

/// `cargo xtask openapi`: writes the document that the code makes.
pub fn openapi() -> anyhow::Result<()> {
    let output = cargo(&["run", "--quiet", "-p", "server", "--", "openapi"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("waypost openapi ended with {}", output.status);
    }
    std::fs::write(root().join("openapi.json"), output.stdout)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_try_is_seen_in_the_report() {
        let report = r#"<testsuites><testsuite name="a" flaky="1">
            <testcase name="calm" classname="a"></testcase>
            <testcase name="now_and_then" classname="a"><flakyFailure type="test failure"/></testcase>
            </testsuite></testsuites>"#;
        assert_eq!(second_tries(report), ["now_and_then"]);
        assert_eq!(second_tries(""), Vec::<&str>::new());
    }
}
