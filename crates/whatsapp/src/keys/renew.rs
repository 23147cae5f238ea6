//! Which keys a copy from the past must not go on with.
//!
//! A ledger that was restored from a backup is older than what its device did since. A pairwise session or a sender key
//! of then would encrypt other texts with keys that were used already, and read nothing that comes now. So they go, and
//! both sides begin new ones: ours with the first message that goes out, theirs when they are asked to send again what
//! could not be read. The identity stays, or the device would have to be linked again.
//!
//! One-time keys stay as well: what is on its way may need them. But WhatsApp hands out keys that were uploaded after
//! the copy was made, of which nothing is known here. New ones are uploaded at the next login, under numbers that are
//! far from those.

use whatsapp_rust::wacore::store::Device;

use super::{device::DEVICE, namespace as ns};

/// Namespaces whose keys go: ratchets, who was given which, and what is read again when it is missing. Who has which
/// devices and which members a group has may have changed since.
pub const STALE_NAMESPACES: &[&str] =
    &[ns::SESSION, ns::SENDER_KEY, ns::SENDER_KEY_DEVICE, ns::BASE_KEY, ns::DEVICE_LIST, ns::GROUP];

/// Where the device is: namespace and name.
pub const DEVICE_PLACE: (&str, &str) = (ns::DEVICE, DEVICE);

/// Numbers of one-time keys have 24 bits; 0 is none.
const NUMBERS: u32 = 16_777_215;
/// More one-time keys than a device uploads between a backup and its restore: about a hundred uploads.
const NUMBERS_SKIPPED_MIN: u32 = 100_000;

/// The device as it may log in after a restore: it uploads new one-time keys. `random` tells the numbers of two
/// restores of the same backup apart. `None` for what is no device.
pub fn renewed_device(stored: &[u8], random: u32) -> Option<Vec<u8>> {
    let mut device: Device = serde_json::from_slice(stored).ok()?;
    let skipped = NUMBERS_SKIPPED_MIN + random % (NUMBERS / 2);
    let last = device.next_pre_key_id.max(device.first_unupload_pre_key_id).max(1) - 1;
    let next = (last % NUMBERS).saturating_add(skipped) % NUMBERS + 1;
    device.next_pre_key_id = next;
    // Nothing before it waits to be uploaded.
    device.first_unupload_pre_key_id = next;
    device.server_has_prekeys = false;
    serde_json::to_vec(&device).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewed(next: u32, random: u32) -> Device {
        let device = Device { next_pre_key_id: next, server_has_prekeys: true, ..Device::new() };
        let stored = serde_json::to_vec(&device).unwrap();
        let renewed = renewed_device(&stored, random).unwrap();
        let renewed: Device = serde_json::from_slice(&renewed).unwrap();
        assert_eq!(renewed.identity_key.public_key, device.identity_key.public_key);
        assert_eq!(renewed.registration_id, device.registration_id);
        renewed
    }

    #[test]
    fn a_device_stays_itself_and_uploads_keys_of_other_numbers() {
        let device = renewed(813, 7);
        assert_eq!(device.next_pre_key_id, 813 + NUMBERS_SKIPPED_MIN + 7);
        assert_eq!(device.first_unupload_pre_key_id, device.next_pre_key_id);
        assert!(!device.server_has_prekeys);
        assert_ne!(renewed(813, 8).next_pre_key_id, device.next_pre_key_id);
    }

    #[test]
    fn numbers_stay_within_their_bits() {
        for next in [0, 1, NUMBERS, NUMBERS + 1, u32::MAX] {
            for random in [0, 1, NUMBERS, u32::MAX] {
                let number = renewed(next, random).next_pre_key_id;
                assert!((1..=NUMBERS).contains(&number), "{number} of {next} and {random}");
            }
        }
    }

    #[test]
    fn what_is_no_device_is_left_alone() {
        assert_eq!(renewed_device(b"{}", 0), None);
        assert_eq!(renewed_device(b"", 0), None);
    }

    #[test]
    fn the_identity_and_what_waits_are_kept() {
        for kept in [ns::DEVICE, ns::IDENTITY, ns::PREKEY, ns::SIGNED_PREKEY, ns::PENDING_INBOUND] {
            assert!(!STALE_NAMESPACES.contains(&kept), "{kept}");
        }
    }
}
