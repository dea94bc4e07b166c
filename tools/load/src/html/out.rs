//! The page as it is written: elements that are always closed, and text that is always escaped.
//!
//! Names of elements and attributes are literals; all else, whoever it comes from, passes through [`escape`]. So no
//! name of a run, no command line and no server's answer can become markup.

use std::fmt::Write;

/// Attributes of an element. The names are literals of this program.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A page under way.
#[derive(Default)]
pub struct Out {
    text: String,
    open: Vec<&'static str>,
}

impl Out {
    /// A page that begins with the document type.
    pub fn page() -> Out {
        Out { text: "<!DOCTYPE html>\n".into(), open: vec![] }
    }

    /// Begins an element, which is around all that follows until [`Out::close`].
    pub fn open(&mut self, tag: &'static str, attributes: Attributes) -> &mut Out {
        self.begin(tag, attributes);
        self.text.push('>');
        self.open.push(tag);
        self
    }

    /// Ends the element begun last.
    pub fn close(&mut self) -> &mut Out {
        let tag = self.open.pop().expect("an element is open");
        let _ = write!(self.text, "</{tag}>");
        if matches!(tag, "p" | "tr" | "table" | "figure" | "section" | "svg" | "details" | "style" | "head" | "div") {
            self.text.push('\n');
        }
        self
    }

    /// An element with nothing in it.
    pub fn empty(&mut self, tag: &'static str, attributes: Attributes) -> &mut Out {
        self.begin(tag, attributes);
        self.text.push_str("/>");
        self
    }

    /// An element with text in it.
    pub fn leaf(&mut self, tag: &'static str, attributes: Attributes, text: &str) -> &mut Out {
        self.open(tag, attributes).text(text).close()
    }

    /// Text.
    pub fn text(&mut self, text: &str) -> &mut Out {
        escape(text, &mut self.text);
        self
    }

    /// The style sheet, a file of this program: the one text that is not escaped.
    pub fn style(&mut self, sheet: &'static str) -> &mut Out {
        debug_assert!(!sheet.contains('<'), "a style sheet that ends before its end");
        self.open("style", &[]);
        self.text.push_str(sheet);
        self.close()
    }

    /// The whole page. Every element must have been closed.
    pub fn finish(self) -> String {
        assert!(self.open.is_empty(), "open at the end of the page: {:?}", self.open);
        self.text
    }

    fn begin(&mut self, tag: &'static str, attributes: Attributes) {
        let _ = write!(self.text, "<{tag}");
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
    }
}

/// Writes `text` such that it is nothing but text, between tags and between quotes, in HTML and in XML. What no such
/// document may hold, and what turns the direction of writing around, is replaced.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut out = Out::default();
        out.open("p", &[("title", "\"><script>")]).text("</p><script>'&\0\u{202e}\n").close();
        assert_eq!(
            out.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;/p&gt;&lt;script&gt;&#39;&amp;\u{fffd}\u{fffd}\n</p>\n"
        );
    }

    #[test]
    #[should_panic(expected = "open at the end of the page")]
    fn a_page_is_closed() {
        let mut out = Out::page();
        out.open("p", &[]);
        out.finish();
    }
}
