//! Which server a connection leads to: an address may be a name or a virtual one, and lead elsewhere tomorrow while
//! connections that exist go on to where it led before.

use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisError, cmd};

use super::fault::{Access, Fault, fault};

/// A run of a server. One that was started anew is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerId(Arc<str>);

/// What is said of a server that does not tell.
pub(super) const UNKNOWN: &str =
    "it does not tell which server it is: our Redis user needs +info|server";

/// Asks which server this is; `None` when it does not say, since our user may not ask, perhaps.
///
/// # Errors
///
/// What became of the connection.
pub(super) async fn ask(
    connection: &mut MultiplexedConnection,
) -> Result<Option<ServerId>, RedisError> {
    let mut command = cmd("INFO");
    let asked = command.arg("server").query_async::<String>(connection);
    match asked.await {
        Ok(facts) => Ok(run_id(&facts)),
        Err(error) => match fault(&error, Access::Reads) {
            Fault::Lost(_) => Err(error),
            _ => Ok(None),
        },
    }
}

fn run_id(facts: &str) -> Option<ServerId> {
    let id = facts.lines().find_map(|line| line.strip_prefix("run_id:"));
    let id = id.map(str::trim).filter(|id| !id.is_empty());
    id.map(|id| ServerId(id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn servers_are_told_apart() {
        let cases = [
            ("# Server\r\nredis_version:7\r\nrun_id:abc\r\ntcp_port:1\r\n", Some("abc")),
            ("# Server\r\nmaster_run_id:abc\r\n",                            None),
            ("run_id:\r\n",                                                  None),
            ("",                                                             None),
        ];
        for (facts, expected) in cases {
            assert_eq!(run_id(facts), expected.map(|id| ServerId(id.into())), "{facts:?}");
        }
    }
}
