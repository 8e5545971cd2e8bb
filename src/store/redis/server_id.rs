//! Which server a connection leads to: an address may be a name or a virtual one, and lead elsewhere tomorrow while
//! connections that exist go on to where it led before.

use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisError, cmd};

use super::fault::{Access, Fault, fault};

/// A run of a server. One that was started anew is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerId(Arc<str>);

/// Why it is not known which server a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Nobody needs to know.
    Unasked,
    /// Our user may not ask.
    Refused,
    /// The answer does not say.
    Untold,
}

impl Unknown {
    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Refused => {
                "our Redis user may not ask which server it is (NOPERM): it needs +info|server"
            }
            Self::Unasked | Self::Untold => "it does not tell which server it is",
        }
    }
}

/// Asks which server this is, and says why that is not known where it is not.
///
/// # Errors
///
/// What became of the connection.
pub(super) async fn ask(
    connection: &mut MultiplexedConnection,
) -> Result<Result<ServerId, Unknown>, RedisError> {
    let mut command = cmd("INFO");
    let asked = command.arg("server").query_async::<String>(connection);
    match asked.await {
        Ok(facts) => Ok(run_id(&facts).ok_or(Unknown::Untold)),
        Err(error) if error.code() == Some("NOPERM") => Ok(Err(Unknown::Refused)),
        Err(error) => match fault(&error, Access::Reads) {
            Fault::Lost(_) => Err(error),
            _ => Ok(Err(Unknown::Untold)),
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
