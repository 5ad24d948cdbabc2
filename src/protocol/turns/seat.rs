//! What the server keeps with a seat of the scheduler's.

use super::name::Name;
use super::reply::Secret;
use super::rooms::RoomId;
use crate::protocol::ConnectionId;

/// What is kept with a seat.
#[derive(Debug, Clone)]
pub struct SeatData {
    /// Who sits on it.
    pub(super) client: Option<ConnectionId>,
    pub(super) room: RoomId,
    /// Apart, since a raw client that has not answered yet has none.
    identity: Option<Box<Identity>>,
}

#[derive(Debug, Clone)]
struct Identity {
    /// In the raw framing the one last used.
    name: Name,
    /// What the seat can be resumed with; in the line framing only.
    secrets: Option<Secrets>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets {
    pub(super) current: Secret,
    /// The one before, while the client may not have heard of the current one.
    pub(super) previous: Option<Secret>,
}

impl SeatData {
    /// Of a seat that has no name yet.
    pub(super) fn nameless(client: ConnectionId, room: RoomId) -> SeatData {
        SeatData { client: Some(client), room, identity: None }
    }

    /// Of a seat that can be resumed.
    pub(super) fn named(client: ConnectionId, room: RoomId, name: Name, secret: Secret) -> SeatData {
        let secrets = Some(Secrets { current: secret, previous: None });
        SeatData { client: Some(client), room, identity: Some(Box::new(Identity { name, secrets })) }
    }

    /// Who sits on the seat.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.client
    }

    /// Its name; in the raw framing the one last used there.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.name_ref().copied()
    }

    pub(super) fn name_ref(&self) -> Option<&Name> {
        Some(&self.identity.as_ref()?.name)
    }

    pub(super) fn rename(&mut self, name: &Name) {
        match &mut self.identity {
            Some(identity) => identity.name = *name,
            none => *none = Some(Box::new(Identity { name: *name, secrets: None })),
        }
    }

    /// Another client sits down on a seat without secrets.
    pub(super) fn take_over(&mut self, client: ConnectionId) {
        self.client = Some(client);
        self.identity = None;
    }

    pub(super) fn secrets_mut(&mut self) -> Option<&mut Secrets> {
        self.identity.as_mut()?.secrets.as_mut()
    }
}
