//! A socket in the file system to listen on. Whoever may open it counts as the proxy.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

use super::room::make_room;
use crate::config::SocketAccess;

/// Listens at `path`, where those whom `access` names may come.
///
/// # Errors
///
/// When something else is there, or the socket cannot be made or given to its group.
pub(super) fn unix_listener(path: &Path, access: SocketAccess) -> io::Result<UnixListener> {
    remove_dead_socket(path)?;
    // Made under a name that nobody waits for, and deaf until it has the rights that it should have: nobody comes in
    // before that. One that a killed process of our number has left over is nobody's.
    let made = temporary_name(path, std::process::id());
    remove_dead_socket(&made)?;
    let kind = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(&made)?)?;
    give_to_group(&made, access)
        .and_then(|()| std::fs::set_permissions(&made, PermissionsExt::from_mode(access.mode)))
        .and_then(|()| make_room(&socket))
        .and_then(|()| std::fs::rename(&made, path))
        .inspect_err(|_| {
            // The socket is of no use; a file left over is the lesser evil.
            let _ = std::fs::remove_file(&made);
        })?;
    Ok(UnixListener::from(socket))
}

fn give_to_group(path: &Path, access: SocketAccess) -> io::Result<()> {
    let Some(group) = access.group else {
        return Ok(());
    };
    chown(path, None, Some(group)).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            error.kind(),
            format!(
                "the user that this runs as is not in the group {group} (server.socket_group), so the socket \
                 cannot be given to it"
            ),
        ),
        _ => error,
    })
}

/// Longer than `path` by [`SOCKET_IN_MAKING`](crate::config::SOCKET_IN_MAKING) bytes at most.
fn temporary_name(path: &Path, process: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{process:x}"));
    PathBuf::from(name)
}

/// A socket that a killed process left over answers nobody. One that answers is somebody's.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let is_socket = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_socket || UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SOCKET_IN_MAKING;

    #[test]
    fn a_socket_in_the_making_has_the_room_that_paths_leave_it() {
        let path = Path::new("/run/verify.sock");
        let longer =
            |process| temporary_name(path, process).as_os_str().len() - path.as_os_str().len();
        assert_eq!(longer(u32::MAX), SOCKET_IN_MAKING);
        assert_eq!(longer(1), 2);
    }
}
