//! One pass of the loop, in the driver's order: what is readable, newcomers, deadlines with the same `now`, writes, slots.

use std::io::ErrorKind;

use taketurns::protocol::{AbortReason, CloseReason, ConnectionId, Origin, Protocol, Wish};

use super::peer::{Down, Kind, Parcel, Phase, Up};
use super::{Delivery, LINGER_TIMEOUT, Peer, READ_BYTES_MAX, STALL_TIMEOUT, World, note};

impl World {
    /// One pass of the loop; whether anything happened.
    pub(crate) fn step(&mut self) -> bool {
        self.passes += 1;
        let mut busy = self.read();
        busy |= self.accept();
        busy |= self.expire();
        if self.server_is_up && self.server.next_deadline().is_some_and(|due| due <= self.now.instant) {
            self.server.handle_timeout(self.now, &mut self.links);
            busy = true;
        }
        busy |= self.flush();
        busy |= self.run_legacy();
        busy |= self.pass_client();
        self.look();
        let World { live, peers, .. } = self;
        live.retain(|&at| !peers[at].is_over());
        busy
    }

    fn look(&mut self) {
        self.take_events();
        self.server.scheduler().check_invariants().expect("the scheduler's invariants hold after every pass");
    }

    pub(super) fn take_events(&mut self) {
        let at = self.elapsed();
        while let Some(event) = self.server.poll_event() {
            note!(self, "         {event:?}");
            self.hash.add_event(&event);
            self.events.push((at, event));
        }
    }

    // What came.

    /// Everything readable: one read of each peer that has any.
    fn read(&mut self) -> bool {
        let mut ready = Vec::new();
        for &at in &self.live {
            let state = &mut self.peers[at];
            let now = self.now.instant;
            if state.found_dead_at.take_if(|due| *due <= now).is_some() {
                state.up.push_back(Parcel { sequence: self.sequence, at: now, up: Up::Reset });
            }
            let first = state.up.front().filter(|parcel| parcel.at <= now && state.phase != Phase::Arriving);
            ready.extend(first.map(|parcel| (parcel.sequence, Peer(at))));
        }
        ready.sort_unstable();
        if self.shuffling {
            self.rng.shuffle(&mut ready);
        }
        ready.iter().for_each(|&(_, peer)| self.read_from(peer));
        !ready.is_empty()
    }

    fn read_from(&mut self, peer: Peer) {
        let Some((id, mut bytes)) = self.peers[peer.0].id.zip(self.take_bytes(peer)) else { return };
        while self.merging && self.has_room_for_more(peer, bytes.len()) && self.rng.u8(0..4) > 0 {
            bytes.extend(self.take_bytes(peer).into_iter().flatten());
        }
        if !bytes.is_empty() {
            self.hear(id, peer, bytes);
            // An end that has come as well is seen in the same pass, or in the next one.
            if !self.merging || self.rng.bool() {
                return;
            }
        }
        let state = &mut self.peers[peer.0];
        let has_come = |parcel: &Parcel| parcel.at <= self.now.instant && !matches!(parcel.up, Up::Bytes(_));
        match state.up.front().is_some_and(has_come).then(|| state.up.pop_front()).flatten() {
            Some(Parcel { up: Up::End, .. }) => self.hear_end(id, peer),
            Some(Parcel { up: Up::Reset, .. }) => {
                self.close(id, peer, CloseReason::Broken(ErrorKind::ConnectionReset));
            }
            Some(Parcel { up: Up::Bytes(_), .. }) | None => {}
        }
    }

    /// The first bytes that have come; none if the end comes first, nothing at all if nothing has come.
    fn take_bytes(&mut self, peer: Peer) -> Option<Vec<u8>> {
        let now = self.now.instant;
        let up = &mut self.peers[peer.0].up;
        let first = up.front_mut().filter(|parcel| parcel.at <= now)?;
        let Up::Bytes(bytes) = &mut first.up else { return Some(Vec::new()) };
        let bytes = std::mem::take(bytes);
        up.pop_front();
        Some(bytes)
    }

    /// Whether the next bytes have come, too, and fit into a read of `count`.
    fn has_room_for_more(&self, peer: Peer, count: usize) -> bool {
        let next = self.peers[peer.0].up.front().filter(|parcel| parcel.at <= self.now.instant);
        next.is_some_and(|parcel| match &parcel.up {
            Up::Bytes(bytes) => count + bytes.len() <= READ_BYTES_MAX,
            Up::End | Up::Reset => false,
        })
    }

    fn hear(&mut self, id: ConnectionId, peer: Peer, bytes: Vec<u8>) {
        if self.peers[peer.0].phase != Phase::Open || !self.links.is_open(id) {
            note!(self, "{peer} >> \"{}\" (not listened to)", bytes.escape_ascii());
            return;
        }
        note!(self, "{peer} >> \"{}\"", bytes.escape_ascii());
        self.hash.add((peer, &bytes));
        self.server.handle_bytes(self.now, id, &bytes, &mut self.links);
        self.reads.push((self.deliveries.len(), peer, bytes));
    }

    fn hear_end(&mut self, id: ConnectionId, peer: Peer) {
        note!(self, "{peer} >> end");
        let state = &mut self.peers[peer.0];
        state.ended = true;
        match state.phase {
            Phase::Open if self.links.is_open(id) => {
                self.server.handle_end(self.now, id, &mut self.links);
            }
            Phase::Lingering => self.close(id, peer, CloseReason::Unwanted),
            Phase::Arriving | Phase::Open | Phase::Closing | Phase::Gone => {}
        }
    }

