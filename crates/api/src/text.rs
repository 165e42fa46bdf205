//! Bounded strings: the shape of a value is part of its type, so that every field that carries a date is bounded
//! and checked alike, in the generated schema and nowhere by hand.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, ops::Deref};

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, max = $max:literal, pattern = $pattern:expr) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!({ "type": "string", "maxLength": $max });
                if !$pattern.is_empty() {
                    schema.insert("pattern".to_owned(), $pattern.into());
                }
                schema
            }
        }
    };
}

bounded_text! {
    /// A DNS label: lower-case letters, digits and dashes, at most 63 characters.
    Label, max = 63, pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
}
bounded_text! {
    /// The name of a Kubernetes object that may contain dots, at most 253 characters.
    ObjectName, max = 253, pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
}
bounded_text! {
    /// A DNS domain of at least two labels, in lower case, as `edu.city.example`; other scripts as `xn--…`.
    Domain, max = 253, pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$"
}
bounded_text! {
    /// The key of a label or a taint: a name of letters, digits, dashes, dots and underscores, maybe after a domain and a slash.
    LabelKey, max = 317, pattern = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
}
bounded_text! {
    /// An API group, as `networking.k8s.io`; empty for the kinds of Kubernetes itself.
    GroupName, max = 253, pattern = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
}
bounded_text! {
    /// The name of a kind, as `Bucket`.
    KindName, max = 63, pattern = "^[A-Z][A-Za-z0-9]*$"
}
bounded_text! {
    /// Where a field of an object is: names after dots, places of lists in brackets, and names with dots or slashes in brackets and
    /// quotes, as `.spec.quota`, `.status.addresses[0]` or `.metadata.annotations['example.com/size']`.
    FieldPath, max = 253, pattern = "^(\\.[A-Za-z_][A-Za-z0-9_-]*|\\['[^'\\x00-\\x1f\\x7f]+'\\]|\\[[0-9]{1,4}\\])+$"
}
bounded_text! {
    /// A whole local day in the office's time zone, as `2026-09-01`.
    Day, max = 10, pattern = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
}
bounded_text! {
    /// An amount of money with exactly two decimals, as `4484.27`. Written as text, so that no reader makes a float of it.
    Amount, max = 20, pattern = "^-?[0-9]{1,15}\\.[0-9]{2}$"
}
bounded_text! {
    /// A unit price of at most six decimals, as `46.00` or `0.096`.
    UnitPrice, max = 20, pattern = "^[0-9]{1,9}(\\.[0-9]{1,6})?$"
}
bounded_text! {
    /// A percentage of at most two decimals, as `59.7`.
    Percent, max = 6, pattern = "^[0-9]{1,3}(\\.[0-9]{1,2})?$"
}
bounded_text! {
    /// A quantity in the notation of Kubernetes, as `48`, `500m`, `64Gi` or `2Ti`.
    QuantityText, max = 24, pattern = "^[0-9]{1,18}(\\.[0-9]{1,6})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
}
bounded_text! {
    /// A SHA-256 digest, as `sha256:` and 64 hexadecimal digits.
    DigestText, max = 71, pattern = "^sha256:[0-9a-f]{64}$"
}
bounded_text! {
    /// A line of text for people, at most 256 characters of any script. Not blank, and nothing that nobody sees: it stands
    /// on bills and decisions.
    Line, max = 256, pattern = "^[^\\x00-\\x1f\\x7f]*[^\\s\\x00-\\x1f\\x7f][^\\x00-\\x1f\\x7f]*$"
}
bounded_text! {
    /// A paragraph for people, at most 2,048 characters of any script, without control characters but tabs and ends of
    /// lines.
    Paragraph, max = 2048, pattern = "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]*$"
}
bounded_text! {
    /// The readable snapshot of what is decided, at most 16,384 characters.
    Snapshot, max = 16384, pattern = ""
}
bounded_text! {
    /// An instant, as `2026-09-11T00:00:00+08:00`.
    InstantText, max = 40, pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
}
bounded_text! {
    /// A code of the budget, a contract or a register: letters, digits, dots, dashes, slashes and brackets of any script.
    Code, max = 64, pattern = "^[^\\s\\x00-\\x1f\"'`<>|;&$]+$"
}
bounded_text! {
    /// The name of a user or a group of the cluster; there is none without characters. Names of the control plane itself (`system:`) are refused by rule.
    Identity, max = 253, pattern = "^[^\\x00-\\x1f\\x7f]+$"
}
bounded_text! {
    /// The identifier that the API server gave to an object.
    Uid, max = 64, pattern = "^[^\\s\\x00-\\x1f\\x7f]+$"
}
bounded_text! {
    /// Where something lies, as `s3://archive/oa` or `file:///mnt/nas/oa.tar`: a scheme, a colon and at least one more
    /// character, no white space, at most 1,024 characters.
    Uri, max = 1024, pattern = "^[a-z][a-z0-9+.-]{0,31}:[^\\s\\x00-\\x1f\\x7f]+$"
}
bounded_text! {
    /// Where a document lies. Only `https` and `urn` are accepted; the document itself is never stored here.
    Link, max = 1024, pattern = "^(https://|urn:)[^\\s]+$"
}
