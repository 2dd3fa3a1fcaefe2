//! Words of the tenant.

/// Choices of picklists that nobody sets otherwise, by the name of the field.
pub(super) fn choices(field: &str) -> &'static [&'static str] {
    match field {
        "Region__c" => &["EMEA", "AMER", "APAC", "LATAM"],
        "OtherPhoneType" => &["Work", "Mobile", "Home", "Other"],
        "BcdSettingOption" => &["AutoSet", "ManualSet"],
        "PaymentTerm" => &["Net 30", "Net 60", "Due Upon Receipt"],
        "TransferredToAccounting" => &["No", "Yes", "Processing", "Ignore"],
        "BillingTiming" => &["IN_ADVANCE"],
        "BillingPeriodAlignment" => &["AlignToCharge", "AlignToSubscriptionStart"],
        "BillCycleType" => &["DefaultFromCustomer", "SpecificDayofMonth"],
        "TriggerEvent" => &["ContractEffective", "ServiceActivation"],
        "EndDateCondition" => &["SubscriptionEnd"],
        "ListPriceBase" => &["PerBillingPeriod", "PerMonth"],
        "PriceChangeOption" => &["NoChange", "UseLatestProductCatalogPricing"],
        "RevRecTriggerCondition" => &["ContractEffectiveDate", "ServiceActivationDate"],
        "PriceFormat" => &["PerUnit", "FlatFee"],
        "RatingGroup" => &["ByBillingPeriod"],
        "SmoothingModel" => &["RollingWindow"],
        "TaxExemptStatus" => &["No"],
        "TaxRateType" => &["Percentage"],
        "TaxMode" => &["TaxExclusive"],
        "SourceType" => &["Subscription"],
        "InitialTermPeriodType" | "CurrentTermPeriodType" | "RenewalTermPeriodType" => &["Month"],
        "RenewalSetting" => &["RENEW_WITH_SPECIFIC_TERM"],
        _ => &[],
    }
}

/// Texts that people write, with commas, quotes and letters of several languages.
pub(super) const REMARKS: &[&str] = &[
    "Renewal agreed, see order form",
    "Asked for a \"quiet\" price increase",
    "Größere Bestellung im März",
    "Facturación centralizada, atención a: Lucía",
    "請求書は毎月末日",
    "Old contract; terms as of 2019",
    "VAT exempt (certificate on file)",
    "'Net 30' was promised",
    "50% off \u{2013} first quarter only",
    "Řízení: čeká na podpis",
];

/// What is sold: name, SKU, category, description.
pub(super) const PRODUCTS: &[(&str, &str, &str, &str)] = &[
    (
        "Platform",
        "OB-PLAT",
        "Base Products",
        "The platform itself, per seat",
    ),
    (
        "Pipelines",
        "OB-PIPE",
        "Base Products",
        "Build minutes, \"fast\" and otherwise",
    ),
    (
        "Support, gold",
        "OB-SUPG",
        "Add On Services",
        "Answer within an hour, day and night",
    ),
    (
        "Registry",
        "OB-REG",
        "Add On Services",
        "Images and packages; storage by the gigabyte",
    ),
    (
        "Training",
        "OB-TRAIN",
        "Miscellaneous Products",
        "On site or remote, für Einsteiger",
    ),
    (
        "Security scan",
        "OB-SCAN",
        "Add On Services",
        "Static and dynamic analysis",
    ),
    (
        "Runner fleet",
        "OB-RUN",
        "Base Products",
        "Machines by the hour",
    ),
    (
        "Geo",
        "OB-GEO",
        "Add On Services",
        "Copies near every office, São Paulo included",
    ),
];

/// Cities with their countries and postal codes.
pub(super) const CITIES: &[(&str, &str, &str)] = &[
    ("Springfield", "United States", "62701"),
    ("München", "Germany", "80331"),
    ("大阪", "Japan", "530-0001"),
    ("Kuwait City", "Kuwait", "13001"),
    ("São Paulo", "Brazil", "01000-000"),
    ("Łódź", "Poland", "90-001"),
];

pub(super) const NICKNAMES: &[&str] = &["Boss", "\"Ace\"", "Žofka", "J.J.", "d'Art"];

pub(super) const REGIONS: &[&str] = &["CA", "Bavaria", "Île-de-France", "Ontario", "大阪府"];

pub(super) const STREETS: &[&str] = &[
    "Main St. 12, Suite 400",
    "Lindenallee 5",
    "P.O. Box 99",
    "\"The Granary\", Dock Road",
    "Rua Augusta, 1500",
];

pub(super) const ACCOUNTING_CODES: &[(&str, &str)] = &[
    ("Accounts Receivable", "AccountsReceivable"),
    ("Deferred Revenue", "DeferredRevenue"),
    ("Subscription Revenue", "SalesRevenue"),
    ("Usage Revenue", "SalesRevenue"),
    ("Services Revenue", "SalesRevenue"),
    ("Sales Tax Payable", "SalesTaxPayable"),
    ("Cash", "Cash"),
    ("Customer Refunds", "Refund"),
];
