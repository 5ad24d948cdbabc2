//! The connections that the process has file descriptors for.

/// Descriptors for a loop, a listener and a few files.
const OTHERS: usize = 13;

/// The number of descriptors where the system states none.
const DESCRIPTORS: usize = 10_029;

/// Returns how many connections this process has file descriptors for, at least 1.
///
/// That is the process's limit of descriptors (`ulimit -n`), less those that are open now, less 13 for a
/// loop, a listener and a few files, less `others`. Without that margin clients could take the last
/// descriptor, and the host could open no file. Where the system states no limit, the result is 10,016 less
/// `others`.
///
/// # Examples
///
/// A host that opens up to ten files and sockets of its own:
///
/// ```
/// use taketurns::net::{DriverConfig, connections_max};
///
/// let config = DriverConfig { max_connections: Some(connections_max(10)), ..DriverConfig::default() };
/// # assert!(config.max_connections < Some(connections_max(0)));
/// ```
#[must_use]
pub fn connections_max(others: usize) -> usize {
    descriptors().saturating_sub(OTHERS).saturating_sub(others).max(1)
}

/// The number of descriptors that may still be opened.
#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft().ok().and_then(|limit| usize::try_from(limit).ok());
    // The list itself has one open. Without such a list, the standard streams are assumed open.
    let open = std::fs::read_dir("/dev/fd").map_or(3, |list| list.count().saturating_sub(1));
    limit.map_or(DESCRIPTORS, |limit| limit.saturating_sub(open))
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    DESCRIPTORS
}
