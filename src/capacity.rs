//! Growth of tables with thousands of entries: it moves pages instead of bytes.

/// From this size on an allocator maps a table instead of taking it from its heap. Growing then moves pages
/// instead of bytes and leaves no holes. The unused part costs address space but no memory.
const MAPPED_BYTES: usize = 256 * 1024;

/// Returns how many entries of `T` fit in `MAPPED_BYTES`.
pub(crate) const fn mapped_capacity<T>() -> usize {
    MAPPED_BYTES / size_of::<T>()
}

/// Smaller tables grow in the usual way.
const SMALL_ENTRIES: usize = 32;

/// Returns how much room to request for one more entry in a full table of `len`.
pub(crate) const fn growth<T>(len: usize) -> usize {
    if len < SMALL_ENTRIES || len >= mapped_capacity::<T>() { 1 } else { mapped_capacity::<T>() - len }
}
