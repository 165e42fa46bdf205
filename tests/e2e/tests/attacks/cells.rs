//! The matrix: every row of the tables, multiplied out.
//!
//! Left out is what is somebody's job. Who has no right to a deed meets the same answer whatever the
//! field and the type of patch, because rights look at neither: they are sent with one field and one
//! type of patch in turn, the others with all of them.

use std::collections::BTreeMap;

use leasehold_e2e::tables::parse;
use leasehold_testkit::manifests::Days;
use serde_json::Value;

use crate::change::takes_away;
use crate::rights::Rights;
use crate::table::{Ground, Identity, Row, Sheet, Stamp, Way};

const SHEETS: [(&str, &str); 3] = [
    ("namespaces", include_str!("namespaces.yaml")),
    ("documents", include_str!("documents.yaml")),
    ("workloads", include_str!("workloads.yaml")),
];
const JOBS: &str = include_str!("jobs.yaml");
/// Attacks that go through today, each with what is missing.
const KNOWN_OPEN: &str = include_str!("open.yaml");

/// Code of the attackers' department.
pub const CODE: &str = "attacker";
/// Code of the department that is attacked.
pub const OTHER: &str = "victim";
/// Code of the department above the attackers'.
pub const ABOVE: &str = "superior";
/// Places whose department is the attackers' own.
const THEIR_OWN: [&str; 4] = ["own", "own-office", "leaving", "owned"];
/// Kinds of which leasehold keeps objects in its namespaces.
const KEPT: [&str; 4] = [
    "resourcequotas",
    "limitranges",
    "networkpolicies.networking.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];
/// How the labels and annotations begin that say whose something is and how it is protected.
const MARKS: [&str; 2] = ["leasehold.dev/", "pod-security.kubernetes.io/"];

/// What must come of a request.
#[derive(Clone, Debug)]
pub enum Expected {
    /// It is forbidden for want of a right.
    NoRight {
        /// The verb.
        verb: &'static str,
        /// The resource as the refusal calls it, with its subresource.
        resource: String,
    },
    /// It is refused by this rule.
    Rule(String),
    /// It is refused in these words.
    Words(String),
    /// It goes through, and something else is written.
    Overwritten(Stamp),
    /// It goes through with a warning of this rule.
    Warned(String),
    /// It goes through.
    Accepted,
}

/// One attack.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The table, and the number of the row in it.
    pub row: (&'static str, usize),
    /// Who attacks, by a short name.
    pub who: String,
    /// Who attacks, as the API server sees it.
    pub user: String,
    /// How.
    pub way: Way,
    /// The kind.
    pub kind: String,
    /// The object.
    pub name: String,
    /// The place, by its short name.
    pub place: String,
    /// The namespace of the place; empty where there is none.
    pub namespace: String,
    /// The subresource; empty for the object itself.
    pub door: String,
    /// The name of the field.
    pub field: String,
    /// The change of the field; nothing where there is none.
    pub change: Value,
    /// What is created, by its short name.
    pub object: Option<String>,
    /// Headers by which they claim to be somebody else.
    pub claims: BTreeMap<String, String>,
    /// What must come of it.
    pub expected: Expected,
    /// Why it goes through, where it should not.
    pub reason: Option<String>,
}

impl Cell {
    /// The path of the object, or of all that are there.
    pub fn path(&self, name: Option<&str>) -> String {
        let kind = self.kind.as_str();
        let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
        let mut path = match group {
            "" => "/api/v1".to_owned(),
            ours if ours.ends_with("leasehold.dev") => format!("/apis/{group}/v1alpha1"),
            _ => format!("/apis/{group}/v1"),
        };
        // the namespace of a namespace is where it stands for rights, not for its path
        if !self.namespace.is_empty() && self.kind != "namespaces" {
            path = format!("{path}/namespaces/{}", self.namespace);
        }
        path = format!("{path}/{plural}");
        name.map_or_else(|| path.clone(), |name| format!("{path}/{name}"))
    }

    /// Whether it is about whose a namespace is, or an object that leasehold keeps, and no missing right stops it: it
    /// writes owners, or the labels and annotations of ownership, zone, protection or department, through whatever door.
    pub fn is_about_ownership(&self) -> bool {
        let is_theirs = self.kind == "namespaces" || KEPT.contains(&self.kind.as_str());
        let has_right = !matches!(self.expected, Expected::NoRight { .. });
        is_theirs && has_right && is_of_owners(&self.change)
    }

    /// The cell as somebody could try it, with the field in words.
    pub fn title(&self) -> String {
        let deed = match self.way {
            Way::Create => "create",
            Way::Update => "replace",
            Way::Merge => "patch --type=merge",
            Way::Json => "patch --type=json",
            Way::Strategic => "patch --type=strategic",
            Way::Apply => "apply --server-side --force-conflicts",
            Way::Delete => "delete",
            Way::DeleteCollection => "delete --all",
            Way::Get => "get",
            Way::List => "get (list)",
            Way::Watch => "get --watch",
        };
        let (who, user, kind, name) = (&self.who, &self.user, &self.kind, &self.name);
        let mut line = format!("{who}: kubectl --as {user} {deed} {kind} {name}");
        if !self.namespace.is_empty() {
            line = format!("{line} -n {}", self.namespace);
        }
        if !self.door.is_empty() {
            line = format!("{line} --subresource={}", self.door);
        }
        if !self.change.is_null() {
            line = format!("{line} with {}", self.change);
        }
        if !self.claims.is_empty() {
            line = format!("{line} and headers {:?}", self.claims);
        }
        let (sheet, row) = self.row;
        format!("{line}  # {sheet}.yaml, row {row}: {}", self.field)
    }
}

fn is_of_owners(change: &Value) -> bool {
    let mut fields = change.as_object().into_iter().flatten();
    let is_by_pointer = fields.any(|(pointer, _)| pointer.starts_with("/metadata/ownerReferences"));
    let marks = ["labels", "annotations"].map(|part| change.pointer(&format!("/metadata/{part}")));
    let is_mark = |key: &String| MARKS.iter().any(|mark| key.starts_with(mark));
    let is_marked = marks.into_iter().flatten().any(|marks| {
        // with null all of them go
        marks.is_null() || marks.as_object().is_some_and(|all| all.keys().any(is_mark))
    });
    is_by_pointer || is_marked || change.pointer("/metadata/ownerReferences").is_some()
}

/// Everything that is written by hand.
pub struct Tables {
    /// Who is there, where, and what is created.
    pub ground: Ground,
    /// Who may do what.
    pub rights: Rights,
    attacks: Vec<(&'static str, Sheet)>,
    jobs: Sheet,
    open: Sheet,
    month: String,
}

impl Tables {
    /// Reads them.
    pub fn read() -> Result<Self, String> {
        let read = |(name, text): (&'static str, &str)| {
            let sheet: Sheet = parse(text).map_err(|error| format!("{name}.yaml: {error}"))?;
            Ok::<_, String>((name, sheet))
        };
        Ok(Self {
            ground: parse(include_str!("people.yaml"))?,
            rights: Rights::read()?,
            attacks: SHEETS
                .into_iter()
                .map(read)
                .collect::<Result<Vec<_>, String>>()?,
            jobs: parse(JOBS)?,
            open: parse(KNOWN_OPEN)?,
            month: month()?,
        })
    }

    /// The matrix.
    pub fn attacks(&self) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        for (name, sheet) in &self.attacks {
            cells.extend(self.multiplied(name, sheet, true)?);
        }
        Ok(cells)
    }

    /// What everybody must be able to do.
    pub fn jobs(&self) -> Result<Vec<Cell>, String> {
        self.multiplied("jobs", &self.jobs, false)
    }

    /// What goes through today and should not.
    pub fn open(&self) -> Result<Vec<Cell>, String> {
        self.multiplied("open", &self.open, false)
    }

    fn multiplied(
        &self,
        name: &'static str,
        sheet: &Sheet,
        attack: bool,
    ) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        for (number, row) in sheet.rows.iter().enumerate() {
            let maker = Maker {
                tables: self,
                at: (name, number),
                row,
                fields: fields(sheet, row)?,
                attack,
            };
            maker.make(&mut cells)?;
        }
        Ok(cells)
    }

    /// Somebody by their short name.
    fn identity(&self, who: &str) -> Result<&Identity, String> {
        let found = self.ground.people.get(who);
        found.ok_or_else(|| format!("nobody here is called {who}"))
    }
}

