//! What went wrong, from the errors of Redis and of the connection to it: in plain words, and never with
//! anything that was sent.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// Whether a call was meant to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Reads,
    Writes,
}

/// What an error means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is of no more use. Whether the call was carried out is not known.
    Lost(String),
    /// Redis answered, and this is what it said.
    Answered(StoreError),
}

const NO_PERMISSION: &str = "our Redis user may not do this (NOPERM): see \"The user\" in docs/redis.md for \
                             what it has to be allowed";

/// Reads an error that came of a call.
pub(super) fn fault(error: &RedisError, access: Access) -> Fault {
    let Some(code) = code(error) else {
        return match error.kind() {
            ErrorKind::UnexpectedReturnType => {
                unreachable("it gave an answer of an unexpected kind".to_owned())
            }
            _ => Fault::Lost(connection_words(error)),
        };
    };
    let words = match code {
        "OOM" => return Fault::Answered(StoreError::Full),
        "MISCONF" => "Redis cannot save to its disk (MISCONF)",
        "READONLY" => "this Redis is a read-only replica (READONLY)",
        "NOREPLICAS" => "too few replicas of this Redis are there (NOREPLICAS)",
        "NOPERM" => NO_PERMISSION,
        // The user was removed, or its password: a new connection tells which.
        "NOAUTH" | "WRONGPASS" => return Fault::Lost(format!("Redis knows us no more ({code})")),
        "LOADING" => return unreachable("Redis is still loading its data (LOADING)".to_owned()),
        "BUSY" => return unreachable("Redis is busy with a script (BUSY)".to_owned()),
        "MASTERDOWN" => {
            return unreachable("this replica has lost its primary (MASTERDOWN)".to_owned());
        }
        "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => {
            return unreachable(format!(
                "this is a node of a Redis Cluster ({code}), which is not supported"
            ));
        }
        _ => return unreachable(format!("Redis answers with an error ({code})")),
    };
    match access {
        Access::Writes => Fault::Answered(StoreError::Refused(words.to_owned())),
        Access::Reads => unreachable(words.to_owned()),
    }
}

fn unreachable(words: String) -> Fault {
    Fault::Answered(StoreError::Unreachable(words))
}

/// The code of an error that Redis answered with. Before version 7, an error within a script is told inside
/// of another.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let inner = error
        .detail()
        .filter(|_| code == "ERR")
        .and_then(|detail| {
            ["OOM", "MISCONF", "READONLY", "NOREPLICAS", "NOPERM"]
                .into_iter()
                .find(|known| detail.contains(&format!("-{known} ")))
        });
    Some(inner.unwrap_or(code))
}

/// What became of a connection.
pub(super) fn connection_words(error: &RedisError) -> String {
    if error.is_connection_dropped() {
        return "the connection was closed".to_owned();
    }
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::Parse => "what answers is no Redis".to_owned(),
        _ => error.category().to_owned(),
    }
}

/// Why Redis did not let us in, or has nothing for us.
pub(super) fn greeting_words(error: &RedisError) -> String {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::AuthenticationFailed if detail.contains("max number of clients") => {
            "Redis has too many clients already (maxclients)".to_owned()
        }
        ErrorKind::AuthenticationFailed => {
            "Redis refuses the user name or the password".to_owned()
        }
        ErrorKind::Server(ServerErrorKind::ResponseError) if detail.contains("DB index") => {
            "Redis has no database of this number".to_owned()
        }
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if detail.contains("max number of clients") =>
        {
            "Redis has too many clients already (maxclients)".to_owned()
        }
        ErrorKind::Extension if error.code() == Some("NOAUTH") => {
            "Redis asks for a password, and none is configured".to_owned()
        }
        _ => match fault(error, Access::Reads) {
            Fault::Lost(words) | Fault::Answered(StoreError::Unreachable(words)) => words,
            Fault::Answered(other) => other.to_string(),
        },
    }
}
