//! Packages: a zip, unpacked in memory and checked.

mod folder;
mod types;

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
};

use domain::{
    plugin::PACKAGE_BYTES_MAX,
    port::{Package, PackageError},
};
use zip::ZipArchive;

pub use folder::{pack_files, pack_folder};

/// Files of a package (OpenWA's limit).
const FILES_MAX: usize = 200;
/// All files of a package together, unpacked (OpenWA's limit).
const UNPACKED_BYTES_MAX: u64 = 20 << 20;
/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 255;
const MANIFEST: &str = "manifest.json";

fn refused<T>(why: impl Into<String>) -> Result<T, PackageError> {
    Err(PackageError(why.into()))
}

/// Unpacks a zip. A folder around everything is taken off; files that are no text are left out.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Package, PackageError> {
    if bytes.len() > PACKAGE_BYTES_MAX {
        return refused(format!("the package is larger than {} MiB", PACKAGE_BYTES_MAX >> 20));
    }
    let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else {
        return refused("the package is no zip file");
    };
    if archive.len() > FILES_MAX {
        return refused(format!("the package has more than {FILES_MAX} files"));
    }
    let mut files = BTreeMap::new();
    let mut left = UNPACKED_BYTES_MAX;
    for index in 0..archive.len() {
        let Ok(file) = archive.by_index(index) else {
            return refused(
                "the package has a file that cannot be read: it is encrypted, damaged, or packed in a way that is not known",
            );
        };
        let Ok(path) = file.name() else {
            return refused("the package has a file whose name is no text");
        };
        let path = safe_path(&path)?;
        if file.is_symlink() {
            return refused(format!("{path}: links are not taken"));
        }
        if file.is_dir() {
            continue;
        }
        let mut content = Vec::new();
        // What the directory says of sizes is not believed.
        if file.take(left + 1).read_to_end(&mut content).is_err() {
            return refused(format!("{path}: it is damaged"));
        }
        left = match left.checked_sub(content.len() as u64) {
            Some(left) => left,
            None => {
                return refused(format!(
                    "unpacked, the package is larger than {} MiB",
                    UNPACKED_BYTES_MAX >> 20
                ));
            }
        };
        if let Ok(text) = String::from_utf8(content)
            && files.insert(path.clone(), text).is_some()
        {
            return refused(format!("{path}: the package has it twice"));
        }
    }
    finish(without_folder(files))
}

/// The manifest, and scripts without types.
fn finish(files: BTreeMap<String, String>) -> Result<Package, PackageError> {
    let Some(text) = files.get(MANIFEST) else {
        return refused("the package has no manifest.json at its top");
    };
    let manifest = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(manifest) => manifest,
        Err(error) => return refused(format!("manifest.json is no JSON: {error}")),
    };
    let mut stripped = BTreeMap::new();
    for (path, text) in files {
        let text = match types::is_typescript(&path) {
            true => types::strip(&path, &text)?,
            false => text,
        };
        stripped.insert(path, text);
    }
    Ok(Package { manifest, files: stripped })
}

fn safe_path(path: &str) -> Result<String, PackageError> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let bad = path.is_empty()
        || path.len() > PATH_BYTES_MAX
        || path.starts_with('/')
        || path.contains(['\\', ':', '\0'])
        || path
            .trim_end_matches('/')
            .split('/')
            .any(|part| part.is_empty() || part == ".." || part == ".");
    match bad {
        true => refused(format!("the package has a file with a path that is not taken: {path:?}")),
        false => Ok(path.to_owned()),
    }
}

/// Archives of a repository have everything in one folder.
fn without_folder(files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if files.contains_key(MANIFEST) {
        return files;
    }
    let folder = files
        .keys()
        .next()
        .and_then(|path| path.split_once('/'))
        .map(|(folder, _)| format!("{folder}/"));
    match folder {
        Some(folder) if files.keys().all(|path| path.starts_with(&folder)) => {
            files.into_iter().map(|(path, text)| (path[folder.len()..].to_owned(), text)).collect()
        }
        _ => files,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content) in files {
            zip.start_file(*path, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn why(files: &[(&str, &[u8])]) -> String {
        unpack(&packed(files)).unwrap_err().0
    }

    #[test]
    fn a_package_is_unpacked_with_or_without_a_folder_around_it() {
        let plain =
            unpack(&packed(&[("manifest.json", b"{\"id\":\"a\"}"), ("dist/index.js", b"1")]))
                .unwrap();
        assert_eq!(plain.manifest["id"], "a");
        assert_eq!(plain.files["dist/index.js"], "1");
        let inside =
            unpack(&packed(&[("a-1/manifest.json", b"{}"), ("a-1/dist/index.js", b"1")])).unwrap();
        assert_eq!(inside.files.keys().collect::<Vec<_>>(), ["dist/index.js", "manifest.json"]);
    }

    #[test]
    fn paths_that_leave_the_package_are_refused() {
        for path in ["../x", "a/../../x", "/etc/passwd", "a\\b", "c:x", "a//b"] {
            assert!(why(&[("manifest.json", b"{}"), (path, b"x")]).contains("path"), "{path}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_kept() {
        let large = vec![b' '; (UNPACKED_BYTES_MAX + 1) as usize];
        assert!(why(&[("manifest.json", b"{}"), ("a.js", &large)]).contains("larger than 20 MiB"));
        let names: Vec<String> = (0..=FILES_MAX).map(|n| format!("f{n}")).collect();
        let many: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        assert!(why(&many).contains("more than 200 files"));
        assert!(unpack(b"not a zip").unwrap_err().0.contains("no zip"));
        assert!(why(&[("a.js", b"x")]).contains("no manifest.json"));
    }

    #[test]
    fn types_are_stripped_and_a_fault_names_its_place() {
        let files: &[(&str, &[u8])] = &[
            ("manifest.json", b"{}"),
            ("index.ts", b"enum A { B = 1 }\nexport const x: number = A.B as number;"),
        ];
        let package = unpack(&packed(files)).unwrap();
        let script = &package.files["index.ts"];
        assert!(!script.contains(": number") && script.contains("export const x"), "{script}");
        assert!(why(&[("manifest.json", b"{}"), ("index.ts", b"const = 1")]).contains("index.ts"));
    }
}
