//! What this machine can build for.

use std::{path::Path, process::Command};

use anyhow::Context as _;

use super::said;
use crate::run::works;

/// Targets whose programs need nothing of the system they run on.
const STATIC: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// A target and what cargo is told for it.
#[derive(Debug, Clone)]
pub struct BuildTarget {
    /// As the compiler calls it.
    pub triple: String,
    /// This machine's own, which cargo builds when it is told nothing.
    pub is_host: bool,
    /// Variables that cargo gets.
    pub env: Vec<(String, String)>,
}

impl BuildTarget {
    /// The kind of processor.
    pub fn arch(&self) -> &str {
        self.triple.split('-').next().unwrap_or_default()
    }

    /// Whether it is static.
    pub fn is_static(&self) -> bool {
        self.triple.ends_with("-musl")
    }
}

/// This machine, as a target.
pub fn host() -> anyhow::Result<BuildTarget> {
    let text = said(Command::new("rustc").arg("-vV"))?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    let triple = triple.context("rustc does not say what machine this is")?.to_owned();
    Ok(BuildTarget { triple, is_host: true, env: vec![] })
}

/// The static targets, and for each why it cannot be built here, if it cannot.
pub fn statics(host: &BuildTarget) -> anyhow::Result<Vec<(BuildTarget, Option<String>)>> {
    let others = STATIC.into_iter().filter(|triple| *triple != host.triple);
    others.map(|triple| of_static(triple, host)).collect()
}

fn of_static(triple: &str, host: &BuildTarget) -> anyhow::Result<(BuildTarget, Option<String>)> {
    let mut target = BuildTarget { triple: triple.to_owned(), is_host: false, env: vec![] };
    let folder =
        said(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]))?;
    if !Path::new(folder.trim()).exists() {
        let why = format!("the toolchain does not have it (`rustup target add {triple}`)");
        return Ok((target, Some(why)));
    }
    let underscored = triple.replace('-', "_");
    let named = format!("CC_{underscored}");
    if std::env::var_os(&named).is_some() {
        return Ok((target, None));
    }
    let compilers = compilers(&target, host);
    match compilers.iter().find(|compiler| works(&[compiler, "--version"])) {
        Some(compiler) => {
            target.env.push((named, compiler.clone()));
            if target.arch() != host.arch() {
                let linker = format!("CARGO_TARGET_{}_LINKER", underscored.to_uppercase());
                target.env.push((linker, compiler.clone()));
            }
            Ok((target, None))
        }
        None => {
            let compilers = compilers.join(" or ");
            let why = format!("no C compiler for it ({compilers}; or name one in {named})");
            Ok((target, Some(why)))
        }
    }
}

/// What a compiler of C for a static target may be called.
fn compilers(target: &BuildTarget, host: &BuildTarget) -> Vec<String> {
    let mut names = vec![format!("{}-linux-musl-gcc", target.arch())];
    if target.arch() == host.arch() {
        // Debian's musl-tools; it is for the machine's own processor alone.
        names.push("musl-gcc".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_cannot_be_built_says_what_is_missing() {
        let host = host().unwrap();
        assert!(host.is_host && host.triple.starts_with(host.arch()));
        let statics = statics(&host).unwrap();
        assert!(!statics.is_empty());
        for (target, why_not) in statics {
            assert!(target.is_static() && !target.is_host);
            match why_not {
                Some(why) => assert!(why.contains("rustup target add") || why.contains("CC_")),
                None => assert!(target.env.len() <= 2),
            }
        }
    }

    #[test]
    fn debians_compiler_is_for_the_machine_itself() {
        let target =
            |triple: &str| BuildTarget { triple: triple.to_owned(), is_host: false, env: vec![] };
        let host = target("x86_64-unknown-linux-gnu");
        let names = compilers(&target(STATIC[0]), &host);
        assert_eq!(names, ["x86_64-linux-musl-gcc", "musl-gcc"]);
        assert_eq!(compilers(&target(STATIC[1]), &host), ["aarch64-linux-musl-gcc"]);
    }
}
