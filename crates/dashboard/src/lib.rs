//! The dashboard's files, as browsers get them. They are built from `web/` by `cargo xtask web` and checked in, so that
//! whoever builds Waypost needs no Node; a test of `xtask` fails when they are not what the sources make.

#![deny(missing_docs)]

mod files;

/// A file, and the same file packed with gzip.
#[derive(Debug)]
pub struct DashboardFile {
    /// Its name; that of an asset holds a hash of its bytes, so what has a name never changes.
    pub name: &'static str,
    /// What it is, as `Content-Type` says it.
    pub content_type: &'static str,
    /// The file as it is.
    pub bytes: &'static [u8],
    /// The file packed with gzip.
    pub gzip: &'static [u8],
}

/// The page that everything begins with.
pub fn page() -> &'static DashboardFile {
    &files::PAGE
}

/// A file that the page names.
pub fn asset(name: &str) -> Option<&'static DashboardFile> {
    files::ASSETS.iter().find(|file| file.name == name)
}

/// Every file that the page names.
pub fn assets() -> &'static [DashboardFile] {
    files::ASSETS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser loads first, packed: the page and what it names.
    const FIRST_BYTES_MAX: usize = 100_000;
    /// Everything that a browser may load, packed.
    const ALL_BYTES_MAX: usize = 150_000;

    #[test]
    fn the_whole_of_it_is_small() {
        let bytes = |file: &&DashboardFile| file.gzip.len();
        let files: Vec<_> = assets().iter().chain([page()]).collect();
        let all: usize = files.iter().map(bytes).sum();
        assert!(all < ALL_BYTES_MAX, "{all} bytes");
        let is_first = |file: &&&DashboardFile| {
            ["index", "app", "icon"].iter().any(|start| file.name.starts_with(start))
        };
        let (count, first) =
            files.iter().filter(is_first).fold((0, 0), |(n, sum), file| (n + 1, sum + bytes(file)));
        assert_eq!(count, 4, "the page, its script, its style and its icon");
        assert!(first < FIRST_BYTES_MAX, "{first} bytes");
    }

    #[test]
    fn the_page_names_its_files_beside_itself() {
        let text = std::str::from_utf8(page().bytes).unwrap();
        let named: Vec<&str> =
            text.split('"').filter_map(|part| part.strip_prefix("assets/")).collect();
        assert_eq!(named.len(), 3, "a script, a style and an icon");
        for name in named {
            assert!(asset(name).is_some(), "{name}");
        }
        assert_eq!(text.matches("http").count(), 0, "no other server");
        assert!(asset("index.html").is_none() && asset("../lib.rs").is_none());
    }
}
