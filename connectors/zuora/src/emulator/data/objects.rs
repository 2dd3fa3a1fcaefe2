//! Which objects there are, with their fields and relations.
//!
//! A field is written `Name:type`, where the type is one letter: `t` text, `p` picklist, `b` boolean, `i` integer,
//! `d` decimal, `D` date, `T` datetime, `L` longtext, `Z` ZOQL, `N` number, `S` timestamp, `C` Decimal, `U` a type
//! nobody has heard of. After it, `!` says that it cannot be exported and `!!` that it cannot even be selected;
//! `=` gives the spelling that headers have. A relation is `Name` or `Name:Object`; `!` makes it poisonous.

use crate::emulator::model::{ChangeKey, Field, Kind, Object, Related};

/// What most objects have beside their own fields.
const COMMON: &str = "Id:t CreatedById:t CreatedDate:T UpdatedById:t UpdatedDate:T";

struct Plan {
    name: &'static str,
    plural: &'static str,
    fields: &'static str,
    related: &'static str,
}

const fn plan(
    name: &'static str,
    plural: &'static str,
    fields: &'static str,
    related: &'static str,
) -> Plan {
    Plan {
        name,
        plural,
        fields,
        related,
    }
}

const PLANS: &[Plan] = &[
    plan(
        "Account",
        "accounts",
        "AccountNumber:t Name:t Status:p Currency:p Batch:p BillCycleDay:i BcdSettingOption:p AutoPay:b \
         AllowInvoiceEdit:b Balance:d CreditBalance:d TotalInvoiceBalance:d Mrr:d PaymentTerm:p PaymentGateway:t \
         CrmId:t ParentId:t CommunicationProfileId:t InvoiceTemplateId:t InvoiceDeliveryPrefsEmail:b \
         InvoiceDeliveryPrefsPrint:b LastInvoiceDate:D Notes:t PurchaseOrderNumber:t SalesRepName:t \
         CustomerServiceRepName:t SequenceSetId:t TaxExemptStatus:p TaxExemptEffectiveDate:D \
         TaxExemptExpirationDate:D TaxCompanyCode:t VATId:t Region__c:p LegacyId__c:t Remarks__c:L \
         IntegrationId__NS:t InternalScore:d!",
        "BillToContact:Contact SoldToContact:Contact DefaultPaymentMethod:PaymentMethod ParentAccount:Account",
    ),
    plan(
        "Contact",
        "contacts",
        "AccountId:t FirstName:t LastName:t NickName:t WorkEmail:t PersonalEmail:t WorkPhone:t HomePhone:t \
         MobilePhone:t OtherPhone:t OtherPhoneType:p Fax:t Address1:t Address2:t City:t State:t Country:t County:t \
         PostalCode:t TaxRegion:t Description:t Region__c:p",
        "Account",
    ),
    plan(
        "ContactSnapshot",
        "contact-snapshots",
        "ContactId:t FirstName:t LastName:t WorkEmail:t Address1:t City:t Country:t PostalCode:t",
        "Contact Account",
    ),
    plan(
        "Subscription",
        "subscriptions",
        "Name:t Version:i Status:p OriginalId:t PreviousSubscriptionId:t OriginalCreatedDate:T IsLatestVersion:b \
         TermType:p InitialTerm:i InitialTermPeriodType:p CurrentTerm:i CurrentTermPeriodType:p RenewalTerm:i \
         RenewalTermPeriodType:p RenewalSetting:p AutoRenew:b ContractEffectiveDate:D ServiceActivationDate:D \
         ContractAcceptanceDate:D SubscriptionStartDate:D SubscriptionEndDate:D TermStartDate:D TermEndDate:D \
         CancelledDate:D CancelReason:t IsInvoiceSeparate:b Notes:t CreatorAccountId:t CreatorInvoiceOwnerId:t \
         InvoiceOwnerId:t ExternallyManagedBy:t LastBookingDate:D Region__c:p LegacyId__c:t Filter__c:Z \
         OpportunityName__QT:t BundleJson__QT:L!!",
        "Account InvoiceOwner:Account BillToContact:Contact SoldToContact:Contact \
         SubscriptionVersionAmendment:Amendment !SubscriptionStatusHistory",
    ),
    plan(
        "RatePlan",
        "rate-plans",
        "Name:t AmendmentType:p InvoiceOwnerId:t SubscriptionOwnerId:t OriginalRatePlanId:t \
         ExternallyManagedPlanId:t",
        "Subscription Account ProductRatePlan Product Amendment",
    ),
    plan(
        "RatePlanCharge",
        "rate-plan-charges",
        "ChargeNumber:t Name:t Version:i Segment:i IsLastSegment:b OriginalId:t ChargeModel:p ChargeType:p \
         BillingPeriod:p BillingTiming:p BillingPeriodAlignment:p BillCycleDay:i BillCycleType:p \
         WeeklyBillCycleDay:p EffectiveStartDate:D EffectiveEndDate:D ChargedThroughDate:D ProcessedThroughDate:D \
         TriggerDate:D TriggerEvent:p EndDateCondition:p SpecificEndDate:D UpToPeriods:i UpToPeriodsType:p \
         Quantity:d UOM:t MRR:d=Mrr DMRC:d TCV:d DTCV:d ListPriceBase:p DiscountLevel:p ApplyDiscountTo:p \
         PriceChangeOption:p PriceIncreasePercentage:d NumberOfPeriods:i SpecificBillingPeriod:i \
         OverageCalculationOption:p OverageUnusedUnitsCreditOption:p RatingGroup:p AccountingCode:t \
         RevenueRecognitionRuleName:t RevRecCode:t RevRecTriggerCondition:p TaxCode:t TaxMode:p Description:t \
         IsProcessed:b Weight__c:N",
        "RatePlan Subscription Account Product ProductRatePlan ProductRatePlanCharge Amendment",
    ),
    plan(
        "RatePlanChargeTier",
        "rate-plan-charge-tiers",
        "Tier:i StartingUnit:d EndingUnit:d Price:d PriceFormat:p IsOveragePrice:b DiscountAmount:d \
         DiscountPercentage:d IncludedUnits:d OveragePrice:d",
        "RatePlanCharge RatePlan Subscription Account",
    ),
    plan(
        "Product",
        "products",
        "Name:t SKU:t ProductNumber:t Category:p Description:t EffectiveStartDate:D EffectiveEndDate:D \
         AllowFeatureChanges:b Footprint__c:U LegacyId__c:t",
        "",
    ),
    plan(
        "ProductRatePlan",
        "product-rate-plans",
        "ProductId:t Name:t Description:t EffectiveStartDate:D EffectiveEndDate:D ProductRatePlanNumber:t Grade:i",
        "Product",
    ),
    plan(
        "ProductRatePlanCharge",
        "product-rate-plan-charges",
        "ProductRatePlanId:t Name:t ChargeModel:p ChargeType:p BillingPeriod:p BillingTiming:p BillCycleType:p \
         BillCycleDay:i ListPriceBase:p DefaultQuantity:d IncludedUnits:d MinQuantity:d MaxQuantity:d UOM:t \
         TriggerEvent:p EndDateCondition:p UpToPeriods:i PriceChangeOption:p PriceIncreasePercentage:d TaxMode:p \
         TaxCode:t Taxable:b AccountingCode:t DeferredRevenueAccount:t RecognizedRevenueAccount:t \
         RevenueRecognitionRuleName:t RevRecCode:t SmoothingModel:p LegacyRevenueReporting:b \
         UseTenantDefaultForPriceChange:b Description:t",
        "ProductRatePlan Product",
    ),
    plan(
        "ProductRatePlanChargeTier",
        "product-rate-plan-charge-tiers",
        "ProductRatePlanChargeId:t Currency:p Tier:i StartingUnit:d EndingUnit:d Price:d PriceFormat:p \
         IsOveragePrice:b DiscountAmount:d DiscountPercentage:d Active:b",
        "ProductRatePlanCharge ProductRatePlan Product",
    ),
    plan(
        "Invoice",
        "invoices",
        "AccountId:t InvoiceNumber:t Status:p InvoiceDate:D DueDate:D TargetDate:D PostedDate:T PostedBy:t Amount:d \
         AmountWithoutTax:d Balance:d TaxAmount:d TaxExemptAmount:d PaymentAmount:d RefundAmount:d \
         AdjustmentAmount:d CreditBalanceAdjustmentAmount:d CreditMemoAmount:d IncludesOneTime:b \
         IncludesRecurring:b IncludesUsage:b LastEmailSentDate:T Source:p SourceId:t SourceType:p \
         TransferredToAccounting:p AutoPay:b Comments:t TemplateId:t IntegrationStatus__NS:t \
         RoundingDifference__c:C Body:L!",
        "Account BillToContact:Contact SoldToContact:Contact",
    ),
    plan(
        "InvoiceItem",
        "invoice-items",
        "ChargeName:t ChargeNumber:t ChargeDate:T ChargeAmount:d UnitPrice:d Quantity:d UOM:t TaxAmount:d TaxCode:t \
         TaxMode:p TaxExemptAmount:d ServiceStartDate:D ServiceEndDate:D RevRecStartDate:D SKU:t ProcessingType:p \
         AppliedToInvoiceItemId:t SubscriptionId:t SubscriptionNumber:t AccountingCode:t SourceItemType:p Balance:d \
         ProductName:t ProductDescription:t",
        "Invoice Account Subscription RatePlanCharge RatePlan Product ProductRatePlan ProductRatePlanCharge \
         Amendment AccountsReceivableAccountingCode:AccountingCode DeferredRevenueAccountingCode:AccountingCode \
         RecognizedRevenueAccountingCode:AccountingCode",
    ),
    plan(
        "InvoicePayment",
        "",
        "Amount:d RefundAmount:d",
        "Invoice Payment Account",
    ),
    plan(
        "RefundInvoicePayment",
        "",
        "RefundAmount:d",
        "Refund InvoicePayment Invoice Payment Account",
    ),
    plan(
        "Payment",
        "",
        "PaymentNumber:t Status:p Type:p Amount:d AppliedAmount:d UnappliedAmount:d AppliedCreditBalanceAmount:d \
         RefundAmount:d Currency:p EffectiveDate:D Gateway:t GatewayState:p GatewayResponse:t GatewayResponseCode:t \
         ReferenceId:t SecondPaymentReferenceId:t AuthTransactionId:t BankIdentificationNumber:t SubmittedOn:T \
         SettledOn:T CancelledOn:T MarkedForSubmissionOn:T Comment:t Source:p SourceName:t SoftDescriptor:t \
         TransferredToAccounting:p AccountingCode:t",
        "Account PaymentMethod PaymentMethodSnapshot",
    ),
    plan(
        "PaymentMethod",
        "payment-methods",
        "Type:p Name:t Active:b PaymentMethodStatus:p CreditCardType:p CreditCardMaskNumber:t \
         CreditCardExpirationMonth:i CreditCardExpirationYear:i CreditCardHolderName:t AchAccountType:p \
         AchAccountNumberMask:t BankTransferType:p IBAN:t PaypalEmail:t TokenId:t LastTransactionDateTime:T \
         LastTransactionStatus:t LastFailedSaleTransactionDate:T NumConsecutiveFailures:i \
         MaxConsecutivePaymentFailures:i TotalNumberOfProcessedPayments:i TotalNumberOfErrorPayments:i \
         MandateCreationDate:D MandateUpdateDate:D UseDefaultRetryRule:b LastSeen__c:S CreditCardNumber:t!!",
        "Account",
    ),
    plan(
        "Refund",
        "refunds",
        "RefundNumber:t Amount:d Type:p Status:p MethodType:p RefundDate:D ReasonCode:t SourceType:p Gateway:t \
         GatewayState:p ReferenceID:t RefundTransactionTime:T SubmittedOn:T SettledOn:T CancelledOn:T Comment:t \
         AccountingCode:t",
        "Account PaymentMethod",
    ),
    plan(
        "CreditMemo",
        "credit-memos",
        "MemoNumber:t MemoDate:D Status:p TargetDate:D TotalAmount:d TotalAmountWithoutTax:d TotalTaxExemptAmount:d \
         TaxAmount:d DiscountAmount:d AppliedAmount:d RefundAmount:d Balance:d ReasonCode:t SourceType:p PostedOn:T \
         PostedById:t CancelledOn:T TransferredToAccounting:p ExchangeRateDate:D InvoiceId:t",
        "Account Invoice",
    ),
    plan(
        "CreditMemoItem",
        "credit-memo-items",
        "AmountWithoutTax:d ChargeName:t ChargeNumber:t ChargeDate:T Quantity:d UnitPrice:d ServiceStartDate:D \
         ServiceEndDate:D TaxAmount:d TaxMode:p ProcessingType:p SubscriptionId:t",
        "CreditMemo Account Subscription InvoiceItem",
    ),
    plan(
        "DebitMemo",
        "debit-memos",
        "MemoNumber:t MemoDate:D Status:p TargetDate:D DueDate:D TotalAmount:d TotalAmountWithoutTax:d \
         TotalTaxExemptAmount:d TaxAmount:d DiscountAmount:d AppliedAmount:d Balance:d ReasonCode:t SourceType:p \
         PostedOn:T PostedById:t CancelledOn:T TransferredToAccounting:p ExchangeRateDate:D InvoiceId:t",
        "Account Invoice",
    ),
    plan(
        "DebitMemoItem",
        "debit-memo-items",
        "AmountWithoutTax:d ChargeName:t ChargeNumber:t ChargeDate:T Quantity:d UnitPrice:d ServiceStartDate:D \
         ServiceEndDate:D TaxAmount:d TaxMode:p ProcessingType:p SubscriptionId:t",
        "DebitMemo Account Subscription",
    ),
    plan(
        "InvoiceItemAdjustment",
        "",
        "AdjustmentNumber:t AdjustmentDate:D Amount:d Type:p Status:p Comment:t ReasonCode:t SourceType:p \
         AccountingCode:t CustomerName:t CustomerNumber:t",
        "Account Invoice InvoiceItem",
    ),
    plan(
        "CreditBalanceAdjustment",
        "",
        "Number:t Amount:d AdjustmentDate:D Type:p Status:p Comment:t ReasonCode:t AccountingCode:t",
        "Account Invoice",
    ),
    plan(
        "Amendment",
        "amendments",
        "Code:t Name:t Type:p Status:p ContractEffectiveDate:D ServiceActivationDate:D CustomerAcceptanceDate:D \
         EffectiveDate:D TermStartDate:D CurrentTerm:i RenewalTerm:i TermType:p AutoRenew:b SubscriptionId:t \
         Description:t",
        "Subscription",
    ),
    plan(
        "Order",
        "orders",
        "OrderNumber:t OrderDate:D Status:p State:p Category:p Description:t AccountId:t CreatedByMigration:b \
         ScheduledDate:D Region__c:p",
        "Account",
    ),
    plan(
        "OrderAction",
        "order-actions",
        "Type:p Sequence:i OrderId:t SubscriptionId:t ContractEffectiveDate:D ServiceActivationDate:D \
         SubscriptionVersionAmendmentId:t",
        "Order Subscription",
    ),
    plan(
        "OrderLineItem",
        "order-line-items",
        "ItemNumber:t ItemName:t ItemType:p ItemState:p Quantity:d AmountPerUnit:d AmountWithoutTax:d \
         TransactionStartDate:D TransactionEndDate:D OrderId:t",
        "Order Account",
    ),
    plan(
        "Usage",
        "usages",
        "Quantity:d UOM:t StartDateTime:T EndDateTime:T SubmissionDateTime:T RbeStatus:p SourceType:p SourceName:t \
         Description:t AccountNumber:t ImportId:t UniqueKey:t SubscriptionId:t ChargeId:t InvoiceId:t",
        "Account",
    ),
    plan(
        "ProcessedUsage",
        "processed-usages",
        "Amount:d Quantity:d BillingPeriodStartDate:T BillingPeriodEndDate:T",
        "Usage RatePlanCharge InvoiceItem Account",
    ),
    plan(
        "TaxationItem",
        "taxation-items",
        "Name:t Jurisdiction:t LocationCode:t TaxAmount:d ExemptAmount:d TaxRate:d TaxRateType:p \
         TaxRateDescription:t TaxCode:t TaxMode:p TaxDate:D TaxDescription:t AccountingCode:t InvoiceItemId:t",
        "Invoice InvoiceItem Account",
    ),
    plan(
        "JournalEntry",
        "",
        "Number:t Status:p TransactionType:p JournalEntryDate:D Currency:p TransactionCount:i Notes:t",
        "AccountingPeriod",
    ),
    plan(
        "BillingRun",
        "billing-runs",
        "BillingRunNumber:t Status:p TargetDate:D InvoiceDate:D ExecutedDate:T NumberOfInvoices:i \
         NumberOfAccounts:i Batch__c:p",
        "",
    ),
    plan(
        "AccountingCode",
        "",
        "Name:t Type:p GLAccountName:t GLAccountNumber:t Status:p Notes:t",
        "",
    ),
    plan(
        "AccountingPeriod",
        "",
        "Name:t StartDate:D EndDate:D FiscalYear:i FiscalQuarter:i Status:p Notes:t",
        "",
    ),
    plan(
        "PaymentTransactionLog",
        "",
        "AvsResponseCode:t BatchId:t CVVResponseCode:t Gateway:t GatewayReasonCode:t \
         GatewayReasonCodeDescription:t GatewayState:p GatewayTransactionType:p RequestString:L ResponseString:L \
         TransactionDate:T TransactionId:t",
        "Payment",
    ),
    plan(
        "RefundTransactionLog",
        "",
        "BatchId:t Gateway:t GatewayReasonCode:t GatewayReasonCodeDescription:t GatewayState:p \
         GatewayTransactionType:p RequestString:L ResponseString:L TransactionDate:T TransactionId:t",
        "Refund",
    ),
    plan(
        "CalloutHistory",
        "",
        "AttemptedNum:i CreateTime:T EventCategory:t EventContext:t Notification:t RequestMethod:p RequestUrl:t \
         ResponseCode:t ResponseContent:L",
        "",
    ),
    plan(
        "EmailHistory",
        "",
        "AccountId:t Bcc:t Cc:t Error:t EventCategory:t FromEmail:t Notification:t ReplyTo:t Result:t SendTime:T \
         Subject:t ToEmail:t",
        "Account",
    ),
    plan(
        "BookingTransaction",
        "",
        "Type:p Amount:d TransactionDate:T",
        "Account",
    ),
    plan(
        "BillingPreviewRun",
        "",
        "RunNumber:t Status:p TargetDate:D TotalAccounts:i SucceededAccounts:i",
        "",
    ),
    plan(
        "ChargeMetrics",
        "",
        "Mrr:d StartDate:D EndDate:D ChargeId:t ChargeNumber:t SubscriptionId:t AccountId:t Currency:t",
        "",
    ),
    plan(
        "ChargeMetricsDiscountAllocationDetail",
        "",
        "Mrr:d StartDate:D EndDate:D ChargeMetricsId:t DiscountChargeId:t",
        "",
    ),
    plan(
        "default__vehicle",
        "",
        "Plate__c:t Seats__c:i Price__c:d BoughtOn__c:D AccountId:t",
        "",
    ),
    plan("archived_invoiceitem", "", "ChargeAmount:d", ""),
    plan("aggregatedataqueryslowdata", "", "Query:t Duration:i", ""),
];

