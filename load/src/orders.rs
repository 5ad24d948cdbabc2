//! How one thread tells another to make trouble or to rest.

use std::sync::{Condvar, Mutex};

pub struct Orders {
    last: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Stay connected, and silent.
    Rest,
    Disturb,
    /// Come to an end.
    End,
}

impl Orders {
    /// The first order is to rest.
    pub fn new() -> Orders {
        Orders { last: Mutex::new(Order::Rest), changed: Condvar::new() }
    }

    pub fn rest(&self) {
        self.give(Order::Rest);
    }

    pub fn disturb(&self) {
        self.give(Order::Disturb);
    }

    pub fn end(&self) {
        self.give(Order::End);
    }

    fn give(&self, order: Order) {
        *self.last.lock().expect("nobody panics with it") = order;
        self.changed.notify_all();
    }

    /// Sleeps while the order is to rest, because a thread that woke up to look would disturb as well.
    /// Returns whether to disturb then.
    pub fn await_work(&self) -> bool {
        let last = self.last.lock().expect("nobody panics with it");
        let last = self.changed.wait_while(last, |last| *last == Order::Rest).expect("nobody panics with it");
        *last == Order::Disturb
    }
}
