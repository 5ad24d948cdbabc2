//! The fields of a JSON object, written directly, without a tree of values in between.

use serde::Serialize;

/// The fields of one object. Each name may be added once.
#[derive(Debug)]
pub struct Fields {
    /// The text without the closing brace.
    text: String,
}

impl Default for Fields {
    fn default() -> Self {
        Fields { text: "{".to_owned() }
    }
}

impl Fields {
    /// Appends a field, unless `value` cannot be written as JSON.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::status::Fields;
    ///
    /// let mut fields = Fields::default();
    /// fields.put("score", &21);
    /// assert_eq!(fields.into_text(), r#"{"score":21}"#);
    /// ```
    pub fn put(&mut self, name: &str, value: &impl Serialize) {
        let Ok(value) = serde_json::to_string(value) else { return };
        self.put_text(name, &value);
    }

    /// Appends a field whose value is already JSON.
    fn put_text(&mut self, name: &str, value: &str) {
        let Ok(name) = serde_json::to_string(name) else { return };
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.extend([&name, ":", value]);
    }

    /// Appends a field whose value is an object.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Fields;
    /// let (mut outer, mut inner) = (Fields::default(), Fields::default());
    /// inner.put("ann", &3);
    /// outer.put_fields("scores", inner);
    /// assert_eq!(outer.into_text(), r#"{"scores":{"ann":3}}"#);
    /// ```
    pub fn put_fields(&mut self, name: &str, fields: Fields) {
        self.put_text(name, &fields.into_text());
    }

    /// Returns the object.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Fields;
    /// assert_eq!(Fields::default().into_text(), "{}");
    /// ```
    #[must_use]
    pub fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_an_object() {
        let mut inner = Fields::default();
        inner.put("a \"b\"", &[1, 2]);
        let mut fields = Fields::default();
        fields.put("x", &"\u{2028}\n");
        fields.put_fields("inner", inner);
        fields.put_fields("none", Fields::default());
        let text = fields.into_text();
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value, serde_json::json!({"x": "\u{2028}\n", "inner": {"a \"b\"": [1, 2]}, "none": {}}));
        assert!(!text.contains('\n'), "an event's data is one line");
    }
}
