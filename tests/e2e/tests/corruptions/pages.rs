//! Which bytes of a SQLite file are read when a ledger is, told from the format of the file and not from what a check says.
//!
//! Every page that a table or an index leads to is walked through. What counts: of the header what says how the file is to
//! be read; of a page its type, the number and the places of its cells, and where its children are; of a cell all that it
//! holds, also where it goes on in other pages. What does not count, because nothing is read from it:
//!
//! - free pages, and in a page the room between its cells and what is noted of that room;
//! - in the header counters, versions, labels and the list of free pages;
//! - the separators in the inner pages of a table: whatever lies between its neighbours says the same;
//! - the place of a row's number in a row whose number is its key, which SQLite leaves empty, and the numbers of the rows of
//!   the schema;
//! - in `chain` when a row was inserted and by which leader (`inserted_at`, `epoch`), and the tables `leader`, `migration` and
//!   `archived_object`: the operator's own notes, of which nothing is billed. Of what is remembered of archived objects the
//!   marks are checked, and each object is held against the files of the archives where these are at hand.

use std::collections::BTreeMap;
use std::ops::Range;

/// Tables and indexes of which nothing counts.
const NOTES: [&str; 3] = ["leader", "migration", "archived_object"];
/// Tables whose first column is the number of the row.
const NUMBERED: [&str; 5] = ["chain", "fact", "document", "entry", "hole"];
/// How many columns of `chain` are evidence.
const OF_CHAIN: usize = 6;
/// What of the header counts: that it is a file of SQLite and the size of its pages, how they are used, and how many there
/// are.
const HEADER: [Range<usize>; 3] = [0..18, 20..24, 28..32];

/// Types of pages.
const INNER_INDEX: u8 = 2;
const INNER_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

/// A page that a table or an index leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The table or index.
    pub tree: String,
    /// Whether anything of it counts.
    pub counts: bool,
}

/// What counts in a file.
#[derive(Debug)]
pub struct Map {
    /// The size of a page in bytes.
    pub size: usize,
    /// The pages that are used, by number, from 1.
    pub pages: BTreeMap<usize, Page>,
    /// The bytes that count, each with the table or index to which it belongs.
    pub bytes: Vec<(usize, String)>,
}

/// A file, while it is walked through.
struct Walk<'f> {
    file: &'f [u8],
    map: Map,
}

/// A column in a record: where its type stands, and the type.
struct Column {
    head: Range<usize>,
    kind: u64,
}

impl Map {
    /// Of a file whose tables and indexes begin in these pages; that of the schema begins in page 1.
    pub fn of(file: &[u8], roots: &[(String, usize)]) -> Self {
        let map = Self {
            size: match number(file, 16, 2) {
                1 => 65_536,
                size => size,
            },
            pages: BTreeMap::new(),
            bytes: Vec::new(),
        };
        let mut walk = Walk { file, map };
        for part in HEADER {
            walk.take(part, "the header");
        }
        walk.tree("the schema", 1);
        for (name, root) in roots {
            walk.tree(name, *root);
        }
        walk.map
    }

    /// The bytes of a page.
    pub fn place(&self, page: usize) -> Range<usize> {
        (page - 1) * self.size..page * self.size
    }
}

