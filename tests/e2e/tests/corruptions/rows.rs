//! Changes of rows, the same in both databases.

use leasehold_model::Chance;

use crate::prompt::Prompt;
use crate::verdict::Verdict;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Number,
    Text,
}
use Holds::{Number, Text};

/// Every column that is evidence, or by which evidence is found.
const COLUMNS: [(&str, &str, Holds); 55] = [
    ("chain", "seq", Number),
    ("chain", "kind", Text),
    ("chain", "key", Text),
    ("chain", "digest", Text),
    ("chain", "prev", Text),
    ("chain", "hash", Text),
    ("fact", "seq", Number),
    ("fact", "cluster", Text),
    ("fact", "etcd", Number),
    ("fact", "uid", Text),
    ("fact", "version", Text),
    ("fact", "meter", Text),
    ("fact", "kind", Text),
    ("fact", "at", Number),
    ("fact", "quantity", Number),
    ("fact", "department", Text),
    ("fact", "tenancy", Text),
    ("fact", "incarnation", Number),
    ("fact", "system", Text),
    ("fact", "provider", Text),
    ("fact", "contract", Text),
    ("fact", "budget", Text),
    ("fact", "request", Number),
    ("fact", "object", Text),
    ("fact", "estimated", Number),
    ("fact", "lower_at", Number),
    ("fact", "upper_at", Number),
    ("fact", "evidence", Text),
    ("document", "seq", Number),
    ("document", "kind", Text),
    ("document", "key", Text),
    ("document", "subject", Text),
    ("document", "body", Text),
    ("entry", "seq", Number),
    ("entry", "id", Text),
    ("entry", "kind", Text),
    ("entry", "at", Number),
    ("entry", "department", Text),
    ("entry", "period", Text),
    ("posting", "entry", Number),
    ("posting", "n", Number),
    ("posting", "account", Text),
    ("posting", "amount", Number),
    ("meta", "value", Text),
    ("hole", "first_seq", Number),
    ("hole", "last_seq", Number),
    ("hole", "prev", Text),
    ("hole", "hash", Text),
    ("hole", "ended_before", Number),
    ("hole", "archive", Number),
    ("cursor", "source", Text),
    ("cursor", "resource_version", Text),
    ("cursor", "complete_to", Number),
    ("cursor", "observed_at", Number),
    ("cursor", "digest", Text),
];
/// The tables whose rows are numbered as those of the chain.
const BODIES: [&str; 3] = ["fact", "document", "entry"];
/// A number that no row has.
const ASIDE: u64 = 1_000_000_000;

/// Statements that change something, and which rows must be named for it.
struct Change {
    text: String,
    statements: Vec<String>,
    touched: Touched,
}

/// What must be named.
enum Touched {
    /// One of these rows.
    Rows(Vec<u64>),
    /// Any row: some are gone from the end.
    Any,
    /// The mark of a rehearsal.
    Mark,
    /// The row of a watch.
    Watch,
}

/// What was changed.
pub struct Tampered {
    text: String,
    touched: Touched,
}

impl Tampered {
    /// Changes something. What the database refuses even without its triggers is drawn again.
    pub async fn by_chance(prompt: &mut Prompt, rows: u64, chance: &mut Chance) -> Self {
        for _ in 0..1000 {
            let drawn = match chance.below(10) {
                0..=4 => alter(prompt, chance).await,
                5 => Some(delete(prompt, chance).await),
                6 => Some(cut(rows, chance)),
                7 => Some(insert(prompt, rows, chance).await),
                8 => exchange(prompt, chance).await,
                _ => mix(prompt, chance).await,
            };
            let Some(change) = drawn else { continue };
            if prompt.tamper(&change.statements).await {
                let Change { text, touched, .. } = change;
                return Self { text, touched };
            }
        }
        panic!("the database refuses everything");
    }

    /// Whether it was found, and one of the rows named that it touched.
    pub fn is_named_by(&self, verdict: &Verdict) -> Result<(), String> {
        verdict.is_found()?;
        let named = verdict.rows();
        let is_named = match &self.touched {
            Touched::Rows(rows) => rows.iter().any(|row| named.contains(row)),
            Touched::Any => !named.is_empty(),
            Touched::Mark => verdict.says("rehearsal"),
            Touched::Watch => !named.is_empty() && verdict.says(" of cursor, where "),
        };
        if is_named {
            Ok(())
        } else {
            Err(format!("{}: its row is not named: {verdict:?}", self.text))
        }
    }
}

