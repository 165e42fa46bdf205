//! Serial numbers, written so that the same device always reads the same, and the claims of devices.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::Document;
use crate::time::Second;

/// Shortest serial that is accepted, in characters.
const SHORTEST: usize = 4;
/// Longest serial that is accepted, in characters.
const LONGEST: usize = 64;

/// Why a text is no serial number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SerialError {
    /// A character that no maker prints in a serial number.
    #[error(
        "failed to read serial {serial:?}: only letters, digits, spaces and dashes may stand in \
         it, not {found:?}; copy it from the label"
    )]
    Character {
        /// The refused text.
        serial: String,
        /// Its first refused character, after normalisation.
        found: char,
    },
    /// Too few or too many characters.
    #[error(
        "failed to read serial {serial:?}: {length} letters and digits, but 4 to 64 are \
         expected; copy it from the label"
    )]
    Length {
        /// The refused text.
        serial: String,
        /// Letters and digits in it.
        length: usize,
    },
}

/// The serial as the ledger writes it: NFKC (full-width forms become plain ones), upper case,
/// without white space and dashes of any kind; 4 to 64 ASCII letters and digits.
pub fn normalise_serial(serial: &str) -> Result<String, SerialError> {
    let plain: String = serial
        .nfkc()
        .flat_map(char::to_uppercase)
        .filter(|c| !c.is_whitespace() && !is_dash(*c))
        .collect();
    if let Some(found) = plain.chars().find(|c| !c.is_ascii_alphanumeric()) {
        return Err(SerialError::Character {
            serial: serial.to_owned(),
            found,
        });
    }
    let length = plain.len();
    if !(SHORTEST..=LONGEST).contains(&length) {
        return Err(SerialError::Length {
            serial: serial.to_owned(),
            length,
        });
    }
    Ok(plain)
}

/// The form under which a normalised serial is claimed: letter O becomes zero and letter I becomes
/// one, so that look-alikes typed from a label meet.
pub fn serial_claim(normalised: &str) -> String {
    normalised
        .chars()
        .map(|c| match c {
            'O' => '0',
            'I' => '1',
            other => other,
        })
        .collect()
}

/// Hyphens and dashes that survive NFKC (the full-width ones become plain ones by it).
fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{ad}' | '\u{58a}' | '\u{5be}' | '\u{1806}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2053}'
                | '\u{207b}'
                | '\u{208b}'
                | '\u{2212}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{301c}'
                | '\u{3030}'
    )
}

/// The claim of one device to back a contribution. It stands until a [`SerialFreedDoc`] ends it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SerialDoc {
    /// Maker, as the cloud policy lists it.
    pub maker: String,
    /// Serial number as [`normalise_serial`] gives it.
    pub serial: String,
    /// Which claim of the device this is, from 1. The first one is written without it.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub number: u32,
    /// `<department>/<contribution>` that it backs.
    pub contribution: String,
    /// Uid of the contribution object, as evidence.
    pub uid: String,
    /// System UUID that the node of a server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// When it was claimed.
    pub at: Second,
}

impl Document for SerialDoc {
    const KIND: &'static str = "serial";

    fn key(&self) -> String {
        claim_key(&self.maker, &self.serial, self.number)
    }

    fn subject(&self) -> String {
        self.contribution.clone()
    }
}

/// The end of a claim: its contribution was taken back before a credit, or with all of its credit.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SerialFreedDoc {
    /// Maker, as the claim names it.
    pub maker: String,
    /// Serial number, as the claim names it.
    pub serial: String,
    /// Which claim of the device ends, from 1.
    pub number: u32,
    /// `<department>/<contribution>` that the device backed.
    pub contribution: String,
    /// User who took the contribution back.
    pub freed_by: String,
    /// When the claim ended.
    pub at: Second,
}

impl Document for SerialFreedDoc {
    const KIND: &'static str = "serial-freed";

    fn key(&self) -> String {
        claim_key(&self.maker, &self.serial, self.number)
    }

    fn subject(&self) -> String {
        self.contribution.clone()
    }
}

