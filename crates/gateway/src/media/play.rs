//! Sounds and videos: how long they play, how large they are, how loud.

use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _},
};

use mp4parse::TrackType;
use symphonia::core::{
    formats::FormatOptions, io::MediaSourceStream, meta::MetadataOptions, probe::Hint,
};

/// Samples per second of what a waveform is drawn from.
pub(super) const WAVE_RATE: u32 = 8000;
/// Bars of a waveform (WhatsApp's), each 0 to 100.
const WAVE_BARS: usize = 64;
/// Longest time that is believed, seconds.
const SECONDS_MAX: f64 = 86_400.0;

/// What a video says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FilmShape {
    pub(super) seconds: Option<u32>,
    pub(super) size: Option<(u32, u32)>,
}

/// Reads the header of an MP4; nothing where it says nothing.
pub(super) fn film(mut file: File) -> FilmShape {
    let opened =
        file.rewind().ok().and_then(|()| mp4parse::read_mp4(&mut BufReader::new(file)).ok());
    let Some(context) = opened else { return FilmShape::default() };
    let scale = context.timescale.map_or(0, |scale| scale.0);
    let header = context.tracks.iter().find(|track| track.track_type == TrackType::Video);
    let header = header.and_then(|track| track.tkhd.as_ref());
    // 16.16 fixed point (ISO/IEC 14496-12, "Track Header Box").
    let size = header.map(|header| (header.width >> 16, header.height >> 16));
    let longest =
        context.tracks.iter().filter_map(|track| Some(track.tkhd.as_ref()?.duration)).max();
    let seconds = longest.filter(|_| scale > 0).map(|ticks| ticks as f64 / scale as f64);
    FilmShape {
        seconds: seconds.and_then(whole),
        size: size.filter(|(width, height)| *width > 0 && *height > 0),
    }
}

/// How long a sound plays, if its file says so.
pub(super) fn seconds(mut file: File) -> Option<u32> {
    file.rewind().ok()?;
    let source = MediaSourceStream::new(Box::new(file), Default::default());
    let found = symphonia::default::get_probe()
        .format(&Hint::new(), source, &FormatOptions::default(), &MetadataOptions::default())
        .ok()?;
    let track = found.format.default_track()?;
    let (params, frames) = (&track.codec_params, track.codec_params.n_frames?);
    match params.time_base {
        Some(base) => {
            let time = base.calc_time(frames);
            whole(time.seconds as f64 + time.frac)
        }
        None => whole(frames as f64 / f64::from(params.sample_rate?)),
    }
}

/// Whole seconds, at least one.
fn whole(seconds: f64) -> Option<u32> {
    let is_real = seconds.is_finite() && (0.0..=SECONDS_MAX).contains(&seconds);
    is_real.then(|| (seconds.round() as u32).max(1))
}

/// How long it plays, and its waveform, from samples of 16 bits at [`WAVE_RATE`], one channel.
pub(super) fn waveform(mut samples: File) -> std::io::Result<Option<(u32, Vec<u8>)>> {
    let bytes = samples.metadata()?.len();
    let count = bytes / 2;
    if count == 0 {
        return Ok(None);
    }
    samples.rewind()?;
    let (mut sums, mut counts) = ([0.0; WAVE_BARS], [0_u64; WAVE_BARS]);
    let (mut reader, mut sample) = (BufReader::with_capacity(64 * 1024, samples), [0; 2]);
    for number in 0..count {
        reader.read_exact(&mut sample)?;
        let bar =
            usize::try_from(number * WAVE_BARS as u64 / count).unwrap_or(0).min(WAVE_BARS - 1);
        sums[bar] += f64::from(i16::from_le_bytes(sample).unsigned_abs());
        counts[bar] += 1;
    }
    let means = sums.iter().zip(counts).map(|(sum, count)| sum / count.max(1) as f64);
    let means: Vec<f64> = means.collect();
    let loudest = means.iter().copied().fold(1.0, f64::max);
    let bars = means.iter().map(|mean| (mean / loudest * 100.0).round() as u8).collect();
    Ok(whole(count as f64 / f64::from(WAVE_RATE)).map(|seconds| (seconds, bars)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// So many seconds of silence as PCM.
    fn wav(length: u32) -> Vec<u8> {
        let data = 8000 * length;
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + data).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        for field in [
            16_u32.to_le_bytes(),
            [1, 0, 1, 0],
            8000_u32.to_le_bytes(),
            8000_u32.to_le_bytes(),
            [1, 0, 8, 0],
        ] {
            bytes.extend(field);
        }
        bytes.extend(b"data");
        bytes.extend(data.to_le_bytes());
        bytes.resize(bytes.len() + data as usize, 128);
        bytes
    }

    #[tokio::test]
    async fn a_file_at_which_the_reader_panics_is_a_damaged_file() {
        let few =
            b"GIF89\x9f\x00\x19\xfd\xff\x7f\xff\xd5\xff\x00\x00\x00RI\xff\x00\x00\xf9\x04\x00!\
            \xf9\x00\x00\x00\x00\x00\x00@\x00\x9d\x9d\x9d\xff\xf1\x9d\x9d\x00\x00\x00\x00\
            \x00\x00\x02\x84Q\x00;\x01\x00\x00\xff\xd9";
        let told = crate::media::shape::off_the_runtime(move || seconds(file(few))).await;
        assert!(matches!(told, Err(crate::media::MediaError::Unfit(_))), "{told:?}");
    }

    #[test]
    fn a_sound_says_how_long_it_plays() {
        assert_eq!(seconds(file(&wav(3))), Some(3));
        assert_eq!(seconds(file(b"no sound")), None);
        assert_eq!(film(file(b"\0\0\0\x08ftyp")), FilmShape::default());
        assert_eq!(
            [whole(0.2), whole(59.6), whole(f64::NAN), whole(1e9)],
            [Some(1), Some(60), None, None]
        );
    }

    #[test]
    fn a_waveform_shows_where_it_is_loud() {
        let mut samples = Vec::new();
        for number in 0..16_000_i16 {
            let loud: i16 = if number < 8000 { 100 } else { 20_000 };
            samples.extend((if number % 2 == 0 { loud } else { -loud }).to_le_bytes());
        }
        let (seconds, bars) = waveform(file(&samples)).unwrap().unwrap();
        assert_eq!((seconds, bars.len()), (2, 64));
        assert_eq!((bars[0], bars[31], bars[32], bars[63]), (1, 1, 100, 100));
        assert_eq!(waveform(file(b"")).unwrap(), None);
    }
}
