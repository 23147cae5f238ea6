//! Files on their way into an archive or a package: their order, modes and times are always the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// Files by their paths.
#[derive(Clone, Default)]
pub struct FileBundle(BTreeMap<String, BundledFile>);

#[derive(Clone)]
struct BundledFile {
    mode: u32,
    bytes: Vec<u8>,
}

impl FileBundle {
    /// Adds a file that everybody may read.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add_with_mode(path, bytes, 0o644);
    }

    /// Adds a file that everybody may run.
    pub fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add_with_mode(path, bytes, 0o755);
    }

    /// Adds a file that only its owner may read.
    pub fn add_private(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add_with_mode(path, bytes, 0o600);
    }

    fn add_with_mode(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) {
        self.0.insert(path.into(), BundledFile { mode, bytes: bytes.into() });
    }

    /// Adds a folder with everything in it. What git says of a script is kept: it may be run.
    pub fn add_folder(&mut self, folder: &Path, under: &str) -> anyhow::Result<()> {
        for path in entries(folder)? {
            let name = format!("{under}/{}", name_of(&path));
            if path.is_dir() {
                self.add_folder(&path, &name)?;
                continue;
            }
            let runs = std::fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
            self.add_with_mode(name, std::fs::read(&path)?, if runs { 0o755 } else { 0o644 });
        }
        Ok(())
    }

    /// Adds the pages of a folder: its files in Markdown, and no folder in it.
    pub fn add_pages(&mut self, folder: &Path, under: &str) -> anyhow::Result<()> {
        for path in entries(folder)? {
            if path.extension().is_some_and(|end| end == "md") {
                self.add(format!("{under}/{}", name_of(&path)), std::fs::read(&path)?);
            }
        }
        Ok(())
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &str) -> anyhow::Result<&[u8]> {
        let file = self.0.get(path).with_context(|| format!("there is no {path}"))?;
        Ok(&file.bytes)
    }

    /// The files of one folder, by their names in it.
    pub fn folder<'a>(&'a self, under: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let files = self.0.iter();
        files.filter_map(move |(path, file)| {
            let name = path.strip_prefix(under)?.strip_prefix('/')?;
            Some((name, file.bytes.as_slice()))
        })
    }

    /// Bytes of all files together.
    pub fn size(&self) -> usize {
        self.0.values().map(|file| file.bytes.len()).sum()
    }

    /// Writes a compressed archive in which everything lies in one folder.
    pub fn archive(&self, folder: &str, time: u64, into: &Path) -> anyhow::Result<()> {
        let mut archive = tar::Builder::new(gzip(File::create(into)?));
        for (path, file) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(file.bytes.len() as u64);
            header.set_mode(file.mode);
            header.set_mtime(time);
            header.set_uid(0);
            header.set_gid(0);
            archive.append_data(&mut header, format!("{folder}/{path}"), file.bytes.as_slice())?;
        }
        archive.into_inner()?.finish()?.sync_all()?;
        Ok(())
    }

    /// Writes the files into a folder of the disk.
    pub fn lay_out(&self, folder: &Path) -> anyhow::Result<()> {
        let may = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        for (path, file) in &self.0 {
            let path = folder.join(path);
            let above: Vec<&Path> =
                path.ancestors().skip(1).take_while(|above| above.starts_with(folder)).collect();
            std::fs::create_dir_all(above.first().unwrap_or(&folder))?;
            // Whatever the umask of whoever builds says.
            above.into_iter().try_for_each(|above| may(above, 0o755))?;
            std::fs::write(&path, &file.bytes)?;
            may(&path, file.mode)?;
        }
        Ok(())
    }
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let paths: std::io::Result<Vec<PathBuf>> = read();
    paths.with_context(|| format!("cannot read {}", folder.display()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compresses without a name, a time or a system in the head.
fn gzip<W: std::io::Write>(into: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(255).write(into, Compression::best())
}

/// Compresses bytes all at once.
pub fn gzipped(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = gzip(vec![]);
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Writes `SHA256SUMS` of the files in a folder, for `sha256sum -c`.
pub fn checksums(folder: &Path) -> anyhow::Result<()> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut text = String::new();
    for path in paths {
        let digest = Sha256::digest(std::fs::read(&path)?);
        digest.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
        text.push_str(&format!("  {}\n", name_of(&path)));
    }
    std::fs::write(folder.join("SHA256SUMS"), text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const TIME: u64 = 1_790_841_600;

    fn bundle(names: &[&str]) -> FileBundle {
        let mut files = FileBundle::default();
        for name in names {
            files.add(*name, format!("this is {name}"));
        }
        files.add_program("waypost", "#!/bin/sh\n");
        files
    }

    #[test]
    fn an_archive_is_the_same_in_whatever_order_its_files_came() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("docs/{}.md", "long".repeat(40));
        let names = ["b.md", "a/z", &long, "a/b"];
        let mut turned = names;
        turned.reverse();
        let [one, two] = ["one.tar.gz", "two.tar.gz"].map(|name| dir.path().join(name));
        bundle(&names).archive("top", TIME, &one).unwrap();
        bundle(&turned).archive("top", TIME, &two).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let unzipped = flate2::read::GzDecoder::new(File::open(&one).unwrap());
        let mut archive = tar::Archive::new(unzipped);
        let mut found = vec![];
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (TIME, 0));
            let (mode, path) = (header.mode().unwrap(), entry.path().unwrap().into_owned());
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((path.display().to_string(), mode, text.len()));
        }
        let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["top/a/b", "top/a/z", "top/b.md", &format!("top/{long}"), "top/waypost"]
        );
        assert_eq!(found[0], ("top/a/b".into(), 0o644, "this is a/b".len()));
        assert_eq!(found[4].1, 0o755);
    }

    #[test]
    fn what_is_laid_out_has_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = bundle(&["etc/deep/a"]);
        files.add_private("etc/secret", "");
        files.lay_out(dir.path()).unwrap();
        let mode = |path: &str| {
            let found = std::fs::metadata(dir.path().join(path)).unwrap();
            found.permissions().mode() & 0o777
        };
        assert_eq!([mode("etc/deep"), mode("etc/deep/a")], [0o755, 0o644]);
        assert_eq!([mode("waypost"), mode("etc/secret")], [0o755, 0o600]);
        let mut again = FileBundle::default();
        again.add_folder(dir.path(), "x").unwrap();
        let names: Vec<&str> = again.folder("x/etc").map(|(name, _)| name).collect();
        assert_eq!(names, ["deep/a", "secret"]);
        assert_eq!(again.bytes("x/etc/deep/a").unwrap(), b"this is etc/deep/a");
        assert!(again.bytes("y").is_err());
    }

    #[test]
    fn checksums_are_those_that_sha256sum_reads() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), "").unwrap();
        std::fs::write(dir.path().join("a"), "abc").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        checksums(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("SHA256SUMS")).unwrap();
        assert_eq!(
            text,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
        );
    }
}