/// Ledgers from before claims could end know first claims only, and their keys have no number.
fn claim_key(maker: &str, serial: &str, number: u32) -> String {
    let device = format!("{maker}/{}", serial_claim(serial));
    if number == 1 {
        device
    } else {
        format!("{device}/{number}")
    }
}

fn first() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_first(number: &u32) -> bool {
    *number == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical::canonical_json;
    use crate::document::row_key;

    fn claim(serial: &str, number: u32) -> SerialDoc {
        SerialDoc {
            maker: "inspur".to_owned(),
            serial: serial.to_owned(),
            number,
            contribution: "gov-office/servers-2024".to_owned(),
            uid: "u".to_owned(),
            system_uuid: None,
            at: Second::new(0),
        }
    }

    #[test]
    fn look_alike_serials_of_one_maker_have_one_key() {
        assert_eq!(claim("SNO1", 1).key(), "inspur/SN01");
        assert_eq!(claim("SNO1", 1).key(), claim("SN0I", 1).key());
    }

    #[test]
    fn a_claim_that_was_written_without_a_number_is_the_first_and_keeps_its_bytes() {
        let text = concat!(
            r#"{"at":"1970-01-01T00:00:00Z","contribution":"gov-office/servers-2024","#,
            r#""maker":"inspur","serial":"SNO1","uid":"u"}"#
        );
        let read: SerialDoc = serde_json::from_str(text).unwrap();
        assert_eq!(read, claim("SNO1", 1));
        assert_eq!(row_key(&read), "serial/inspur/SN01");
        assert_eq!(canonical_json(&read).unwrap(), text);
    }

    #[test]
    fn the_next_claim_of_a_device_and_each_end_have_keys_of_their_own() {
        let again = claim("SNO1", 2);
        assert_eq!(row_key(&again), "serial/inspur/SN01/2");
        let text = canonical_json(&again).unwrap();
        assert_eq!(serde_json::from_str::<SerialDoc>(&text).unwrap(), again);
        let end = |number| SerialFreedDoc {
            maker: "inspur".to_owned(),
            serial: "SNO1".to_owned(),
            number,
            contribution: "gov-office/servers-2024".to_owned(),
            freed_by: "zhang@gov-office".to_owned(),
            at: Second::new(0),
        };
        assert_eq!(row_key(&end(1)), "serial-freed/inspur/SN01");
        assert_eq!(row_key(&end(2)), "serial-freed/inspur/SN01/2");
    }

    #[test]
    fn case_space_dashes_and_full_width_forms_make_no_difference() {
        for text in [
            "sn-2024 0x7b",
            "SN20240X7B",
            "ＳＮ－２０２４\u{3000}０Ｘ７Ｂ",
            "SN–2024—0X7B",
        ] {
            assert_eq!(normalise_serial(text).unwrap(), "SN20240X7B", "{text}");
        }
    }

    #[test]
    fn characters_that_no_label_prints_are_refused_by_name() {
        let refused = normalise_serial("SN_2024");
        assert_eq!(
            refused,
            Err(SerialError::Character {
                serial: "SN_2024".to_owned(),
                found: '_'
            })
        );
        assert!(normalise_serial("SN2024\u{200b}").is_err());
        assert!(
            normalise_serial("СН2024").is_err(),
            "Cyrillic letters look alike but are not"
        );
    }

    #[test]
    fn three_characters_are_too_few_and_sixty_five_too_many() {
        assert!(normalise_serial("A-1-2").is_err());
        assert_eq!(normalise_serial("A123").unwrap(), "A123");
        assert_eq!(normalise_serial(&"7".repeat(64)).unwrap().len(), 64);
        assert!(normalise_serial(&"7".repeat(65)).is_err());
    }

    #[test]
    fn look_alike_letters_claim_the_same_serial() {
        assert_eq!(serial_claim("SO1I"), "S011");
        assert_eq!(serial_claim("S01I"), serial_claim("SOII"));
    }

    proptest! {
        #[test]
        fn a_normalised_serial_normalises_to_itself(text in "\\PC{0,40}") {
            if let Ok(once) = normalise_serial(&text) {
                prop_assert_eq!(normalise_serial(&once).unwrap(), once);
            }
        }
    }
}
