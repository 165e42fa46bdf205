//! A statement as a page to print, sign and file.
//!
//! One HTML file without scripts or anything from elsewhere, laid out for A4. It prints the digest
//! of the statement and the head of the chain, so that the paper is evidence too. Drafts and
//! rehearsals say so across every page.

use std::io::{self, Write};

use leasehold_ledger::book::{Basis, Category};
use leasehold_ledger::canonical::Digest;
use leasehold_ledger::document::GapTreatment;
use leasehold_ledger::statement::{Credit, Line, State, Statement, StatementGap, Totals};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::gaps;

/// Name of the template; its ending switches escaping on.
const NAME: &str = "statement.html";
/// The template.
const TEMPLATE: &str = include_str!("../templates/statement.html");

/// Why the page was not written.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The template did not accept the statement.
    #[error("failed to lay out statement {number}")]
    Template {
        /// Number of the statement.
        number: String,
        /// What the template says.
        #[source]
        source: minijinja::Error,
    },
    /// The page could not be written.
    #[error("failed to write the page")]
    Io(#[from] io::Error),
}

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    number: &'a str,
    state_zh: &'static str,
    state_en: &'static str,
    /// What stands across the page; empty for a real, final statement.
    watermark: &'static str,
    rehearsal: bool,
    department: &'a str,
    department_code: &'a str,
    period: &'a str,
    from: &'a str,
    through: &'a str,
    time_zone: &'a str,
    payee: &'a str,
    currency: &'a str,
    as_of: &'a str,
    lines: Vec<PageLine<'a>>,
    more_lines: u32,
    credits: &'a [Credit],
    gaps: Vec<PageGap<'a>>,
    more_gaps: u32,
    totals: &'a Totals,
    policy: &'a str,
    digest: &'a str,
    chain_head: &'a str,
    chain_entry: u64,
}

/// A line, and its category and basis in words.
#[derive(Serialize)]
struct PageLine<'a> {
    line: &'a Line,
    category_zh: &'static str,
    basis_zh: &'static str,
}

/// A time in which use was not observed, and what was said of it in words.
#[derive(Serialize)]
struct PageGap<'a> {
    source: &'a str,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
    word_zh: &'static str,
    word_en: String,
    /// Identifier of the Approval; empty where there was none.
    approval: &'a str,
}

/// Writes a statement as a page of HTML in UTF-8.
pub fn write_statement(statement: &Statement, out: &mut dyn Write) -> Result<(), HtmlError> {
    let page = render(statement).map_err(|source| HtmlError::Template {
        number: statement.number.clone(),
        source,
    })?;
    out.write_all(page.as_bytes())?;
    Ok(())
}

fn render(statement: &Statement) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(NAME, TEMPLATE)?;
    environment
        .get_template(NAME)?
        .render(Serde(page(statement)))
}

fn page(statement: &Statement) -> Page<'_> {
    let (state_zh, state_en) = match statement.state {
        State::Draft => ("草稿", "Draft"),
        State::Final => ("正式", "Final"),
    };
    let period = &statement.period;
    let chain = statement.chain.as_ref();
    Page {
        number: &statement.number,
        state_zh,
        state_en,
        watermark: watermark(period.rehearsal, statement.state),
        rehearsal: period.rehearsal,
        department: &statement.department.display_name,
        department_code: &statement.department.name,
        period: &period.name,
        from: &period.from,
        through: &period.through,
        time_zone: period.time_zone.name(),
        payee: &statement.payee,
        currency: &statement.currency,
        as_of: statement.as_of.as_deref().unwrap_or_default(),
        lines: statement.lines.iter().map(page_line).collect(),
        more_lines: statement.more_lines,
        credits: &statement.credits,
        gaps: statement
            .gaps
            .iter()
            .map(|gap| page_gap(gap, statement.state))
            .collect(),
        more_gaps: statement.more_gaps,
        totals: &statement.totals,
        policy: statement.policy.as_str(),
        digest: statement
            .digest
            .as_ref()
            .map(Digest::as_str)
            .unwrap_or_default(),
        chain_head: chain.map(|chain| chain.head.as_str()).unwrap_or_default(),
        chain_entry: chain.map(|chain| chain.entry).unwrap_or_default(),
    }
}

/// A rehearsal says so even when it is final: no money is meant by it.
const fn watermark(rehearsal: bool, state: State) -> &'static str {
    match (rehearsal, state) {
        (true, _) => "演练 REHEARSAL",
        (false, State::Draft) => "草稿 DRAFT",
        (false, State::Final) => "",
    }
}

