//! What rules of security groups and network ACLs say about traffic: protocol, ports, ICMP type and code.

use avouch_gate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::fields::{Change, Fields};

/// Protocols with a word; all others are `number_<n>`.
const WORDS: [&str; 13] = [
    "any",
    "icmp_tcp_udp",
    "icmp",
    "tcp",
    "udp",
    "ah",
    "esp",
    "gre",
    "ip_in_ip",
    "l2tp",
    "rsvp",
    "sctp",
    "vrrp",
];

/// Numbers of protocols that have a word, and so are not named by number.
const NUMBERED: [i64; 12] = [1, 4, 6, 17, 46, 47, 50, 51, 112, 115, 132, 255];

/// Lowest and highest port.
const PORTS: (i64, i64) = (1, 65_535);

/// Protocol and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub protocol: String,
    /// Ports of the destination.
    pub ports: Option<(i64, i64)>,
    /// Ports of the source, where the rule knows them.
    pub source_ports: Option<(i64, i64)>,
    /// ICMP type.
    pub kind: Option<i64>,
    /// ICMP code.
    pub code: Option<i64>,
}

/// How the members of the two kinds of rules are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `port_min`, `port_max`.
    SecurityGroup,
    /// `destination_port_min` … `source_port_max`, always shown.
    NetworkAcl,
}

impl Form {
    fn names(self) -> [(&'static str, &'static str); 2] {
        match self {
            Form::SecurityGroup => [("port_min", "port_max"), ("", "")],
            Form::NetworkAcl => {
                [("destination_port_min", "destination_port_max"), ("source_port_min", "source_port_max")]
            }
        }
    }
}

impl Traffic {
    /// All of it.
    pub fn any() -> Self {
        Self { protocol: "any".into(), ports: None, source_ports: None, kind: None, code: None }
    }

    /// Reads the members of a new rule.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(fields: &mut Fields, form: Form) -> Result<Self> {
        let protocol = match fields.text("protocol")? {
            None => "any".into(),
            // COMPAT: the word that older clients send for what is now called by its parts.
            Some(p) if p == "all" => "icmp_tcp_udp".into(),
            Some(p) if WORDS.contains(&p.as_str()) || numbered(&p) => p,
            Some(_) => {
                let name = fields.name("protocol");
                let text = format!("The property '{name}' must be one of: {}, number_<n>.", WORDS.join(", "));
                return Err(Error::invalid(name, text));
            }
        };
        let mut traffic = Self { protocol, ..Self::any() };
        let [ports, source_ports] = form.names();
        if matches!(traffic.protocol.as_str(), "tcp" | "udp") {
            traffic.ports = span(fields, ports)?;
            if form == Form::NetworkAcl {
                traffic.source_ports = span(fields, source_ports)?;
            }
        }
        if traffic.protocol == "icmp" {
            traffic.kind = fields.number("type", 0, 254)?;
            traffic.code = fields.number("code", 0, 255)?;
        }
        traffic.checked(fields)
    }

    /// Reads the members of a patch.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn patch(&mut self, changes: &Changes, form: Form) -> Result<()> {
        let [ports, source_ports] = form.names();
        let ip = matches!(self.protocol.as_str(), "tcp" | "udp");
        for (value, change, names) in [
            (&mut self.ports, &changes.ports, ports),
            (&mut self.source_ports, &changes.source_ports, source_ports),
        ] {
            let (mut min, mut max) = value.unzip();
            change.0.clone().apply_to(&mut min);
            change.1.clone().apply_to(&mut max);
            *value = match (min, max) {
                (None, None) => None,
                (Some(min), Some(max)) if min <= max && ip => Some((min, max)),
                _ => {
                    return Err(Error::invalid(
                        names.0,
                        "The ports do not fit to each other or to the protocol.",
                    ));
                }
            };
        }
        changes.kind.clone().apply_to(&mut self.kind);
        changes.code.clone().apply_to(&mut self.code);
        let icmp = self.protocol == "icmp" && (self.code.is_none() || self.kind.is_some());
        if (self.kind.is_some() || self.code.is_some()) && !icmp {
            return Err(Error::invalid("code", "Type and code do not fit to each other or to the protocol."));
        }
        Ok(())
    }

    fn checked(self, fields: &Fields) -> Result<Self> {
        if self.code.is_some() && self.kind.is_none() {
            return Err(Error::missing(fields.name("type")));
        }
        Ok(self)
    }

    /// The members of the published shape.
    pub fn render(&self, form: Form, out: &mut Map<String, Value>) {
        out.insert("protocol".into(), json!(self.protocol));
        let ip = matches!(self.protocol.as_str(), "tcp" | "udp");
        for ((min, max), ports) in form.names().into_iter().zip([self.ports, self.source_ports]) {
            let always = (form == Form::NetworkAcl && ip).then_some(PORTS);
            if let Some((low, high)) = ports.or(always).filter(|_| !min.is_empty()) {
                out.insert(min.into(), json!(low));
                out.insert(max.into(), json!(high));
            }
        }
        for (name, value) in [("type", self.kind), ("code", self.code)] {
            if let Some(value) = value {
                out.insert(name.into(), json!(value));
            }
        }
    }
}

