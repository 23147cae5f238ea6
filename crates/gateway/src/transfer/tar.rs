//! The little of the tar format that an archive of media files needs: plain files with short names.

/// Everything in an archive is a multiple of this.
pub(super) const BLOCK: usize = 512;

/// The head of one file.
pub(super) fn head(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |from: usize, text: &str| {
        block[from..from + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// What fills a file up to a whole block.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TarEntry {
    /// A file, with its name and its bytes.
    File(String, u64),
    /// Something else that has so many bytes: a folder, a link, a note of another program.
    Other(u64),
    /// The end of the archive.
    End,
}

/// Reads what a head says.
///
/// # Errors
/// Why it is none.
pub(super) fn entry(block: &[u8; BLOCK]) -> Result<TarEntry, &'static str> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(TarEntry::End);
    }
    let told = octal(&block[148..156]).ok_or("its checksum is no number")?;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    if told != sum {
        return Err("a checksum does not fit");
    }
    let size = octal(&block[124..136]).ok_or("the size of a file is no number")?;
    if !matches!(block[156], b'0' | 0) {
        return Ok(TarEntry::Other(size));
    }
    let end = block[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
    let name = std::str::from_utf8(&block[..end]).map_err(|_| "a name is no text")?;
    Ok(TarEntry::File(name.to_owned(), size))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_as_it_was() {
        let name = "ab/".to_owned() + &"ab".repeat(32);
        for size in [0, 1, 511, 512, 8 << 30] {
            assert_eq!(entry(&head(&name, size)), Ok(TarEntry::File(name.clone(), size)));
            let whole = size + padding(size) as u64;
            assert_eq!(whole % BLOCK as u64, 0);
            assert!(whole - size < BLOCK as u64);
        }
        assert_eq!(entry(&[0; BLOCK]), Ok(TarEntry::End));
    }

    #[test]
    fn damaged_heads_are_refused_and_folders_are_passed_over() {
        let mut block = head("x", 5);
        block[0] = b'y';
        assert_eq!(entry(&block), Err("a checksum does not fit"));
        assert!(entry(&[b'x'; BLOCK]).is_err());
        let mut folder = head("x", 0);
        folder[156] = b'5';
        let sum: u32 = folder
            .iter()
            .enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        folder[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(entry(&folder), Ok(TarEntry::Other(0)));
    }
}
