//! The set of clients, and the dial that belongs to each.

use super::{ClientConfig, ClientId, ConfigError, TurnClient};
use crate::protocol::{DialId, Links};

impl TurnClient {
    /// Adds a client. It does nothing until it is given a connection by [`dial`](Self::dial).
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the settings ask for something that the framing cannot express.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::{ClientConfig, TurnClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut clients = TurnClient::new();
    /// let ann = clients.add(ClientConfig::seat("ann".parse()?))?;
    /// let watcher = clients.add(ClientConfig::watch("main".parse()?))?;
    /// assert_ne!(ann, watcher);
    /// # Ok(()) }
    /// ```
    pub fn add(&mut self, config: ClientConfig) -> Result<ClientId, ConfigError> {
        config.check()?;
        Ok(self.insert(config))
    }

    /// Makes `client` use the connections of `dial`, which the host got from
    /// [`Driver::connect`](crate::net::Driver::connect), in place of earlier ones. Returns whether there is
    /// such a client that has not given up.
    ///
    /// Call it in the same pass as `connect`, because connections are established only after that pass. A
    /// connection whose dial belongs to no client is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::DialId;
    /// use taketurns::protocol::turns::{ClientConfig, TurnClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = TurnClient::new();
    /// for ring in ["north", "south"] {
    ///     let config = ClientConfig { ring: ring.parse()?, ..ClientConfig::seat("ann".parse()?) };
    ///     let id = client.add(config)?;
    ///     let dial = DialId(client.clients().count()); // in a program: driver.connect(now(), server)
    ///     assert!(client.dial(id, dial));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn dial(&mut self, client: ClientId, dial: DialId) -> bool {
        let Some(found) = self.find(client).filter(|found| found.player.end.is_none()) else { return false };
        let before = found.player.dial.replace(dial);
        if let Some(before) = before {
            self.by_dial.remove(&before);
        }
        if let Some(other) = self.by_dial.insert(dial, client)
            && let Some(other) = self.find(other).filter(|_| other != client)
        {
            other.player.dial = None;
        }
        true
    }

    /// Forgets `client` at once and closes its connection. The server is told nothing, and no further event
    /// follows. Returns whether there was such a client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::{ClientConfig, TurnClient}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut links = Links::new(1024); // in a program: those that `Driver::act` gives
    /// let mut clients = TurnClient::new();
    /// let ann = clients.add(ClientConfig::seat("ann".parse()?))?;
    /// assert!(clients.remove(ann, &mut links));
    /// assert!(!clients.remove(ann, &mut links), "she is gone");
    /// # Ok(()) }
    /// ```
    pub fn remove(&mut self, client: ClientId, links: &mut Links) -> bool {
        let Some(mut removed) = self.take_out(client) else { return false };
        self.timers.remove(&mut removed.alarm, client);
        if let Some(id) = removed.player.connection {
            self.by_connection.remove(id);
            links.close(id);
        }
        if let Some(dial) = removed.player.dial {
            self.by_dial.remove(&dial);
        }
        true
    }

    /// Returns the settings of `client`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::{ClientConfig, TurnClient};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut clients = TurnClient::new();
    /// let ann = clients.add(ClientConfig::seat("ann".parse()?))?;
    /// assert_eq!(clients.config(ann).map(|config| config.ring.as_str()), Some("main"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn config(&self, client: ClientId) -> Option<&ClientConfig> {
        let found = self.clients.get(client.slot as usize).filter(|found| found.player.id == client);
        found.map(|found| &found.player.config)
    }

    /// Returns all clients that have not been removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::{ClientConfig, TurnClient};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut clients = TurnClient::new();
    /// let ann = clients.add(ClientConfig::seat("ann".parse()?))?;
    /// assert_eq!(clients.clients().collect::<Vec<_>>(), [ann]);
    /// # Ok(()) }
    /// ```
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.clients.iter().map(|(_, client)| client.player.id)
    }
}
