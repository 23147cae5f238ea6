//! The Debian package: the program as a service that is there and not started.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{
    VERSION,
    bundle::{FileBundle, gzipped},
    targets::BuildTarget,
};
use crate::run::{quietly, root, works};

/// What belongs to the package and not to the system: `apt` asks before it replaces a changed one.
const SETTINGS: &str = "etc/waypost/waypost.env";
/// What is run around the unpacking.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Why no package of this target can be made here, if it cannot.
pub fn why_not(target: &BuildTarget) -> Option<String> {
    if !works(&["dpkg-deb", "--version"]) {
        return Some("there is no dpkg-deb".to_owned());
    }
    match architecture(target) {
        Some(_) => None,
        None => Some(format!("Debian has no name for {}", target.triple)),
    }
}

fn architecture(target: &BuildTarget) -> Option<&'static str> {
    match (target.arch(), target.triple.contains("-linux-")) {
        ("x86_64", true) => Some("amd64"),
        ("aarch64", true) => Some("arm64"),
        _ => None,
    }
}

/// Makes the package of what is in an archive; where it is.
pub fn package(
    target: &BuildTarget,
    archive: &FileBundle,
    time: u64,
    out: &Path,
) -> anyhow::Result<PathBuf> {
    let architecture = architecture(target).context("Debian has no name for this machine")?;
    let program = archive.bytes("waypost")?;
    // A version before another one.
    let version = VERSION.replace('-', "~");
    let mut files = contents(archive)?;
    let size = files.size().div_ceil(1024);
    let template = packaged("control")?;
    let control = template
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@SIZE@", &size.to_string())
        .replace("@DEPENDS@", &depends(target, program));
    // A field without a value is none.
    let control: String = control
        .lines()
        .filter(|line| !line.ends_with(": "))
        .map(|line| format!("{line}\n"))
        .collect();
    files.add("DEBIAN/control", control);
    files.add("DEBIAN/conffiles", format!("/{SETTINGS}\n"));
    for script in SCRIPTS {
        files.add_program(format!("DEBIAN/{script}"), packaged(script)?);
    }
    let stage = tempfile::tempdir()?;
    let tree = stage.path().join("tree");
    files.lay_out(&tree)?;
    let package = out.join(format!("waypost_{version}_{architecture}.deb"));
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(&package);
    // What several threads compress depends on how many they are.
    command.env("SOURCE_DATE_EPOCH", time.to_string()).env("DPKG_DEB_THREADS_MAX", "1");
    quietly(command)?;
    Ok(package)
}

