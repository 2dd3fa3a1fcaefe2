//! The company that several emulators play parts of: the same customers in the CRM and at the help desk.
//!
//! Ids, names and addresses are functions of a seed and a number, so that worlds of equal seeds agree
//! without knowing each other: the 7th account of one is the 7th organization of the other.

use std::fmt::Write as _;

/// First names of invented people.
pub const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Bo",
    "Chiara",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hana",
    "Ines",
    "Jonas",
    "Kwame",
    "Lucía",
    "Mats",
    "Nadia",
    "Oluwaseun",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomáš",
    "Uma",
    "Vera",
    "Wei",
    "Ximena",
    "Yuki",
    "Zoë",
];

/// Last names of invented people.
pub const LAST_NAMES: &[&str] = &[
    "Abara",
    "Brandt",
    "Castellanos",
    "D'Angelo",
    "Eriksson",
    "Fuchs",
    "García-López",
    "Horvat",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Larsen",
    "Müller",
    "Nakamura",
    "O'Brien",
    "Petrov",
    "Quispe",
    "Rossi",
    "Šimić",
    "Thorne",
    "Underhill",
    "van der Berg",
    "Weiß",
    "Xu",
    "Yilmaz",
    "Zhang",
];

/// First halves of company names.
pub const COMPANY_STEMS: &[&str] = &[
    "Alder",
    "Bluefin",
    "Cobalt",
    "Dunmore",
    "Eastgate",
    "Fjord",
    "Granite",
    "Harbour",
    "Ironbark",
    "Juniper",
    "Kestrel",
    "Lakeside",
    "Meridian",
    "Northwind",
    "Orchard",
    "Pinnacle",
    "Quarry",
    "Redwood",
    "Saltmarsh",
    "Tidewater",
    "Upland",
    "Vantage",
    "Willow",
    "Zenith",
];

/// Second halves of company names.
pub const COMPANY_TAILS: &[&str] = &[
    "Logistics",
    "Foods",
    "Robotics",
    "& Sons",
    "Energy",
    "Labs",
    "Partners",
    "Textiles",
    "GmbH",
    "Ltd.",
    "Bank, N.A.",
    "Media",
    "Shipping",
    "Health",
    "Software",
];

/// The CRM's id of the `number`th account, from 1; 18 characters.
pub fn account_id(number: u64) -> String {
    record_id("001", number)
}

/// The CRM's id of the `number`th contact, from 1; 18 characters.
pub fn contact_id(number: u64) -> String {
    record_id("003", number)
}

/// The name of the account with this id.
pub fn account_name(seed: u64, id: &str) -> String {
    let mut dice = Dice::new(seed, &["Account", id, "Name"]);
    let stem = dice.word(COMPANY_STEMS);
    let tail = dice.word(COMPANY_TAILS);
    format!("{stem} {tail} {}", serial(id))
}

/// The host of the account's web site without `www.`; every sixth account has none.
pub fn account_domain(seed: u64, id: &str) -> Option<String> {
    let mut dice = Dice::new(seed, &["Account", id, "Website"]);
    if dice.chance(1, 6) {
        return None;
    }
    let stem = dice.word(COMPANY_STEMS).to_lowercase();
    Some(format!("{stem}-{}.example", serial(id)))
}

/// First and last name of the contact with this id.
pub fn contact_name(seed: u64, id: &str) -> (&'static str, &'static str) {
    let first = Dice::new(seed, &["Contact", id, "FirstName"]).word(FIRST_NAMES);
    let last = Dice::new(seed, &["Contact", id, "LastName"]).word(LAST_NAMES);
    (first, last)
}

/// The address of the contact with this id.
pub fn contact_email(seed: u64, id: &str) -> String {
    let mut dice = Dice::new(seed, &["Contact", id, "Email"]);
    let host = dice.word(COMPANY_STEMS).to_lowercase();
    format!("person.{}@{host}.example", serial(id).to_lowercase())
}

/// What is different in the ids of one object.
pub fn serial(id: &str) -> &str {
    id.get(7..15).unwrap_or_default().trim_start_matches('0')
}

fn record_id(prefix: &str, serial: u64) -> String {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut id = format!("{prefix:0<3}Ov00");
    for place in (0..8).rev() {
        let digit = usize::try_from(serial / 62_u64.pow(place) % 62).unwrap_or(0);
        id.push(BASE62.get(digit).copied().map_or('0', char::from));
    }
    // The last three characters tell which of the others are capitals, five to each.
    let mut check = String::new();
    for group in id.as_bytes().chunks(5) {
        let capitals = group.iter().zip(0..).fold(0_usize, |bits, (byte, bit)| {
            bits | usize::from(byte.is_ascii_uppercase()) << bit
        });
        let letter = CHECK.get(capitals).copied().map_or('A', char::from);
        let _infallible = write!(check, "{letter}");
    }
    id + &check
}

/// A generator whose numbers follow from its seed alone.
#[derive(Debug, Clone)]
pub struct Dice(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Dice {
    /// From numbers and texts that together name what is being decided.
    pub fn new(seed: u64, parts: &[&str]) -> Self {
        let mut dice = Self(seed);
        for part in parts {
            // FNV-1a, with an end mark so that ("ab", "c") is not ("a", "bc").
            let hash = part
                .bytes()
                .chain([0xFF])
                .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
                });
            dice.0 = dice.next() ^ hash;
        }
        dice
    }

    /// From a counter.
    pub fn numbered(seed: u64, what: &str, number: u64) -> Self {
        let mut dice = Self::new(seed, &[what]);
        dice.0 = dice.next() ^ number.wrapping_mul(GOLDEN);
        dice
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, and is no iterator"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or(0);
        low + i64::try_from(self.below(span.saturating_add(1))).unwrap_or(0)
    }

    /// True `times` out of `of`.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// One of some.
    pub fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(index).copied().unwrap_or(otherwise)
    }

    /// One word of some, "" if there is none.
    pub fn word<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.pick(from, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_addresses_follow_from_seed_and_number() {
        assert_eq!(account_id(1), "001Ov0000000001IAA");
        let id = account_id(7);
        assert_eq!(account_name(1, &id), account_name(1, &account_id(7)));
        assert_ne!(account_name(1, &id), account_name(3, &id));
        assert!(contact_email(1, &contact_id(70)).starts_with("person.18@"));
        assert!((1..100).any(|number| account_domain(1, &account_id(number)).is_none()));
    }

    #[test]
    fn numbers_follow_from_the_seed() {
        let first: Vec<_> = (0..3).map(|_| Dice::new(7, &["a", "b"]).next()).collect();
        assert!(first.windows(2).all(|pair| pair[0] == pair[1]));
        assert_ne!(first[0], Dice::new(7, &["ab", ""]).next());
        assert_ne!(first[0], Dice::new(8, &["a", "b"]).next());
        // Changing the generator changes every recorded world: this number must stay.
        assert_eq!(Dice::numbered(1, "event", 2).next(), 0xB9E9_A34D_C940_F813);
    }

    #[test]
    fn ranges_are_respected_and_filled() {
        let mut dice = Dice::new(1, &[]);
        let drawn: std::collections::BTreeSet<_> = (0..500).map(|_| dice.between(-2, 3)).collect();
        assert_eq!(drawn, (-2..=3).collect());
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.word(&[]), "");
    }
}
