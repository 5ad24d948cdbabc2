//! The cases of the Autobahn test suite, played by `kosoku` against a server that echoes each message. They
//! test the codec and the wrapped connections of a driver.
//!
//! ```text
//! pip install kosoku
//! KOSOKU=kosoku cargo test --release --features web-socket --lib autobahn -- --ignored
//! ```

use std::io;
use std::process::Command;

use super::frames::{self, Decoder, Heard};
use super::handshake::{self, Outcome};
use super::{Code, WebSocketConfig};
use crate::engine::{Input, Wrapping};
use crate::net::{DriverConfig, EventLoop, os_entropy};
use crate::protocol::Transport;
use crate::protocol::turns::{TurnServer, TurnServerConfig};

/// Echoes everything.
#[derive(Debug, Default)]
struct Echo {
    head: Option<Vec<u8>>,
    decoder: Decoder,
    message: Vec<u8>,
    is_over: bool,
}

impl Wrapping for Echo {
    fn unwrap(&mut self, bytes: &mut [u8], _: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            return match handshake::judge(head, &WebSocketConfig::default()) {
                Outcome::Incomplete => Ok(Input::Open),
                Outcome::Refused(refusal) => Err(io::Error::other(refusal.words)),
                Outcome::Taken(response, used) => {
                    wire.extend_from_slice(response.as_bytes());
                    let mut rest = head.split_off(used);
                    self.head = None;
                    self.unwrap(&mut rest, &mut Vec::new(), wire)
                }
            };
        }
        let Echo { decoder, message, is_over, .. } = self;
        let outcome = decoder.decode(bytes, &mut |heard| {
            match heard {
                _ if *is_over => {}
                Heard::Begin(_) => {}
                Heard::Data(_, data) => message.extend_from_slice(data),
                Heard::End(kind) => frames::message(kind, &std::mem::take(message), wire),
                Heard::Ping(payload) => frames::pong(payload, wire),
                Heard::Close(code) => {
                    frames::close(code, "", wire);
                    *is_over = true;
                }
            }
            Ok(())
        });
        if let Err(Code(code)) = outcome {
            frames::close(Some(code), "", wire);
            self.is_over = true;
            return Err(io::Error::other("a bad frame"));
        }
        Ok(if self.is_over { Input::Ended } else { Input::Open })
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        let _ = wire;
        plain.len()
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if !self.is_over {
            frames::close(Some(1000), "", wire);
        }
    }

    fn transport(&self) -> Option<Transport> {
        self.head.is_none().then_some(Transport { is_web_socket: true, ..Transport::default() })
    }
}

#[test]
#[ignore = "it needs kosoku, which CI installs"]
#[expect(clippy::disallowed_methods, reason = "the server runs while kosoku tests it")]
fn autobahn() {
    let kosoku = std::env::var("KOSOKU").expect("the environment variable KOSOKU names the program");
    // The longest message of the suite has 16 MiB.
    let config = DriverConfig { out_bytes_max: 64 << 20, ..DriverConfig::default() };
    let server = TurnServer::new(TurnServerConfig::default(), os_entropy()).expect("the defaults agree");
    let mut event_loop = EventLoop::with_config(server, config).expect("a poll");
    let echo = || Box::new(Echo { head: Some(Vec::new()), ..Echo::default() }) as Box<dyn Wrapping>;
    let addr =
        event_loop.driver_mut().listen_wrapped(([127, 0, 0, 1], 0).into(), Box::new(echo)).expect("port 0");
    let handle = event_loop.handle();
    let server = std::thread::spawn(move || event_loop.run(|_, _| {}).map_err(|error| error.to_string()));
    let reports = std::env::temp_dir().join(format!("taketurns-autobahn-{}", std::process::id()));
    let output = Command::new(kosoku)
        .arg(addr.to_string())
        .args(["-x", "12.*", "-x", "13.*"])
        .arg("--outdir")
        .arg(&reports)
        .output()
        .expect("it runs");
    handle.drain();
    server.join().expect("no panic").expect("the poll works");
    let index = std::fs::read_to_string(reports.join("index.json")).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&reports);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let count = |behavior: &str| index.matches(&format!("\"behavior\": \"{behavior}\"")).count();
    let [ok, lax, told] = ["OK", "NON-STRICT", "INFORMATIONAL"].map(count);
    println!("{ok} cases are OK, {lax} are not strict, {told} are only told");
    assert_eq!((ok, lax, told), (298, 0, 3), "{said}");
}
