//! Files become a package.

use std::{
    fs,
    io::{Cursor, Write as _},
    path::Path,
};

use domain::port::PackageError;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{FILES_MAX, UNPACKED_BYTES_MAX, refused};

/// Packs a folder: every file in it, but for hidden ones, `node_modules` and zips.
///
/// # Errors
/// [`PackageError`]: what cannot be read or packed.
pub fn pack_folder(folder: &Path) -> Result<Vec<u8>, PackageError> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    let files = files.iter().map(|(path, content)| (path.as_str(), content.as_slice()));
    pack_files(files)
}

/// Packs files, given with their paths in the package.
///
/// # Errors
/// [`PackageError`]: what cannot be packed.
pub fn pack_files<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, PackageError> {
    let failed = |error: &dyn std::fmt::Display| PackageError(format!("cannot pack: {error}"));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        zip.start_file(path, SimpleFileOptions::default()).map_err(|error| failed(&error))?;
        zip.write_all(content).map_err(|error| failed(&error))?;
    }
    Ok(zip.finish().map_err(|error| failed(&error))?.into_inner())
}

type FoundFiles = Vec<(String, Vec<u8>)>;

fn collect(folder: &Path, prefix: &str, files: &mut FoundFiles) -> Result<(), PackageError> {
    let unread =
        |error: std::io::Error| PackageError(format!("cannot read {}: {error}", folder.display()));
    let mut entries: Vec<_> =
        fs::read_dir(folder).map_err(unread)?.collect::<Result<_, _>>().map_err(unread)?;
    // The same folder makes the same package.
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "node_modules" || name.ends_with(".zip") {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(unread)?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
            continue;
        }
        if !kind.is_file() {
            return refused(format!("{path}: links are not taken"));
        }
        let size = entry.metadata().map_err(unread)?.len();
        let all: u64 = files.iter().map(|(_, content)| content.len() as u64).sum();
        if files.len() == FILES_MAX || all + size > UNPACKED_BYTES_MAX {
            return refused(format!(
                "the folder has more than {FILES_MAX} files or {} MiB",
                UNPACKED_BYTES_MAX >> 20
            ));
        }
        files.push((path, fs::read(entry.path()).map_err(unread)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_packed_without_what_is_not_the_plugins() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["lib", ".git", "node_modules"] {
            fs::create_dir(at(name)).unwrap();
        }
        for (name, text) in [
            ("manifest.json", "{\"id\":\"a\"}"),
            ("lib/index.js", "1"),
            (".git/config", "x"),
            ("node_modules/x.js", "x"),
            ("a.zip", "x"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let packed = pack_folder(folder.path()).unwrap();
        let package = super::super::unpack(&packed).unwrap();
        assert_eq!(package.files.keys().collect::<Vec<_>>(), ["lib/index.js", "manifest.json"]);
        assert_eq!(packed, pack_folder(folder.path()).unwrap());
        std::os::unix::fs::symlink("/etc/passwd", at("link.js")).unwrap();
        assert!(pack_folder(folder.path()).unwrap_err().0.contains("link.js: links"));
        assert!(pack_folder(&at("none")).unwrap_err().0.contains("cannot read"));
    }
}
