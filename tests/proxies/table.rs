//! What came out, for people: a row for each case, a column for each proxy, and a note where a cell is not like the
//! others.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::cases::{Case, LIST};
use crate::column::COLUMNS;

/// The cells that were run, by row and column.
#[derive(Default)]
pub struct Table(Mutex<Vec<(usize, usize, bool)>>);

impl Table {
    pub fn add(&self, row: usize, column: usize, held: bool) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.push((row, column, held));
    }

    /// On standard output.
    #[allow(clippy::print_stdout, reason = "it is what was asked for")]
    pub fn print(&self) {
        println!("{}", self.text());
    }

    fn text(&self) -> String {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::default();
        let mut lines = vec![heads()];
        for (row, case) in LIST.iter().enumerate() {
            let mut line = vec![case.name.to_owned()];
            for column in 0..COLUMNS.len() {
                let run = cells.iter().find(|cell| (cell.0, cell.1) == (row, column));
                line.push(run.map_or_else(String::new, |run| notes.cell(case, column, run.2)));
            }
            if line[1..].iter().any(|cell| !cell.is_empty()) {
                lines.push(line);
            }
        }
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
        let mut text = String::from("\n");
        for line in &lines {
            let mut written = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(written, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", written.trim_end());
        }
        for (number, note) in notes.0.iter().enumerate() {
            let _ = write!(text, "\n({}) {note}", number + 1);
        }
        text
    }
}

fn heads() -> Vec<String> {
    let names = COLUMNS.iter().map(|column| column.name.to_owned());
    std::iter::once(String::new()).chain(names).collect()
}

/// In the order of their numbers.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn cell(&mut self, case: &Case, column: usize, held: bool) -> String {
        if !held {
            return "FAILED".to_owned();
        }
        let Some(bound) = case.bound(COLUMNS[column].program) else {
            return "ok".to_owned();
        };
        let note = format!("{}: {}", case.name, bound.text);
        let known = self.0.iter().position(|known| *known == note);
        let number = known.unwrap_or_else(|| {
            self.0.push(note);
            self.0.len() - 1
        });
        let word = if bound.applies { "ok" } else { "n/a" };
        format!("{word} ({})", number + 1)
    }
}
