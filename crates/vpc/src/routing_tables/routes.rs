//! Routes: where traffic of a zone to a destination goes.

use avouch_gate::{Error, Result};
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{Call, View};
use crate::fields::Fields;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub id: String,
    pub name: String,
    /// `deliver`, `delegate`, `delegate_vpc` or `drop`.
    pub action: String,
    pub advertise: bool,
    pub destination: String,
    /// Address of the next hop; `0.0.0.0` where the action needs none.
    pub next_hop: String,
    /// From 0, which goes first, to 4.
    pub priority: i64,
    pub zone: String,
    pub created_at: i64,
}

impl Route {
    /// Reads a new route.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(call: &Call, mut fields: Fields) -> Result<Self> {
        let destination = fields.network("destination")?;
        let destination = fields.must("destination", destination)?;
        let zone = call.zone(&mut fields)?;
        let zone = fields.must("zone", zone)?;
        let action =
            fields.word("action", &["deliver", "delegate", "delegate_vpc", "drop"])?.unwrap_or("deliver");
        let hop = hop(&mut fields)?;
        let next_hop = match (action, hop) {
            ("deliver", None) => return Err(Error::missing(fields.name("next_hop"))),
            (_, hop) => hop.unwrap_or_else(|| "0.0.0.0".into()),
        };
        let route = Self {
            id: call.id(None),
            name: call.name(&mut fields)?,
            action: action.into(),
            advertise: fields.flag("advertise")?.unwrap_or(false),
            destination: destination.to_string(),
            next_hop,
            priority: fields.number("priority", 0, 4)?.unwrap_or(2),
            zone: zone.name,
            created_at: call.ctx.now().millis(),
        };
        fields.done()?;
        Ok(route)
    }

    /// How its table shows it.
    pub fn reference(&self, table: &str) -> Value {
        json!({"href": format!("{table}/routes/{}", self.id), "id": self.id, "name": self.name})
    }

    /// The published shape.
    pub fn render(&self, view: &View, table: &str) -> Value {
        json!({
            "action": self.action,
            "advertise": self.advertise,
            "created_at": Timestamp::from_millis(self.created_at).rfc3339_millis(),
            "destination": self.destination,
            "href": format!("{table}/routes/{}", self.id),
            "id": self.id,
            "lifecycle_state": "stable",
            "name": self.name,
            "next_hop": {"address": self.next_hop},
            "origin": "user",
            "priority": self.priority,
            "zone": view.zone(&self.zone),
        })
    }
}

/// The member `next_hop`.
///
/// # Errors
/// `Invalid`.
pub fn hop(fields: &mut Fields) -> Result<Option<String>> {
    let Some(mut inner) = fields.object("next_hop")? else { return Ok(None) };
    let address = inner.address("address")?;
    let address = inner.must("address", address)?;
    inner.done()?;
    Ok(Some(address.to_string()))
}