/// A row of a table: how to find it, and its number in the chain.
struct Row {
    table: &'static str,
    is: String,
    seq: u64,
    /// The other rows at which a change of a hole may show: its last, the one behind it, and that of the archive.
    around: Vec<u64>,
}

async fn row(prompt: &mut Prompt, table: &'static str, chance: &mut Chance) -> Row {
    if table == "meta" {
        return Row::without_number(table, "name = 'rehearsal'".to_owned());
    }
    let counted = format!("SELECT COUNT(*) FROM {table}");
    let many = prompt.number(&counted);
    let many = u64::try_from(many.await).unwrap();
    let skip = chance.below(many);
    if table == "cursor" {
        let at = format!("SELECT source FROM cursor ORDER BY source LIMIT 1 OFFSET {skip}");
        let source = prompt.text(&at).await.unwrap();
        return Row::without_number(table, format!("source = {}", literal(&source)));
    }
    if table == "hole" {
        return hole(prompt, skip).await;
    }
    if table == "posting" {
        let at = format!("FROM posting ORDER BY entry, n LIMIT 1 OFFSET {skip}");
        let entry = prompt.number(&format!("SELECT entry {at}")).await;
        let n = prompt.number(&format!("SELECT n {at}")).await;
        return Row {
            table,
            is: format!("entry = {entry} AND n = {n}"),
            seq: u64::try_from(entry).unwrap(),
            around: Vec::new(),
        };
    }
    let sql = format!("SELECT seq FROM {table} ORDER BY seq LIMIT 1 OFFSET {skip}");
    let seq = u64::try_from(prompt.number(&sql).await).unwrap();
    Row {
        table,
        is: format!("seq = {seq}"),
        seq,
        around: Vec::new(),
    }
}

/// The hole behind so many others.
async fn hole(prompt: &mut Prompt, skip: u64) -> Row {
    let sql = format!("SELECT first_seq FROM hole ORDER BY first_seq LIMIT 1 OFFSET {skip}");
    let first = prompt.number(&sql).await;
    let is = format!("first_seq = {first}");
    let mut around = Vec::new();
    for value in ["last_seq", "last_seq + 1", "archive"] {
        let sql = format!("SELECT {value} FROM hole WHERE {is}");
        around.push(u64::try_from(prompt.number(&sql).await).unwrap());
    }
    Row {
        table: "hole",
        is,
        seq: u64::try_from(first).unwrap(),
        around,
    }
}

impl Row {
    fn without_number(table: &'static str, is: String) -> Self {
        Self {
            table,
            is,
            seq: 0,
            around: Vec::new(),
        }
    }

    async fn value(&self, prompt: &mut Prompt, column: &str) -> Option<String> {
        let Self { table, is, .. } = self;
        let sql = format!("SELECT CAST({column} AS TEXT) FROM {table} WHERE {is}");
        prompt.text(&sql).await
    }

    fn touched(&self) -> Touched {
        match self.table {
            "meta" => Touched::Mark,
            "cursor" => Touched::Watch,
            _ => {
                let mut rows = vec![self.seq];
                rows.extend(&self.around);
                Touched::Rows(rows)
            }
        }
    }
}

/// Another value in one column.
async fn alter(prompt: &mut Prompt, chance: &mut Chance) -> Option<Change> {
    let (table, column, holds) = *chance.pick(&COLUMNS).unwrap();
    let row = row(prompt, table, chance).await;
    let old = row.value(prompt, column).await;
    let new = match (holds, old.as_deref()) {
        (Number, old) => other_number(column, old.map(|text| text.parse().unwrap()), chance),
        (Text, old) => other_text(column, old, chance)?,
    };
    let set = match (column, new.as_str()) {
        // the database holds to it that an estimate has both bounds or none
        ("lower_at" | "upper_at", "NULL") => "lower_at = NULL, upper_at = NULL".to_owned(),
        ("lower_at" | "upper_at", new) if old.is_none() => {
            format!("lower_at = {new}, upper_at = {new}")
        }
        (column, new) => format!("{column} = {new}"),
    };
    let mut touched = row.touched();
    if let Touched::Rows(rows) = &mut touched
        && ["seq", "entry", "first_seq", "last_seq"].contains(&column)
    {
        rows.extend(new.parse::<u64>().ok());
    }
    Some(Change {
        text: format!("{table} {}: {set}, was {old:?}", row.is),
        statements: vec![format!("UPDATE {table} SET {set} WHERE {}", row.is)],
        touched,
    })
}

