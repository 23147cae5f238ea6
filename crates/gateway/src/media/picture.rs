//! Pictures: their size, the small one that stands for them until they are there, and stickers.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read as _, Seek, SeekFrom},
};

use image::{
    AnimationDecoder as _, DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits,
    RgbaImage,
    codecs::{gif::GifDecoder, jpeg::JpegEncoder},
    imageops,
};

/// Longest side of the small picture, in pixels.
const THUMBNAIL_PIXELS: u32 = 100;
const THUMBNAIL_QUALITY: u8 = 60;
/// Both sides of a profile picture, in pixels (WhatsApp's).
const PROFILE_PIXELS: u32 = 640;
const PROFILE_QUALITY: u8 = 85;
/// Both sides of a sticker, in pixels (WhatsApp's).
pub(super) const STICKER_PIXELS: u32 = 512;
/// Largest sticker that phones show, bytes.
const STICKER_BYTES_MAX: u64 = 1024 * 1024;
/// Longest side of a picture that is opened, in pixels, and most memory for it: small files can be huge pictures.
const SIDE_MAX: u32 = 20_000;
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// What a picture looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// A small JPEG; empty where none could be made.
    pub(super) thumbnail: Vec<u8>,
}

const DAMAGED: &str = "the picture is damaged: it cannot be opened";

fn reader<R: BufRead + Seek>(from: R) -> Result<ImageReader<R>, String> {
    let mut reader =
        ImageReader::new(from).with_guessed_format().map_err(|_| DAMAGED.to_owned())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    Ok(reader)
}

/// Opens a picture as a person sees it: cameras write how it has to be turned.
fn open<R: BufRead + Seek>(from: R) -> Result<DynamicImage, String> {
    let mut decoder = reader(from)?.into_decoder().map_err(|_| DAMAGED.to_owned())?;
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| DAMAGED.to_owned())?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

/// # Errors
/// A sentence for people, when it has no size.
pub(super) fn look(mut file: File) -> Result<Picture, String> {
    file.rewind().map_err(|_| DAMAGED.to_owned())?;
    let mut decoder = reader(BufReader::new(&file))?.into_decoder().map_err(|_| DAMAGED)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(DAMAGED.to_owned());
    }
    let turned = decoder.orientation().is_ok_and(|orientation| orientation.to_exif() >= 5);
    drop(decoder);
    let (width, height) = if turned { (height, width) } else { (width, height) };
    file.rewind().map_err(|_| DAMAGED.to_owned())?;
    // Without a small picture phones show an empty frame first: that is no reason not to send.
    let thumbnail = open(BufReader::new(&file)).ok().and_then(|picture| thumbnail(&picture));
    Ok(Picture { width, height, thumbnail: thumbnail.unwrap_or_default() })
}

/// A small JPEG of a picture.
fn thumbnail(picture: &DynamicImage) -> Option<Vec<u8>> {
    let small = picture.thumbnail(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS).to_rgb8();
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, THUMBNAIL_QUALITY);
    small.write_with_encoder(encoder).ok()?;
    Some(bytes)
}

/// The middle of a picture as a square JPEG, as profiles and groups show it, not larger than that.
///
/// # Errors
/// A sentence for people.
pub(super) fn square(mut file: File) -> Result<Vec<u8>, String> {
    file.rewind().map_err(|_| DAMAGED.to_owned())?;
    let picture = open(BufReader::new(&file))?;
    let side = picture.width().min(picture.height());
    if side == 0 {
        return Err(DAMAGED.to_owned());
    }
    let (left, top) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
    let middle = picture.crop_imm(left, top, side, side);
    let shown = side.min(PROFILE_PIXELS);
    let shown = middle.resize_exact(shown, shown, imageops::FilterType::Lanczos3).to_rgb8();
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, PROFILE_QUALITY);
    shown
        .write_with_encoder(encoder)
        .map_err(|_| "the picture could not be written as JPEG".to_owned())?;
    Ok(bytes)
}

/// What becomes of a file that is to be a sticker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StickerShape {
    Fits,
    /// It is one now: a WebP.
    Made(Vec<u8>),
    /// It moves, and only a converter can keep that.
    Moves,
}

/// # Errors
/// A sentence for people.
pub(super) fn sticker(mut file: File) -> Result<StickerShape, String> {
    let length = file.metadata().map_err(|_| DAMAGED)?.len();
    file.rewind().map_err(|_| DAMAGED.to_owned())?;
    let found = reader(BufReader::new(&file))?;
    let format = found.format().ok_or(DAMAGED)?;
    let size = found.into_dimensions().map_err(|_| DAMAGED)?;
    if size.0 == 0 || size.1 == 0 {
        return Err(DAMAGED.to_owned());
    }
    if format == ImageFormat::WebP {
        let moves = moves_webp(&mut file).map_err(|_| DAMAGED)?;
        if moves && length > STICKER_BYTES_MAX {
            let most = STICKER_BYTES_MAX / 1024;
            return Err(format!("the sticker is too large: phones show up to {most} KiB"));
        }
        if length <= STICKER_BYTES_MAX && (moves || size == (STICKER_PIXELS, STICKER_PIXELS)) {
            return Ok(StickerShape::Fits);
        }
    }
    if format == ImageFormat::Gif && moves_gif(&mut file) {
        return Ok(StickerShape::Moves);
    }
    file.rewind().map_err(|_| DAMAGED.to_owned())?;
    made(&open(BufReader::new(&file))?)
}

