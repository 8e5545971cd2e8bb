//! What a decision may take: `benches/instructions.toml`, which is committed.

use std::collections::BTreeMap;
use std::fmt;

use config::{Config, File};
use serde::Deserialize;

use crate::kit::{Failure, Result, tools};

const FILE: &str = "benches/instructions.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// How much above its bound is none the less taken for the same: compilers and processors differ by that much.
    tolerance_percent: u64,
    /// Instructions of each kind of decision.
    decisions: BTreeMap<String, u64>,
}

pub struct Verdict {
    pub name: &'static str,
    pub instructions: u64,
    /// `None` where the file has none.
    pub bound: Option<u64>,
    tolerance_percent: u64,
}

impl Bounds {
    pub fn read() -> Result<Self> {
        let file = File::from(tools::source_root().join(FILE));
        let read = Config::builder().add_source(file).build();
        read.and_then(Config::try_deserialize)
            .map_err(Failure::of(FILE))
    }

    pub fn judge(&self, name: &'static str, instructions: u64) -> Verdict {
        Verdict {
            name,
            instructions,
            bound: self.decisions.get(name).copied(),
            tolerance_percent: self.tolerance_percent,
        }
    }
}

impl Verdict {
    pub fn is_met(&self) -> bool {
        self.bound
            .is_some_and(|bound| self.instructions * 100 <= bound * (100 + self.tolerance_percent))
    }

    /// So far below its bound that the next loss would not show.
    fn is_loose(&self) -> bool {
        self.bound
            .is_some_and(|bound| self.instructions * 100 < bound * (100 - self.tolerance_percent))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self
            .bound
            .map_or_else(|| "-".to_owned(), |bound| bound.to_string());
        let word = match self {
            verdict if !verdict.is_met() => "EXCEEDED",
            verdict if verdict.is_loose() => "met; the bound can be lowered",
            _ => "met",
        };
        write!(
            f,
            "{:12} {:>12} {bound:>8}  {word}",
            self.name, self.instructions
        )
    }
}
