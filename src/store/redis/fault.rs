//! What went wrong, from the errors of Redis and of the connection to it: in plain words, and never with
//! anything that was sent.

use ::redis::{ErrorKind, RedisError};

use crate::domain::redis_settings::RedisAddress;
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
    /// Redis answered so, and by now another server may be the primary.
    Demoted(StoreError),
    /// Nothing was done: another node of the cluster has the key.
    Elsewhere(Redirect),
    /// Nothing was done, and soon it will be: the key is just moving.
    Again(StoreError),
}

/// Where a node of a cluster sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// `None`: the host that sent us there.
    pub(super) host: Option<String>,
    pub(super) port: u16,
    /// Whether it is for this one call, which has to say so (`ASK`); else for good (`MOVED`).
    pub(super) is_for_once: bool,
}

impl Redirect {
    /// The node that is meant, when `asked` has answered so.
    pub(super) fn address(&self, asked: &RedisAddress) -> RedisAddress {
        let same = match asked {
            RedisAddress::Tcp { host, .. } => host.as_str(),
            RedisAddress::Unix(_) => "localhost",
        };
        RedisAddress::Tcp {
            host: self.host.as_deref().unwrap_or(same).to_owned(),
            port: self.port,
        }
    }
}

const NO_PERMISSION: &str = "our Redis user may not do this (NOPERM): see \"The user\" in docs/redis.md for \
                             what it has to be allowed";

/// For whoever is not prepared for it.
pub(super) const IN_A_CLUSTER: &str =
    "this is a node of a Redis Cluster: session.store begins with redis+cluster:// for one";

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
        "MOVED" | "ASK" => {
            let to = redirect(error);
            return to.map_or_else(|| unreachable(IN_A_CLUSTER.to_owned()), Fault::Elsewhere);
        }
        "TRYAGAIN" => {
            let words = "the key is being moved in the cluster (TRYAGAIN)".to_owned();
            return Fault::Again(StoreError::Unreachable(words));
        }
        "CLUSTERDOWN" => {
            return unreachable("the cluster does not serve this key (CLUSTERDOWN)".to_owned());
        }
        "NOSCRIPT" => return unreachable("Redis has lost a script (NOSCRIPT)".to_owned()),
        _ => return unreachable(format!("Redis answers with an error ({code})")),
    };
    match access {
        Access::Writes if code == "READONLY" => {
            Fault::Demoted(StoreError::Refused(words.to_owned()))
        }
        Access::Writes => Fault::Answered(StoreError::Refused(words.to_owned())),
        Access::Reads => unreachable(words.to_owned()),
    }
}

/// Where `error` sends us, if that can be read.
fn redirect(error: &RedisError) -> Option<Redirect> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(Redirect {
        host: (!matches!(host, "" | "?")).then(|| host.to_owned()),
        port: port.parse().ok().filter(|port| *port != 0)?,
        is_for_once: error.code() == Some("ASK"),
    })
}

fn unreachable(words: String) -> Fault {
    Fault::Answered(StoreError::Unreachable(words))
}

/// The code of an error that Redis answered with. Some that come from within a script are told inside of
/// another, depending on the version.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let Some(detail) = error.detail().filter(|_| code == "ERR") else {
        return Some(code);
    };
    if detail.starts_with("The user executing the script can't") {
        return Some("NOPERM");
    }
    let inner = ["OOM", "MISCONF", "READONLY", "NOREPLICAS", "NOPERM"]
        .into_iter()
        .find(|known| detail.contains(&format!("-{known} ")));
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

