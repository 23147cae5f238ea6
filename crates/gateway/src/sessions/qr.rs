//! The QR code: how long it is shown, and as a picture.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Timestamp;
use qrcode::{Color, QrCode};

/// Pixels per module: big enough for a phone to read from a screen.
const SCALE: usize = 6;
/// Quiet zone in modules, as the standard asks.
const QUIET: usize = 4;

/// A code that waits to be scanned.
#[derive(Debug, Clone)]
pub(crate) struct ShownQr {
    /// The text behind the picture.
    pub code: String,
    /// When the next one takes its place.
    pub expires_at: Timestamp,
}

/// `data:image/png;base64,…`; `None` when the text does not fit a QR code.
pub(crate) fn data_url(text: &str) -> Option<String> {
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png(text)?)))
}

fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::new(text.as_bytes()).ok()?;
    let modules = code.width();
    let side = (modules + 2 * QUIET) * SCALE;
    let mut pixels = vec![0xffu8; side * side];
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = ((index % modules + QUIET) * SCALE, (index / modules + QUIET) * SCALE);
            for row in y..y + SCALE {
                pixels[row * side + x..row * side + x + SCALE].fill(0);
            }
        }
    }
    let mut bytes = Vec::new();
    let size = u32::try_from(side).ok()?;
    let mut encoder = png::Encoder::new(&mut bytes, size, size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().ok()?.write_image_data(&pixels).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_square_picture_with_a_quiet_zone() {
        let text = "2@abcdef,ghijkl,mnopqr,stuvwx";
        let bytes = png(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width, info.height);
        let edge = info.width as usize * QUIET * SCALE;
        assert!(pixels[..edge].iter().all(|pixel| *pixel == 0xff), "the edge is white");
        assert!(pixels.contains(&0), "something is drawn");
        assert!(data_url(text).unwrap().starts_with("data:image/png;base64,iVBOR"));
        assert_eq!(data_url(&"x".repeat(5000)), None);
    }
}
