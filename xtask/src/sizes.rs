//! Lines of code per crate, tests apart.

use std::path::Path;

use crate::run::root;

/// Prints how many lines of code each crate has, in its sources and in its tests.
pub fn run() -> anyhow::Result<()> {
    println!("{:<12} {:>8} {:>8}", "crate", "src", "tests");
    let mut totals = (0, 0);
    let mut crates: Vec<_> = std::fs::read_dir(root().join("crates"))?.collect::<Result<_, _>>()?;
    crates.sort_by_key(std::fs::DirEntry::file_name);
    let mut folders: Vec<_> = crates.iter().map(std::fs::DirEntry::path).collect();
    folders.push(root().join("xtask"));
    for folder in folders {
        let (src, tests) = (
            lines(&folder.join("src"))?,
            lines(&folder.join("tests"))? + lines(&folder.join("benches"))?,
        );
        totals = (totals.0 + src, totals.1 + tests);
        println!(
            "{:<12} {src:>8} {tests:>8}",
            folder.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    println!("{:<12} {:>8} {:>8}", "all", totals.0, totals.1);
    Ok(())
}

fn lines(folder: &Path) -> anyhow::Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            total += lines(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            total += std::fs::read_to_string(&path)?.lines().count();
        }
    }
    Ok(total)
}
