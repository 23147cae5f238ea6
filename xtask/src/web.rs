//! The dashboard: `web/` becomes the files of `crates/dashboard`, which are checked in.

use std::{path::Path, process::Command};

use crate::run::{must, quietly, root};

/// Builds the dashboard into its crate.
pub fn build() -> anyhow::Result<()> {
    install()?;
    println!("== types");
    build_into(None)?;
    must(tool("npx", &["tsc", "--noEmit"]))
}

/// What the lock file names; nothing of it runs while it is installed.
fn install() -> anyhow::Result<()> {
    quietly(tool("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
}

fn build_into(folder: Option<&Path>) -> anyhow::Result<()> {
    let mut command = tool("node", &["scripts/build.mjs"]);
    if let Some(folder) = folder {
        command.arg("--out").arg(folder);
    }
    must(command)
}

fn tool(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root().join("web"));
    command.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::works;

    /// Everything that is made, but for what gzip writes, which is the same bytes when it is unpacked.
    fn made(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let files = std::fs::read_dir(folder.join("files")).unwrap();
        let mut files: Vec<(String, Vec<u8>)> = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_none_or(|end| end != "gz"))
            .chain([folder.join("src/files.rs")])
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn the_dashboard_is_what_its_sources_make() {
        if !works(&["npm", "--version"]) {
            println!("not looked at: there is no npm to build the dashboard with");
            return;
        }
        if !root().join("web/node_modules").exists() {
            install().unwrap();
        }
        let folder = root().join("target/dashboard-drift");
        std::fs::create_dir_all(&folder).unwrap();
        build_into(Some(&folder)).unwrap();
        must(tool("npx", &["tsc", "--noEmit"])).unwrap();
        let (made, kept) = (made(&folder), made(&root().join("crates/dashboard")));
        let names = |files: &[(String, Vec<u8>)]| {
            files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&made), names(&kept), "run `cargo xtask web`");
        assert!(made == kept, "run `cargo xtask web`");
    }
}
