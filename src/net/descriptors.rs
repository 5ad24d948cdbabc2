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

/// The most descriptors that the system makes room for in advance: 128 KiB of its memory.
#[cfg(target_os = "linux")]
const RESERVED_MAX: usize = 16 * 1024;

/// Has the system make room for the descriptors of `connections`. Otherwise it doubles its table whenever
/// that is full. Where the process has another thread, `accept` takes 15 to 40 ms then, because the system
/// waits until no processor uses the old table (`cargo run --release -p load -- joins`).
#[cfg(target_os = "linux")]
pub(super) fn reserve(connections: usize) {
    // Room goes up to the highest number. This descriptor has it for a moment.
    let highest = connections.min(RESERVED_MAX - 1).min(descriptors().saturating_sub(1));
    if let (Ok(socket), Ok(highest)) =
        (socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None), i32::try_from(highest))
    {
        let _ = rustix::io::fcntl_dupfd_cloexec(&socket, highest);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_: usize) {}
