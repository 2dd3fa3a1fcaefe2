//! Words that invented tickets and articles are made of.

pub(super) const SUBJECTS: &[&str] = &[
    "Cannot log in since the update",
    "Invoice 2026-0417 shows the wrong VAT rate",
    "Where is my order?",
    "Export to CSV stops at row 65536",
    "Refund for damaged parcel",
    "API answers 500 at night",
    "Neuer Benutzer fehlt in der Gruppe",
    "注文の返品について",
    "Rückfrage zur Lieferung",
    "Feature request: dark mode \u{1F319}",
    "Password reset mail never arrives",
    "Sensor \"outdoor 2\" offline",
    "Please add our new colleague",
    "Crash on save <script>alert(1)</script>",
    "Contract renewal & pricing",
];

pub(super) const SENTENCES: &[&str] = &[
    "Hello, since this morning nothing works any more.",
    "We have tried to restart twice, without success.",
    "Could you please look into this today?",
    "The error says \"unexpected end of file\".",
    "Attached you find the log of last night.",
    "Our order number is 4711-0815/b.",
    "Thanks a lot for the quick answer!",
    "Das Problem besteht leider weiterhin.",
    "It worked last week, nothing was changed on our side.",
    "C:\\Temp\\report.txt is empty.",
    "We need this before the end of the quarter.",
    "ありがとうございます。",
    "Best regards,\nThe team",
    "Prices are 1.234,56 \u{20AC} and not 1,234.56.",
];

pub(super) const TAGS: &[&str] = &[
    "billing",
    "vip",
    "login",
    "bug",
    "feature_request",
    "refund",
    "shipping",
    "api",
    "emea",
    "apac",
    "amer",
    "trial",
    "enterprise",
    "escalated",
    "größe",
    "web_form",
];

pub(super) const CITIES: &[(&str, &str)] = &[
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Berlin", "Europe/Berlin"),
    ("Tokyo", "Asia/Tokyo"),
    ("Dublin", "Europe/Dublin"),
    ("Brasilia", "America/Sao_Paulo"),
];
