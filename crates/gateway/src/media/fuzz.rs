//! Files under a fuzzer.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
};

use domain::content::MediaKind;

use super::{names, picture, play, sniff};

/// A file's head decides what it may be sent as; its picture, its length and its waveform are read, or it is refused
/// with a sentence.
pub fn file(bytes: &[u8]) {
    for kind in MediaKind::ALL {
        if let Err(sentence) = sniff::fit(kind, None, bytes) {
            assert!(!sentence.is_empty() && sentence.len() < 1_000, "{sentence}");
        }
    }
    let open = || -> std::io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    let Ok(looked_at) = open() else { return };
    if let Ok(found) = picture::look(looked_at) {
        assert!(found.width > 0 && found.height > 0, "a picture without a size");
        assert!(
            found.thumbnail.len() < 64 * 1024,
            "a thumbnail of {} bytes",
            found.thumbnail.len()
        );
    }
    let [Ok(sticker), Ok(film), Ok(sound), Ok(samples)] = [open(), open(), open(), open()] else {
        return;
    };
    drop(picture::sticker(sticker));
    play::film(film);
    // The reader of sounds panics at stubs of AAC. The product runs it where a panic refuses the file as damaged.
    if !cfg!(fuzzing) {
        play::seconds(sound);
    }
    if let Ok(Some((seconds, bars))) = play::waveform(samples) {
        assert!(seconds > 0 && bars.iter().all(|bar| *bar <= 100), "{bars:?}");
    }
}

/// Names and types that a server tells of a file can stand in a header and in a folder.
pub fn headers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let names = [names::of_disposition(text), text.parse().ok().as_ref().and_then(names::of_url)];
    for name in names.into_iter().flatten() {
        let plain = !name.contains(['/', '\\', '\0', '\r', '\n']) && name != "." && name != "..";
        assert!(plain && !name.is_empty() && name.chars().count() <= 255, "{name:?}");
    }
    if let Some(kind) = names::of_content_type(text) {
        assert!(!kind.contains(['\r', '\n', '\0']) && kind.len() <= 255, "{kind:?}");
    }
    drop(sniff::word_instead_of_bytes(text));
}
