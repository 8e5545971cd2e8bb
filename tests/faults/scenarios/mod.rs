//! The faults, by what breaks.

mod clock;
mod crowds;
mod endings;
mod file;
mod instances;
mod many;
mod names;
mod provider;
mod records;
mod redis;
mod redis_forms;
mod refresh;
mod replicas;
mod soak;
mod within;

use std::pin::Pin;

use crate::kit::{Failure, Result};
use crate::scenarios::replicas::Trouble;
use crate::stage::Stage;

/// How a scenario ended that did not fail.
pub enum Outcome {
    /// With a remark for the table.
    Held(String),
    /// This machine cannot do it, and why.
    NotHere(String),
}

#[allow(clippy::unnecessary_wraps, reason = "it is what scenarios end with")]
impl Outcome {
    fn held(remark: impl Into<String>) -> Result<Self> {
        Ok(Self::Held(remark.into()))
    }

    /// A tool is missing, which is a failure where all are required.
    fn not_installed(why: &str) -> Result<Self> {
        match std::env::var("PORTCULLIS_TOOLS").as_deref() {
            Ok("required") => Err(Failure::new(why)),
            _ => Self::not_here(why),
        }
    }

    fn not_here(why: impl Into<String>) -> Result<Self> {
        Ok(Self::NotHere(why.into()))
    }
}

type Play = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>>;

/// How much of a brief run's time one takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Short,
    /// Time-outs have to pass.
    Long,
    /// It keeps the machine busy by itself.
    Busy,
    /// It is left out of a brief run, where others show nearly the same.
    OnRequest,
}

pub struct Scenario {
    pub name: &'static str,
    pub length: Length,
    /// How many instances of the service Caddy asks.
    pub instances: usize,
    pub play: Play,
}

/// All of them, in the order of the table.
pub fn list() -> Vec<Scenario> {
    let of = |length, instances| {
        move |name, play| Scenario {
            name,
            length,
            instances,
            play,
        }
    };
    let scenario = of(Length::Short, 1);
    let long = of(Length::Long, 1);
    let on_request = of(Length::OnRequest, 1);
    let two = of(Length::Busy, 2);
    let busy = of(Length::Busy, 1);
    #[rustfmt::skip] // a table
    let list = vec![
        scenario("redis down at start",          |stage| Box::pin(redis::down_at_start(stage))),
        scenario("redis killed",                 |stage| Box::pin(redis::killed(stage))),
        scenario("redis comes back empty",       |stage| Box::pin(redis::empty(stage))),
        scenario("redis frozen",                 |stage| Box::pin(redis::frozen(stage))),
        scenario("redis cut off, silently",      |stage| Box::pin(redis::silent(stage))),
        scenario("redis far away",               |stage| Box::pin(redis::slow(stage))),
        scenario("redis full",                   |stage| Box::pin(redis::full(stage))),
        scenario("redis evicts",                 |stage| Box::pin(redis::evicting(stage))),
        scenario("redis cannot save",            |stage| Box::pin(redis::cannot_save(stage))),
        scenario("redis password changed",       |stage| Box::pin(redis::password_changed(stage))),
        scenario("redis ends connections",       |stage| Box::pin(redis::disconnecting(stage))),
        scenario("redis takes no connections",   |stage| Box::pin(redis::crowded(stage))),
        scenario("two instances, sign-outs",     |stage| Box::pin(replicas::revoked(stage, Trouble::None))),
        scenario("two instances, told nothing",  |stage| Box::pin(replicas::revoked(stage, Trouble::Deaf))),
        scenario("two instances, connections end", |stage| Box::pin(replicas::revoked(stage, Trouble::Closed))),
        long("two instances, redis fails over",  |stage| Box::pin(replicas::revoked(stage, Trouble::FailsOver))),
        scenario("redis holds writes back",      |stage| Box::pin(redis_forms::writes_held(stage))),
        two("one of two stops",                  |stage| Box::pin(instances::stopped(stage))),
        two("one of two killed",                 |stage| Box::pin(instances::killed(stage))),
        two("one of two cut off from redis",     |stage| Box::pin(instances::cut_off(stage))),
        long("redis primary killed",             |stage| Box::pin(redis_forms::primary_killed(stage))),
        long("redis failover asked for",         |stage| Box::pin(redis_forms::failover_asked_for(stage))),
        scenario("redis sentinel and replica down", |stage| Box::pin(redis_forms::others_down(stage))),
        long("redis primary killed after a sign-out", |stage| Box::pin(redis_forms::sign_out_before(stage))),
        long("redis cluster node killed",        |stage| Box::pin(redis_forms::node_killed(stage))),
        scenario("records broken",               |stage| Box::pin(records::broken(stage))),
        scenario("file: killed",                 |stage| Box::pin(file::killed(stage))),
        scenario("file: disk full",              |stage| Box::pin(file::disk_full(stage))),
        scenario("file: second process",         |stage| Box::pin(file::second_process(stage))),
        scenario("provider down at start",       |stage| Box::pin(provider::down_at_start(stage))),
        scenario("provider gone",                |stage| Box::pin(provider::gone(stage))),
        long("tokens lapse, provider away",      |stage| Box::pin(refresh::lapse_while_away(stage))),
        long("token endpoint hangs",             |stage| Box::pin(provider::token_hangs(stage))),
        on_request("token endpoint drips",       |stage| Box::pin(provider::token_drips(stage))),
        on_request("token endpoint slow",        |stage| Box::pin(provider::token_slow(stage))),
        scenario("token endpoint wrong",         |stage| Box::pin(provider::token_wrong(stage))),
        long("metadata wrong",                   |stage| Box::pin(provider::metadata_wrong(stage))),
        scenario("keys change",                  |stage| Box::pin(provider::keys_rotated(stage))),
        scenario("keys change, out of reach",    |stage| Box::pin(provider::keys_out_of_reach(stage))),
        scenario("provider gone, signing out",   |stage| Box::pin(endings::provider_gone(stage))),
        long("logout tokens in thousands",       |stage| Box::pin(endings::flood(stage))),
        scenario("provider's certificate",       |stage| Box::pin(names::certificates(stage))),
        scenario("names fail and move",          |stage| Box::pin(names::fail_and_move(stage))),
        busy("connections in thousands",         |stage| Box::pin(crowds::connections(stage))),
        busy("too few files",                    |stage| Box::pin(crowds::few_files(stage))),
        busy("logins in thousands",              |stage| Box::pin(crowds::logins(stage))),
        busy("clients hang up",                  |stage| Box::pin(crowds::hanging_up(stage))),
        busy("much of everything, for long",     |stage| Box::pin(soak::soak(stage))),
        busy("a million sessions",               |stage| Box::pin(many::sessions(stage))),
        scenario("clocks differ",                |stage| Box::pin(clock::skewed(stage))),
        scenario("clock jumps",                  |stage| Box::pin(clock::jumps(stage))),
        scenario("log not read",                 |stage| Box::pin(within::log_unread(stage))),
        scenario("handlers panic",               |stage| Box::pin(within::panics(stage))),
        scenario("two tabs",                     |stage| Box::pin(within::two_tabs(stage))),
    ];
    list
}
