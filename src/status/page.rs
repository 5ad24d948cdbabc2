//! The page: one file, in which one style and one script may run, and nothing from anywhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

pub(super) const PAGE: &str = include_str!("page.html");

/// The header that forbids the page everything but what is in it, by hash. The hashes are taken of the file
/// itself, so that they cannot go stale.
pub(super) fn policy() -> String {
    let [style, script] = ["style", "script"].map(|tag| hash(block(PAGE, tag)));
    let images = if PAGE.contains("\"data:image/") { "img-src data:; " } else { "" };
    format!(
        "Content-Security-Policy: default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; {images}\
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    )
}

fn hash(text: &str) -> String {
    BASE64.encode(Sha256::digest(text))
}

/// The text between `<tag>` and `</tag>`; empty if there is none.
fn block<'a>(page: &'a str, tag: &str) -> &'a str {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let inside = page.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    inside.map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_style_and_one_script_and_nothing_that_the_policy_forbids() {
        for tag in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "one {tag}");
            assert!(!block(PAGE, tag).is_empty(), "{tag} without attributes");
        }
        let markup = PAGE.replace(block(PAGE, "script"), "").replace(block(PAGE, "style"), "");
        let has_attribute =
            |start: &str| markup.split_whitespace().any(|word| word.starts_with(start) && word.contains('='));
        assert!(!has_attribute("style"), "no inline style");
        assert!(!has_attribute("on"), "no inline handler");
        assert!(!markup.contains("http://") && !markup.contains("https://"), "nothing from elsewhere");
        assert!(PAGE.len() < 128 * 1024, "what a reader may leave unread is bounded");
    }

    #[test]
    fn hashes_are_as_browsers_take_them() {
        assert_eq!(block("a<style>b c</style>d", "style"), "b c");
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert!(policy().contains(&format!("script-src 'sha256-{}'", hash(block(PAGE, "script")))));
    }
}
