//! `cargo xtask fuzz`: libFuzzer on the parsers that eat strangers' bytes, with the stable compiler.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::run::{cargo, must, root};

/// The compiler says which code an input reaches; these options are stable, a sanitizer's are not.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions \
    -Coverflow-checks --cap-lints warn";
/// Every target, as the crates list them. The program names them when it is asked for one that it lacks.
const TARGETS: [&str; 10] = [
    "chat-ids",
    "csv",
    "files",
    "filters",
    "media-headers",
    "messages",
    "ndjson",
    "templates",
    "times-and-addresses",
    "webhook-settings",
];
/// Longest input that is tried, in bytes.
const INPUT_BYTES_MAX: &str = "-max_len=16384";
/// An input that takes longer is a finding, seconds.
const INPUT_SECONDS_MAX: &str = "-timeout=10";
/// Memory that a target may take, MiB.
const MEMORY_MAX: &str = "-rss_limit_mb=2048";

/// Builds the targets and lets each run for so many seconds. What was found lies in `target/fuzz/<target>`, with the
/// command that runs it again.
pub fn run(seconds: u32, only: Option<&str>) -> anyhow::Result<()> {
    if let Some(name) = only.filter(|name| !TARGETS.contains(name)) {
        bail!("there is no target {name}: choose one of {}", TARGETS.join(", "));
    }
    let host = host()?;
    // A target of its own keeps build scripts free of the options, and the usual build as it is.
    let folder = root().join("target/fuzz-build");
    let mut build =
        cargo(&["build", "--release", "-p", "fuzz", "--bin", "fuzz", "--target", &host]);
    build.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &folder);
    must(build)?;
    let program = folder.join(&host).join("release/fuzz");
    let mut found = Vec::new();
    for target in TARGETS.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
        if let Err(error) = one(&program, target, seconds) {
            eprintln!("{target}: {error:#}");
            found.push(target);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("found something in {}; the inputs lie in target/fuzz", found.join(", "))
}

fn one(program: &PathBuf, target: &str, seconds: u32) -> anyhow::Result<()> {
    let folder = root().join("target/fuzz").join(target);
    let (inputs, findings) = (folder.join("inputs"), folder.join("findings"));
    for folder in [&inputs, &findings] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    eprintln!("== {target}, {seconds} s");
    // The first run writes the seeds; libFuzzer reads its folder before it calls the target.
    let command = |rest: &[String]| {
        let mut command = std::process::Command::new(program);
        command.env("WAYPOST_FUZZ_TARGET", target).env("WAYPOST_FUZZ_SEEDS", &inputs).args(rest);
        command
    };
    must(command(&["-runs=1".into(), "-verbosity=0".into()]))?;
    must(command(&[
        format!("-max_total_time={seconds}"),
        format!("-artifact_prefix={}/", findings.display()),
        INPUT_BYTES_MAX.into(),
        INPUT_SECONDS_MAX.into(),
        MEMORY_MAX.into(),
        "-print_final_stats=1".into(),
        "-verbosity=0".into(),
        inputs.display().to_string(),
    ]))
}

/// The triple of this machine, as the compiler names it.
fn host() -> anyhow::Result<String> {
    let output = std::process::Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV does not name its host")
}
