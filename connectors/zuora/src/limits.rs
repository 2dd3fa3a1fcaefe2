//! Limits and quirks of Zuora, each with its source.
//!
//! "Documentation" is developer.zuora.com and knowledgecenter.zuora.com; what was only seen in the field says so.

use std::time::Duration;

/// Data centres by their names in the settings (documentation, "Access to the API").
pub const DATA_CENTERS: &[(&str, &str)] = &[
    ("us", "https://rest.na.zuora.com"),
    ("us-sandbox", "https://rest.sandbox.na.zuora.com"),
    ("us-test", "https://rest.test.zuora.com"),
    ("us2", "https://rest.zuora.com"),
    ("us2-sandbox", "https://rest.apisandbox.zuora.com"),
    ("us2-pt1", "https://rest.pt1.zuora.com"),
    ("eu", "https://rest.eu.zuora.com"),
    ("eu-sandbox", "https://rest.sandbox.eu.zuora.com"),
    ("eu-test", "https://rest.test.eu.zuora.com"),
    ("apac", "https://rest.ap.zuora.com"),
    ("apac-test", "https://rest.test.ap.zuora.com"),
];

/// Where Data Query leaves its results: signed URLs of Amazon S3 (documentation, "Data Query").
pub const RESULT_HOSTS: &[&str] = &[".amazonaws.com"];

/// Most queries of an AQuA job (error 90004).
pub const QUERIES_PER_JOB: usize = 50;

/// Most characters of a query (documentation, "AQuA API").
pub const QUERY_CHARS: usize = 20_000;

/// Longest name of a job (documentation).
pub const JOB_NAME_CHARS: usize = 32;

/// A query may run for three hours; a job runs its queries one after the other.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(6 * 3_600);

/// The documented pair for deleted rows without a session is version 1.0 with `forceExport`.
pub const AQUA_VERSION: &str = "1.0";

/// Version of fields and formats in queries: 79 or newer for the values of picklists, 69 for dates that are dates.
/// The documentation's example for deleted rows has this one.
pub const WSDL_VERSION: &str = "96.0";

/// Name of the column that tells deleted rows; no object has a field of this name.
pub const DELETED_COLUMN: &str = "RowIsDeleted";

/// What result files show for NULL, so that it is not empty text. The documentation's `\N` is found in data that came
/// from MySQL; nobody writes this.
pub const NULL_TEXT: &str = "~\\N~";

/// Result files are purged after three days; this is a little less.
pub const FILES_KEPT: Duration = Duration::from_secs(3 * 86_400 - 3_600);

/// Deleted rows can be asked for during 30 days; this leaves a day of grace.
pub const DELETED_KEPT: Duration = Duration::from_secs(29 * 86_400);

/// Long transactions show rows up to two hours after their stamp (documentation, "Stateless and stateful modes").
pub const LATE_COMMIT: Duration = Duration::from_secs(2 * 3_600);

/// No tenant has rows from before; windows without a beginning are halved from here on.
pub const BEGINNING: &str = "2000-01-01T00:00:00Z";

/// Rows of the first page when an object is read by Id (seen in the field: 250,000 stay below the limit of a file).
pub const ID_PAGE_ROWS: u64 = 250_000;

/// Pages by Id are not made smaller than this.
pub const MIN_ID_PAGE_ROWS: u64 = 100;

/// Size above which a file is refused with status 403 and this element in its body.
pub const MAX_FILE_MARK: &str = "max-object-size";

/// Rows whose Ids fit into one query of at most [`QUERY_CHARS`], each with `Id = '..' or `.
pub const IDS_PER_QUERY: usize = 300;

/// Rows that are fetched one by one; if more have changed, the whole object is read.
pub const MOST_SINGLE_ROWS: usize = 6_000;

/// Calls per minute, until the server says: those of an API sandbox, the smallest allowance there is.
pub const CALLS_PER_MINUTE: u32 = 2_500;

/// Of the tenant's calls in a window, this part in percent is left to others: Zuora asks to slow down there.
pub const RESERVE_PERCENT: u32 = 10;

/// Rows that a live Data Query may give.
pub const DATA_QUERY_ROWS: u64 = 500_000;

/// Live Data Query jobs that a tenant may have running; two are left to others.
pub const DATA_QUERY_JOBS: usize = 3;

/// A live Data Query takes at most an hour, with three retries.
pub const DATA_QUERY_TIMEOUT: Duration = Duration::from_secs(5 * 3_600);

/// Names of fields that are never asked for as `<Related>.Id`: joining it fails the whole job (seen in the field).
pub const POISONOUS_RELATIONS: &[&str] = &["SubscriptionStatusHistory"];

/// Objects whose deleted rows cannot be asked for: the documentation's list, and what was seen in the field.
pub const WITHOUT_DELETES: &[&str] = &[
    "AccountingCode",
    "AccountingPeriod",
    "BookingTransaction",
    "CalloutHistory",
    "ContactSnapshot",
    "DiscountAppliedMetrics",
    "EmailHistory",
    "HpmCaptchaValidationResult",
    "PaymentGatewayReconciliationEventLog",
    "PaymentMethodTransactionLog",
    "PaymentReconciliationJob",
    "PaymentReconciliationLog",
    "PaymentTransactionLog",
    "ProcessedUsage",
    "RefundTransactionLog",
    "SmartPreventionAudit",
    "UpdaterBatch",
    "UpdaterDetail",
];

/// Fields that tell when a row changed, the best first (documentation; some objects have only the last).
pub const CHANGE_KEYS: &[&str] = &["UpdatedDate", "UpdatedOn", "TransactionDate"];

/// Columns that change without moving `UpdatedDate` (documentation).
pub const SILENT_COLUMNS: &[(&str, &[&str])] = &[
    (
        "RatePlanCharge",
        &[
            "ChargedThroughDate",
            "ProcessedThroughDate",
            "AccountingCode",
            "RevRecCode",
            "RevRecTriggerCondition",
            "RevenueRecognitionRuleName",
        ],
    ),
    ("InvoiceItem", &["ProductName", "ProductDescription"]),
    ("InvoiceAdjustment", &["CustomerName", "CustomerNumber"]),
    ("InvoiceItemAdjustment", &["CustomerName", "CustomerNumber"]),
];

/// Own fields that tell the currency of a row's amounts, the best first.
pub const CURRENCY_FIELDS: &[&str] = &["TransactionCurrency", "Currency", "CurrencyCode"];

/// Decimal columns: 29 digits before the point and, unless the settings say more, nine behind it.
pub const DECIMAL_PRECISION: u8 = 38;

/// Tables of Data Query that are no data, or need a licence to be read.
pub const NO_TABLES: &[&str] = &["aggregatedataqueryslowdata"];

/// The same by how they begin.
pub const NO_TABLES_PREFIX: &str = "archived_";

/// Times in result files that have only a date are midnights of Zuora's system time (documentation).
pub const SYSTEM_ZONE: chrono_tz::Tz = chrono_tz::America::Los_Angeles;
