use std::convert::Infallible;

use leasehold_ledger::canonical::digest_bytes;

use super::*;

fn chain(count: u64) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for n in 1..=count {
        let body = format!(r#"{{"department":"市政府办","n":{n}}}"#);
        let head = rows.last().map(|row| (row.chain.seq, &row.chain.hash));
        let digest = digest_bytes(body.as_bytes());
        let chain = ChainRow::after(head, "document", &format!("test/{n}"), digest);
        rows.push(Row { chain, body });
    }
    rows
}

fn header() -> EvidenceHeader {
    EvidenceHeader::new("2026-09", 3, digest_bytes(b"head"), "0.1.0")
}

fn file(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    let source = rows.iter().cloned().map(Ok::<_, Infallible>);
    write_evidence(source, &header(), &mut out).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Vec<Row>, EvidenceError> {
    read_evidence(bytes)?.collect()
}

#[test]
fn what_is_written_is_read_back_with_its_header() {
    let rows = chain(3);
    let bytes = file(&rows);
    let reader = read_evidence(bytes.as_slice()).unwrap();
    assert_eq!(reader.header(), &header());
    assert_eq!(reader.collect::<Result<Vec<Row>, _>>().unwrap(), rows);
    assert!(read(&file(&[])).unwrap().is_empty());
}

#[test]
fn the_trailer_counts_the_rows_and_digests_every_byte_before_it() {
    let bytes = file(&chain(2));
    let text = String::from_utf8(bytes).unwrap();
    let start = text.rfind("{\"rows\":").unwrap();
    let digest = digest_bytes(&text.as_bytes()[..start]);
    assert_eq!(
        &text[start..],
        format!("{{\"rows\":2,\"sha256\":\"{digest}\"}}\n")
    );
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn the_body_is_a_string_so_that_its_bytes_are_kept() {
    let text = String::from_utf8(file(&chain(1))).unwrap();
    assert!(
        text.contains(r#""body":"{\"department\":\"市政府办\",\"n\":1}""#),
        "{text}"
    );
}

#[test]
fn a_file_cut_anywhere_is_never_taken_for_a_whole_one() {
    let bytes = file(&chain(3));
    for end in 0..bytes.len() {
        let error = read(&bytes[..end]).unwrap_err();
        assert!(
            matches!(error, EvidenceError::Truncated { .. }),
            "{end}: {error}"
        );
    }
    let whole_rows = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(2)
        .unwrap()
        .0;
    let error = read(&bytes[..=whole_rows]).unwrap_err();
    assert!(
        matches!(error, EvidenceError::Truncated { rows: 2 }),
        "{error}"
    );
}

#[test]
fn one_changed_byte_is_noticed_wherever_it_is() {
    let bytes = file(&chain(2));
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(read(&damaged).is_err(), "byte {place} of {}", bytes.len());
    }
}

#[test]
fn a_row_left_out_is_damage_even_if_the_count_is_made_to_fit() {
    let text = String::from_utf8(file(&chain(3))).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let fewer = [
        lines[0],
        lines[1],
        lines[3],
        &lines[4].replace("\"rows\":3", "\"rows\":2"),
        "",
    ];
    let error = read(fewer.join("\n").as_bytes()).unwrap_err();
    assert!(matches!(error, EvidenceError::Damaged { .. }), "{error}");
}

#[test]
fn a_wrong_count_is_refused_though_the_bytes_are_right() {
    let text = String::from_utf8(file(&chain(3))).unwrap();
    let error = read(text.replace("{\"rows\":3", "{\"rows\":4").as_bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            EvidenceError::Count {
                expected: 4,
                found: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn nothing_may_follow_the_trailer() {
    let mut bytes = file(&chain(1));
    bytes.push(b'\n');
    assert!(matches!(
        read(&bytes).unwrap_err(),
        EvidenceError::AfterTrailer
    ));
}

#[test]
fn another_format_is_named_and_other_files_are_not_mistaken_for_evidence() {
    let error = read(b"{\"format\":\"leasehold-evidence/2\",\"new\":1}\n").unwrap_err();
    assert!(matches!(error, EvidenceError::Format { found } if found == "leasehold-evidence/2"));
    assert!(matches!(
        read(b"BilledCost,x\n").unwrap_err(),
        EvidenceError::Header(_)
    ));
    assert!(matches!(
        read(b"").unwrap_err(),
        EvidenceError::Truncated { rows: 0 }
    ));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut bytes = file(&chain(1));
    let end_of_header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes.truncate(end_of_header + 1);
    let endless = bytes.as_slice().chain(io::repeat(b'x'));
    let mut reader = read_evidence(io::BufReader::new(endless)).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert!(
        matches!(error, EvidenceError::TooLong { line: 2 }),
        "{error}"
    );
    assert!(reader.lines.buffer.len() <= 64 * 1024 * 1024);
    assert!(reader.next().is_none(), "nothing comes after an error");
}

#[test]
fn a_row_too_long_to_be_read_is_not_written() {
    let mut row = chain(1).remove(0);
    row.body = "x".repeat(64 * 1024 * 1024);
    let source = [Ok::<_, Infallible>(row)];
    let error = write_evidence(source, &header(), &mut Vec::new()).unwrap_err();
    assert!(
        matches!(error, EvidenceError::TooLong { line: 2 }),
        "{error}"
    );
}

#[test]
fn a_statement_of_many_megabytes_is_written_and_read_back() {
    let mut row = chain(1).remove(0);
    row.body = "x".repeat(9 * 1024 * 1024);
    assert_eq!(read(&file(std::slice::from_ref(&row))).unwrap(), [row]);
}

#[test]
fn an_error_of_the_ledger_names_the_row_and_leaves_no_trailer() {
    let rows = [Ok(chain(1).remove(0)), Err(io::Error::other("disk"))];
    let mut out = Vec::new();
    let error = write_evidence(rows, &header(), &mut out).unwrap_err();
    assert!(
        matches!(error, EvidenceError::Source { row: 2, .. }),
        "{error}"
    );
    assert!(matches!(
        read(&out).unwrap_err(),
        EvidenceError::Truncated { rows: 1 }
    ));
}
