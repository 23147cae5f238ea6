//! `cargo xtask dist`: what is handed to others. For each target that this machine can build an archive with the
//! program and what belongs to it, a Debian package where `dpkg-deb` is, and the checksums of all, in `target/dist`.
//!
//! The same sources give the same archives around the program: files in the order of their names, with the time of the
//! commit, owned by nobody in particular.

mod bundle;
mod debian;
mod licences;
mod targets;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::run::{cargo, must, root};

use bundle::FileBundle;
use targets::BuildTarget;

/// The version of every crate of ours.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Shells, and what their completions are called.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "waypost.bash"),
    ("elvish", "waypost.elv"),
    ("fish", "waypost.fish"),
    ("powershell", "_waypost.ps1"),
    ("zsh", "_waypost"),
];
/// Single files of the repository that go along.
const FILES: [&str; 4] = ["CHANGELOG.md", "LICENSE", "README.md", "config.default.toml"];
/// Where the licences of others are told.
const OTHERS: &str = "LICENSES-OF-OTHERS.txt";

/// What is made.
#[derive(Debug, clap::Args)]
pub struct DistOptions {
    /// Pack this program, which is built already, into an archive for this machine, and make nothing else
    #[arg(long, requires = "into")]
    program: Option<PathBuf>,
    /// The folder for that archive
    #[arg(long, requires = "program")]
    into: Option<PathBuf>,
}

/// Builds everything anew, or packs one program.
pub fn run(options: DistOptions) -> anyhow::Result<()> {
    if let (Some(program), Some(into)) = (options.program, options.into) {
        let papers = papers(&program, &into.join("papers"))?;
        return pack(&targets::host()?, &program, &papers, &into, source_time()?).map(|_| ());
    }
    let (out, time) = (target_folder().join("dist"), source_time()?);
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let host = targets::host()?;
    println!("== {}", host.triple);
    let program = build(&host)?;
    let papers = papers(&program, &out.join("papers"))?;
    let mut packed = vec![pack(&host, &program, &papers, &out, time)?];
    for (target, why_not) in targets::statics(&host)? {
        match why_not {
            Some(why) => println!("== {} is left out: {why}", target.triple),
            None => {
                println!("== {}", target.triple);
                packed.push(pack(&target, &build(&target)?, &papers, &out, time)?);
            }
        }
    }
    // A program that needs no library of the system fits every release of it.
    let is_for_host = |packed: &&Packed| packed.target.arch() == host.arch();
    let best = packed.iter().rev().find(is_for_host).context("nothing was built")?;
    match debian::why_not(&best.target) {
        Some(why) => println!("== the Debian package is left out: {why}"),
        None => drop(debian::package(&best.target, &best.files, time, &out)?),
    }
    bundle::checksums(&out)?;
    println!("\n{}", std::fs::read_to_string(out.join("SHA256SUMS"))?);
    println!("in {}", out.display());
    Ok(())
}

/// What was put into an archive.
struct Packed {
    target: BuildTarget,
    files: FileBundle,
}

/// Makes the archive of a target.
fn pack(
    target: &BuildTarget,
    program: &Path,
    papers: &FileBundle,
    out: &Path,
    time: u64,
) -> anyhow::Result<Packed> {
    let mut files = papers.clone();
    files.add_program("waypost", std::fs::read(program)?);
    files.add(OTHERS, licences::of(&target.triple)?);
    let name = format!("waypost-{VERSION}-{}", target.triple);
    files.archive(&name, time, &out.join(format!("{name}.tar.gz")))?;
    Ok(Packed { target: target.clone(), files })
}

fn target_folder() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Seconds since 1970 that every file gets: as asked, else those of the commit.
fn source_time() -> anyhow::Result<u64> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text.parse().context("SOURCE_DATE_EPOCH must be seconds since 1970");
    }
    let text = said(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))
        .context("set SOURCE_DATE_EPOCH where there is no git repository")?;
    Ok(text.trim().parse()?)
}

/// What a command prints.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {program:?}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{program:?} ended with {}: {}", output.status, words.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The program of a target.
fn build(target: &BuildTarget) -> anyhow::Result<PathBuf> {
    let mut command = cargo(&["build", "--release", "--locked", "-p", "server"]);
    let mut folder = target_folder();
    if !target.is_host {
        command.args(["--target", &target.triple]);
        folder.push(&target.triple);
    }
    must({
        command.envs(target.env.iter().cloned());
        command
    })?;
    Ok(folder.join("release/waypost"))
}

/// Everything but the program and what depends on its target.
fn papers(program: &Path, scratch: &Path) -> anyhow::Result<FileBundle> {
    let mut files = FileBundle::default();
    for name in FILES {
        files.add(name, std::fs::read(root().join(name))?);
    }
    files.add_folder(&root().join("packaging"), "packaging")?;
    files.add_pages(&root().join("docs"), "docs")?;
    for (shell, name) in COMPLETIONS {
        let text = said(Command::new(program).args(["completions", shell]))?;
        files.add(format!("completions/{name}"), text.into_bytes());
    }
    std::fs::create_dir_all(scratch)?;
    must({
        let mut command = Command::new(program);
        command.args(["manual", "--dir"]).arg(scratch);
        command
    })?;
    files.add_folder(scratch, "man")?;
    std::fs::remove_dir_all(scratch)?;
    Ok(files)
}
