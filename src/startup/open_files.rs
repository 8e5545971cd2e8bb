//! How many connections there may be: each is an open file, and the system has a limit for those (`RLIMIT_NOFILE`).
//!
//! A process that has reached it can accept nobody, and can open neither its store nor its provider. So the limit is raised
//! at the start as far as the system lets us, and where that is not far enough, fewer connections are taken: more of them
//! wait, and what the service itself opens still finds room.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections the listeners take at most. More wait to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    /// The proxies'. A connection takes some 20 KiB.
    pub(super) verify: usize,
    /// The portal's.
    pub(super) portal: usize,
    /// Those of whoever looks after the service; as many at the control socket.
    pub(super) admin: usize,
}

/// Where the system allows it.
const MOST: Connections = Connections {
    verify: 16_384,
    portal: 8_192,
    admin: 256,
};

/// Of each kind there are so many in any case.
const LEAST: usize = 4;

/// What the service opens beside them: threads, the store, the provider, files.
const OWN: u64 = 512;

/// How many files may have to be open at once.
pub const OPEN_FILES: u64 = (MOST.verify + MOST.portal + 2 * MOST.admin) as u64 + OWN;

/// How many threads share the connections of each kind of listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threads {
    pub(super) verify: usize,
    pub(super) portal: usize,
    pub(super) admin: usize,
}

/// Raises the limit as far as it is needed and may be, and says how many connections there is room for.
pub(super) fn connections(threads: Threads) -> Connections {
    let limit = raised(OPEN_FILES);
    let connections = Connections::within(limit, threads);
    if limit < OPEN_FILES {
        tracing::warn!(
            limit,
            needed = OPEN_FILES,
            verify = connections.verify,
            portal = connections.portal,
            admin = connections.admin,
            "few files may be open at once (RLIMIT_NOFILE), so fewer connections are taken than there might be: \
             LimitNOFILE= of systemd, ulimits of a container or `ulimit -n` allow more"
        );
    }
    connections
}

impl Connections {
    /// As many as there is room for where `limit` files may be open: as many for each of the `threads` that share them.
    fn within(limit: u64, threads: Threads) -> Self {
        // The service itself needs few at the start, some four a thread, and more with what it has to do.
        let own = (48 + 4 * threads.verify as u64 + limit / 8).min(OWN);
        let room = limit.saturating_sub(own).min(OPEN_FILES - OWN);
        let share = |most: usize, threads: usize| {
            let share = most as u64 * room / (OPEN_FILES - OWN);
            let share = usize::try_from(share).map_or(most, |share| share.max(LEAST));
            (share / threads).max(1) * threads
        };
        Self {
            verify: share(MOST.verify, threads.verify),
            portal: share(MOST.portal, threads.portal),
            admin: share(MOST.admin, threads.admin),
        }
    }
}

/// The limit, once it is `wanted` or as high as it may be.
fn raised(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    // `None` is no limit at all.
    let Some(current) = now.current.filter(|current| *current < wanted) else {
        return wanted;
    };
    let highest = now.maximum.map_or(wanted, |hard| hard.min(wanted));
    let raised = Rlimit {
        current: Some(highest),
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => highest,
        // A sandbox may forbid it.
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_there_is_room_for() {
        let within = |limit| {
            let Connections {
                verify,
                portal,
                admin,
            } = Connections::within(limit, threads(2));
            (verify, portal, admin)
        };
        #[rustfmt::skip] // the columns are the point
        let cases = [
            (u64::MAX,       (16_384, 8_192, 256)),
            (OPEN_FILES,     (16_384, 8_192, 256)),
            (OPEN_FILES - 1, (16_382, 8_190, 255)),
            (20_000,         (12_726, 6_362, 198)),
            (1_024,          (   548,   274,   8)),
            (256,            (   108,    54,   4)),
            (64,             (     4,     4,   4)),
            (0,              (     4,     4,   4)),
        ];
        for (limit, expected) in cases {
            assert_eq!(within(limit), expected, "{limit}");
        }
    }

    fn threads(cores: usize) -> Threads {
        Threads {
            verify: cores,
            portal: 2,
            admin: 1,
        }
    }

    /// Below the smallest nothing helps.
    #[test]
    fn room_is_left_for_the_service_itself() {
        for limit in 128..OPEN_FILES {
            let connections = Connections::within(limit, threads(8));
            let Connections {
                verify,
                portal,
                admin,
            } = connections;
            let all = verify + portal + 2 * admin;
            assert!(all as u64 + 32 < limit, "{limit}: {connections:?}");
        }
    }

    /// Whoever shares them has as many each, and one at least, so what is told is what is taken.
    #[test]
    fn each_thread_has_as_many() {
        for cores in [1, 2, 3, 6, 96] {
            for limit in [0, 64, 1_024, 20_000, u64::MAX] {
                let connections = Connections::within(limit, threads(cores));
                let shared = connections.verify / cores * cores;
                assert!(shared >= cores, "{limit} {cores}");
                assert_eq!(connections.verify, shared, "{limit} {cores}");
                assert_eq!(connections.portal % 2, 0, "{limit} {cores}");
            }
        }
    }

    #[test]
    fn a_limit_is_raised_as_far_as_it_may_be() {
        let before = getrlimit(Resource::Nofile);
        let told = raised(OPEN_FILES);
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.maximum, before.maximum);
        assert!(after.current.is_none_or(|current| current >= told));
        let highest = after.maximum.is_none_or(|hard| hard >= OPEN_FILES);
        assert!(!highest || told == OPEN_FILES, "{after:?}");
    }
}