fn page_gap(gap: &StatementGap, state: State) -> PageGap<'_> {
    let accepted = gap.accepted.as_ref();
    let word_zh = match (accepted.map(|word| word.treatment), state) {
        (Some(GapTreatment::Accepted), _) => "财政部门已认可，按最后所见计费",
        (Some(GapTreatment::Estimated), _) => "财政部门已认可，按策略估计计费",
        (None, State::Draft) => "尚未认可",
        (None, State::Final) => "随结账一并认可",
    };
    PageGap {
        source: &gap.source,
        from: &gap.from,
        to: &gap.to,
        reason: &gap.reason,
        word_zh,
        word_en: gaps::word(gap, state),
        approval: accepted.map_or("", |word| word.approval.as_str()),
    }
}

fn page_line(line: &Line) -> PageLine<'_> {
    let category_zh = match line.category {
        Category::Network => "网络",
        Category::Compute => "计算",
        Category::Storage => "存储",
        Category::Os => "操作系统",
        Category::Database => "数据库",
        Category::Middleware => "中间件",
        Category::Security => "安全",
        Category::Backup => "备份",
    };
    let basis_zh = match line.basis {
        Basis::Reserved => "预留",
        Basis::Metered => "按量",
        Basis::OneOff => "一次性",
    };
    PageLine {
        line,
        category_zh,
        basis_zh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{empty, gapped, gov_office, sealed};

    fn page_of(statement: &Statement) -> String {
        let mut out = Vec::new();
        write_statement(statement, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_page_shows_lines_credits_totals_signatures_and_digests() {
        let statement = gov_office();
        let page = page_of(&statement);
        for part in [
            "市政府办",
            "HS-2026-09-gov-office",
            "2026-09-30",
            "x86 虚拟处理器",
            "42.666666666667",
            "1962.67",
            "HS-ZFCG-2026-031",
            "30227",
            "gov-office&#x2f;servers-2024",
            "217535.63",
            "4484.27",
            "2242.14",
            "使用单位",
            "主管单位",
            "云服务方",
            statement.digest.as_ref().unwrap().as_str(),
            statement.chain.as_ref().unwrap().head.as_str(),
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("class=\"watermark\""));
        assert!(!page.contains("{{") && !page.contains("{%"));
    }

    #[test]
    fn rehearsals_and_drafts_say_so_across_the_page() {
        let mut rehearsal = gov_office();
        rehearsal.period.rehearsal = true;
        assert!(
            page_of(&sealed(rehearsal)).contains("<div class=\"watermark\">演练 REHEARSAL</div>")
        );
        let draft = Statement {
            state: State::Draft,
            as_of: Some("2026-09-12T08:00:00+08:00".to_owned()),
            chain: None,
            digest: None,
            ..gov_office()
        };
        let page = page_of(&draft);
        assert!(page.contains("<div class=\"watermark\">草稿 DRAFT</div>"));
        assert!(page.contains("2026-09-12T08:00:00+08:00"));
    }

    #[test]
    fn names_cannot_bring_markup_into_the_page() {
        let mut statement = gov_office();
        statement.department.display_name = "<script>alert(1)</script>".to_owned();
        statement.lines[0].display_name = "\"><img src=x onerror=alert(2)>".to_owned();
        statement.credits[0].why = "a & b < c".to_owned();
        let page = page_of(&sealed(statement));
        assert!(!page.contains("<script") && !page.contains("<img"));
        assert!(page.contains("a &amp; b &lt; c"));
    }

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        let page = page_of(&gov_office());
        for outside in ["http:", "https:", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn lines_and_segments_that_are_not_printed_are_counted() {
        let mut cut = gov_office();
        cut.more_lines = 12;
        cut.lines[0].more_segments = 5;
        cut.lines[0].estimated = true;
        let page = page_of(&cut);
        assert!(page.contains("另有 12 条明细") && page.contains("另有 5 段"));
        assert!(page.contains("估计"));
        assert!(!page_of(&gov_office()).contains("另有"));
    }

    #[test]
    fn the_page_says_when_use_was_not_observed_and_who_accepted_that() {
        let mut statement = gapped();
        let page = page_of(&statement);
        for part in [
            "计量中断",
            "2026-09-20T03:00:00+08:00",
            "2026-09-20T03:20:00+08:00",
            "按最后所见计费",
            "accepted by sun@finance (51号)",
            "approval-51",
            "随结账一并认可",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("另有"));
        assert!(!page_of(&gov_office()).contains("计量中断"));
        statement.more_gaps = 6;
        statement.gaps[0].reason = "<script>alert(3)</script>".to_owned();
        let page = page_of(&sealed(statement));
        assert!(page.contains("另有 6 次") && !page.contains("<script"));
    }

    #[test]
    fn a_statement_without_charges_is_a_page_too() {
        let page = page_of(&empty("archives", "市档案馆"));
        assert!(page.contains("市档案馆") && page.contains("本期无费用"));
    }
}
