//! The loop around a driver: how its host and other threads reach it, how it ends, how it waits.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use support::ms;
use taketurns::net::{DriverConfig, Event, EventLoop, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use crate::loopback::{End, PATIENCE, Peer, Script, any_port};
use crate::servers::{event_loop, within_patience};

#[test]
fn a_loop_that_is_drained_by_its_host_before_it_runs_returns() {
    within_patience("run", || {
        let (mut event_loop, _) = event_loop();
        event_loop.driver_mut().drain(now());
        event_loop.run(|_, _| {}).expect("polling goes well");
    });
}

#[test]
fn a_loop_that_is_drained_by_its_host_at_an_event_returns() {
    within_patience("run", || {
        let (mut event_loop, addr) = event_loop();
        drop(Peer::connect(addr));
        event_loop.driver_mut().protocol_mut().closes_at_end = true;
        let drain_when_it_is_gone = |driver: &mut taketurns::net::Driver<Script>, event| {
            if let Event::Closed { .. } = event {
                driver.drain(now());
            }
        };
        event_loop.run(drain_when_it_is_gone).expect("polling goes well");
        assert!(event_loop.driver().is_drained());
    });
}

#[test]
fn a_handle_drains_and_stops_a_loop_from_another_thread() {
    for stop in [false, true] {
        let (mut event_loop, addr) = event_loop();
        let handle = event_loop.handle();
        let mut peer = Peer::connect(addr);
        let (opened, is_open) = channel();
        let (ended, has_ended) = channel();
        std::thread::spawn(move || {
            let ran = event_loop.run(|_, event| {
                if let Event::Opened { .. } = event {
                    let _ = opened.send(());
                }
            });
            let _ = ended.send((ran.is_ok(), event_loop.driver().connections()));
        });
        is_open.recv_timeout(PATIENCE).expect("opened");
        let (work, is_done) = channel();
        handle
            .run(move |driver, _| {
                let _ = work.send(driver.connections());
            })
            .expect("the loop runs");
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(1));
        if stop {
            handle.stop();
        } else {
            handle.drain();
        }
        // For a drain, the connection has to end, first at this end and then at the other.
        let deadline = Instant::now() + PATIENCE;
        while peer.pull().is_none() && Instant::now() < deadline {}
        assert_eq!(peer.end, Some(End::Finished));
        drop(peer);
        assert_eq!(has_ended.recv_timeout(PATIENCE), Ok((true, usize::from(stop))));
        // The loop is gone or about to be.
        let deadline = Instant::now() + PATIENCE;
        while handle.run(|_, _| {}).is_ok() {
            assert!(Instant::now() < deadline, "the loop is gone and takes work");
        }
    }
}

#[test]
fn work_for_a_loop_that_is_gone_comes_back() {
    let (event_loop, _) = event_loop();
    let handle = event_loop.handle();
    drop(event_loop);
    let (sender, done) = channel();
    let refused = handle
        .run(move |_, _| {
            let _ = sender.send(());
        })
        .expect_err("the loop is gone");
    drop(refused.0);
    assert!(done.recv().is_err(), "the work was given back, undone");
    handle.stop();
    handle.drain();
}

/// Too much work for a loop must not swallow the signal that ends it.
#[test]
fn stop_and_drain_reach_a_loop_that_has_too_much_to_do() {
    for stop in [false, true] {
        within_patience("run", move || {
            let (mut event_loop, _) = event_loop();
            let handle = event_loop.handle();
            while handle.run(|_, _| {}).is_ok() {}
            if stop {
                handle.stop();
            } else {
                handle.drain();
            }
            event_loop.run(|_, _| {}).expect("polling goes well");
        });
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_loop_that_polls_busily_serves_keeps_its_deadlines_and_sleeps_when_nothing_comes() {
    within_patience("a busy loop", || {
        let mut turns = TurnServerConfig::default();
        turns.framing = Some(Framing::Raw);
        turns.rules.turn_deadline = ms(60);
        turns.rules.min_seats = 1;
        let config = DriverConfig { busy_poll: ms(20), ..DriverConfig::default() };
        let server = TurnServer::new(turns, os_entropy()).expect("limits that fit each other");
        let mut event_loop = EventLoop::with_config(server, config).expect("a poll");
        let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
        let pass = |event_loop: &mut EventLoop<TurnServer>, timeout| {
            event_loop.run_once(Some(timeout)).expect("polling goes well");
            std::iter::from_fn(|| event_loop.driver_mut().poll_event()).collect::<Vec<_>>()
        };
        // The first pass checks for clients that are already waiting.
        pass(&mut event_loop, ms(0));
        // Without clients it spins for its time and then sleeps. While others have the processor, it spins
        // hardly at all.
        let has_spun = (0..20).any(|_| {
            let (began, used) = (Instant::now(), processor_time());
            assert!(pass(&mut event_loop, ms(400)).is_empty());
            let (took, used) = (began.elapsed(), processor_time() - used);
            assert!(took >= ms(400), "it waited for all of its timeout, but for {took:?}");
            assert!(used < ms(200), "{used:?} of {took:?} spent spinning");
            used > Duration::from_micros(500)
        });
        assert!(has_spun, "it never spins");

        // The turns of a silent client lapse on time.
        let _peer = Peer::connect(addr);
        let began = Instant::now();
        while event_loop.driver().protocol().counts().lapsed < 2 {
            pass(&mut event_loop, PATIENCE);
        }
        assert!(began.elapsed() >= ms(120), "no turn ends before its deadline");
    });
}

/// Returns the processor time that this thread has used.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time does not run backwards")
}
