//! Where a ledger is: a file, or a database of a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// How addresses of PostgreSQL begin.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// What may stand behind the question mark of an address. Others are refused: sqlx would pass over them with a warning that
/// repeats their value, and a password under a name that is none would stand in a log.
const PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Where a ledger is. As text, what begins with `postgres://` or `postgresql://` is a server, and everything else a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A database of PostgreSQL, version 15 or newer.
    Server(ServerUrl),
}

/// The address of a database of PostgreSQL, password included. It is never shown with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    url: String,
    shown: String,
}

/// An address that is none. It does not repeat the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to understand the address of the database: {why}; write postgres://USER:PASSWORD@HOST:5432/DATABASE, with \
     what is no letter or digit in a password as %XX"
)]
pub struct PlaceError {
    why: String,
}

impl Place {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return text.parse().map(Self::Server);
        }
        if text.is_empty() {
            return Err(refused("it is empty"));
        }
        if text.contains("://") {
            return Err(refused("only postgres:// and postgresql:// are known"));
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

impl From<ServerUrl> for Place {
    fn from(server: ServerUrl) -> Self {
        Self::Server(server)
    }
}

impl ServerUrl {
    /// How to connect to it.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, PlaceError> {
        self.url
            .parse()
            .map_err(|error: sqlx::Error| refused(&reason(&error)))
    }
}

impl FromStr for ServerUrl {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = SCHEMES
            .iter()
            .find_map(|scheme| Some((*scheme, text.strip_prefix(scheme)?)))
            .ok_or_else(|| refused("it does not begin with postgres://"))?;
        if rest.contains('#') {
            return Err(refused("it has a # in it"));
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        if database.contains('@') || query.contains('@') {
            return Err(refused("a @ stands behind the name of the host"));
        }
        check_parameters(query)?;
        let (person, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let user = person.split_once(':').map_or(person, |(user, _)| user);
        let at = if user.is_empty() { "" } else { "@" };
        let server = Self {
            url: text.to_owned(),
            shown: format!("{scheme}{user}{at}{host}/{database}"),
        };
        // what sqlx does not understand is better known now than when the ledger is opened
        server.options()?;
        Ok(server)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn check_parameters(query: &str) -> Result<(), PlaceError> {
    let mut names = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    match names.find(|name| !PARAMETERS.contains(name)) {
        None => Ok(()),
        Some(name) => Err(refused(&format!(
            "{name} is none of its parameters {}",
            PARAMETERS.join(", ")
        ))),
    }
}

/// What sqlx says of an address. A part of the address is in it only where it is the name of a thing, as of a mode of TLS.
fn reason(error: &sqlx::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn refused(why: &str) -> PlaceError {
    PlaceError {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password_and_its_parameters() {
        for (text, shown) in [
            (
                "postgres://leasehold:s3cret@db.example:5432/ledger?sslmode=verify-full",
                "postgres://leasehold@db.example:5432/ledger",
            ),
            (
                "postgresql://leasehold:s3cret%40x@db.example/ledger",
                "postgresql://leasehold@db.example/ledger",
            ),
            (
                "postgres://leasehold@%2Fvar%2Frun%2Fpostgresql/ledger?password=s3cret",
                "postgres://leasehold@%2Fvar%2Frun%2Fpostgresql/ledger",
            ),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?}").contains("s3cret"), "{place:?}");
        }
    }

    #[test]
    fn an_address_that_is_refused_is_not_repeated() {
        for text in [
            "postgres://leasehold:s3cret/x@db.example/ledger",
            "postgres://leasehold:s3cret@db.example/ledger?passwd=s3cret",
            "postgres://leasehold:s3cret@db.example:port/ledger",
            "mysql://leasehold:s3cret@db.example/ledger",
        ] {
            let error = text.parse::<Place>().unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("s3cret"), "{told}");
            assert!(told.contains("%XX"), "{told}");
        }
    }

    #[test]
    fn what_is_no_address_is_a_file() {
        for text in ["ledger.db", "/var/lib/leasehold/ledger.db", "./postgres"] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.file(), Some(Path::new(text)));
            assert_eq!(place.to_string(), text);
        }
        assert!("".parse::<Place>().is_err());
    }
}
