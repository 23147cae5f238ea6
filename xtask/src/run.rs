//! Tests, checks and generated files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

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

/// What tests run beside cargo: how it is looked for, and the Debian package that brings it.
const TOOLS: [(&[&str], &str); 2] =
    [(&["python3", "-m", "pip", "--version"], "python3-pip"), (&["npm", "--version"], "npm")];

/// Installs what a fresh machine lacks.
fn install_tools() -> anyhow::Result<()> {
    let works = |probe: &[&str]| {
        let (program, args) = probe.split_first().map_or(("true", probe), |(p, rest)| (*p, rest));
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(probe, _)| !works(probe)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} for the tests", missing.join(" and "));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        must(command)
    };
    apt(&["update", "-q"])
        .and_then(|()| apt(&[&["install", "-y", "-q"][..], &missing].concat()))
        .with_context(|| format!("the tests need {}: please install it", missing.join(" and ")))
}

/// `cargo xtask test`: with nextest where it is installed, with cargo's own runner elsewhere.
pub fn test(args: &[String]) -> anyhow::Result<()> {
    install_tools()?;
    let nextest =
        cargo(&["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let runner: &[&str] =
        if nextest.is_ok_and(|status| status.success()) { &["nextest", "run"] } else { &["test"] };
    let mut command = cargo(runner);
    command.arg("--workspace").args(args);
    must(command)
}

/// `cargo xtask check`
pub fn check() -> anyhow::Result<()> {
    must(cargo(&["fmt", "--check"]))?;
    must(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    crate::architecture::only_known_arrows()?;
    crate::architecture::no_danger_feature()?;
    test(&[])
}

/// `cargo xtask openapi`
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
