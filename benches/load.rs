//! The load: Debian's `wrk`, on a core of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{Failure, Result, tools};
use crate::machine;

/// How many connections ask at once: what a busy proxy keeps.
pub const CONNECTIONS: usize = 32;

/// The line that our script ends with begins so.
const MARK: &str = "measured";

/// What is asked.
pub struct Load<'a> {
    /// Where.
    pub url: String,
    /// How, for `wrk`.
    pub asks: Asks<'a>,
    pub connections: usize,
}

pub enum Asks<'a> {
    /// One request, over and over.
    The(&'a [(&'static str, String)]),
    /// A request with a value from a file in the place of [`PLACE`], each time another one: drawn at random, in an order
    /// that `seed` decides.
    Any {
        request: &'a str,
        values: &'a Values,
        seed: u64,
    },
}

/// Stands for the value.
pub const PLACE: &str = "@VALUE@";

/// Values of one length, each on a line of a file.
pub struct Values {
    pub file: PathBuf,
    pub length: usize,
    pub count: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub requests: u64,
    /// Requests a second.
    pub rate: f64,
    /// In microseconds.
    pub p99: f64,
}

impl Load<'_> {
    /// Asks for `seconds`. All answers have to be good ones.
    pub fn run(&self, folder: &Path, seconds: u64) -> Result<Measured> {
        let script = folder.join("load.lua");
        fs::write(&script, self.script()).map_err(Failure::of(script.display()))?;
        let output = Command::new(tools::find("taskset")?)
            .args(["-c", &machine::LOAD.to_string()])
            .arg(tools::find("wrk")?)
            .args(["--threads", "1", "--latency"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--script"])
            .arg(&script)
            .arg(&self.url)
            .output()
            .map_err(Failure::of("wrk"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let line = said.lines().find_map(|line| line.strip_prefix(MARK));
        let numbers = line.map(|line| line.split_whitespace().map(str::parse::<f64>));
        let numbers: Vec<f64> = numbers.into_iter().flatten().flatten().collect();
        let [requests, microseconds, p99, faults] = numbers[..] else {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(Failure(format!("wrk says: {said}{errors}")));
        };
        if faults > 0.0 || requests < 1.0 {
            return Err(Failure(format!(
                "of {requests} requests to {} {faults} went wrong: {said}",
                self.url
            )));
        }
        Ok(Measured {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            requests: requests as u64,
            rate: requests / (microseconds / 1e6),
            p99,
        })
    }

    fn script(&self) -> String {
        let asks = match &self.asks {
            Asks::The(headers) => {
                let lines = headers
                    .iter()
                    .map(|(name, value)| format!("wrk.headers[\"{name}\"] = [==[{value}]==]\n"));
                lines.collect()
            }
            Asks::Any {
                request,
                values,
                seed,
            } => {
                let (head, tail) = request.split_once(PLACE).unwrap_or((request, ""));
                let quoted = |text: &str| text.replace('"', "\\\"").replace("\r\n", "\\r\\n");
                format!(
                    "local values
function init(args)
    math.randomseed({seed})
    local file = assert(io.open([==[{file}]==], \"rb\"))
    values = file:read(\"*a\")
    file:close()
end
function request()
    local begin = math.random(0, {last}) * {line}
    return \"{head}\" .. values:sub(begin + 1, begin + {length}) .. \"{tail}\"
end
",
                    file = values.file.display(),
                    last = values.count - 1,
                    line = values.length + 1,
                    length = values.length,
                    head = quoted(head),
                    tail = quoted(tail),
                )
            }
        };
        // Every name is this machine: TLS wants a name in the URL.
        format!(
            "{asks}
function wrk.resolve(host, service)
    wrk.addrs = wrk.lookup(\"127.0.0.1\", service)
end
function done(summary, latency, requests)
    local errors = summary.errors
    local faults = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format(\"{MARK} %d %d %d %d\", summary.requests, summary.duration, latency:percentile(99), faults))
end
"
        )
    }
}
