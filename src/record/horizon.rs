//! The numbers of records: which have been handed out, and up to which all are durable.

/// Numbers records, and tracks up to which number all of them are durable.
///
/// # Examples
///
/// ```
/// use taketurns::record::Horizon;
///
/// let mut horizon = Horizon::default();
/// let (answer, next) = (horizon.number(), horizon.number());
/// horizon.reach(answer);
/// assert!(horizon.is_durable(answer) && !horizon.is_durable(next));
/// assert_eq!(horizon.waiting(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Horizon {
    last: u64,
    durable: u64,
}

impl Horizon {
    /// Returns the number of the next record: 1 for the first.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes that all records up to `upto` are durable. A smaller number than before changes nothing.
    ///
    /// # Panics
    ///
    /// Panics if a store claims to have stored a record that it was never given, because then nothing it
    /// reports can be trusted.
    pub fn reach(&mut self, upto: u64) {
        assert!(upto <= self.last, "record {upto} is durable, but the last one is {}", self.last);
        self.durable = self.durable.max(upto);
    }

    /// Returns whether effects of record `seq` may be sent; always `true` for 0, which stands for no record.
    #[must_use]
    #[inline]
    pub fn is_durable(&self, seq: u64) -> bool {
        seq <= self.durable
    }

    /// Returns the number of the last record that was handed out; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns how many records are not durable yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.last - self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_records_stay_durable() {
        let mut horizon = Horizon::default();
        assert!(horizon.is_durable(0) && !horizon.is_durable(1));
        assert_eq!((horizon.number(), horizon.number(), horizon.number()), (1, 2, 3));
        horizon.reach(2);
        horizon.reach(1);
        assert_eq!((horizon.is_durable(2), horizon.is_durable(3), horizon.waiting()), (true, false, 1));
    }

    #[test]
    #[should_panic(expected = "record 1 is durable, but the last one is 0")]
    fn a_store_cannot_store_a_record_that_it_was_not_given() {
        Horizon::default().reach(1);
    }
}