fn packaged(name: &str) -> anyhow::Result<String> {
    let path = root().join("packaging/debian").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where everything lies on a Debian system.
fn contents(archive: &FileBundle) -> anyhow::Result<FileBundle> {
    let mut files = FileBundle::default();
    files.add_program("usr/bin/waypost", archive.bytes("waypost")?);
    let unit = archive.bytes("packaging/systemd/waypost.service")?;
    files.add("usr/lib/systemd/system/waypost.service", unit);
    // It may come to hold secrets.
    files.add_private(SETTINGS, packaged("waypost.env")?);
    for (page, text) in archive.folder("man") {
        files.add(format!("usr/share/man/man1/{page}.gz"), gzipped(text)?);
    }
    for (from, to) in [
        ("completions/waypost.bash", "usr/share/bash-completion/completions/waypost"),
        ("completions/waypost.fish", "usr/share/fish/vendor_completions.d/waypost.fish"),
        ("completions/_waypost", "usr/share/zsh/vendor-completions/_waypost"),
    ] {
        files.add(to, archive.bytes(from)?);
    }
    let doc = "usr/share/doc/waypost";
    files.add(format!("{doc}/copyright"), archive.bytes("LICENSE")?);
    files.add(format!("{doc}/changelog.gz"), gzipped(archive.bytes("CHANGELOG.md")?)?);
    for name in ["README.md", "config.default.toml", super::OTHERS] {
        files.add(format!("{doc}/{name}"), archive.bytes(name)?);
    }
    for (page, text) in archive.folder("docs") {
        files.add(format!("{doc}/docs/{page}"), text);
    }
    Ok(files)
}

/// The packages that the program needs.
fn depends(target: &BuildTarget, program: &[u8]) -> String {
    if target.is_static() {
        return String::new();
    }
    match newest_glibc(program) {
        Some((major, minor)) => format!("libc6 (>= {major}.{minor}), libgcc-s1"),
        None => "libc6, libgcc-s1".to_owned(),
    }
}

/// The newest version of the C library that a program names.
fn newest_glibc(program: &[u8]) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"GLIBC_";
    let number = |text: &mut &[u8]| -> Option<u32> {
        let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        *text = rest.strip_prefix(b".").unwrap_or(rest);
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let versions = program.windows(NAME.len()).enumerate().filter(|(_, found)| *found == NAME);
    let read = |(at, _): (usize, &[u8])| {
        let mut text = &program[at + NAME.len()..];
        Some((number(&mut text)?, number(&mut text)?))
    };
    versions.filter_map(read).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(triple: &str) -> BuildTarget {
        BuildTarget { triple: triple.to_owned(), is_host: true, env: vec![] }
    }

    /// What an archive holds, with a program that only says what it is.
    fn archive() -> FileBundle {
        let mut files = FileBundle::default();
        files.add_program("waypost", "#!/bin/sh\necho GLIBC_2.9 GLIBC_2.34\n");
        for name in ["LICENSE", "CHANGELOG.md", "README.md", "config.default.toml", "docs/a.md"] {
            files.add(name, format!("this is {name}\n"));
        }
        files.add(super::super::OTHERS, "MIT\n");
        for name in ["waypost.bash", "waypost.fish", "_waypost"] {
            files.add(format!("completions/{name}"), "complete\n");
        }
        files.add("man/waypost.1", ".TH waypost 1\n");
        files.add_folder(&root().join("packaging"), "packaging").unwrap();
        files
    }

    fn dpkg(args: &[&str], package: &Path, into: Option<&Path>) -> String {
        let mut command = Command::new("dpkg-deb");
        command.args(args).arg(package).args(into);
        super::super::said(&mut command).unwrap()
    }

    #[test]
    fn a_package_unpacks_to_a_service_that_nothing_starts() {
        let host = target("x86_64-unknown-linux-gnu");
        if let Some(why) = why_not(&host) {
            println!("not looked at: {why}");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let made = package(&host, &archive(), 1_790_841_600, dir.path()).unwrap();
        assert!(made.ends_with(format!("waypost_{VERSION}_amd64.deb")));
        let control = dpkg(&["--field"], &made, None);
        for field in ["Package: waypost\n", "Architecture: amd64\n", "libc6 (>= 2.34), libgcc-s1"] {
            assert!(control.contains(field), "{control}");
        }
        assert!(!control.contains("@VERSION@") && !control.contains(": \n"), "{control}");
        let listed = dpkg(&["--contents"], &made, None);
        assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
        let (data, scripts) = (dir.path().join("data"), dir.path().join("scripts"));
        dpkg(&["--extract"], &made, Some(&data));
        dpkg(&["--control"], &made, Some(&scripts));
        for path in [
            "usr/bin/waypost",
            "usr/lib/systemd/system/waypost.service",
            "usr/share/man/man1/waypost.1.gz",
            "usr/share/bash-completion/completions/waypost",
            "usr/share/doc/waypost/copyright",
            SETTINGS,
        ] {
            assert!(data.join(path).is_file(), "{path}");
        }
        let settings = std::fs::read_to_string(scripts.join("conffiles")).unwrap();
        assert_eq!(settings, format!("/{SETTINGS}\n"));
        let unit = std::fs::read_to_string(data.join("usr/lib/systemd/system/waypost.service"));
        assert!(unit.unwrap().contains("\nExecStart=/usr/bin/waypost serve\n"));
        let postinst = std::fs::read_to_string(scripts.join("postinst")).unwrap();
        let done = postinst.lines().filter(|line| line.trim_start().starts_with("systemctl "));
        let done: Vec<&str> = done.map(str::trim).collect();
        assert_eq!(
            done,
            [
                "systemctl daemon-reload || true",
                "systemctl --no-block try-restart waypost.service || true"
            ]
        );
        for script in SCRIPTS {
            assert!(works(&["sh", "-n", scripts.join(script).to_str().unwrap()]), "{script}");
        }
    }

    #[test]
    fn the_same_sources_make_the_same_package() {
        let host = target("x86_64-unknown-linux-gnu");
        if why_not(&host).is_some() {
            return;
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = dirs.each_ref().map(|dir| {
            let made = package(&host, &archive(), 1_790_841_600, dir.path()).unwrap();
            std::fs::read(made).unwrap()
        });
        assert!(one == two);
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert_eq!(depends(&target("aarch64-unknown-linux-musl"), b"GLIBC_2.30"), "");
        let gnu = target("aarch64-unknown-linux-gnu");
        assert_eq!(
            depends(&gnu, b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0"),
            "libc6 (>= 2.34), libgcc-s1"
        );
        assert_eq!(depends(&gnu, b"GLIBC_PRIVATE"), "libc6, libgcc-s1");
        assert_eq!(architecture(&gnu), Some("arm64"));
        assert_eq!(architecture(&target("aarch64-apple-darwin")), None);
    }
}