    fn accept(&mut self) -> bool {
        let mut busy = false;
        while let Some(peer) = self.newcomers.pop_front() {
            busy = true;
            let addr = self.addr(peer);
            let id = self.links.open(addr);
            note!(self, "{peer} is accepted as {id}");
            let state = &mut self.peers[peer.0];
            (state.id, state.phase) = (Some(id), Phase::Open);
            self.by_connection.insert(id, peer);
            self.server.handle_open(self.now, id, addr, Origin::Accepted, &mut self.links);
        }
        busy
    }

    fn expire(&mut self) -> bool {
        let mut busy = false;
        for nth in 0..self.live.len() {
            let peer = Peer(self.live[nth]);
            let state = &mut self.peers[peer.0];
            if let Some(id) = state.id
                && state.due.is_some_and(|due| due <= self.now.instant)
            {
                busy = true;
                let lingers = state.phase == Phase::Lingering;
                let reason = if lingers { CloseReason::Unwanted } else { CloseReason::SlowReader };
                self.close(id, peer, reason);
            }
        }
        busy
    }

    // What goes out.

    /// Writes what was asked for and ends what was asked to end, until nothing more follows from that.
    fn flush(&mut self) -> bool {
        let mut busy = false;
        while let Some(peer) = self.writable.pop() {
            if let Some(id) = self.peers[peer.0].id {
                busy = true;
                self.carry_out(id, peer);
            }
        }
        busy |= self.flush_touched();
        self.server.handle_flushed(self.now, &mut self.links);
        busy |= self.flush_touched();
        for id in self.gone.drain(..) {
            self.links.remove(id);
        }
        busy
    }

    fn flush_touched(&mut self) -> bool {
        let mut busy = false;
        while let Some(id) = self.links.take_touched() {
            busy = true;
            if let Some(peer) = self.peer_of(id).filter(|peer| self.peers[peer.0].id == Some(id)) {
                self.carry_out(id, peer);
            }
        }
        busy
    }

    fn carry_out(&mut self, id: ConnectionId, peer: Peer) {
        let wish = self.links.wish_of(id);
        match wish {
            Wish::Abort(AbortReason::Unwanted) => return self.close(id, peer, CloseReason::Unwanted),
            Wish::Abort(AbortReason::SlowReader) => return self.close(id, peer, CloseReason::SlowReader),
            Wish::Close | Wish::Keep if self.peers[peer.0].phase == Phase::Lingering => return,
            Wish::Close | Wish::Keep => {}
        }
        if self.peers[peer.0].breaks && !self.links.unsent(id).is_empty() {
            return self.close(id, peer, CloseReason::Broken(ErrorKind::BrokenPipe));
        }
        let has_progress = self.write_to(id, peer);
        let blocked = !self.links.unsent(id).is_empty();
        let draining = self.is_draining;
        let state = &mut self.peers[peer.0];
        state.blocked = blocked;
        if wish == Wish::Close {
            state.phase = Phase::Closing;
            if !blocked {
                return self.linger(id, peer);
            }
        }
        // A drain does not wait for a drip.
        if blocked && (state.due.is_none() || has_progress && !draining) {
            let patience = if draining { LINGER_TIMEOUT } else { STALL_TIMEOUT };
            state.due = Some(self.now.instant + patience);
        } else if !blocked {
            state.due = None;
        }
    }

    /// The last words are written: the peer has a while to read them.
    fn linger(&mut self, id: ConnectionId, peer: Peer) {
        let at = self.elapsed();
        let state = &mut self.peers[peer.0];
        state.finish(at);
        if state.ended {
            return self.close(id, peer, CloseReason::Finished);
        }
        (state.phase, state.due) = (Phase::Lingering, Some(self.now.instant + LINGER_TIMEOUT));
    }

    /// A drain has begun: a peer that does not read has less time from now on.
    pub(super) fn hasten(&mut self) {
        let due = self.now.instant + LINGER_TIMEOUT;
        for &at in &self.live {
            let state = &mut self.peers[at];
            if state.blocked && matches!(state.phase, Phase::Open | Phase::Closing) {
                state.due = Some(due);
            }
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId, peer: Peer, reason: CloseReason) {
        note!(self, "{peer} is gone: {reason}");
        let at = self.elapsed();
        self.peers[peer.0].lose(at);
        self.gone.push(id);
        self.links.abort(id);
        self.server.handle_closed(self.now, id, reason, &mut self.links);
    }

    /// Writes what is queued for `id` as far as its peer takes it: one write, one `recv`. Whether that was anything.
    fn write_to(&mut self, id: ConnectionId, peer: Peer) -> bool {
        let at = self.elapsed();
        let state = &mut self.peers[peer.0];
        let unsent = self.links.unsent(id);
        let count = state.window.map_or(unsent.len(), |room| room.min(unsent.len()));
        if count == 0 {
            return false;
        }
        let delivery = Delivery { at, peer, bytes: unsent[..count].to_vec() };
        self.links.consume(id, count);
        state.window = state.window.map(|room| room - count);
        let lost = state.lost_down;
        note!(self, "{peer} << \"{}\"{}", delivery.bytes.escape_ascii(), if lost { " (lost)" } else { "" });
        self.hash.add((at, peer, &delivery.bytes));
        self.deliveries.push(delivery.clone());
        let state = &mut self.peers[peer.0];
        match &mut state.kind {
            _ if lost => {}
            Kind::ByHand => state.recvs.push(delivery),
            Kind::Legacy(legacy) => legacy.receive(self.now.instant, &delivery.bytes),
            Kind::Ours(_) => state.down.push_back(Down::Bytes(delivery.bytes)),
        }
        true
    }
}