/// The name of this month's period and statements.
pub fn month() -> Result<String, String> {
    let days = Days::now().map_err(|failure| format!("{failure:?}"))?;
    let today = days.today.to_string();
    let month = today.rsplit_once('-').map(|(month, _)| month.to_owned());
    month.ok_or_else(|| format!("{today} is in no month"))
}

/// What is changed or claimed by a row, by name; one without a name where nothing is.
fn fields(sheet: &Sheet, row: &Row) -> Result<Vec<(String, Value)>, String> {
    let mut fields = Vec::new();
    for name in &row.sets {
        let set = sheet.sets.get(name);
        let set = set.ok_or_else(|| format!("there is no set {name}"))?;
        fields.extend(set.clone());
    }
    fields.extend(row.fields.clone());
    fields.extend(row.claims.keys().map(|name| (name.clone(), Value::Null)));
    if fields.is_empty() {
        fields.push((String::new(), Value::Null));
    }
    Ok(fields)
}

/// Multiplies one row out.
struct Maker<'a> {
    tables: &'a Tables,
    at: (&'static str, usize),
    row: &'a Row,
    fields: Vec<(String, Value)>,
    attack: bool,
}

/// Where and how a row attacks.
#[derive(Clone, Copy)]
struct Blow<'a> {
    place: &'a str,
    door: &'a str,
    way: Way,
    /// A number that goes on from one to the next.
    turn: usize,
}