/// Objects whose deleted rows cannot be asked for.
const WITHOUT_DELETES: &[&str] = &[
    "AccountingCode",
    "AccountingPeriod",
    "BookingTransaction",
    "CalloutHistory",
    "ContactSnapshot",
    "EmailHistory",
    "PaymentTransactionLog",
    "ProcessedUsage",
    "RefundTransactionLog",
];

/// Objects that only SQL reaches; Describe does not list them.
const ONLY_SQL: &[&str] = &[
    "ChargeMetrics",
    "ChargeMetricsDiscountAllocationDetail",
    "aggregatedataqueryslowdata",
    "archived_invoiceitem",
    "default__vehicle",
];

/// Every object of the tenant.
pub(in crate::emulator) fn all() -> Vec<Object> {
    PLANS.iter().map(object).collect()
}

fn object(plan: &Plan) -> Object {
    let change = match plan.name {
        "PaymentTransactionLog" | "RefundTransactionLog" => ChangeKey::TransactionDate,
        "CalloutHistory" | "EmailHistory" => ChangeKey::None,
        _ => ChangeKey::UpdatedDate,
    };
    let common = if change == ChangeKey::UpdatedDate {
        COMMON
    } else {
        "Id:t"
    };
    let words = common
        .split_whitespace()
        .chain(plan.fields.split_whitespace());
    let mut fields: Vec<Field> = words.map(field).collect();
    if plan.name == "BillingPreviewRun"
        && let Some(id) = fields.first_mut()
    {
        id.export = false;
    }
    let is_only_sql = ONLY_SQL.contains(&plan.name);
    let is_refused = plan.name == "BookingTransaction";
    let table = match plan.name {
        "BookingTransaction" => None,
        // `order` is a keyword of SQL.
        "Order" => Some("orders".to_owned()),
        name => Some(name.to_lowercase()),
    };
    Object {
        name: plan.name.to_owned(),
        fields,
        related: plan.related.split_whitespace().map(relation).collect(),
        change,
        deletes: !is_only_sql && !WITHOUT_DELETES.contains(&plan.name),
        aqua: !is_only_sql && !is_refused,
        table,
        plural: (!plan.plural.is_empty()).then(|| plan.plural.to_owned()),
        data_source: !is_only_sql && !is_refused,
        described: !is_only_sql,
        forbidden: false,
    }
}

fn field(word: &str) -> Field {
    let (word, header) = word.split_once('=').map_or((word, None), |(word, header)| {
        (word, Some(header.to_owned()))
    });
    let plain = word.trim_end_matches('!');
    let (name, letter) = plain.split_once(':').unwrap_or((plain, "t"));
    let kind = match letter {
        "p" => Kind::Picklist,
        "b" => Kind::Boolean,
        "i" => Kind::Integer,
        "d" => Kind::Decimal,
        "D" => Kind::Date,
        "T" => Kind::DateTime,
        "L" => Kind::LongText,
        "Z" => Kind::Zoql,
        "N" => Kind::Number,
        "S" => Kind::Timestamp,
        "C" => Kind::CapitalDecimal,
        "U" => Kind::Unheard("geometry"),
        _ => Kind::Text,
    };
    Field {
        export: !word.ends_with('!'),
        selectable: !word.ends_with("!!"),
        header,
        ..Field::new(name, kind)
    }
}

fn relation(word: &str) -> Related {
    let plain = word.trim_start_matches('!');
    let (name, object) = plain.split_once(':').unwrap_or((plain, plain));
    Related {
        name: name.to_owned(),
        object: object.to_owned(),
        poisonous: word.starts_with('!'),
    }
}
