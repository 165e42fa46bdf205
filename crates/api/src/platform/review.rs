//! Until when the office and finance decide.

use crate::text::Day;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        }
    }
}
