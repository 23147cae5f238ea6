//! Where a file stands when its message comes in.

use domain::{Timestamp, content::Media, media::MediaState};

use super::MediaOptions;

/// Due at once, or failed when it will never be fetched.
pub(crate) fn first_state(options: &MediaOptions, media: &Media, now: Timestamp) -> MediaState {
    let length = media.remote.as_ref().map_or(0, |remote| remote.length).max(media.size_bytes);
    if media.remote.is_none() {
        return failed("the sender did not say where the file is");
    }
    if length > options.bytes_max {
        return too_large(options.bytes_max);
    }
    if !options.download {
        return failed("downloads are switched off");
    }
    MediaState::Pending { due_at: now }
}

pub(crate) fn too_large(bytes_max: u64) -> MediaState {
    failed(&format!("larger than {bytes_max} bytes"))
}

pub(crate) fn failed(reason: &str) -> MediaState {
    MediaState::Failed { reason: reason.to_owned() }
}