impl Maker<'_> {
    fn make(&self, cells: &mut Vec<Cell>) -> Result<(), String> {
        let before = cells.len();
        for (turn, place) in self.row.at.iter().enumerate() {
            for door in &self.row.doors {
                for way in self.ways(door) {
                    let blow = Blow {
                        place,
                        door,
                        way,
                        turn,
                    };
                    self.strike(blow, before, cells)?;
                }
            }
        }
        if cells.len() == before {
            return Err(format!("row {:?} attacks nothing", self.at));
        }
        Ok(())
    }

    /// The ways that there are through a door.
    fn ways(&self, door: &str) -> Vec<Way> {
        let ours = self.row.kind.ends_with("leasehold.dev");
        let ways = self.row.ways.iter().copied();
        // only kinds with a compiled form have strategic patches, and no door leads to many
        ways.filter(|way| !(ours && *way == Way::Strategic))
            .filter(|way| door.is_empty() || !way.is_of_many())
            .collect()
    }

    /// The types of patch that change what is there.
    fn patches(&self, door: &str) -> Vec<Way> {
        let mut ways = self.ways(door);
        ways.retain(|way| way.verb() == "patch" && !self.creates(*way));
        ways
    }

    fn creates(&self, way: Way) -> bool {
        way == Way::Create || (way == Way::Apply && self.row.object.is_some())
    }

    /// Who attacks in a place, with a number for each.
    fn people(&self, place: &str) -> Result<Vec<(usize, &str, &Identity)>, String> {
        let tables = self.tables;
        if let Some(named) = &self.row.people {
            let named = named.iter().enumerate();
            return named
                .map(|(number, who)| Ok((number, who.as_str(), tables.identity(who)?)))
                .collect();
        }
        let everybody = tables.ground.people.iter().enumerate();
        let sent = everybody.filter(|(_, (_, identity))| {
            let strikes = identity.strikes.as_ref();
            strikes.is_none_or(|places| places.iter().any(|one| one == place))
        });
        Ok(sent
            .map(|(number, (who, identity))| (number, who.as_str(), identity))
            .collect())
    }

    /// Adds the cells of everybody who attacks so; `before` is where the row's own begin.
    fn strike(&self, blow: Blow<'_>, before: usize, cells: &mut Vec<Cell>) -> Result<(), String> {
        let fitting: Vec<&(String, Value)> = self
            .fields
            .iter()
            .filter(|(_, change)| blow.way != Way::Apply || change.is_null() || !takes_away(change))
            .collect();
        if fitting.is_empty() {
            return Ok(());
        }
        for (number, who, identity) in self.people(blow.place)? {
            let lacking = self.lacking(identity, blow);
            let (expected, chosen) = match (lacking, self.expected()) {
                (None, None) => continue,
                (None, Some(expected)) => (expected, fitting.as_slice()),
                (Some(expected), _) => {
                    let patches = self.patches(blow.door);
                    let turn = self.at.1 + blow.turn + number;
                    let next = patches.get(turn.checked_rem(patches.len()).unwrap_or(0));
                    if patches.contains(&blow.way) && next != Some(&blow.way) {
                        continue;
                    }
                    let one = (cells.len() - before) % fitting.len();
                    (expected, &fitting[one..=one])
                }
            };
            for (field, change) in chosen.iter().copied() {
                let field = (field.as_str(), change);
                cells.push(self.cell(blow, (who, identity), field, &expected)?);
            }
        }
        Ok(())
    }

    /// The refusal for want of a right, if one is wanting.
    fn lacking(&self, identity: &Identity, blow: Blow<'_>) -> Option<Expected> {
        // whoever claims to be somebody is refused for the claim, before anybody asks for rights
        if !self.attack || !self.row.claims.is_empty() {
            return None;
        }
        let (kind, door) = (&self.row.kind, blow.door);
        let plural = kind.split('.').next().unwrap_or_default();
        let (resource, short) = if door.is_empty() {
            (kind.clone(), plural.to_owned())
        } else {
            (format!("{kind}/{door}"), format!("{plural}/{door}"))
        };
        // what is applied and not there yet takes the right to create it as well
        let more = self.creates(blow.way).then_some("create");
        let mut verbs = [Some(blow.way.verb()), more].into_iter().flatten();
        let rights = &self.tables.rights;
        let verb = verbs.find(|verb| !rights.allow(identity, verb, &resource, blow.place))?;
        Some(Expected::NoRight {
            verb,
            resource: short,
        })
    }

    /// What comes of the deed for those who have the right to it; nothing if it is their job.
    fn expected(&self) -> Option<Expected> {
        let row = self.row;
        if !self.attack {
            return Some(Expected::Accepted);
        }
        let rule = row.rule.clone().map(Expected::Rule);
        let words = row.says.clone().map(Expected::Words);
        let stamped = row.stamped.clone().map(Expected::Overwritten);
        let warned = row.warned.clone().map(Expected::Warned);
        rule.or(words).or(stamped).or(warned)
    }

    fn cell(
        &self,
        blow: Blow<'_>,
        (who, identity): (&str, &Identity),
        (field, change): (&str, &Value),
        expected: &Expected,
    ) -> Result<Cell, String> {
        let places = &self.tables.ground.places;
        let namespace = match blow.place {
            "cluster" | "all" => String::new(),
            place => {
                let found = places.get(place);
                let found = found.ok_or_else(|| format!("there is no place {place}"))?;
                found.clone()
            }
        };
        let name = self.row.name.replace("MONTH", &self.tables.month);
        Ok(Cell {
            row: self.at,
            who: who.to_owned(),
            user: identity.user.clone(),
            way: blow.way,
            kind: self.row.kind.clone(),
            name: if name == "PLACE" {
                namespace.clone()
            } else {
                name
            },
            place: blow.place.to_owned(),
            namespace,
            door: blow.door.to_owned(),
            field: field.to_owned(),
            change: taken(change, blow.place)?,
            object: self.row.object.clone(),
            claims: self.row.claims.get(field).cloned().unwrap_or_default(),
            expected: expected.clone(),
            reason: self.row.reason.clone(),
        })
    }
}

