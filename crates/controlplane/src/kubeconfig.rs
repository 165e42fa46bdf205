//! Kubeconfig files with the credentials embedded, so that one file is all that a client needs.

use crate::certificates::Pair;

/// A kubeconfig for one user of one server, with a client certificate.
///
/// `authority` is the PEM certificate that signed the server's; `user` is the name shown by
/// `kubectl config view` (the server reads the name from the certificate).
pub fn render(server: &str, authority: &str, user: &str, pair: &Pair) -> String {
    let user = serde_json::Value::from(user);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: leasehold\n\
         clusters:\n\
         - name: leasehold\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         contexts:\n\
         - name: leasehold\n\
         \x20 context:\n\
         \x20   cluster: leasehold\n\
         \x20   user: {user}\n\
         users:\n\
         - name: {user}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n",
        ca = base64(authority.as_bytes()),
        certificate = base64(pair.certificate.as_bytes()),
        key = base64(pair.key.as_bytes()),
    )
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_u32, |group, index| {
            (group << 8) | u32::from(chunk.get(index).copied().unwrap_or(0))
        });
        for position in 0..4 {
            let digit = usize::try_from((group >> (18 - 6 * position)) & 0x3f).unwrap_or(0);
            // n bytes carry n + 1 digits; the rest is padding
            let letter = if position <= chunk.len() {
                ALPHABET.get(digit)
            } else {
                None
            };
            text.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_examples_of_rfc_4648() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in examples {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn a_user_name_with_a_colon_is_quoted() {
        let pair = Pair {
            certificate: "c".to_owned(),
            key: "k".to_owned(),
        };
        let text = render("https://127.0.0.1:1", "ca", "office: 李", &pair);
        assert!(text.contains("\n    user: \"office: 李\"\n"), "{text}");
        assert!(text.contains("\n- name: \"office: 李\"\n"), "{text}");
        assert!(text.contains("\n    client-key-data: aw==\n"), "{text}");
    }
}