/// In the middle of a clear square.
fn made(picture: &DynamicImage) -> Result<StickerShape, String> {
    let filter = imageops::FilterType::Lanczos3;
    let fitted = picture.resize(STICKER_PIXELS, STICKER_PIXELS, filter).to_rgba8();
    let mut square = RgbaImage::new(STICKER_PIXELS, STICKER_PIXELS);
    let left = i64::from((STICKER_PIXELS - fitted.width()) / 2);
    let top = i64::from((STICKER_PIXELS - fitted.height()) / 2);
    imageops::overlay(&mut square, &fitted, left, top);
    let mut bytes = Vec::new();
    let written = square.write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP);
    written.map_err(|_| "the sticker could not be written as WebP".to_owned())?;
    Ok(StickerShape::Made(bytes))
}

/// The bit of the extended header that says so (WebP container specification, "Extended File Format").
fn moves_webp(file: &mut File) -> std::io::Result<bool> {
    let mut head = [0; 21];
    file.rewind()?;
    file.read_exact(&mut head)?;
    Ok(&head[12..16] == b"VP8X" && head[20] & 0x02 != 0)
}

fn moves_gif(file: &mut File) -> bool {
    file.seek(SeekFrom::Start(0)).is_ok()
        && GifDecoder::new(BufReader::new(&*file))
            .is_ok_and(|decoder| decoder.into_frames().take(2).filter(Result::is_ok).count() > 1)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use image::{Delay, Frame, codecs::gif::GifEncoder};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn drawn(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |x, y| {
            image::Rgba([(x % 256) as u8, (y % 256) as u8, 90, 255])
        }));
        let mut bytes = Vec::new();
        let picture = if format == ImageFormat::Jpeg { picture.to_rgb8().into() } else { picture };
        picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn size(bytes: &[u8]) -> (u32, u32) {
        reader(Cursor::new(bytes)).unwrap().into_dimensions().unwrap()
    }

    #[test]
    fn a_picture_has_a_size_and_a_small_one() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
            let seen = look(file(&drawn(640, 320, format))).unwrap();
            assert_eq!((seen.width, seen.height), (640, 320), "{format:?}");
            assert_eq!(size(&seen.thumbnail), (100, 50), "{format:?}");
            assert!(seen.thumbnail.len() < 8 * 1024);
        }
    }

    #[test]
    fn a_picture_without_a_size_is_damaged() {
        let flat = b"GIF89a\x04\x00\x00\x00\x80\x00\x00\xff\x00\x00\x00\x00\xff,\x00\x00\x00\x00\x00\x00\x02\x00\x00\x02\x02\x84Q\x00;";
        assert_eq!(look(file(flat)).unwrap_err(), DAMAGED);
        assert_eq!(sticker(file(flat)).unwrap_err(), DAMAGED);
    }

    #[test]
    fn a_picture_that_is_cut_off_is_told_apart() {
        let whole = drawn(640, 320, ImageFormat::Png);
        assert_eq!(look(file(&whole[..20])).unwrap_err(), DAMAGED);
        let half = look(file(&whole[..whole.len() / 2])).unwrap();
        assert_eq!((half.width, half.height), (640, 320));
    }

    #[test]
    fn a_small_file_that_is_a_huge_picture_is_not_opened() {
        let mut head = drawn(1, 1, ImageFormat::Png);
        head[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let sum = crc(&head[12..29]);
        head[29..33].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(look(file(&head)).unwrap_err(), DAMAGED);
    }

    /// CRC-32 of a chunk of a PNG.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
            })
        })
    }

    #[test]
    fn pictures_become_stickers() {
        for (width, height, format) in [
            (640, 320, ImageFormat::Png),
            (20, 300, ImageFormat::Jpeg),
            (512, 512, ImageFormat::Gif),
            (100, 100, ImageFormat::WebP),
        ] {
            let Ok(StickerShape::Made(bytes)) = sticker(file(&drawn(width, height, format))) else {
                panic!("{format:?}");
            };
            assert_eq!(size(&bytes), (512, 512), "{format:?}");
            assert_eq!(infer::get(&bytes).unwrap().mime_type(), "image/webp");
        }
        let ready = drawn(512, 512, ImageFormat::WebP);
        assert_eq!(sticker(file(&ready)), Ok(StickerShape::Fits));
        assert!(sticker(file(b"RIFF\x04\0\0\0WEBP")).is_err());
    }

    #[test]
    fn a_profile_picture_is_the_middle_as_a_square() {
        let wide = square(file(&drawn(1600, 900, ImageFormat::Png))).unwrap();
        assert_eq!(size(&wide), (640, 640));
        assert_eq!(infer::get(&wide).unwrap().mime_type(), "image/jpeg");
        let small = square(file(&drawn(40, 90, ImageFormat::WebP))).unwrap();
        assert_eq!(size(&small), (40, 40));
        assert_eq!(square(file(b"no picture")).unwrap_err(), DAMAGED);
    }

    #[test]
    fn what_moves_is_no_still_sticker() {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for shade in [10, 200] {
            let picture = RgbaImage::from_pixel(8, 8, image::Rgba([shade, 0, 0, 255]));
            let delay = Delay::from_numer_denom_ms(100, 1);
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
        drop(encoder);
        assert_eq!(sticker(file(&bytes)), Ok(StickerShape::Moves));
    }
}
