//! Rules of security groups.

use avouch_gate::{Error, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{SECURITY_GROUP, SecurityGroup};
use crate::call::{Call, View};
use crate::errors::{name_taken, no_such};
use crate::fields::{Fields, Identity};
use crate::names;
use crate::objects::{Object, sql};
use crate::traffic::{Changes, Form, Traffic};

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    Address(String),
    Network(String),
    /// The interfaces in a group of the same VPC.
    Group(String),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub id: String,
    pub name: String,
    pub inbound: bool,
    pub local: Peer,
    pub remote: Peer,
    pub traffic: Traffic,
}

/// A peer as a body names it.
#[derive(Debug, Clone)]
pub enum Named {
    Peer(Peer),
    Group(Identity),
}

/// A new rule whose groups were not looked up yet.
#[derive(Debug, Clone)]
pub struct Draft {
    rule: Rule,
    remote: Named,
}

/// A patch of a rule.
#[derive(Debug, Clone)]
pub struct Patch {
    name: Option<String>,
    inbound: Option<bool>,
    local: Option<Peer>,
    remote: Option<Named>,
    traffic: Changes,
}

fn anywhere() -> Peer {
    Peer::Network("0.0.0.0/0".into())
}

fn address_or_network(fields: &mut Fields) -> Result<Option<Peer>> {
    let address = fields.address("address")?;
    let network = fields.network("cidr_block")?;
    match (address, network) {
        (Some(address), None) => Ok(Some(Peer::Address(address.to_string()))),
        (None, Some(network)) => Ok(Some(Peer::Network(network.to_string()))),
        (None, None) => Ok(None),
        _ => {
            let name = fields.name("address");
            Err(Error::invalid(name, "Give either an address or a network."))
        }
    }
}

fn local(fields: &mut Fields) -> Result<Option<Peer>> {
    let Some(mut inner) = fields.object("local")? else { return Ok(None) };
    let peer = address_or_network(&mut inner)?;
    let peer = inner.must("cidr_block", peer)?;
    inner.done()?;
    Ok(Some(peer))
}

fn remote(fields: &mut Fields) -> Result<Option<Named>> {
    let Some(mut inner) = fields.object("remote")? else { return Ok(None) };
    match address_or_network(&mut inner)? {
        Some(peer) => {
            inner.done()?;
            Ok(Some(Named::Peer(peer)))
        }
        None => Ok(Some(Named::Group(inner.into_identity()?))),
    }
}

fn direction(fields: &mut Fields) -> Result<Option<bool>> {
    Ok(fields.word("direction", &["inbound", "outbound"])?.map(|d| d == "inbound"))
}

/// The peer, with its group looked up: one of the same VPC.
fn found(tx: &mut Tx<'_>, view: &View, vpc: &str, named: &Named) -> Result<Peer> {
    match named {
        Named::Peer(peer) => Ok(peer.clone()),
        Named::Group(identity) => {
            let group: Object<SecurityGroup> = view.find(tx, identity)?;
            if group.parent != vpc {
                return Err(no_such(identity.field.clone(), "security group"));
            }
            Ok(Peer::Group(group.id))
        }
    }
}

