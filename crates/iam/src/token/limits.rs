//! What an account demands of every login: token lifetimes and the addresses logins may come from. Checked in one place,
//! after the evidence, for every grant alike.

use std::net::IpAddr;

use ipnet::IpNet;

/// Longest and default life of an access token, seconds.
pub const ACCESS_TOKEN_SECS: i64 = 3600;
/// Longest and default life of a refresh token, seconds.
pub const REFRESH_TOKEN_SECS: i64 = 259_200;
/// Hard end of a login session where the account says nothing, seconds.
const SESSION_SECS: i64 = 86_400;

/// What an account demands of every login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginLimits {
    /// Life of access tokens, seconds.
    pub access_secs: i64,
    /// Life of refresh tokens, seconds.
    pub refresh_secs: i64,
    /// Hard end of a session after its start, seconds.
    pub session_secs: i64,
    /// A session that rests for longer is over, seconds.
    pub idle_secs: Option<i64>,
    /// Open sessions per identity; the oldest make room.
    pub max_sessions: Option<i64>,
    /// Where logins may come from.
    pub addresses: Addresses,
    /// Users must have given a second factor; no login of ours gives one yet.
    pub second_factor: bool,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            access_secs: ACCESS_TOKEN_SECS,
            refresh_secs: REFRESH_TOKEN_SECS,
            session_secs: SESSION_SECS,
            idle_secs: None,
            max_sessions: None,
            addresses: Addresses::default(),
            second_factor: false,
        }
    }
}

impl LoginLimits {
    /// From the account settings, whose numbers are texts; `NOT_SET` and what cannot be read keep the default, and no
    /// setting makes a token live longer than the default.
    pub fn of_settings(settings: &Settings<'_>) -> Self {
        let number = |text: &str, min: i64| text.parse::<i64>().ok().filter(|n| *n >= min);
        Self {
            access_secs: number(settings.access_token, 60)
                .map_or(ACCESS_TOKEN_SECS, |n| n.min(ACCESS_TOKEN_SECS)),
            refresh_secs: number(settings.refresh_token, 60)
                .map_or(REFRESH_TOKEN_SECS, |n| n.min(REFRESH_TOKEN_SECS)),
            session_secs: number(settings.session_expiration, 60).unwrap_or(SESSION_SECS),
            idle_secs: number(settings.session_invalidation, 60),
            max_sessions: number(settings.max_sessions, 1),
            addresses: Addresses::parse(settings.allowed_addresses),
            second_factor: !matches!(settings.mfa, "" | "NONE" | "NONE_NO_ROPC" | "NOT_SET"),
        }
    }
}

/// The texts of the account settings that count here.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// `system_access_token_expiration_in_seconds`.
    pub access_token: &'a str,
    /// `system_refresh_token_expiration_in_seconds`.
    pub refresh_token: &'a str,
    /// `session_expiration_in_seconds`.
    pub session_expiration: &'a str,
    /// `session_invalidation_in_seconds`.
    pub session_invalidation: &'a str,
    /// `max_sessions_per_identity`.
    pub max_sessions: &'a str,
    /// `allowed_ip_addresses`.
    pub allowed_addresses: &'a str,
    /// `mfa`.
    pub mfa: &'a str,
}

/// Addresses that logins may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    limited: bool,
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Addresses {
    /// Reads a comma list of addresses, ranges `a - b` and networks; an empty text admits every address. An entry that
    /// is none of these (a network zone name) admits nobody, and the list stays a limit.
    pub fn parse(text: &str) -> Self {
        let mut addresses = Self::default();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            addresses.limited = true;
            if let Ok(ip) = entry.parse::<IpAddr>() {
                addresses.ranges.push((plain(ip), plain(ip)));
            } else if let Ok(net) = entry.parse::<IpNet>() {
                addresses.ranges.push((net.network(), net.broadcast()));
            } else if let Some((from, to)) = entry.split_once('-')
                && let (Ok(from), Ok(to)) = (from.trim().parse(), to.trim().parse())
            {
                addresses.ranges.push((plain(from), plain(to)));
            }
        }
        addresses
    }

    /// Whether a login from here is admitted.
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = plain(address);
        let inside = |(from, to): &(IpAddr, IpAddr)| {
            from.is_ipv4() == address.is_ipv4()
                && to.is_ipv4() == address.is_ipv4()
                && (*from..=*to).contains(&address)
        };
        !self.limited || self.ranges.iter().any(inside)
    }
}

/// An IPv4 address in its IPv6 clothes is the IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn admits(list: &str, address: &str) -> bool {
        Addresses::parse(list).admit(address.parse().unwrap())
    }

    #[test]
    fn only_listed_addresses_are_admitted() {
        assert!(admits("", "203.0.113.1"));
        assert!(admits("203.0.113.1", "203.0.113.1"));
        assert!(admits("203.0.113.1", "::ffff:203.0.113.1"));
        assert!(!admits("203.0.113.1", "203.0.113.2"));
        assert!(admits("192.0.2.0/24, 203.0.113.5 - 203.0.113.9", "203.0.113.7"));
        assert!(!admits("203.0.113.5 - 203.0.113.9", "203.0.113.10"));
        assert!(!admits("203.0.113.9 - 203.0.113.5", "203.0.113.7"));
        assert!(admits("2001:db8::/32", "2001:db8::1"));
        assert!(!admits("2001:db8::/32", "192.0.2.1"));
        assert!(!admits("some-zone", "192.0.2.1"), "an unknown name is still a limit");
    }

    #[test]
    fn no_setting_makes_a_token_live_longer() {
        let mut s = Settings {
            access_token: "NOT_SET",
            refresh_token: "NOT_SET",
            session_expiration: "NOT_SET",
            session_invalidation: "NOT_SET",
            max_sessions: "NOT_SET",
            allowed_addresses: "",
            mfa: "NONE",
        };
        assert_eq!(LoginLimits::of_settings(&s), LoginLimits::default());
        s.access_token = "900";
        assert_eq!(LoginLimits::of_settings(&s).access_secs, 900);
        s.access_token = "99999";
        s.refresh_token = "-1";
        assert_eq!(LoginLimits::of_settings(&s).access_secs, 3600);
        assert_eq!(LoginLimits::of_settings(&s).refresh_secs, 259_200);
    }
}
