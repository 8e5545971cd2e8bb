//! A Redis of its own, with so many people signed in.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::kit::redis_server::{Plan, RedisServer, program};
use crate::kit::{Failure, Result};
use crate::load::Values;
use crate::machine;
use crate::people::People;
use crate::service::{Configuration, Store};

/// What the names of the records begin with that `/verify` reads.
const RECORDS: &str = "portcullis:session:";

/// How many names are looked at in one step.
const STEP: usize = 10_000;

/// The user that may not be told of changes.
const DEAF: &str = "deaf";
const DEAF_PASSWORD: &str = "x";

pub struct Filled {
    pub redis: RedisServer,
    pub cookies: Values,
}

impl Filled {
    /// Starts it, and signs `count` people in.
    pub async fn start(folder: &Path, name: &str, count: usize) -> Result<Self> {
        let redis = start_redis(folder)?;
        let url = redis.url();
        let store = Store {
            url: &url,
            password_file: None,
        };
        // Read for its key and its lifetimes; nobody runs with it.
        let configuration = Configuration::write(folder, &format!("{name}-people"), &store)?;
        let people = People::of(&configuration.file).await?;
        let cookies = folder.join(format!("{name}.cookies"));
        let cookies = people.sign_in_many(count, &cookies).await?;
        Ok(Self { redis, cookies })
    }

    /// One of those who are signed in.
    pub fn first_cookie(&self) -> Result<String> {
        let file = &self.cookies.file;
        let text = std::fs::read_to_string(file).map_err(Failure::of(file.display()))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// The cookies over and over, as many as `others` has: so that drawing one costs the load the same.
    pub fn repeated_like(&self, others: &Values) -> Result<Values> {
        let file = self.cookies.file.with_extension("repeated");
        let text = std::fs::read_to_string(&self.cookies.file);
        let text = text.map_err(Failure::of(file.display()))?;
        let mut written = BufWriter::new(File::create(&file).map_err(Failure::of(file.display()))?);
        for cookie in text.lines().cycle().take(others.count) {
            writeln!(written, "{cookie}").map_err(Failure::of(file.display()))?;
        }
        written.flush().map_err(Failure::of(file.display()))?;
        Ok(Values { file, ..*others })
    }

    /// The names of the records that `/verify` reads, a line each.
    pub async fn names(&self) -> Result<PathBuf> {
        let file = self.cookies.file.with_extension("names");
        let mut written = BufWriter::new(File::create(&file).map_err(Failure::of(file.display()))?);
        let client = redis::Client::open(self.redis.url()).map_err(Failure::new)?;
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .map_err(Failure::new)?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{RECORDS}*"));
            scan.arg("COUNT").arg(STEP);
            let step = scan.query_async(&mut connection).await;
            let (next, names): (u64, Vec<String>) = step.map_err(Failure::of("SCAN"))?;
            for name in names {
                writeln!(written, "{name}").map_err(Failure::of(file.display()))?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        written.flush().map_err(Failure::of(file.display()))?;
        Ok(file)
    }

    /// What an instance is configured with that Redis does not tell of changes: it looks every session up.
    pub fn deaf(&self, folder: &Path) -> Result<(String, PathBuf)> {
        let password = format!(">{DEAF_PASSWORD}");
        let rights = ["ACL", "SETUSER", DEAF, "on", &password, "~*", "+@all"];
        let said = self
            .redis
            .ask(&[&rights[..], &["-client|tracking"]].concat());
        if said != "OK" {
            return Err(Failure(format!("ACL SETUSER: {said}")));
        }
        let file = folder.join("deaf_password");
        std::fs::write(&file, DEAF_PASSWORD).map_err(Failure::of(file.display()))?;
        let url = format!("redis://{DEAF}@127.0.0.1:{}/0", self.redis.port);
        Ok((url, file))
    }
}

/// An empty Redis, on the core of the load.
pub fn start_redis(folder: &Path) -> Result<RedisServer> {
    let plan = Plan {
        program: machine::pinned(folder, machine::LOAD, &program())?,
        ..Plan::plain()
    };
    Ok(RedisServer::start_as(&plan))
}
