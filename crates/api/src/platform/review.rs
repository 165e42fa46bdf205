//! Until when the office and finance decide.

use crate::text::Day;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who confirms that there is money for what is asked.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum FundsReview {
    /// Nobody: the office's word is enough.
    #[default]
    None,
    /// Finance, after the office has said yes.
    Finance,
}

/// How long a decision may take, in working days.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewPolicy {
    /// Working days that a decision may take: it is due at the end of this working day after the day of the request.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 60))]
    pub working_days: u8,
    /// Days off beyond Saturdays and Sundays, as 2026-10-01.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub holidays: Vec<Day>,
    /// Saturdays and Sundays that are worked, as 2026-10-10. A day that is also listed as a day off is a day off.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub workdays: Vec<Day>,
    /// So many working days before the last day on which a question is decided in time whoever decides is reminded, in whatever order they stand; a number that stands twice counts once. One that reaches back to the day of the question or further reminds nobody. Empty: nobody is reminded before it is due.
    #[serde(default)]
    #[schemars(length(max = 8), inner(range(min = 1, max = 60)))]
    pub reminder_days: Vec<u8>,
    /// A question that is overdue is told again every so many working days, ninety-nine times at most. Without it, it is told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub overdue_every_days: Option<u8>,
    /// Who confirms that there is money for a first lease and for one that costs more: None, or Finance. What the policy itself approves and what costs no more needs nobody's word. Counts for requests that are opened from then on.
    #[serde(default)]
    pub funds: FundsReview,
}

fn five() -> u8 {
    5
}

impl Default for ReviewPolicy {
    fn default() -> Self {
        Self {
            working_days: five(),
            holidays: Vec::new(),
            workdays: Vec::new(),
            reminder_days: Vec::new(),
            overdue_every_days: None,
            funds: FundsReview::None,
        }
    }
}
