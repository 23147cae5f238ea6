//! Time zones: by name, and of a number where its country calling code leaves no doubt.

use chrono_tz::Tz;

use crate::address::PhoneNumber;

/// Country calling codes of countries whose people live in one time zone. Left out are countries with several (1, 7,
/// 34, 52, 55, 56, 61, 62, 351, …): a wrong guess would wake somebody up.
const ZONES: &[(&str, &str)] = &[
    ("20", "Africa/Cairo"),
    ("211", "Africa/Juba"),
    ("212", "Africa/Casablanca"),
    ("213", "Africa/Algiers"),
    ("216", "Africa/Tunis"),
    ("218", "Africa/Tripoli"),
    ("221", "Africa/Dakar"),
    ("225", "Africa/Abidjan"),
    ("233", "Africa/Accra"),
    ("234", "Africa/Lagos"),
    ("237", "Africa/Douala"),
    ("249", "Africa/Khartoum"),
    ("250", "Africa/Kigali"),
    ("251", "Africa/Addis_Ababa"),
    ("254", "Africa/Nairobi"),
    ("255", "Africa/Dar_es_Salaam"),
    ("256", "Africa/Kampala"),
    ("258", "Africa/Maputo"),
    ("260", "Africa/Lusaka"),
    ("263", "Africa/Harare"),
    ("27", "Africa/Johannesburg"),
    ("30", "Europe/Athens"),
    ("31", "Europe/Amsterdam"),
    ("32", "Europe/Brussels"),
    ("33", "Europe/Paris"),
    ("352", "Europe/Luxembourg"),
    ("353", "Europe/Dublin"),
    ("354", "Atlantic/Reykjavik"),
    ("355", "Europe/Tirane"),
    ("356", "Europe/Malta"),
    ("357", "Asia/Nicosia"),
    ("358", "Europe/Helsinki"),
    ("359", "Europe/Sofia"),
    ("36", "Europe/Budapest"),
    ("370", "Europe/Vilnius"),
    ("371", "Europe/Riga"),
    ("372", "Europe/Tallinn"),
    ("373", "Europe/Chisinau"),
    ("374", "Asia/Yerevan"),
    ("375", "Europe/Minsk"),
    ("380", "Europe/Kyiv"),
    ("381", "Europe/Belgrade"),
    ("385", "Europe/Zagreb"),
    ("386", "Europe/Ljubljana"),
    ("387", "Europe/Sarajevo"),
    ("389", "Europe/Skopje"),
    ("39", "Europe/Rome"),
    ("40", "Europe/Bucharest"),
    ("41", "Europe/Zurich"),
    ("420", "Europe/Prague"),
    ("421", "Europe/Bratislava"),
    ("43", "Europe/Vienna"),
    ("44", "Europe/London"),
    ("45", "Europe/Copenhagen"),
    ("46", "Europe/Stockholm"),
    ("47", "Europe/Oslo"),
    ("48", "Europe/Warsaw"),
    ("49", "Europe/Berlin"),
    ("501", "America/Belize"),
    ("502", "America/Guatemala"),
    ("503", "America/El_Salvador"),
    ("504", "America/Tegucigalpa"),
    ("505", "America/Managua"),
    ("506", "America/Costa_Rica"),
    ("507", "America/Panama"),
    ("51", "America/Lima"),
    ("53", "America/Havana"),
    ("54", "America/Argentina/Buenos_Aires"),
    ("57", "America/Bogota"),
    ("58", "America/Caracas"),
    ("591", "America/La_Paz"),
    ("595", "America/Asuncion"),
    ("598", "America/Montevideo"),
    ("60", "Asia/Kuala_Lumpur"),
    ("63", "Asia/Manila"),
    ("65", "Asia/Singapore"),
    ("66", "Asia/Bangkok"),
    ("81", "Asia/Tokyo"),
    ("82", "Asia/Seoul"),
    ("84", "Asia/Ho_Chi_Minh"),
    ("852", "Asia/Hong_Kong"),
    ("853", "Asia/Macau"),
    ("855", "Asia/Phnom_Penh"),
    ("856", "Asia/Vientiane"),
    ("86", "Asia/Shanghai"),
    ("880", "Asia/Dhaka"),
    ("886", "Asia/Taipei"),
    ("90", "Europe/Istanbul"),
    ("91", "Asia/Kolkata"),
    ("92", "Asia/Karachi"),
    ("93", "Asia/Kabul"),
    ("94", "Asia/Colombo"),
    ("95", "Asia/Yangon"),
    ("960", "Indian/Maldives"),
    ("961", "Asia/Beirut"),
    ("962", "Asia/Amman"),
    ("963", "Asia/Damascus"),
    ("964", "Asia/Baghdad"),
    ("965", "Asia/Kuwait"),
    ("966", "Asia/Riyadh"),
    ("967", "Asia/Aden"),
    ("968", "Asia/Muscat"),
    ("971", "Asia/Dubai"),
    ("972", "Asia/Jerusalem"),
    ("973", "Asia/Bahrain"),
    ("974", "Asia/Qatar"),
    ("977", "Asia/Kathmandu"),
    ("98", "Asia/Tehran"),
    ("992", "Asia/Dushanbe"),
    ("993", "Asia/Ashgabat"),
    ("994", "Asia/Baku"),
    ("995", "Asia/Tbilisi"),
    ("996", "Asia/Bishkek"),
    ("998", "Asia/Tashkent"),
];

/// A zone by its IANA name.
pub fn zone_named(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The zone of a number, where its country has one only.
pub fn zone_of(phone: &PhoneNumber) -> Option<&'static str> {
    // Calling codes are free of prefixes: at most one fits.
    let digits = phone.digits();
    ZONES.iter().find(|(code, _)| digits.starts_with(code)).map(|(_, zone)| *zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_exists_and_no_code_begins_another() {
        for (place, (code, zone)) in ZONES.iter().enumerate() {
            assert!(zone_named(zone).is_some(), "{zone}");
            for (other, _) in &ZONES[place + 1..] {
                assert!(!other.starts_with(code) && !code.starts_with(other), "{code} {other}");
            }
        }
    }

    #[test]
    fn doubt_is_no_zone() {
        let zone = |digits: &str| zone_of(&PhoneNumber::parse(digits).unwrap());
        assert_eq!(zone("4917012345"), Some("Europe/Berlin"));
        assert_eq!(zone("12125550100"), None);
        assert_eq!(zone("79161234567"), None);
        assert_eq!(zone("34600123456"), None);
    }
}
