//! What leaves the ledger: files and pages for finance, auditors and other programs.
//!
//! * [`focus`]: the FOCUS 1.2 Cost and Usage file of final statements.
//! * [`sheet`]: statements, use, explanations and reports as rows, which [`table`] shows in a
//!   terminal and [`csv_rows`] writes for spreadsheets.
//! * [`chart`]: use over time, drawn in a terminal.
//! * [`html`]: a statement as a page to print and sign.
//! * [`evidence`]: the rows of the ledger as one file that can be verified without a database.
//!
//! Everything is a pure function of its arguments and writes to a `std::io::Write`. The same input
//! gives the same bytes. Nothing here computes what somebody owes: amounts are taken from the
//! documents of the ledger as they are.

pub mod chart;
pub mod csv_rows;
pub mod evidence;
pub mod focus;
pub mod html;
pub mod sheet;
pub mod table;

#[cfg(test)]
mod fixture;
mod gaps;
