//! Serial numbers, written so that the same device always reads the same.

use unicode_normalization::UnicodeNormalization;

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
        "failed to read serial {serial:?}: {length} letters and digits, but 4 to 64 are expected"
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