/// Why Redis does not let us in, or has nothing for us.
pub(super) fn greeting_words(error: &RedisError) -> String {
    let (code, detail) = (
        error.code().unwrap_or_default(),
        error.detail().unwrap_or_default(),
    );
    let words = match code {
        "WRONGPASS" => "Redis refuses the user name or the password (WRONGPASS)",
        "NOAUTH" => "Redis asks for a password, and none is configured (NOAUTH)",
        _ if detail.contains("max number of clients") => {
            "Redis has too many clients already (maxclients)"
        }
        _ if detail.contains("without any password configured") => {
            "Redis has no password for its default user, and one is configured here"
        }
        _ if detail.contains("DB index") => "Redis has no database of this number",
        _ if detail.contains("cluster support disabled") => {
            "this Redis is in no cluster: session.store begins with redis:// for one"
        }
        _ if detail.starts_with("unknown command") && detail.contains("'GET'") => {
            "what answers is no Redis that keeps records: a sentinel, perhaps?"
        }
        _ => {
            return match fault(error, Access::Reads) {
                Fault::Lost(words) | Fault::Answered(StoreError::Unreachable(words)) => words,
                Fault::Answered(other) | Fault::Demoted(other) | Fault::Again(other) => {
                    other.to_string()
                }
                Fault::Elsewhere(_) => IN_A_CLUSTER.to_owned(),
            };
        }
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> RedisError {
        let value = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let value = value.expect("an answer");
        value.extract_error().expect_err("an error")
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn answers_are_told_apart() {
        let full = || StoreError::Full;
        let cases = [
            ("OOM command not allowed when used memory > 'maxmemory'.",                  full()),
            ("ERR Error running script (call to f_6): @user_script:1: -OOM command not", full()),
        ];
        for (line, expected) in cases {
            assert_eq!(fault(&answered(line), Access::Writes), Fault::Answered(expected), "{line}");
        }
        let refusals = [
            ("MISCONF Redis is configured to save RDB snapshots",                        "MISCONF"),
            ("READONLY You can't write against a read only replica.",                    "READONLY"),
            ("NOREPLICAS Not enough good replicas to write.",                            "NOREPLICAS"),
            ("NOPERM User portcullis has no permissions to run the 'set' command",       "NOPERM"),
            ("ERR The user executing the script can't run this command or subcommand",   "NOPERM"),
            ("LOADING Redis is loading the dataset in memory",                           "LOADING"),
            ("NOSCRIPT No matching script. Please use EVAL.",                            "NOSCRIPT"),
            ("CLUSTERDOWN The cluster is down",                                          "CLUSTERDOWN"),
            ("CLUSTERDOWN Hash slot not served",                                         "CLUSTERDOWN"),
            ("TRYAGAIN Multiple keys request during rehashing of slot",                  "TRYAGAIN"),
            ("MOVED to nowhere",                                                         "Cluster"),
            ("MASTERDOWN Link with MASTER is down",                                      "MASTERDOWN"),
            ("WHATEVER it says",                                                         "WHATEVER"),
        ];
        for (line, word) in refusals {
            for access in [Access::Reads, Access::Writes] {
                let error = match fault(&answered(line), access) {
                    Fault::Answered(error) => error,
                    Fault::Demoted(error) if word == "READONLY" => error,
                    Fault::Again(error) if word == "TRYAGAIN" => error,
                    other => unreachable!("{line}: the connection is in order: {other:?}"),
                };
                assert!(error.to_string().contains(word), "{line}: {error}");
                let refused = matches!(error, StoreError::Refused(_));
                assert!(!refused || access == Access::Writes, "{line}: {error}");
            }
        }
        let lost = fault(&answered("NOAUTH Authentication required."), Access::Reads);
        assert!(matches!(lost, Fault::Lost(_)));
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn redirects_are_read() {
        let asked = RedisAddress::Tcp { host: "10.0.0.1".into(), port: 1 };
        let cases = [
            ("MOVED 3999 127.0.0.1:6381",        "127.0.0.1:6381",       false),
            ("MOVED 3999 redis-2.example.net:7", "redis-2.example.net:7", false),
            ("MOVED 0 2001:db8::1:6381",         "[2001:db8::1]:6381",   false),
            ("MOVED 0 [2001:db8::1]:6381",       "[2001:db8::1]:6381",   false),
            ("MOVED 0 :6381",                    "10.0.0.1:6381",        false),
            ("ASK 3999 ?:6381",                  "10.0.0.1:6381",        true),
            ("ASK 3999 127.0.0.1:6381",          "127.0.0.1:6381",       true),
        ];
        for (line, address, is_for_once) in cases {
            let Fault::Elsewhere(redirect) = fault(&answered(line), Access::Writes) else {
                unreachable!("{line} is a redirect");
            };
            assert_eq!(redirect.address(&asked).to_string(), address, "{line}");
            assert_eq!(redirect.is_for_once, is_for_once, "{line}");
        }
        for line in ["MOVED 3999 127.0.0.1:0", "MOVED 3999 127.0.0.1", "ASK x y:1"] {
            assert!(matches!(fault(&answered(line), Access::Reads), Fault::Answered(_)), "{line}");
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn what_keeps_us_out_is_told_in_plain_words() {
        let cases = [
            ("WRONGPASS invalid username-password pair or user is disabled.",    "user name or the password"),
            ("NOAUTH Authentication required.",                                  "asks for a password"),
            ("ERR max number of clients reached",                                "too many clients"),
            ("ERR AUTH <password> called without any password configured for x", "no password for its default"),
            ("ERR DB index is out of range",                                     "no database of this number"),
            ("LOADING Redis is loading the dataset in memory",                   "loading"),
            ("ERR This instance has cluster support disabled",                   "in no cluster"),
            ("ERR unknown command 'GET', with args beginning with: 'x'",         "a sentinel, perhaps"),
            ("MOVED 3999 127.0.0.1:6381",                                        "redis+cluster://"),
        ];
        for (line, words) in cases {
            let told = greeting_words(&answered(line));
            assert!(told.contains(words), "{line}: {told}");
        }
    }
}