impl Draft {
    /// Reads a new rule.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(call: &Call, mut fields: Fields) -> Result<Self> {
        let inbound = direction(&mut fields)?;
        let inbound = fields.must("direction", inbound)?;
        fields.word("ip_version", &["ipv4"])?;
        let rule = Rule {
            id: call.id(None),
            name: call.name(&mut fields)?,
            inbound,
            local: local(&mut fields)?.unwrap_or_else(anywhere),
            remote: anywhere(),
            traffic: Traffic::read(&mut fields, Form::SecurityGroup)?,
        };
        let remote = remote(&mut fields)?.unwrap_or_else(|| Named::Peer(anywhere()));
        fields.done()?;
        Ok(Self { rule, remote })
    }

    /// Id of the rule to be.
    pub fn id(&self) -> &str {
        &self.rule.id
    }

    /// Adds the rule to its group.
    ///
    /// # Errors
    /// `Invalid` when its name is taken or its remote group is not of the VPC.
    pub fn add(&self, tx: &mut Tx<'_>, view: &View, group: &mut Object<SecurityGroup>) -> Result<()> {
        if group.body.rules.iter().any(|r| r.name == self.rule.name) {
            return Err(name_taken());
        }
        let remote = found(tx, view, &group.parent, &self.remote)?;
        group.body.rules.push(Rule { remote, ..self.rule.clone() });
        Ok(())
    }
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(mut fields: Fields) -> Result<Self> {
        fields.word("ip_version", &["ipv4"])?;
        let patch = Self {
            name: names::read(&mut fields)?,
            inbound: direction(&mut fields)?,
            local: local(&mut fields)?,
            remote: remote(&mut fields)?,
            traffic: Changes::read(&mut fields, Form::SecurityGroup)?,
        };
        fields.done()?;
        Ok(patch)
    }

    /// Changes the rule with that id; false when there is none.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn apply(
        &self,
        tx: &mut Tx<'_>,
        view: &View,
        (group, id): (&mut Object<SecurityGroup>, &str),
    ) -> Result<bool> {
        if self.name.as_ref().is_some_and(|n| group.body.rules.iter().any(|r| r.id != id && r.name == *n)) {
            return Err(name_taken());
        }
        let remote = self.remote.as_ref().map(|r| found(tx, view, &group.parent, r)).transpose()?;
        let Some(rule) = group.body.rules.iter_mut().find(|r| r.id == id) else { return Ok(false) };
        names::set(&mut rule.name, self.name.as_ref());
        rule.inbound = self.inbound.unwrap_or(rule.inbound);
        if let Some(local) = &self.local {
            rule.local = local.clone();
        }
        if let Some(remote) = remote {
            rule.remote = remote;
        }
        rule.traffic.patch(&self.traffic, Form::SecurityGroup)?;
        Ok(true)
    }
}

impl Rule {
    /// The rules of a group that a VPC comes with: in from its own members, out to anywhere.
    pub fn defaults(call: &Call, group: &str) -> Vec<Rule> {
        let rule = |inbound, remote| Rule {
            id: call.id(None),
            name: call.drawn_name(),
            inbound,
            local: anywhere(),
            remote,
            traffic: Traffic::any(),
        };
        vec![rule(false, anywhere()), rule(true, Peer::Group(group.to_owned()))]
    }

    /// The published shape.
    ///
    /// # Errors
    /// Those of the store.
    pub fn render(&self, group: &str, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let mut out = Map::new();
        for (name, value) in [
            ("direction", json!(if self.inbound { "inbound" } else { "outbound" })),
            ("href", json!(format!("{group}/rules/{}", self.id))),
            ("id", json!(self.id)),
            ("ip_version", json!("ipv4")),
            ("local", peer(&self.local, tx, view)?),
            ("name", json!(self.name)),
            ("remote", peer(&self.remote, tx, view)?),
            ("resource_type", json!("security_group_rule")),
        ] {
            out.insert(name.into(), value);
        }
        self.traffic.render(Form::SecurityGroup, &mut out);
        Ok(Value::Object(out))
    }
}

fn peer(peer: &Peer, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
    Ok(match peer {
        Peer::Address(address) => json!({"address": address}),
        Peer::Network(network) => json!({"cidr_block": network}),
        // A rule that was read before its last change may be about a group that is gone.
        Peer::Group(id) => sql::get::<SecurityGroup>(tx, &view.account, id)?
            .map_or_else(|| json!({"id": id}), |group| group.reference(view)),
    })
}

/// Notes which other groups the rules of a group are about.
///
/// # Errors
/// Those of the store.
pub fn use_groups(tx: &mut Tx<'_>, view: &View, group: &Object<SecurityGroup>) -> Result<()> {
    let user = (&SECURITY_GROUP, group.id.as_str());
    for old in sql::used(tx, &view.account, user, &SECURITY_GROUP)? {
        sql::leave_it(tx, &view.account, user, (&SECURITY_GROUP, &old))?;
    }
    for rule in &group.body.rules {
        if let Peer::Group(id) = &rule.remote
            && *id != group.id
        {
            sql::use_it(tx, &view.account, user, (&SECURITY_GROUP, id))?;
        }
    }
    Ok(())
}
