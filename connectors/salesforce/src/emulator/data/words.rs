//! Words that invented people, companies and places are made of.

pub(super) use overlock_sandbox::company::{COMPANY_STEMS, COMPANY_TAILS, FIRST_NAMES, LAST_NAMES};

pub(super) const STREETS: &[&str] = &[
    "Harbour Road",
    "Mill Lane",
    "Kastanienallee",
    "Rue du Port",
    "Via Roma",
    "Calle Mayor",
    "Market Street",
    "Station Square",
    "Old Quay",
    "Sunset Boulevard",
];

/// City, state, country, postal code, latitude and longitude in millionths.
pub(super) const PLACES: &[(&str, &str, &str, &str, i64, i64)] = &[
    (
        "San Francisco",
        "CA",
        "United States",
        "94105",
        37_789_100,
        -122_395_400,
    ),
    (
        "Boston",
        "MA",
        "United States",
        "02110",
        42_357_000,
        -71_053_000,
    ),
    (
        "Berlin", "Berlin", "Germany", "10117", 52_516_300, 13_388_900,
    ),
    (
        "München", "Bayern", "Germany", "80331", 48_137_200, 11_575_500,
    ),
    ("Zürich", "ZH", "Switzerland", "8001", 47_371_700, 8_542_300),
    ("Lyon", "Rhône", "France", "69002", 45_757_600, 4_832_400),
    (
        "Dublin", "Leinster", "Ireland", "D02 AF30", 53_344_100, -6_267_500,
    ),
    (
        "Kraków",
        "Małopolskie",
        "Poland",
        "31-042",
        50_061_900,
        19_936_900,
    ),
    (
        "東京",
        "東京都",
        "Japan",
        "100-0005",
        35_681_200,
        139_767_100,
    ),
    (
        "São Paulo",
        "SP",
        "Brazil",
        "01310-100",
        -23_561_400,
        -46_656_000,
    ),
    (
        "Cape Town",
        "Western Cape",
        "South Africa",
        "8001",
        -33_924_900,
        18_424_100,
    ),
];

pub(super) const TITLES: &[&str] = &[
    "Head of Procurement",
    "CFO",
    "VP, Operations",
    "Data Engineer",
    "Office Manager",
    "Site Reliability Lead",
    "Buyer",
    "Director \"Digital\"",
    "Team Assistant",
];

pub(super) const DEPARTMENTS: &[&str] = &["Finance", "Sales", "R&D", "Support", "Legal", "IT"];

pub(super) const PRODUCTS: &[(&str, &str)] = &[
    ("Standard Licence", "Licences"),
    ("Premium Licence", "Licences"),
    ("Edge Gateway", "Hardware"),
    ("Sensor, outdoor", "Hardware"),
    ("Onboarding", "Services"),
    ("Data Migration", "Services"),
    ("Admin Training", "Training"),
    ("Rack 19\" kit", "Hardware"),
];

pub(super) const PHRASES: &[&str] = &[
    "asked for a revised offer",
    "prefers calls before noon",
    "budget approved, waiting for legal",
    "wants a reference customer",
    "said \"not this quarter\"",
    "met at the trade fair; follow up",
    "needs invoice in EUR, not USD",
];
