//! Who wrote what, from the API server's own log.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Failure;

/// One write that the API server carried out; dry runs and refused ones are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Who, as the API server saw it.
    pub user: String,
    /// How: create, update, patch, delete, deletecollection.
    pub verb: String,
    /// What: `tenancies`, or with a subresource `tenancies/status`.
    pub resource: String,
    /// Where; empty for kinds without a namespace.
    pub namespace: String,
    /// Its name; empty when the server chose it.
    pub name: String,
    /// The HTTP status of the answer: 201 where the object was made by it, also by an apply.
    pub code: u16,
}

/// Reads the log from the beginning.
pub fn read(log: &Path) -> Result<Vec<Write>, Failure> {
    let text = fs::read_to_string(log).map_err(Failure::file(log))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// The write in one line. The last line may be cut short: the server is writing it.
fn parse(line: &str) -> Option<Write> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |path: &str| {
        event
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let code = event
        .pointer("/responseStatus/code")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())?;
    let carried_out = (200..300).contains(&code);
    if text("/stage") != "ResponseComplete"
        || !carried_out
        || text("/requestURI").contains("dryRun=")
    {
        return None;
    }
    let resource = match text("/objectRef/subresource") {
        "" => text("/objectRef/resource").to_owned(),
        subresource => format!("{}/{subresource}", text("/objectRef/resource")),
    };
    Some(Write {
        user: text("/user/username").to_owned(),
        verb: text("/verb").to_owned(),
        resource,
        namespace: text("/objectRef/namespace").to_owned(),
        name: text("/objectRef/name").to_owned(),
        code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: u16, uri: &str) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","requestURI":"{uri}","verb":"patch","user":{{"username":"a"}},"objectRef":{{"resource":"tenancies","namespace":"dept-edu","name":"oa","subresource":"status"}},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn a_write_is_told_by_whom_and_to_what() {
        assert_eq!(parse(&line(201, "/apis/x")).unwrap().code, 201);
        let write = parse(&line(200, "/apis/x")).unwrap();
        assert_eq!((write.user.as_str(), write.verb.as_str()), ("a", "patch"));
        assert_eq!(write.resource, "tenancies/status");
        assert_eq!(
            (write.namespace.as_str(), write.name.as_str()),
            ("dept-edu", "oa")
        );
    }

    #[test]
    fn what_was_refused_tried_or_is_half_written_is_no_write() {
        assert_eq!(parse(&line(403, "/apis/x")), None);
        assert_eq!(parse(&line(200, "/apis/x?dryRun=All")), None);
        assert_eq!(parse(&line(200, "/apis/x")[..60]), None);
    }
}
