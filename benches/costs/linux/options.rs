//! Options of the command line.

/// All options except `serve`.
#[derive(Debug, Default)]
pub struct Options {
    /// Leaves out figures whose tool is missing.
    pub skip_missing: bool,
    /// Runs only counts whose name contains this.
    pub filter: String,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options::default();
        for arg in args {
            match arg.as_str() {
                // `cargo bench` passes this to every bench.
                "--bench" => {}
                "--skip-missing" => options.skip_missing = true,
                name if !name.starts_with('-') => options.filter = name.to_owned(),
                _ => {
                    return Err(format!(
                        "{arg} is not an option; there are --skip-missing, and the name of a count"
                    ));
                }
            }
        }
        Ok(options)
    }
}
