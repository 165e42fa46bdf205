//! The one form of a document: canonical JSON and its SHA-256 digest.
//!
//! Canonical JSON is UTF-8 without white space, object keys sorted by their bytes, integers only.
//! Two documents are the same exactly if their canonical forms are.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

/// Prefix of every digest: the name of the hash function.
const PREFIX: &str = "sha256:";
/// Number of hexadecimal digits after the prefix.
const HEX_DIGITS: usize = 64;

/// What can go wrong on the way to a canonical form or a digest.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value cannot be expressed as JSON at all.
    #[error("failed to express the document as JSON; its types must serialise to JSON")]
    Serialize(#[source] serde_json::Error),
    /// The value holds a number that is not a 64-bit integer.
    #[error(
        "failed to write the number {number} canonically: only 64-bit integers are allowed; \
         write decimals as strings"
    )]
    Number {
        /// The number as JSON shows it.
        number: String,
    },
    /// The text is not a digest.
    #[error(
        "failed to read the digest {text:?}: it must be \"sha256:\" and 64 lower-case \
         hexadecimal digits"
    )]
    Digest {
        /// The text that was given.
        text: String,
    },
}

/// SHA-256 of some bytes, written as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The digest with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits without the prefix.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }

    /// The digest that these bytes are.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let digits = bytes
            .iter()
            .flat_map(|byte| [hex_digit(byte / 16), hex_digit(byte % 16)])
            .flatten();
        Self(PREFIX.chars().chain(digits).collect())
    }

    /// The digest in half the room, for whoever holds very many.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        let mut digits = self.hex().chars().filter_map(|c| c.to_digit(16));
        std::array::from_fn(|_| {
            let high = digits.next().unwrap_or_default();
            let low = digits.next().unwrap_or_default();
            u8::try_from((high << 4) | low).unwrap_or_default()
        })
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = CanonicalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.strip_prefix(PREFIX).is_some_and(|hex| {
            hex.len() == HEX_DIGITS
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(CanonicalError::Digest {
                text: text.to_owned(),
            })
        }
    }
}

serde_as_string!(Digest);

/// The canonical JSON of a value.
///
/// Keys are sorted here, explicitly: the order in which `serde_json` keeps them depends on features
/// that another crate may switch on.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    let value = serde_json::to_value(value).map_err(CanonicalError::Serialize)?;
    let mut text = String::new();
    write_value(&value, &mut text)?;
    Ok(text)
}

/// The digest of the canonical JSON of a value.
pub fn digest_of<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    canonical_json(value).map(|text| digest_bytes(text.as_bytes()))
}

/// The digests of the first one, the first two and so on up to all of some values, each as [`digest_of`] gives it for a list
/// of just these. Takes time in proportion to the values, not to its square.
pub fn digests_of_first<T: Serialize>(values: &[T]) -> Result<Vec<Digest>, CanonicalError> {
    let mut so_far = Sha256::new();
    let mut digests = Vec::with_capacity(values.len());
    for value in values {
        so_far.update(if digests.is_empty() { b"[" } else { b"," });
        so_far.update(canonical_json(value)?.as_bytes());
        let mut list = so_far.clone();
        list.update(b"]");
        digests.push(Digest::of_bytes(&list.finalize()));
    }
    Ok(digests)
}

/// The digest of bytes as they are.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    Digest::of_bytes(&Sha256::digest(bytes))
}

fn hex_digit(nibble: u8) -> Option<char> {
    char::from_digit(u32::from(nibble), 16)
}

fn write_value(value: &Value, text: &mut String) -> Result<(), CanonicalError> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_integer(number, text)?,
        Value::String(string) => write_string(string, text)?,
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_value(item, text)?;
            }
            text.push(']');
        }
        // nearly always: serde_json sorts by itself unless told otherwise
        Value::Object(fields) if fields.keys().is_sorted() => write_fields(fields, text)?,
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            write_fields(sorted, text)?;
        }
    }
    Ok(())
}

fn write_integer(number: &Number, text: &mut String) -> Result<(), CanonicalError> {
    let integer = number
        .as_i64()
        .map(|n| n.to_string())
        .or_else(|| number.as_u64().map(|n| n.to_string()))
        .ok_or_else(|| CanonicalError::Number {
            number: number.to_string(),
        })?;
    text.push_str(&integer);
    Ok(())
}

