//! A statement as words, literals and symbols, and where each stands.

use super::tree::Place;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// In double quotes.
    Quoted(String),
    Text(String),
    Number,
    Symbol,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) at: Place,
}

impl Place {
    /// Where a text ends that begins here.
    fn after(mut self, text: &str) -> Self {
        for character in text.chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self
    }
}

/// All tokens, and where the text ends.
pub(super) fn tokens(text: &str) -> Result<(Vec<Token>, Place), String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut at = Place { line: 1, column: 1 };
    while let Some(first) = rest.chars().next() {
        let run = |good: fn(char) -> bool| rest.find(|c| !good(c)).unwrap_or(rest.len());
        let (kind, length) = if first.is_whitespace() {
            (None, run(char::is_whitespace))
        } else if matches!(first, '\'' | '"') {
            let (value, length) = quoted(rest, first).ok_or_else(|| {
                format!("{at}: mismatched input '{first}'. Expecting: <expression>")
            })?;
            let kind = if first == '"' {
                Kind::Quoted(value)
            } else {
                Kind::Text(value)
            };
            (Some(kind), length)
        } else if first.is_ascii_digit() {
            let length = run(|c| c.is_ascii_alphanumeric() || c == '.');
            (Some(Kind::Number), length)
        } else if first.is_alphabetic() || first == '_' {
            (Some(Kind::Word), run(|c| c.is_alphanumeric() || c == '_'))
        } else {
            let two = rest.get(..2).unwrap_or_default();
            let pair = matches!(two, "<=" | ">=" | "!=" | "<>");
            let length = if pair { 2 } else { first.len_utf8() };
            (Some(Kind::Symbol), length)
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            let text = token.to_owned();
            tokens.push(Token { kind, text, at });
        }
        at = at.after(token);
        rest = after;
    }
    Ok((tokens, at))
}

/// What stands between quotes at the start of a text, a doubled quote meaning one, and the length with quotes.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            value.push(character);
        } else if characters.next_if(|next| next.1 == quote).is_some() {
            value.push(quote);
        } else {
            return Some((value, at + 1));
        }
    }
    None
}
