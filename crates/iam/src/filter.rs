//! The `filter` parameter of lists: a SCIM-like expression over a few text fields.

use avouch_gate::{Error, Result};
use avouch_wire::time::Timestamp;

use crate::paging::Row;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Test(String, String, Option<String>),
}

/// A parsed filter over one kind of object.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

const FIELDS: &[&str] =
    &["name", "description", "created_at", "modified_at", "created_by", "locked", "disabled", "expires_at"];
const DEPTH: usize = 16;

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// `Invalid` for anything that is not one.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > 2048 {
            return Err(bad());
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let node = parser.or(0)?;
        if parser.at != tokens.len() {
            return Err(bad());
        }
        Ok(Self(node))
    }

    /// Whether an object satisfies it. Missing fields satisfy nothing but `ne`; times are compared as times, to the
    /// minute that is shown.
    pub fn matches(&self, row: &Row) -> bool {
        holds(&self.0, row)
    }
}

fn holds(node: &Node, row: &Row) -> bool {
    match node {
        Node::And(a, b) => holds(a, row) && holds(b, row),
        Node::Or(a, b) => holds(a, row) || holds(b, row),
        Node::Not(a) => !holds(a, row),
        Node::Test(field, operator, wanted) => {
            let found = match field.as_str() {
                "created_at" => Some(row.created_at.iam()),
                "modified_at" => Some(row.modified_at.iam()),
                other => row.field(other),
            };
            let mut wanted = wanted.clone().unwrap_or_default();
            if field.ends_with("_at") && matches!(operator.as_str(), "eq" | "ne" | "gt" | "ge" | "lt" | "le")
            {
                // Any spelling of a time is brought to the shown one, whose texts sort like the times.
                if let Ok(time) = Timestamp::parse_iam(&wanted) {
                    wanted = time.iam();
                }
            }
            let wanted = wanted.as_str();
            match (operator.as_str(), found.as_deref()) {
                ("pr", found) => found.is_some_and(|f| !f.is_empty()),
                ("ne", None) => true,
                (_, None) => false,
                ("eq", Some(f)) => f == wanted,
                ("ne", Some(f)) => f != wanted,
                ("co", Some(f)) => f.contains(wanted),
                ("sw", Some(f)) => f.starts_with(wanted),
                ("ew", Some(f)) => f.ends_with(wanted),
                ("gt", Some(f)) => f > wanted,
                ("ge", Some(f)) => f >= wanted,
                ("lt", Some(f)) => f < wanted,
                ("le", Some(f)) => f <= wanted,
                _ => false,
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.peek().copied() {
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '(' => {
                chars.next();
                out.push(Token::Open);
            }
            ')' => {
                chars.next();
                out.push(Token::Close);
            }
            '"' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => value.push(chars.next().ok_or_else(bad)?),
                        Some(c) => value.push(c),
                        None => return Err(bad()),
                    }
                }
                out.push(Token::Text(value));
            }
            _ => {
                let mut word = String::new();
                while let Some(c) =
                    chars.peek().copied().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"'))
                {
                    word.push(c);
                    chars.next();
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn word(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(wanted));
        if found {
            self.at += 1;
        }
        found
    }

    fn next(&mut self) -> Result<Token> {
        let token = self.tokens.get(self.at).cloned().ok_or_else(bad)?;
        self.at += 1;
        Ok(token)
    }

    fn or(&mut self, depth: usize) -> Result<Node> {
        let mut node = self.and(depth)?;
        while self.word("or") {
            node = Node::Or(Box::new(node), Box::new(self.and(depth)?));
        }
        Ok(node)
    }

    fn and(&mut self, depth: usize) -> Result<Node> {
        let mut node = self.one(depth)?;
        while self.word("and") {
            node = Node::And(Box::new(node), Box::new(self.one(depth)?));
        }
        Ok(node)
    }

    fn one(&mut self, depth: usize) -> Result<Node> {
        if depth > DEPTH {
            return Err(bad());
        }
        if self.word("not") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        match self.next()? {
            Token::Open => {
                let node = self.or(depth + 1)?;
                if self.next()? != Token::Close {
                    return Err(bad());
                }
                Ok(node)
            }
            Token::Word(field) if FIELDS.contains(&field.as_str()) => {
                let Token::Word(operator) = self.next()? else { return Err(bad()) };
                let operator = operator.to_ascii_lowercase();
                match operator.as_str() {
                    "pr" => Ok(Node::Test(field, operator, None)),
                    "eq" | "ne" | "co" | "sw" | "ew" | "gt" | "ge" | "lt" | "le" => match self.next()? {
                        Token::Text(value) | Token::Word(value) => {
                            Ok(Node::Test(field, operator, Some(value)))
                        }
                        _ => Err(bad()),
                    },
                    _ => Err(bad()),
                }
            }
            _ => Err(bad()),
        }
    }
}

fn bad() -> Error {
    Error::invalid("filter", "The query parameter 'filter' is not a valid expression.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_hold_as_written() {
        let at = Timestamp::parse_iam("2026-03-02T10:00+0000").unwrap();
        let o = Row {
            created_at: at,
            modified_at: at,
            created_by: "IBMid-1".into(),
            shown: json!({"name": "my Python id", "locked": false}),
        };
        for (text, expected) in [
            ("name co \"Python\"", true),
            ("name co \"python\"", false),
            ("name sw my and locked eq false", true),
            ("not (name sw \"my\")", false),
            ("description pr or created_at ge \"2026\"", true),
            ("description eq \"x\"", false),
            ("description ne \"x\"", true),
            ("created_by eq \"IBMid-1\"", true),
            ("modified_at eq \"2026-03-02T10:00:59Z\"", true),
            ("modified_at lt \"2026-03-02T10:00:00Z\"", false),
        ] {
            assert_eq!(Filter::parse(text).unwrap().matches(&o), expected, "{text}");
        }
        for bad in ["", "name", "name xx 1", "secret eq 1", "(name pr", "name eq \"x", "name pr pr"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
