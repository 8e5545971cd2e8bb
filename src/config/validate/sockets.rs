//! Who may open the sockets among the listeners.

use nix::unistd::Group;

use crate::config::SocketAccess;
use crate::config::problems::Problems;
use crate::config::raw::RawServer;

/// Owner and group.
const DEFAULT_MODE: u32 = 0o660;

/// What opening a socket takes: write permission (unix(7)).
const OWNER_WRITES: u32 = 0o200;
const ALL_WRITE: u32 = 0o002;

const MODE: &str = "server.socket_mode";
const GROUP: &str = "server.socket_group";

/// `any` says whether some listener is a socket.
pub(super) fn access(raw: &RawServer, any: bool, problems: &mut Problems) -> Option<SocketAccess> {
    for (path, given) in [
        (MODE, raw.socket_mode.is_some()),
        (GROUP, raw.socket_group.is_some()),
    ] {
        if given && !any {
            problems.warn(path, "none of the listeners is a socket (\"unix:/path\")");
        }
    }
    let mode = match &raw.socket_mode {
        None => Some(DEFAULT_MODE),
        Some(written) => mode(written, problems),
    };
    let group = match &raw.socket_group {
        None => Some(None),
        Some(written) => group(written, problems).map(Some),
    };
    Some(SocketAccess {
        mode: mode?,
        group: group?,
    })
}

fn mode(written: &str, problems: &mut Problems) -> Option<u32> {
    let octal = matches!(written.len(), 3 | 4) && written.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(written, 8);
    let Some(mode) = mode.ok().filter(|mode| octal && *mode <= 0o777) else {
        problems.at(
            MODE,
            "must be permission bits in octal, as text: \"0660\" for owner and group",
        );
        return None;
    };
    if mode & OWNER_WRITES == 0 {
        problems.at(
            MODE,
            "not even the owner could open the socket: \"0660\" is for owner and group",
        );
        return None;
    }
    if mode & ALL_WRITE != 0 {
        problems.warn(
            MODE,
            "every user of this machine may open the socket, and whoever may open it counts as the proxy",
        );
    }
    Some(mode)
}

/// The number of a group that is written by its number or its name.
fn group(written: &str, problems: &mut Problems) -> Option<u32> {
    let number = written.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = written.parse().ok().filter(|_| number) {
        // The highest number means "as it is" to chown(2).
        if number == u32::MAX {
            problems.at(GROUP, "is the number of no group");
            return None;
        }
        return Some(number);
    }
    let message = match Group::from_name(written) {
        Ok(Some(group)) => return Some(group.gid.as_raw()),
        Ok(None) => "there is no group of this name on this machine".to_owned(),
        Err(error) => format!(
            "the groups of this machine cannot be read: {}",
            error.desc()
        ),
    };
    problems.at(GROUP, message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mode: Option<&str>, group: Option<&str>) -> (Option<SocketAccess>, Problems) {
        let raw = RawServer {
            socket_mode: mode.map(str::to_owned),
            socket_group: group.map(str::to_owned),
            ..RawServer::default()
        };
        let mut problems = Problems::default();
        (access(&raw, true, &mut problems), problems)
    }

    #[test]
    fn a_mode_is_octal_text() {
        let cases = [
            (None, Some(0o660)),
            (Some("0600"), Some(0o600)),
            (Some("660"), Some(0o660)),
            (Some("0666"), Some(0o666)),
            (Some("0"), None),
            (Some("0460"), None),
            (Some("0668"), None),
            (Some("4660"), None),
            (Some("+660"), None),
            (Some("0o660"), None),
            (Some("00660"), None),
            (Some("rw-rw----"), None),
            (Some(""), None),
        ];
        for (written, expected) in cases {
            let (found, problems) = read(written, None);
            assert_eq!(found.map(|access| access.mode), expected, "{written:?}");
            assert_eq!(problems.any_at(MODE), expected.is_none(), "{written:?}");
            let warned = !problems.warnings().is_empty();
            assert_eq!(warned, expected == Some(0o666), "{written:?}");
        }
    }

    #[test]
    fn a_group_is_a_number_or_a_name_that_there_is() {
        let cases = [
            (None, Some(None)),
            (Some("0"), Some(Some(0))),
            (Some("4711"), Some(Some(4711))),
            (Some("root"), Some(Some(0))),
            (Some("no-such-group"), None),
            (Some("-1"), None),
            (Some("+5"), None),
            (Some("4294967294"), Some(Some(4_294_967_294))),
            (Some("4294967295"), None),
            (Some("4294967296"), None),
            (Some(""), None),
        ];
        for (written, expected) in cases {
            let (found, problems) = read(None, written);
            assert_eq!(found.map(|access| access.group), expected, "{written:?}");
            assert_eq!(problems.any_at(GROUP), expected.is_none(), "{written:?}");
        }
    }
}
