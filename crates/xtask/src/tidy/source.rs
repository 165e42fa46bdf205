//! What source files must not contain.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::workspace::{files, read};

/// Longer files have more than one purpose.
const LINES: usize = 600;

/// Words that are forbidden below some folders of `crates`.
struct Rule {
    /// What is looked for, as whole words.
    words: &'static [&'static str],
    /// The crates it holds for; empty for all.
    within: &'static [&'static str],
    /// Folders below `crates` that are exempt.
    except: &'static [&'static str],
    /// Why.
    reason: &'static str,
}

const RULES: [Rule; 3] = [
    Rule {
        words: &["f32", "f64"],
        within: &["ledger/src/", "planner/src/"],
        except: &[],
        reason: "amounts and quantities are exact; use the types of leasehold-ledger",
    },
    Rule {
        words: &[
            "Timestamp::now",
            "Zoned::now",
            "SystemTime::now",
            "Instant::now",
        ],
        within: &[],
        except: &["kit/", "controlplane/", "testkit/", "xtask/"],
        reason: "only the clock in leasehold-kit reads the time; take the time from it",
    },
    Rule {
        words: &["PatchParams", "PostParams", "DeleteParams"],
        within: &[],
        // a person who runs the command line writes with their own rights
        except: &["kit/", "testkit/", "xtask/", "leasehold/src/commands/"],
        reason: "only leasehold-kit writes to the API server; use its writer",
    },
];

/// Checks every source file of every crate.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let crates = root.join("crates");
    let mut findings = Vec::new();
    for path in files(&crates, "rs")? {
        let name = path.strip_prefix(&crates)?.to_string_lossy().into_owned();
        if name.split('/').nth(1) == Some("src") {
            findings.extend(check_file(&name, &read(&path)?));
        }
    }
    Ok(findings)
}

fn check_file(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let count = text.lines().count();
    if count > LINES {
        let message = format!("has {count} lines, more than {LINES}: split it by purpose");
        findings.push(Finding::new(format_args!("crates/{name}"), message));
    }
    if name.ends_with("/tests.rs") || name.contains("/tests/") {
        return findings;
    }
    let code = code_of(text);
    let code = before_tests(&code);
    let applies = |rule: &Rule| {
        let inside = rule.within.is_empty() || starts_with_any(name, rule.within);
        inside && !starts_with_any(name, rule.except)
    };
    for rule in RULES.iter().filter(|rule| applies(rule)) {
        for (index, line) in code.lines().enumerate() {
            for word in rule.words.iter().filter(|word| has_word(line, word)) {
                let place = format!("crates/{name}:{}", index + 1);
                findings.push(Finding::new(place, format!("`{word}`: {}", rule.reason)));
            }
        }
    }
    findings
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The part before the module of unit tests, which stands at the end of a file.
fn before_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line
            .get(start + word.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

/// What the reader of a character of Rust source is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    LineComment,
    /// Depth of nesting.
    BlockComment(usize),
    Text,
    /// How many `#` close it.
    RawText(usize),
}

/// The source with comments and the contents of strings blanked; lines stay where they are.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut within = Within::Code;
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        let (taken, next) = step(within, rest, letter);
        let taken = taken.max(letter.len_utf8()).min(rest.len());
        let (piece, after) = rest.split_at(taken);
        if within == Within::Code && next == Within::Code {
            code.push_str(piece);
        } else {
            code.extend(
                piece
                    .chars()
                    .map(|letter| if letter == '\n' { '\n' } else { ' ' }),
            );
        }
        rest = after;
        within = next;
    }
    code
}