/// The change with the code of the department that gains by it.
fn taken(change: &Value, place: &str) -> Result<Value, String> {
    let text = change.to_string();
    if !text.contains("TAKER") {
        return Ok(change.clone());
    }
    let taker = if THEIR_OWN.contains(&place) {
        OTHER
    } else {
        CODE
    };
    serde_json::from_str(&text.replace("TAKER", taker)).map_err(|error| error.to_string())
}

#[test]
fn an_attack_on_ownership_is_told_from_others() {
    let uid = "00000000-0000-0000-0000-000000000000";
    for (change, is_one) in [
        (
            serde_json::json!({"metadata": {"labels": {"leasehold.dev/zone": "x"}}}),
            true,
        ),
        (
            serde_json::json!({"metadata": {"labels": {"leasehold.dev/zone": null}}}),
            true,
        ),
        (serde_json::json!({"metadata": {"labels": null}}), true),
        (
            serde_json::json!({"metadata": {"ownerReferences": null}}),
            true,
        ),
        (
            serde_json::json!({"/metadata/ownerReferences/1": {"uid": uid}}),
            true,
        ),
        (
            serde_json::json!({"metadata": {"annotations": {"note": "x"}}}),
            false,
        ),
        (
            serde_json::json!({"metadata": {"finalizers": ["example.com/never"]}}),
            false,
        ),
        (
            serde_json::json!({"spec": {"hard": {"pods": "1000"}}}),
            false,
        ),
        (Value::Null, false),
    ] {
        assert_eq!(is_of_owners(&change), is_one, "{change}");
    }
}
