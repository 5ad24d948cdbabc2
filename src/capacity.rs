//! How tables of thousands of entries grow: by moving pages, not bytes.

/// Room that makes an allocator map a table instead of taking it from its heap: from there on growing moves
/// pages and no bytes, and leaves no holes behind. Its unused part costs address space, and no memory.
const MAPPED_BYTES: usize = 256 * 1024;

/// How many entries of `T` that is.
pub(crate) const fn mapped_capacity<T>() -> usize {
    MAPPED_BYTES / size_of::<T>()
}

/// Smaller tables grow as any other does.
const SMALL_ENTRIES: usize = 32;

/// How much room to ask for before one more entry goes into a full table of `len`.
pub(crate) const fn growth<T>(len: usize) -> usize {
    if len < SMALL_ENTRIES || len >= mapped_capacity::<T>() { 1 } else { mapped_capacity::<T>() - len }
}
