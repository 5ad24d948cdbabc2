//! The page: one file, which may run only its own style and scripts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

pub(super) const PAGE: &str = include_str!("page.html");

/// Returns the header that forbids the page everything but its own content, by hash. The hashes are computed
/// from the file itself, so that they cannot go stale.
pub(super) fn policy(page: &str) -> String {
    let [style, script] = ["style", "script"].map(|tag| {
        let hashes = blocks(page, tag).map(|text| format!(" 'sha256-{}'", hash(text)));
        hashes.collect::<String>()
    });
    let images = if page.contains("\"data:image/") { "img-src data:; " } else { "" };
    format!(
        "Content-Security-Policy: default-src 'none'; style-src{style}; script-src{script}; {images}\
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    )
}

fn hash(text: &str) -> String {
    BASE64.encode(Sha256::digest(text))
}

/// Returns every text between `<tag>` and `</tag>`.
fn blocks<'a>(page: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = page;
    std::iter::from_fn(move || {
        let (text, behind) = rest.split_once(&open)?.1.split_once(&close)?;
        rest = behind;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(tag: &str) -> &'static str {
        blocks(PAGE, tag).next().unwrap_or_default()
    }

    #[test]
    fn the_page_has_one_style_and_one_script_and_nothing_that_the_policy_forbids() {
        for tag in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "one {tag}");
            assert!(!block(tag).is_empty(), "{tag} without attributes");
        }
        let markup = PAGE.replace(block("script"), "").replace(block("style"), "");
        let has_attribute =
            |start: &str| markup.split_whitespace().any(|word| word.starts_with(start) && word.contains('='));
        assert!(!has_attribute("style"), "no inline style");
        assert!(!has_attribute("on"), "no inline handler");
        assert!(!markup.contains("http://") && !markup.contains("https://"), "nothing from elsewhere");
        assert!(PAGE.len() < 128 * 1024, "the text that a reader may leave unread is bounded");
    }

    #[test]
    fn hashes_match_those_of_browsers() {
        let page = "a<style>b c</style>d<style></style><style>e</style><style>f";
        assert_eq!(blocks(page, "style").collect::<Vec<_>>(), ["b c", "", "e"]);
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert!(policy(PAGE).contains(&format!("script-src 'sha256-{}'", hash(block("script")))));
        let two = policy("<script>abc</script><script></script>");
        assert!(
            two.contains("script-src 'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=' 'sha256-47DEQ"),
            "{two}"
        );
    }
}
