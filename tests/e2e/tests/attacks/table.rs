//! The tables as they are written.
//!
//! A row is many attacks on one object: at each place (`at`), through each door (a subresource; the
//! empty one is the object itself), in each way, with each field, by everybody. A field is a JSON
//! merge patch, or values by JSON pointer where its keys begin with a slash; rows that name an
//! `object` lay it over what they create. `TAKER` in it stands for the code of the other department,
//! `PLACE` in a name for the namespace of the place, `MONTH` for the month's own name.
//!
//! Who has no right to the deed is refused for that, whatever the field. Who has it is refused as
//! the row says, by a rule or in these words (`says`); or goes through without the field (`stamped`)
//! or not unnoticed (`warned`). A row that says nothing is an attack by those without a right only:
//! what the others do there is their job.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// How an object is attacked.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Creates it.
    Create,
    /// Reads it, lays the field over it and puts it back.
    Update,
    /// Lays a JSON merge patch over it.
    Merge,
    /// Carries out JSON patch operations.
    Json,
    /// Lays a strategic merge patch over it.
    Strategic,
    /// Applies it on the server's side, taking over what others own.
    Apply,
    /// Deletes it.
    Delete,
    /// Deletes all that are there.
    DeleteCollection,
    /// Reads it.
    Get,
    /// Reads all that are there.
    List,
    /// Watches all that are there.
    Watch,
}

impl Way {
    /// The verb that rights speak of.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Merge | Self::Json | Self::Strategic | Self::Apply => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
        }
    }

    /// Whether it is about all objects of a place.
    pub fn is_of_many(self) -> bool {
        matches!(self, Self::DeleteCollection | Self::List | Self::Watch)
    }
}

/// Who is there, where, and what is created.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// Namespaces by a short name.
    pub places: BTreeMap<String, String>,
    /// Everybody, by a short name.
    pub people: BTreeMap<String, Identity>,
    /// What is created, by a short name.
    pub objects: BTreeMap<String, Value>,
}

/// A place in the table of rights: whose row, and of which namespace.
pub type Held = [String; 2];

/// Somebody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name, as the API server sees it.
    pub user: String,
    /// The groups, beyond those that every user has.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether every right there is is theirs.
    #[serde(default)]
    pub mighty: bool,
    /// What they hold everywhere.
    #[serde(default)]
    pub everywhere: Option<Held>,
    /// What they hold in a place.
    #[serde(default, rename = "in")]
    pub within: BTreeMap<String, Held>,
    /// Where they are sent, if not everywhere. A row that names them sends them all the same.
    #[serde(default)]
    pub strikes: Option<Vec<String>>,
}

impl Identity {
    /// Whether nobody vouches for them.
    pub fn is_anonymous(&self) -> bool {
        self.user == "system:anonymous"
    }
}

/// A table of attacks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Fields that several rows attack, by name.
    pub sets: BTreeMap<String, BTreeMap<String, Value>>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Many attacks on one object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The kind, as `networkpolicies.networking.k8s.io`.
    pub kind: String,
    /// The object.
    pub name: String,
    /// The places.
    pub at: Vec<String>,
    /// The doors.
    #[serde(default = "only_the_object")]
    pub doors: Vec<String>,
    /// The ways.
    #[serde(default = "every_change")]
    pub ways: Vec<Way>,
    /// Who attacks, if not everybody.
    #[serde(default)]
    pub people: Option<Vec<String>>,
    /// What is created.
    #[serde(default)]
    pub object: Option<String>,
    /// Sets of fields.
    #[serde(default)]
    pub sets: Vec<String>,
    /// Fields of this row alone.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// Headers by which somebody claims to be somebody else, by a name; then they come with
    /// credentials of their own.
    #[serde(default)]
    pub claims: BTreeMap<String, BTreeMap<String, String>>,
    /// The rule that refuses it.
    #[serde(default)]
    pub rule: Option<String>,
    /// The words in which it is refused.
    #[serde(default)]
    pub says: Option<String>,
    /// What is written in place of the field.
    #[serde(default)]
    pub stamped: Option<Stamp>,
    /// The rule that warns.
    #[serde(default)]
    pub warned: Option<String>,
    /// Why it goes through.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What the API server writes in place of a claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The binding through which it is written.
    pub binding: String,
    /// Where it is shown, as a JSON pointer.
    pub shows: String,
    /// What is shown, where nothing was claimed; else anything but the claim.
    #[serde(default)]
    pub is: Option<String>,
}

fn only_the_object() -> Vec<String> {
    vec![String::new()]
}

fn every_change() -> Vec<Way> {
    vec![
        Way::Update,
        Way::Merge,
        Way::Json,
        Way::Strategic,
        Way::Apply,
    ]
}