impl Walk<'_> {
    fn take(&mut self, bytes: Range<usize>, tree: &str) {
        let named = bytes.map(|byte| (byte, tree.to_owned()));
        self.map.bytes.extend(named);
    }

    fn take_if(&mut self, counts: bool, bytes: Range<usize>, tree: &str) {
        if counts {
            self.take(bytes, tree);
        }
    }

    /// A page of a tree, and all to which it leads.
    fn tree(&mut self, tree: &str, page: usize) {
        let counts = !NOTES.contains(&tree);
        let used = Page {
            tree: tree.to_owned(),
            counts,
        };
        let known = self.map.pages.insert(page, used);
        assert_eq!(known, None, "page {page} is used twice");
        let base = self.map.place(page).start;
        let head = if page == 1 { base + 100 } else { base };
        let kind = self.file[head];
        let cells = number(self.file, head + 3, 2);
        let inner = [INNER_INDEX, INNER_TABLE].contains(&kind);
        let first = if inner { head + 12 } else { head + 8 };
        self.take_if(counts, head..head + 1, tree);
        self.take_if(counts, head + 3..head + 5, tree);
        self.take_if(counts, first..first + 2 * cells, tree);
        if inner {
            self.take_if(counts, head + 8..head + 12, tree);
            self.tree(tree, number(self.file, head + 8, 4));
        }
        for cell in 0..cells {
            let at = base + number(self.file, first + 2 * cell, 2);
            self.cell(tree, kind, at, counts);
        }
    }

    fn cell(&mut self, tree: &str, kind: u8, mut at: usize, counts: bool) {
        if [INNER_INDEX, INNER_TABLE].contains(&kind) {
            self.take_if(counts, at..at + 4, tree);
            self.tree(tree, number(self.file, at, 4));
            at += 4;
        }
        if kind == INNER_TABLE {
            // what follows is a separator
            return;
        }
        assert!([INNER_INDEX, LEAF_INDEX, LEAF_TABLE].contains(&kind));
        let (length, after) = self.varint(at);
        self.take_if(counts, at..after, tree);
        at = after;
        if kind == LEAF_TABLE {
            let (_, after) = self.varint(at);
            self.take_if(counts && tree != "the schema", at..after, tree);
            at = after;
        }
        self.record(tree, kind, at, usize::try_from(length).unwrap(), counts);
    }

    /// What a cell holds: here, and where it goes on.
    fn record(&mut self, tree: &str, kind: u8, at: usize, length: usize, counts: bool) {
        let here = self.held_here(kind, length);
        let unread = if kind == LEAF_TABLE {
            self.unread(tree, at, length)
        } else {
            Vec::new()
        };
        for byte in at..at + here {
            let is_read = !unread.iter().any(|part| part.contains(&byte));
            self.take_if(counts && is_read, byte..byte + 1, tree);
        }
        if here < length {
            self.take_if(counts, at + here..at + here + 4, tree);
            let next = number(self.file, at + here, 4);
            self.overflow(tree, next, length - here, counts);
        }
    }

    /// The pages in which a record goes on.
    fn overflow(&mut self, tree: &str, mut next: usize, mut rest: usize, counts: bool) {
        while next != 0 {
            let used = Page {
                tree: tree.to_owned(),
                counts,
            };
            self.map.pages.insert(next, used);
            let base = self.map.place(next).start;
            let held = rest.min(self.map.size - 4);
            self.take_if(counts, base..base + 4 + held, tree);
            rest -= held;
            next = number(self.file, base, 4);
        }
    }

    /// How many bytes of a record are in the page of its cell.
    fn held_here(&self, kind: u8, length: usize) -> usize {
        let usable = self.map.size;
        let most = if kind == LEAF_TABLE {
            usable - 35
        } else {
            (usable - 12) * 64 / 255 - 23
        };
        if length <= most {
            return length;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (usable - 4);
        if fitting <= most { fitting } else { least }
    }

    /// What SQLite does not read of the record of a row, and what is no evidence.
    fn unread(&self, tree: &str, at: usize, length: usize) -> Vec<Range<usize>> {
        if !NUMBERED.contains(&tree) {
            return Vec::new();
        }
        let (columns, body) = self.columns(at);
        let mut unread = vec![columns[0].head.clone()];
        if tree == "chain" {
            let (evidence, notes) = columns.split_at(OF_CHAIN);
            unread.extend(notes.iter().map(|column| column.head.clone()));
            let read: usize = evidence.iter().map(|column| size_of(column.kind)).sum();
            unread.push(body + read..at + length);
        }
        unread
    }

    /// The columns of a record, and where their values begin.
    fn columns(&self, at: usize) -> (Vec<Column>, usize) {
        let (length, mut next) = self.varint(at);
        let body = at + usize::try_from(length).unwrap();
        let mut columns = Vec::new();
        while next < body {
            let (kind, after) = self.varint(next);
            columns.push(Column {
                head: next..after,
                kind,
            });
            next = after;
        }
        (columns, body)
    }

    /// A number of one to nine bytes, and where it ends.
    fn varint(&self, at: usize) -> (u64, usize) {
        let mut value = 0;
        for (place, byte) in (at..at + 9).zip(&self.file[at..]) {
            if place == at + 8 {
                return ((value << 8) | u64::from(*byte), place + 1);
            }
            value = (value << 7) | u64::from(byte & 0x7f);
            if *byte < 0x80 {
                return (value, place + 1);
            }
        }
        panic!("the file ends within a number");
    }
}

/// How many bytes a value of a type has.
fn size_of(kind: u64) -> usize {
    match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).unwrap(),
        5 => 6,
        6 | 7 => 8,
        text_or_bytes => usize::try_from((text_or_bytes - 12) / 2).unwrap(),
    }
}

/// A number of so many bytes, the highest first.
fn number(file: &[u8], at: usize, bytes: usize) -> usize {
    let digits = file[at..at + bytes].iter();
    digits.fold(0, |sum, digit| sum * 256 + usize::from(*digit))
}

#[test]
fn records_go_on_in_other_pages_where_the_format_says_so() {
    let map = Map {
        size: 4096,
        pages: BTreeMap::new(),
        bytes: Vec::new(),
    };
    let walk = Walk { file: &[], map };
    // worked out by hand from the format: 4096 - 35, and (4096 - 12) * 32 / 255 - 23
    assert_eq!(walk.held_here(LEAF_TABLE, 4061), 4061);
    assert_eq!(walk.held_here(LEAF_TABLE, 4062), 489);
    assert_eq!(walk.held_here(LEAF_TABLE, 489 + 4092 + 7), 489 + 7);
    assert_eq!(walk.held_here(LEAF_INDEX, 1002), 1002);
    assert_eq!(walk.held_here(LEAF_INDEX, 1003), 489);
}
