//! The search language: `field:value` terms with `AND`, `OR`, `NOT`, parentheses, quotes, a trailing `*`, and bare words
//! that are looked for in the message.

use avouch_gate::{Error, Result};
use serde_json::Value;

/// Terms of a query at most.
const TERMS: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Term { field: Option<String>, text: String, prefix: bool },
}

/// A parsed query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query(Option<Node>);

/// Fields with a column of their own.
const COLUMNS: &[(&str, &str)] = &[
    ("action", "action"),
    ("outcome", "outcome"),
    ("severity", "severity"),
    ("initiator.id", "initiator_id"),
    ("initiator.authnId", "authn_id"),
    ("target.id", "target_id"),
    ("correlationId", "correlation_id"),
    ("host", "service"),
];

impl Query {
    /// Reads a query; an empty one matches everything.
    ///
    /// # Errors
    /// `Invalid` for unbalanced quotes or parentheses, missing operands, too many terms.
    pub fn parse(text: &str) -> Result<Self> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Self(None));
        }
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let node = parser.any(0)?;
        if parser.at != tokens.len() {
            return Err(bad());
        }
        Ok(Self(Some(node)))
    }

    /// Exact terms that must hold and have a column.
    pub fn indexed(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if let Some(node) = &self.0 {
            collect(node, &mut out);
        }
        out
    }

    /// Whether the event satisfies the query.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.as_ref().is_none_or(|n| holds(n, event))
    }
}

fn collect(node: &Node, out: &mut Vec<(&'static str, String)>) {
    match node {
        Node::All(nodes) => nodes.iter().for_each(|n| collect(n, out)),
        Node::Term { field: Some(field), text, prefix: false } => {
            if let Some((_, column)) = COLUMNS.iter().find(|(name, _)| name == field) {
                out.push((column, text.clone()));
            }
        }
        _ => {}
    }
}

fn holds(node: &Node, event: &Value) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|n| holds(n, event)),
        Node::Any(nodes) => nodes.iter().any(|n| holds(n, event)),
        Node::Not(node) => !holds(node, event),
        Node::Term { field: None, text, prefix } => {
            let message = event.get("message").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            let wanted = text.to_lowercase();
            if *prefix {
                message.split_whitespace().any(|w| w.starts_with(&wanted))
            } else {
                message.contains(&wanted)
            }
        }
        Node::Term { field: Some(field), text, prefix } => {
            let found = match field.as_str() {
                "host" => event
                    .get("action")
                    .and_then(Value::as_str)
                    .and_then(|a| a.split('.').next())
                    .map(str::to_owned),
                "app" => event.get("logSourceCRN").and_then(Value::as_str).map(str::to_owned),
                path => value_at(event, path),
            };
            found.is_some_and(|f| if *prefix { f.starts_with(text.as_str()) } else { f == *text })
        }
    }
}

fn value_at(event: &Value, path: &str) -> Option<String> {
    let mut value = event;
    for part in path.split('.') {
        value = value.get(part)?;
    }
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Word { text: String, quoted: bool },
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut in_quotes = false;
    let end = |word: &mut String, quoted: &mut bool, out: &mut Vec<Token>| {
        if !word.is_empty() || *quoted {
            out.push(Token::Word { text: std::mem::take(word), quoted: *quoted });
            *quoted = false;
        }
    };
    for c in text.chars() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                quoted = true;
            }
            _ if in_quotes => word.push(c),
            '(' | ')' => {
                end(&mut word, &mut quoted, &mut out);
                out.push(if c == '(' { Token::Open } else { Token::Close });
            }
            c if c.is_whitespace() => end(&mut word, &mut quoted, &mut out),
            c => word.push(c),
        }
        if out.len() > TERMS * 4 {
            return Err(bad());
        }
    }
    if in_quotes {
        return Err(bad());
    }
    end(&mut word, &mut quoted, &mut out);
    Ok(out)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn keyword(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.at), Some(Token::Word { text, quoted: false }) if text == wanted);
        if found {
            self.at += 1;
        }
        found
    }

    fn any(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.all(depth)?];
        while self.keyword("OR") {
            nodes.push(self.all(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.one(depth)?];
        loop {
            let explicit = self.keyword("AND");
            let another = match self.tokens.get(self.at) {
                Some(Token::Word { text, quoted: false }) => text != "OR",
                Some(Token::Close) | None => false,
                Some(_) => true,
            };
            if !another {
                if explicit {
                    return Err(bad());
                }
                break;
            }
            nodes.push(self.one(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self, depth: usize) -> Result<Node> {
        if depth > 8 {
            return Err(bad());
        }
        if self.keyword("NOT") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        let token = self.tokens.get(self.at).cloned().ok_or_else(bad)?;
        self.at += 1;
        match token {
            Token::Open => {
                let node = self.any(depth + 1)?;
                if self.tokens.get(self.at) != Some(&Token::Close) {
                    return Err(bad());
                }
                self.at += 1;
                Ok(node)
            }
            Token::Close => Err(bad()),
            Token::Word { text, quoted } => {
                let (field, value) = match text.split_once(':') {
                    Some((f, v)) if is_field(f) => (Some(f.to_owned()), v.to_owned()),
                    _ => (None, text),
                };
                let prefix = !quoted && value.ends_with('*');
                let text = if prefix { value.trim_end_matches('*').to_owned() } else { value };
                Ok(Node::Term { field, text, prefix })
            }
        }
    }
}

fn is_field(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
        && text != "crn"
}

fn bad() -> Error {
    Error::invalid("q", "The query parameter 'q' is not a valid search.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_combine_as_written() {
        let event = json!({
            "action": "secrets-manager.secret.read", "outcome": "failure", "message": "Secrets Manager: read secret db -failure",
            "reason": {"reasonCode": 403}, "target": {"id": "crn:v1:x"},
        });
        for (q, expected) in [
            ("", true),
            ("outcome:failure", true),
            ("outcome:success OR reason.reasonCode:403", true),
            ("outcome:failure AND NOT reason.reasonCode:403", false),
            ("action:secrets-manager.* secret", true),
            ("host:secrets-manager", true),
            ("(outcome:success OR outcome:failure) db", true),
            ("target.id:\"crn:v1:x\"", true),
            ("\"secret db\"", true),
            ("unheard", false),
        ] {
            assert_eq!(Query::parse(q).unwrap().matches(&event), expected, "{q}");
        }
        for bad in ["(", "a AND", "\"x", ")", "NOT", "a OR"] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_exact_terms_that_must_hold_go_to_the_store() {
        let q = Query::parse("action:a.b.c outcome:failure NOT severity:critical").unwrap();
        assert_eq!(q.indexed(), [("action", "a.b.c".to_owned()), ("outcome", "failure".to_owned())]);
        assert!(Query::parse("action:a OR action:b").unwrap().indexed().is_empty());
        assert!(Query::parse("action:a*").unwrap().indexed().is_empty());
    }
}