fn write_fields<'a>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    text: &mut String,
) -> Result<(), CanonicalError> {
    text.push('{');
    for (i, (key, field)) in fields.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        write_string(key, text)?;
        text.push(':');
        write_value(field, text)?;
    }
    text.push('}');
    Ok(())
}

fn write_string(string: &str, text: &mut String) -> Result<(), CanonicalError> {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if string.bytes().all(plain) {
        text.push('"');
        text.push_str(string);
        text.push('"');
        return Ok(());
    }
    text.push_str(&serde_json::to_string(string).map_err(CanonicalError::Serialize)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Unsorted {
        zebra: u8,
        apple: Option<&'static str>,
        list: Vec<i64>,
    }

    #[test]
    fn keys_are_sorted_and_white_space_is_absent_at_every_depth() {
        let value = Unsorted {
            zebra: 1,
            apple: Some("市政府办 \"a\""),
            list: vec![3, -1],
        };
        assert_eq!(
            canonical_json(&value).unwrap(),
            r#"{"apple":"市政府办 \"a\"","list":[3,-1],"zebra":1}"#
        );
        assert_eq!(
            canonical_json(&json!({"b": {"d": null, "c": true}, "a": []})).unwrap(),
            r#"{"a":[],"b":{"c":true,"d":null}}"#
        );
    }

    #[test]
    fn the_digests_of_the_first_values_are_those_of_lists_of_them() {
        let values = [json!({"b": 1, "a": "桶"}), json!([]), json!("x,y]")];
        let digests = digests_of_first(&values).unwrap();
        assert_eq!(digests.len(), 3);
        for (count, digest) in (1..).zip(&digests) {
            assert_eq!(*digest, digest_of(&&values[..count]).unwrap(), "{count}");
        }
        assert!(digests_of_first::<u8>(&[]).unwrap().is_empty());
    }

    #[test]
    fn keys_are_ordered_by_bytes_and_not_by_alphabet() {
        assert_eq!(
            canonical_json(&json!({"a": 1, "B": 2, "é": 3, "Z": 4})).unwrap(),
            r#"{"B":2,"Z":4,"a":1,"é":3}"#
        );
    }

    #[test]
    fn strings_are_escaped_as_json_asks_and_no_more() {
        for (string, expected) in [
            ("市政府办 é/~\u{7f}", "\"市政府办 é/~\u{7f}\""),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{1}\n\t\u{1f}", r#""\u0001\n\t\u001f""#),
        ] {
            assert_eq!(canonical_json(&string).unwrap(), expected);
        }
    }

    #[test]
    fn floats_are_refused_and_both_ends_of_64_bits_are_kept() {
        let error = canonical_json(&json!({"price": 0.5})).unwrap_err();
        assert!(error.to_string().contains("0.5"), "{error}");
        assert_eq!(
            canonical_json(&json!([i64::MIN, u64::MAX])).unwrap(),
            "[-9223372036854775808,18446744073709551615]"
        );
    }

    #[test]
    fn digests_are_those_of_the_published_test_vectors() {
        // FIPS 180-4 examples for the empty message and for "abc"
        assert_eq!(
            digest_bytes(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            digest_bytes(b"abc").hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest_of(&json!({})).unwrap(), digest_bytes(b"{}"));
    }

    #[test]
    fn a_digest_as_bytes_is_what_the_hash_function_gave() {
        let given: [u8; 32] = Sha256::digest(b"abc").into();
        assert_eq!(digest_bytes(b"abc").bytes(), given);
        assert_eq!(Digest::of_bytes(&given), digest_bytes(b"abc"));
    }

    #[test]
    fn only_a_well_formed_digest_is_read() {
        let digest = digest_bytes(b"x");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        let hex = "a".repeat(64);
        for bad in [
            hex.clone(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}a"),
            format!("sha256: {}", &hex[1..]),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
            assert!(
                serde_json::from_value::<Digest>(json!(bad)).is_err(),
                "{bad}"
            );
        }
    }
}
