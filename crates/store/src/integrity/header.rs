//! What can be told of a file that SQLite does not open.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How every file of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// How long the header is.
const HEADER: usize = 100;

/// Looks at the beginning and the length of a ledger's file, and says which page is to blame for its not being opened;
/// none where there is no file to look at.
///
/// What opens a file are its header and its schema, and both begin in page 1.
pub fn first_look(file: &Path) -> Option<String> {
    let length = file.metadata().ok()?.len();
    let mut header = Vec::new();
    let limit = u64::try_from(HEADER).ok()?;
    File::open(file)
        .ok()?
        .take(limit)
        .read_to_end(&mut header)
        .ok()?;
    Some(blamed(&header, length))
}

fn blamed(header: &[u8], length: u64) -> String {
    if header.len() < HEADER {
        return format!("page 1 is missing: the file has {length} bytes");
    }
    if !header.starts_with(MAGIC) {
        return "page 1 is damaged: the file does not begin as one of SQLite does".to_owned();
    }
    let size = match number(header, 16, 2) {
        1 => 65_536,
        size => size,
    };
    if size < 512 || !size.is_power_of_two() {
        return format!("page 1 is damaged: it says that pages have {size} bytes");
    }
    let pages = number(header, 28, 4);
    let whole = length.checked_div(size).unwrap_or_default();
    if whole < pages {
        let first = whole.saturating_add(1);
        return format!("page {first} is missing: the file has {whole} of its {pages} pages");
    }
    "page 1, or a page of the schema to which it leads, is damaged".to_owned()
}

/// A number of so many bytes, the highest first.
fn number(header: &[u8], at: usize, bytes: usize) -> u64 {
    let digits = header.iter().skip(at).take(bytes);
    digits.fold(0, |sum: u64, digit| {
        sum.saturating_mul(256).saturating_add(u64::from(*digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(size: [u8; 2], pages: u8) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..16].copy_from_slice(MAGIC);
        header[16..18].copy_from_slice(&size);
        header[31] = pages;
        header
    }

    #[test]
    fn the_first_page_that_is_missing_is_named() {
        let said = blamed(&header([16, 0], 9), 3 * 4096 + 17);
        assert_eq!(said, "page 4 is missing: the file has 3 of its 9 pages");
        assert_eq!(blamed(&[], 0), "page 1 is missing: the file has 0 bytes");
    }

    #[test]
    fn whatever_else_keeps_a_file_from_being_opened_begins_in_page_1() {
        let whole = 9 * 4096;
        assert!(blamed(&[7; HEADER], whole).starts_with("page 1 is damaged"));
        assert!(blamed(&header([17, 0], 9), whole).contains("4352 bytes"));
        assert!(blamed(&header([16, 0], 9), whole).starts_with("page 1, or"));
        // pages of 65,536 bytes are written as 1
        assert!(blamed(&header([0, 1], 1), 65_536).starts_with("page 1, or"));
    }

    #[test]
    fn where_there_is_no_file_nothing_is_to_blame() {
        assert_eq!(first_look(Path::new("/nowhere/ledger.db")), None);
    }
}
