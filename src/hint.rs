//! Hints to the compiler about the usual branch, so that its code lies together.
//!
//! A server that shares a core with its clients finds nothing of its code near the processor when its turn
//! comes. The cost of a turn there is how much code it runs through, with whatever lies between, rather than
//! how many instructions.

/// `condition`, which nearly always holds.
#[inline(always)]
pub(crate) fn likely(condition: bool) -> bool {
    if !condition {
        seldom();
    }
    condition
}

/// `condition`, which seldom holds.
#[inline(always)]
pub(crate) fn unlikely(condition: bool) -> bool {
    if condition {
        seldom();
    }
    condition
}

#[cold]
fn seldom() {}
