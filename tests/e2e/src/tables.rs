//! Tables of requests, as people write them.

use serde::de::DeserializeOwned;

/// Reads a table.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}
