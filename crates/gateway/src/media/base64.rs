//! Base64 into a file, in pieces.

use std::fs::File;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use tokio::io::AsyncWriteExt as _;

use super::{MediaError, error::write};

/// Characters decoded at once; whole groups of four.
const PIECE: usize = 64 * 1024;

/// Padding may be there or not: senders differ.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text behind `data:<type>;base64,`; all of it when there is no such prefix.
pub(super) fn strip_data_url(text: &str) -> &str {
    let text = text.trim_ascii();
    let is_data = text.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("data:"));
    match text.split_once(',') {
        Some((_, data)) if is_data => data,
        _ => text,
    }
}

/// Bytes that the text decodes to, if it is base64.
pub(super) fn decoded_length(text: &str) -> u64 {
    let says = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b'=';
    text.bytes().filter(says).count() as u64 * 3 / 4
}

/// Decodes into the file, from where it stands. Both alphabets are read, white space is skipped.
pub(super) async fn decode(text: &str, into: File) -> Result<(), MediaError> {
    let mut into = tokio::fs::File::from_std(into);
    let mut piece = Vec::with_capacity(PIECE);
    let mut ended = false;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if piece.len() == PIECE {
            ended = put(&mut piece, &mut into).await?;
        }
        if ended {
            return Err(MediaError::BadBase64);
        }
        piece.push(match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        });
    }
    put(&mut piece, &mut into).await?;
    into.flush().await.map_err(write)
}

/// Decodes a piece; whether it ended with padding, after which nothing may follow.
async fn put(piece: &mut Vec<u8>, into: &mut tokio::fs::File) -> Result<bool, MediaError> {
    let bytes = ENGINE.decode(&*piece).map_err(|_| MediaError::BadBase64)?;
    into.write_all(&bytes).await.map_err(write)?;
    let ended = piece.last() == Some(&b'=');
    piece.clear();
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _};

    async fn decoded(text: &str) -> Result<Vec<u8>, MediaError> {
        let mut file = tempfile::tempfile().unwrap();
        decode(strip_data_url(text), file.try_clone().unwrap()).await?;
        let mut bytes = vec![];
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    #[tokio::test]
    async fn base64_in_every_usual_form_is_decoded() {
        for text in [
            "aGVsbG8/Pg==",
            "aGVsbG8/Pg",
            "aGVsbG8_Pg",
            "data:text/plain;base64,aGVsbG8/Pg==",
            "DATA:;base64,aGVs\r\nbG8/\nPg==\n",
        ] {
            assert_eq!(decoded(text).await.unwrap(), b"hello?>", "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_base64_is_refused() {
        for text in ["aGVsbG8?", "aGVs=bG8", "aGVsb", "not base64!", "aGVsbG8=="] {
            assert!(matches!(decoded(text).await, Err(MediaError::BadBase64)), "{text}");
        }
        let long = format!("{}=", "A".repeat(PIECE - 1));
        assert!(decoded(&long).await.is_ok());
        assert!(matches!(decoded(&format!("{long}AAAA")).await, Err(MediaError::BadBase64)));
    }

    #[tokio::test]
    async fn pieces_join_without_a_seam() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let text = ENGINE.encode(&bytes);
        assert_eq!(decoded_length(&text), 200_000);
        assert!(decoded(&text).await.unwrap() == bytes);
    }
}
