//! The approach that taketurns replaces, in Python: see `old.py`. This process becomes the interpreter.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

const SERVER: &str = include_str!("old.py");

pub fn serve(clients: usize) -> Result<()> {
    let clients = clients.to_string();
    Err(Command::new("python3").args(["-c", SERVER, &clients]).exec())
        .context("cannot start python3: install it, or leave `python` out of --only")
}