/// How many bytes to take, and what the reader is in afterwards.
fn step(within: Within, rest: &str, letter: char) -> (usize, Within) {
    let one = letter.len_utf8();
    match within {
        Within::Code => step_in_code(rest, letter),
        Within::LineComment if letter == '\n' => (one, Within::Code),
        Within::LineComment => (one, Within::LineComment),
        Within::BlockComment(depth) if rest.starts_with("/*") => {
            (2, Within::BlockComment(depth + 1))
        }
        Within::BlockComment(1) if rest.starts_with("*/") => (2, Within::Code),
        Within::BlockComment(depth) if rest.starts_with("*/") => {
            (2, Within::BlockComment(depth - 1))
        }
        Within::BlockComment(depth) => (one, Within::BlockComment(depth)),
        Within::Text if letter == '\\' => {
            let escaped = rest.chars().nth(1).map_or(0, char::len_utf8);
            (one + escaped, Within::Text)
        }
        Within::Text if letter == '"' => (one, Within::Code),
        Within::Text => (one, Within::Text),
        Within::RawText(hashes) => {
            let end = format!("\"{}", "#".repeat(hashes));
            if rest.starts_with(&end) {
                (end.len(), Within::Code)
            } else {
                (one, within)
            }
        }
    }
}

fn step_in_code(rest: &str, letter: char) -> (usize, Within) {
    if rest.starts_with("//") {
        return (2, Within::LineComment);
    }
    if rest.starts_with("/*") {
        return (2, Within::BlockComment(1));
    }
    if letter == '"' {
        return (1, Within::Text);
    }
    // a quotation mark as a character would be taken for the start of a text
    for quote in ["'\"'", "'\\\"'"] {
        if rest.starts_with(quote) {
            return (quote.len(), Within::Code);
        }
    }
    for prefix in ["r", "br", "cr"] {
        let Some(after) = rest.strip_prefix(prefix) else {
            continue;
        };
        let hashes = after.chars().take_while(|letter| *letter == '#').count();
        if after
            .get(hashes..)
            .is_some_and(|text| text.starts_with('"'))
        {
            return (prefix.len() + hashes + 1, Within::RawText(hashes));
        }
    }
    // a whole word at once, so that an `r` at its end is not taken for the start of a raw text
    let word = rest
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_');
    (word.map(char::len_utf8).sum(), Within::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        check_file(name, text)
            .into_iter()
            .map(|finding| finding.place)
            .collect()
    }

    #[test]
    fn a_float_in_the_ledger_is_found_on_its_line() {
        let text = "fn rate() {\n    let a: f64 = x;\n}\n";
        assert_eq!(
            findings("ledger/src/rate.rs", text),
            ["crates/ledger/src/rate.rs:2"]
        );
        assert_eq!(findings("export/src/rate.rs", text), Vec::<String>::new());
    }

    #[test]
    fn words_in_comments_strings_and_other_words_are_not_code() {
        let text = concat!(
            "/// an f64 would lose fen\n",
            "/* f32 /* f64 */ f32 */\n",
            "const A: &str = \"f64 \\\" f32\";\n",
            "const B: &str = r#\"f64 \" f32\"#;\n",
            "const D: &[u8] = br#\"f64 \" f32\"#;\n",
            "const C: char = '\"'; // f64\n",
            "let as_f64x = buf32;\n",
        );
        assert_eq!(findings("ledger/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn code_after_a_string_is_code_again() {
        let text = "let a = r\"x\"; let b: f64 = 1;\nlet c = '\"'; let d: f32 = 1;\n";
        assert_eq!(
            findings("planner/src/a.rs", text),
            ["crates/planner/src/a.rs:1", "crates/planner/src/a.rs:2"]
        );
    }

    #[test]
    fn only_the_clock_and_the_tools_may_read_the_time() {
        let text = "let now = std::time::Instant::now();\n";
        assert_eq!(findings("controllers/src/meter.rs", text).len(), 1);
        assert_eq!(findings("kit/src/clock.rs", text), Vec::<String>::new());
        assert_eq!(
            findings("controllers/src/meter/tests.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn unit_tests_at_the_end_of_a_file_are_exempt() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use kube::api::PatchParams;\n}\n";
        assert_eq!(findings("controllers/src/a.rs", text), Vec::<String>::new());
        let text = "use kube::api::PatchParams;\n";
        assert_eq!(findings("controllers/src/a.rs", text).len(), 1);
    }

    #[test]
    fn a_file_of_six_hundred_lines_is_the_longest() {
        assert_eq!(
            findings("api/src/a.rs", &"\n".repeat(600)),
            Vec::<String>::new()
        );
        assert_eq!(
            findings("api/src/a.rs", &"\n".repeat(601)),
            ["crates/api/src/a.rs"]
        );
    }
}
