//! What was measured, for people.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ledger::Figures;

#[derive(Clone, Copy)]
pub enum Verdict {
    Held,
    Failed,
    /// This machine cannot do it.
    NotRun,
}

pub struct Row {
    /// Its place in the list.
    pub number: usize,
    pub name: &'static str,
    pub verdict: Verdict,
    pub figures: Figures,
    pub remark: String,
}

#[derive(Default)]
pub struct Table(Mutex<Vec<Row>>);

const HEADS: [&str; 10] = [
    "fault",
    "verdict",
    "asked",
    "valid 2xx",
    "open 2xx",
    "slowest",
    "control",
    "recovery",
    "let in wrongly",
    "remark",
];

impl Table {
    pub fn add(&self, row: Row) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(row);
    }

    /// On standard output.
    #[allow(clippy::print_stdout, reason = "it is what was asked for")]
    pub fn print(&self) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|row| row.number);
        let mut lines = vec![HEADS.map(str::to_owned)];
        lines.extend(rows.iter().map(cells));
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
        let mut text = String::from("\n");
        for line in &lines {
            let mut written = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(written, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", written.trim_end());
        }
        println!("{text}");
    }
}

fn cells(row: &Row) -> [String; 10] {
    let figures = &row.figures;
    let verdict = match row.verdict {
        Verdict::Held => "ok",
        Verdict::Failed => "FAILED",
        Verdict::NotRun => "not run",
    };
    let percent =
        |share: Option<f64>| share.map_or_else(dash, |share| format!("{:.1} %", share * 100.0));
    let time = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    [
        row.name.to_owned(),
        verdict.to_owned(),
        figures.requests.to_string(),
        percent(figures.valid_passed),
        percent(figures.bypassed_passed),
        if figures.requests == 0 {
            dash()
        } else {
            time(figures.slowest)
        },
        if figures.requests == 0 {
            dash()
        } else {
            time(figures.slowest_control)
        },
        figures.recovery.map_or_else(dash, time),
        figures.forbidden_passes.to_string(),
        row.remark.clone(),
    ]
}

fn dash() -> String {
    "-".to_owned()
}