fn other_number(column: &str, old: Option<i64>, chance: &mut Chance) -> String {
    let Some(old) = old else {
        return (1_788_192_000 + i64::try_from(chance.below(1000)).unwrap()).to_string();
    };
    if column == "estimated" {
        return (1 - old).to_string();
    }
    let one = 1_i64 << chance.below(62);
    let new = match chance.below(5) {
        0 => old + 1,
        1 => old - 1,
        2 if old != 0 => -old,
        3 if column.ends_with("_at") || column == "complete_to" => return "NULL".to_owned(),
        _ => old ^ one,
    };
    new.to_string()
}

/// As it is written in a statement; none where it would be the same.
fn other_text(column: &str, old: Option<&str>, chance: &mut Chance) -> Option<String> {
    let Some(old) = old else {
        return Some("'2026-09'".to_owned());
    };
    if column == "period" && chance.below(3) == 0 {
        return Some("NULL".to_owned());
    }
    let mut letters: Vec<char> = old.chars().collect();
    let many = u64::try_from(letters.len()).unwrap();
    let at = usize::try_from(chance.below(many)).unwrap();
    match chance.below(5) {
        0 if column == "kind" => letters = "entry".chars().collect(),
        1 => {
            letters.pop();
        }
        2 if at > 0 => letters.swap(at - 1, at),
        3 if at < letters.len() && letters[at].is_ascii_lowercase() => {
            letters[at] = letters[at].to_ascii_uppercase();
        }
        4 if at < letters.len() => letters[at] = '7',
        _ => letters.push('x'),
    }
    let new: String = letters.into_iter().collect();
    (new != old).then(|| literal(&new))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A row taken away.
async fn delete(prompt: &mut Prompt, chance: &mut Chance) -> Change {
    let tables = [
        "chain", "fact", "document", "entry", "posting", "meta", "hole",
    ];
    let row = row(prompt, chance.pick(&tables).unwrap(), chance).await;
    let mut touched = row.touched();
    if let Touched::Rows(rows) = &mut touched {
        // where a row is missing, the one that follows it may be named
        rows.push(row.seq + 1);
    }
    let sql = format!("DELETE FROM {} WHERE {}", row.table, row.is);
    Change {
        text: sql.clone(),
        statements: vec![sql],
        touched,
    }
}

/// The last rows taken away, with all that belongs to them: nothing but the head that was kept tells.
fn cut(rows: u64, chance: &mut Chance) -> Change {
    let last = rows - 1 - chance.below(20);
    let mut statements: Vec<String> = ["chain", "fact", "document", "entry"]
        .map(|table| format!("DELETE FROM {table} WHERE seq > {last}"))
        .to_vec();
    statements.push(format!("DELETE FROM posting WHERE entry > {last}"));
    Change {
        text: format!("everything after row {last} is gone"),
        statements,
        touched: Touched::Any,
    }
}

/// A row more.
async fn insert(prompt: &mut Prompt, rows: u64, chance: &mut Chance) -> Change {
    let (sql, named) = match chance.below(4) {
        0 => {
            let entry = row(prompt, "posting", chance).await.seq;
            let sql = format!(
                "INSERT INTO posting (entry, n, account, amount) \
                 SELECT entry, MAX(n) + 1, 'zz/more', 1 FROM posting WHERE entry = {entry} GROUP BY entry"
            );
            (sql, entry)
        }
        1 => {
            let entry = rows + 1 + chance.below(5);
            let sql = format!(
                "INSERT INTO posting (entry, n, account, amount) VALUES ({entry}, 1, 'zz/more', 1)"
            );
            (sql, entry)
        }
        2 => {
            let sql = format!(
                "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch) \
                 SELECT seq + 1, 'fact', 'more', digest, hash, hash, inserted_at, epoch \
                 FROM chain WHERE seq = {rows}"
            );
            (sql, rows + 1)
        }
        _ => another_body(prompt, rows, chance).await,
    };
    Change {
        text: sql.clone(),
        statements: vec![sql],
        touched: Touched::Rows(vec![named]),
    }
}

/// A body beside that of another kind, or behind the last row.
async fn another_body(prompt: &mut Prompt, rows: u64, chance: &mut Chance) -> (String, u64) {
    let table = *chance.pick(&BODIES).unwrap();
    let like = row(prompt, table, chance).await;
    let seq = if chance.below(2) == 0 {
        rows + 1 + chance.below(5)
    } else {
        let others: Vec<&str> = BODIES.into_iter().filter(|other| *other != table).collect();
        row(prompt, chance.pick(&others).unwrap(), chance).await.seq
    };
    let columns: Vec<&str> = COLUMNS
        .iter()
        .filter(|(of, column, _)| *of == table && *column != "seq")
        .map(|(_, column, _)| *column)
        .collect();
    let values = columns.iter().map(|column| match (table, *column) {
        ("document", "key") | ("entry", "id") => format!("{column} || 'x'"),
        (_, column) => column.to_owned(),
    });
    let values: Vec<String> = values.collect();
    let sql = format!(
        "INSERT INTO {table} (seq, {}) SELECT {seq}, {} FROM {table} WHERE {}",
        columns.join(", "),
        values.join(", "),
        like.is
    );
    (sql, seq)
}

/// Two rows in each other's places, or two postings of one entry.
async fn exchange(prompt: &mut Prompt, chance: &mut Chance) -> Option<Change> {
    let tables = ["chain", "fact", "document", "entry", "posting"];
    let table = chance.pick(&tables).unwrap();
    let (one, other) = (
        row(prompt, table, chance).await,
        row(prompt, table, chance).await,
    );
    let (column, of, a, b) = if *table == "posting" {
        ("n", format!("entry = {} AND ", one.seq), 1, 2)
    } else {
        ("seq", String::new(), one.seq, other.seq)
    };
    let set = |to: u64, from: u64| {
        format!("UPDATE {table} SET {column} = {to} WHERE {of}{column} = {from}")
    };
    (a != b).then(|| Change {
        text: format!("{table} {of}{column} {a} and {b} exchanged"),
        statements: vec![set(ASIDE, a), set(a, b), set(b, ASIDE)],
        touched: Touched::Rows(vec![one.seq, other.seq]),
    })
}

/// The values of one column of two rows exchanged, or of two columns of one row.
async fn mix(prompt: &mut Prompt, chance: &mut Chance) -> Option<Change> {
    let (table, column, holds) = *chance.pick(&COLUMNS).unwrap();
    if !BODIES.contains(&table) || column == "seq" {
        return None;
    }
    let one = row(prompt, table, chance).await;
    if chance.below(2) == 0 {
        let (of, second, alike) = *chance.pick(&COLUMNS).unwrap();
        if of != table || alike != holds || second == "seq" {
            return None;
        }
        let mine = one.value(prompt, column).await;
        if mine == one.value(prompt, second).await {
            return None;
        }
        let sql = format!(
            "UPDATE {table} SET {column} = {second}, {second} = {column} WHERE {}",
            one.is
        );
        return Some(Change {
            text: sql.clone(),
            statements: vec![sql],
            touched: one.touched(),
        });
    }
    let other = row(prompt, table, chance).await;
    let (mine, its) = (
        one.value(prompt, column).await,
        other.value(prompt, column).await,
    );
    let written = |value: &Option<String>| match (value, holds) {
        (None, _) => "NULL".to_owned(),
        (Some(number), Number) => number.clone(),
        (Some(text), Text) => literal(text),
    };
    let sql = format!(
        "UPDATE {table} SET {column} = CASE WHEN {} THEN {} ELSE {} END WHERE {} OR {}",
        one.is,
        written(&its),
        written(&mine),
        one.is,
        other.is
    );
    (mine != its).then(|| Change {
        text: format!("{column} of {table} {} and {} exchanged", one.is, other.is),
        statements: vec![sql],
        touched: Touched::Rows(vec![one.seq, other.seq]),
    })
}