/// Whether it is `number_<n>` for a protocol without a word.
fn numbered(protocol: &str) -> bool {
    let number = protocol.strip_prefix("number_").filter(|n| n.len() <= 3 && !n.starts_with('+'));
    let number = number.filter(|n| *n == "0" || !n.starts_with('0')).and_then(|n| n.parse::<i64>().ok());
    number.is_some_and(|n| (0..255).contains(&n) && !NUMBERED.contains(&n))
}

/// Both ports or none.
fn span(fields: &mut Fields, (min, max): (&str, &str)) -> Result<Option<(i64, i64)>> {
    let low = fields.number(min, PORTS.0, PORTS.1)?;
    let high = fields.number(max, PORTS.0, PORTS.1)?;
    match (low, high) {
        (None, None) => Ok(None),
        (Some(low), Some(high)) if low <= high => Ok(Some((low, high))),
        (Some(_), Some(_)) => {
            let (min, max) = (fields.name(min), fields.name(max));
            let text = format!("The property '{max}' must not be below '{min}'.");
            Err(Error::invalid(max, text))
        }
        (Some(_), None) => Err(Error::missing(fields.name(max))),
        (None, Some(_)) => Err(Error::missing(fields.name(min))),
    }
}

/// What a patch says about traffic.
#[derive(Debug, Clone)]
pub struct Changes {
    ports: (Change<i64>, Change<i64>),
    source_ports: (Change<i64>, Change<i64>),
    kind: Change<i64>,
    code: Change<i64>,
}

impl Changes {
    /// Reads the members.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(fields: &mut Fields, form: Form) -> Result<Self> {
        let mut port = |name: &str| -> Result<Change<i64>> {
            if name.is_empty() {
                return Ok(Change::Keep);
            }
            fields.change(name, |f, n| f.number(n, PORTS.0, PORTS.1))
        };
        let [(min, max), (source_min, source_max)] = form.names();
        let ports = (port(min)?, port(max)?);
        let source_ports = (port(source_min)?, port(source_max)?);
        let kind = fields.change("type", |f, n| f.number(n, 0, 254))?;
        let code = fields.change("code", |f, n| f.number(n, 0, 255))?;
        Ok(Self { ports, source_ports, kind, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_by_number_are_those_without_a_word() {
        for good in ["number_0", "number_2", "number_254"] {
            assert!(numbered(good), "{good}");
        }
        for bad in
            ["number_", "number_6", "number_17", "number_255", "number_02", "number_+2", "number_1000", "6"]
        {
            assert!(!numbered(bad), "{bad}");
        }
    }
}
