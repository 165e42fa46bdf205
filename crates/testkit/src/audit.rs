//! Who wrote what, from the API server's own log.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Failure;

/// One write that the API server carried out, or of which nobody knows; dry runs and refused ones are not among them.
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

impl Write {
    /// Whether the answer was that of a server in trouble, or was for a caller who had gone by then (499 and above). What
    /// was asked for may have been carried out all the same: the store may have taken it before the trouble began.
    #[must_use]
    pub const fn is_unclear(&self) -> bool {
        self.code >= 499
    }
}

/// Reads the log from the beginning, with what the server has put beside it since it grew too large.
pub fn read(log: &Path) -> Result<Vec<Write>, Failure> {
    let mut files = put_aside(log)?;
    files.push(log.to_owned());
    let mut writes = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(Failure::file(&file))?;
        writes.extend(text.lines().filter_map(parse));
    }
    Ok(writes)
}

/// The logs of before, in order: they bear the log's name with the time at which they were put aside.
fn put_aside(log: &Path) -> Result<Vec<PathBuf>, Failure> {
    let name = |path: &Path| path.file_stem().and_then(OsStr::to_str).map(str::to_owned);
    let (Some(place), Some(own)) = (log.parent(), name(log)) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(place).map_err(Failure::file(place))? {
        let file = entry.map_err(Failure::file(place))?.path();
        let is_older = name(&file).is_some_and(|name| name.starts_with(&format!("{own}-")));
        if is_older && file.extension() == log.extension() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
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
    let is_refused = !(200..300).contains(&code) && code < 499;
    if text("/stage") != "ResponseComplete" || is_refused || text("/requestURI").contains("dryRun=")
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

    #[test]
    fn what_was_put_aside_is_read_first() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("audit.log");
        let files = [
            ("audit.log", 201),
            ("audit-2027-01-02T00-00-00.000.log", 204),
            ("audit-2027-01-01T00-00-00.000.log", 202),
            ("other-2027-01-01.log", 203),
        ];
        for (file, code) in files {
            fs::write(place.path().join(file), line(code, "/apis/x")).unwrap();
        }
        let codes = read(&log).unwrap().into_iter().map(|write| write.code);
        assert_eq!(codes.collect::<Vec<_>>(), [202, 204, 201]);
    }

    #[test]
    fn what_ended_in_trouble_is_unclear() {
        for code in [499, 500, 504] {
            assert!(parse(&line(code, "/apis/x")).unwrap().is_unclear());
        }
        assert!(!parse(&line(200, "/apis/x")).unwrap().is_unclear());
        assert_eq!(parse(&line(429, "/apis/x")), None);
    }
}
