//! A line of the table: a figure, its limit, and whether it is kept.

use std::fmt;

pub const HEAD: &str = "| what | figure | allowed | |\n|---|---|---|---|";

pub struct Row {
    what: String,
    figure: String,
    allowed: String,
    well: bool,
}

impl Row {
    /// `figure` may be at most `allowed`.
    pub fn at_most(what: impl Into<String>, figure: f64, allowed: f64, unit: &str) -> Row {
        Row {
            what: what.into(),
            figure: format!("{} {unit}", rounded(figure)),
            allowed: format!("at most {} {unit}", rounded(allowed)),
            well: figure <= allowed,
        }
    }

    /// `figure` must be `expected`.
    pub fn exactly(what: impl Into<String>, figure: usize, expected: usize) -> Row {
        Row {
            what: what.into(),
            figure: figure.to_string(),
            allowed: expected.to_string(),
            well: figure == expected,
        }
    }

    /// The scenario produced no figure.
    pub fn broken(scenario: &str, error: &anyhow::Error) -> Row {
        Row { what: scenario.to_owned(), figure: format!("{error:#}"), allowed: "-".to_owned(), well: false }
    }

    pub fn is_well(&self) -> bool {
        self.well
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { what, figure, allowed, well } = self;
        write!(f, "| {what} | {figure} | {allowed} | {} |", if *well { "held" } else { "missed" })
    }
}

/// Formats a figure with three digits, or with all digits before the point.
fn rounded(figure: f64) -> String {
    let digits = match figure.abs() {
        f if f < 10.0 => 2,
        f if f < 100.0 => 1,
        _ => 0,
    };
    format!("{figure:.digits$}")
}
