//! The faults, by what breaks.

mod provider;

use std::pin::Pin;

use crate::kit::Result;
use crate::stage::Stage;

/// How a scenario ended that did not fail.
pub enum Outcome {
    /// With a remark for the table.
    Held(String),
    /// This machine cannot do it, and why.
    NotHere(String),
}

impl Outcome {
    fn held(remark: impl Into<String>) -> Result<Self> {
        Ok(Self::Held(remark.into()))
    }
}

type Play = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>>;

pub struct Scenario {
    pub name: &'static str,
    pub play: Play,
}

/// All of them, in the order of the table.
pub fn list() -> Vec<Scenario> {
    let scenario = |name, play| Scenario { name, play };
    #[rustfmt::skip] // a table
    let list = vec![
        scenario("provider gone",                |stage| Box::pin(provider::gone(stage))),
        scenario("token endpoint hangs",         |stage| Box::pin(provider::token_hangs(stage))),
        scenario("token endpoint drips",         |stage| Box::pin(provider::token_drips(stage))),
        scenario("token endpoint slow",          |stage| Box::pin(provider::token_slow(stage))),
        scenario("token endpoint talks nonsense", |stage| Box::pin(provider::token_wrong(stage))),
        scenario("provider's keys are nonsense", |stage| Box::pin(provider::keys_wrong(stage))),
        scenario("provider's keys change",       |stage| Box::pin(provider::keys_rotated(stage))),
        scenario("provider's keys out of reach", |stage| Box::pin(provider::keys_out_of_reach(stage))),
    ];
    list
}
