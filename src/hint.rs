//! Hints to the compiler about the usual branch, so that its code is contiguous.
//!
//! A server that shares a core with its clients finds none of its code in the caches when its turn comes. The
//! cost of a turn then depends on how much code it runs through, including the gaps, rather than on the
//! number of instructions.

/// Returns `condition`, which is nearly always true.
#[inline(always)]
pub(crate) fn likely(condition: bool) -> bool {
    if !condition {
        seldom();
    }
    condition
}

/// Returns `condition`, which is rarely true.
#[inline(always)]
pub(crate) fn unlikely(condition: bool) -> bool {
    if condition {
        seldom();
    }
    condition
}

#[cold]
fn seldom() {}
