//! What was measured: a table for people, and `target/bench.json` for programs.

use std::fs;

use serde_json::{Map, Value, json};

use crate::compare::{Comparison, Spread};
use crate::kit::{Failure, Result, tools};
use crate::machine;

const FILE: &str = "target/bench.json";

/// On which side of the target it has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    AtLeast,
    AtMost,
}

/// One measure.
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub ours: f64,
    pub reference: Option<f64>,
    /// Ours to the reference's: of each pair, the median.
    pub ratio: Option<f64>,
    pub bound: Bound,
    /// For the ratio where there is one, else for ours.
    pub target: f64,
    /// Whether all else that belongs to it is met.
    pub is_met_otherwise: bool,
    /// Further members for programs.
    pub further: Map<String, Value>,
    /// What was measured, for people.
    pub remark: String,
}

impl Row {
    /// What two are to each other.
    pub fn compared(name: &'static str, target: f64, comparison: &Comparison) -> Self {
        let Comparison {
            rate,
            reference_rate,
            ratio,
            p99,
            reference_p99,
            p99_ratio,
            busy,
            reference_busy,
            cost,
            reference_cost,
            rounds,
            ..
        } = comparison;
        let further = json!({
            "rounds": rounds,
            "ratio_quartiles": [figure(ratio.lower), figure(ratio.upper)],
            "ours_quartiles": [figure(rate.lower), figure(rate.upper)],
            "reference_quartiles": [figure(reference_rate.lower), figure(reference_rate.upper)],
            "p99_us": { "ours": figure(p99.median), "reference": figure(reference_p99.median),
                "ratio": figure(p99_ratio.median),
                "ratio_quartiles": [figure(p99_ratio.lower), figure(p99_ratio.upper)] },
            "processor_us": { "ours": figure(*cost), "reference": figure(*reference_cost) },
            "busy": { "ours": figure(*busy), "reference": figure(*reference_busy) },
        });
        Self {
            name,
            unit: "requests/s",
            ours: rate.median,
            reference: Some(reference_rate.median),
            ratio: Some(ratio.median),
            bound: Bound::AtLeast,
            target,
            is_met_otherwise: true,
            further: members(further),
            remark: format!(
                "quartiles {:.3} to {:.3}; p99 {:.0} µs against {:.0} µs, {:.2} times; core {:.0} % and {:.0} % busy, {cost:.1} µs and \
                 {reference_cost:.1} µs of it a request",
                ratio.lower,
                ratio.upper,
                p99.median,
                reference_p99.median,
                p99_ratio.median,
                busy * 100.0,
                reference_busy * 100.0
            ),
        }
    }

    /// One figure, which is to be small.
    pub fn small(name: &'static str, unit: &'static str, ours: f64, target: f64) -> Self {
        Self {
            name,
            unit,
            ours,
            reference: None,
            ratio: None,
            bound: Bound::AtMost,
            target,
            is_met_otherwise: true,
            further: Map::new(),
            remark: String::new(),
        }
    }

    /// With these further members.
    pub fn with(mut self, further: Value) -> Self {
        self.further.extend(members(further));
        self
    }

    /// With this said about it before all else.
    pub fn about(mut self, what: &str) -> Self {
        let rest = std::mem::take(&mut self.remark);
        let separator = if rest.is_empty() { "" } else { "; " };
        self.remark = format!("{what}{separator}{rest}");
        self
    }

    pub fn is_met(&self) -> bool {
        let compared = self.ratio.unwrap_or(self.ours);
        let is_met = match self.bound {
            Bound::AtLeast => compared >= self.target,
            Bound::AtMost => compared <= self.target,
        };
        is_met && self.is_met_otherwise
    }

    fn json(&self) -> Value {
        let mut row = members(json!({
            "name": self.name,
            "unit": self.unit,
            "ours": figure(self.ours),
            "reference": self.reference.map(figure),
            "ratio": self.ratio.map(figure),
            "target": self.target,
            "met": self.is_met(),
            "target_is": match self.bound { Bound::AtLeast => "at_least", Bound::AtMost => "at_most" },
            "about": self.remark,
        }));
        row.extend(self.further.clone());
        Value::Object(row)
    }

    fn line(&self) -> String {
        let number = |value: f64| match value {
            value if value >= 1_000.0 => format!("{value:.0}"),
            value if value >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.3}"),
        };
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let bound = match self.bound {
            Bound::AtLeast => ">=",
            Bound::AtMost => "<=",
        };
        format!(
            "{:15} {:>10} {:>10} {:>7}  {bound} {:<6} {:6} {:11} {}",
            self.name,
            number(self.ours),
            cell(self.reference),
            cell(self.ratio),
            self.target,
            if self.is_met() { "met" } else { "MISSED" },
            self.unit,
            self.remark
        )
    }
}

/// Five digits are more than is known.
pub fn figure(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return json!(if value == 0.0 { Some(0.0) } else { None });
    }
    let scale = 10_f64.powi(4 - exponent(value));
    json!((value * scale).round() / scale)
}

#[expect(clippy::cast_possible_truncation, reason = "a few hundred at most")]
fn exponent(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A spread as a median and quartiles.
pub fn spread(of: &Spread) -> Value {
    json!({ "median": figure(of.median), "quartiles": [figure(of.lower), figure(of.upper)] })
}

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub fn print(rows: &[Row]) {
    println!("\n{}", machine::description());
    println!(
        "{:15} {:>10} {:>10} {:>7}  {:9} {:6} {:11}",
        "measure", "ours", "reference", "ratio", "target", "", "unit"
    );
    for row in rows {
        println!("{}", row.line());
    }
}

/// Puts what was measured into the file. What was not measured now stays there as it was.
pub fn write(rows: &[Row], instructions: Option<Value>) -> Result<()> {
    let file = tools::source_root().join(FILE);
    let before = fs::read(&file).unwrap_or_default();
    let mut report = members(serde_json::from_slice(&before).unwrap_or_default());
    let kept = report.remove("rows");
    let mut all: Vec<Value> = rows.iter().map(Row::json).collect();
    for row in kept.iter().filter_map(Value::as_array).flatten() {
        if !all.iter().any(|measured| measured["name"] == row["name"]) {
            all.push(row.clone());
        }
    }
    report.insert("rows".to_owned(), Value::Array(all));
    report.insert("machine".to_owned(), machine::description().into());
    if let Some(instructions) = instructions {
        report.insert("instructions".to_owned(), instructions);
    }
    let text = format!("{:#}\n", Value::Object(report));
    fs::write(&file, text).map_err(Failure::of(file.display()))
}
