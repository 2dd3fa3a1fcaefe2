//! Field lists of the objects, in the notation of `schema`.
//!
//! The lists follow the vendor's object reference and describe output as collected in the API contract,
//! section 16. Custom fields (`__c`) are ours: one formula that changes with the day, one that shows a
//! parent's value, one with more digits than any decimal holds, one field that a later day drops.

use crate::emulator::schema::{Blueprint, Common};

use super::nasty;

/// Every object, the nasty ones last.
pub(crate) fn blueprints() -> Vec<Blueprint> {
    let ordinary = Blueprint::ordinary;
    let mut all = vec![
        ordinary("Account", "001", ACCOUNT),
        ordinary("Contact", "003", CONTACT),
        ordinary("Lead", "00Q", LEAD),
        ordinary("Opportunity", "006", OPPORTUNITY),
        ordinary("OpportunityContactRole", "00K", OPPORTUNITY_CONTACT_ROLE),
        ordinary("OpportunityLineItem", "00k", OPPORTUNITY_LINE_ITEM),
        Blueprint {
            common: Common::IdOnly,
            ..ordinary("OpportunityHistory", "008", OPPORTUNITY_HISTORY)
        },
        Blueprint {
            common: Common::IdOnly,
            associate: Some(("History", "Opportunity")),
            ..ordinary("OpportunityFieldHistory", "017", OPPORTUNITY_FIELD_HISTORY)
        },
        ordinary("Task", "00T", TASK),
        ordinary("Event", "00U", EVENT),
        Blueprint {
            common: Common::WithoutIsDeleted,
            ..ordinary("User", "005", USER)
        },
        ordinary("Campaign", "701", CAMPAIGN),
        ordinary("CampaignMember", "00v", CAMPAIGN_MEMBER),
        ordinary("Product2", "01t", PRODUCT2),
        ordinary(
            "Pricebook2",
            "01s",
            "Name s255 name; Description s255; IsActive bool; IsStandard bool; IsArchived bool; LastViewedDate dt; LastReferencedDate dt",
        ),
        ordinary(
            "PricebookEntry",
            "01u",
            "Name s255 name; Pricebook2Id ref(Pricebook2) !; Product2Id ref(Product2) !; ProductCode s255; UnitPrice cur18.2 !; IsActive bool; UseStandardPrice bool; IsArchived bool",
        ),
        Blueprint {
            common: Common::WithoutIsDeleted,
            ..ordinary(
                "RecordType",
                "012",
                "Name s80 name; DeveloperName s80 !; NamespacePrefix s15; Description s255; BusinessProcessId ref(BusinessProcess); SobjectType pk40; IsActive bool",
            )
        },
        Blueprint {
            bulk: false,
            ..ordinary(
                "Attachment",
                "00P",
                "ParentId ref(Account,Contact,Opportunity) !; Name s255 name !; IsPrivate bool; ContentType s120; BodyLength int9; Body b64; OwnerId ref(User); Description s500",
            )
        },
        Blueprint {
            common: Common::WithoutIsDeleted,
            bulk: false,
            replicateable: false,
            ..ordinary(
                "TaskStatus",
                "01Z",
                "MasterLabel s255 name; ApiName s255; SortOrder int9; IsDefault bool; IsClosed bool",
            )
        },
        Blueprint {
            common: Common::IdOnly,
            bulk: false,
            replicateable: false,
            // Ids of this object are constant: every row says 000000000000000AAA.
            ..ordinary(
                "AppDefinition",
                "",
                "DurableId s255; Label s255; MasterLabel s255; NamespacePrefix s255; DeveloperName s255; LogoUrl s255; Description s255; UiType s255; NavType s255; UtilityBar s255; HeaderColor s255; IsOverrideOrgTheme bool; IsSmallFormFactorSupported bool; IsMediumFormFactorSupported bool; IsLargeFormFactorSupported bool; IsNavPersonalizationDisabled bool; IsNavAutoTempTabsDisabled bool",
            )
        },
        ordinary("Invoice__c", "a00", INVOICE),
    ];
    all.extend(nasty::blueprints());
    all
}

const ACCOUNT: &str = "MasterRecordId ref(Account); Name s255 name !; Type pk255; ParentId ref(Account); \
    address Billing; address Shipping; Phone ph40; Fax ph40; AccountNumber s40; Website url255; PhotoUrl url255; \
    Sic s20; Industry pk255; AnnualRevenue cur18.0; NumberOfEmployees int8; Ownership pk255; TickerSymbol s20; \
    Description ta32000; Rating pk255; Site s80; OwnerId ref(User) !; LastActivityDate date; LastViewedDate dt; \
    LastReferencedDate dt; Jigsaw s20; JigsawCompanyId s20; CleanStatus pk40; AccountSource pk255; DunsNumber s9; \
    Tradestyle s255; NaicsCode s8; NaicsDesc s120; YearStarted s4; SicDesc s80; \
    Age_In_Days__c dbl18.0 age; Owner_Email__c em128 parent(OwnerId,User,Email); \
    Revenue_Share__c dbl18.2 ratio(AnnualRevenue,1,7); Regions__c mpk4099; Support_Level__c s40; \
    Legacy_Code__c s20; Opening_Time__c time; External_Key__c s64 ext uniq";

const CONTACT: &str = "MasterRecordId ref(Contact); AccountId ref(Account); LastName s80 ! in(Name); FirstName s40 in(Name); \
    Salutation pk40 in(Name); Name s121 name; address Other; address Mailing; Phone ph40; Fax ph40; MobilePhone ph40; \
    HomePhone ph40; OtherPhone ph40; AssistantPhone ph40; ReportsToId ref(Contact); Email em80; Title s128; Department s80; \
    AssistantName s40; LeadSource pk255; Birthdate date; Description ta32000; OwnerId ref(User) !; \
    HasOptedOutOfEmail bool; DoNotCall bool; LastActivityDate date; LastCURequestDate dt; LastCUUpdateDate dt; \
    LastViewedDate dt; LastReferencedDate dt; EmailBouncedReason s255; EmailBouncedDate dt; IsEmailBounced bool; \
    PhotoUrl url255; Jigsaw s20; IndividualId ref(Individual)";

const LEAD: &str = "MasterRecordId ref(Lead); LastName s80 ! in(Name); FirstName s40 in(Name); Salutation pk40 in(Name); \
    Name s121 name; Title s128; Company s255 !; address *; Phone ph40; MobilePhone ph40; Fax ph40; Email em80; \
    Website url255; PhotoUrl url255; Description ta32000; LeadSource pk255; Status pk255 !; Industry pk255; \
    Rating pk255; AnnualRevenue cur18.0; NumberOfEmployees int8; OwnerId ref(Group,User) !; IsConverted bool; \
    ConvertedDate date; ConvertedAccountId ref(Account); ConvertedContactId ref(Contact); \
    ConvertedOpportunityId ref(Opportunity); IsUnreadByOwner bool; HasOptedOutOfEmail bool; LastActivityDate date; \
    LastViewedDate dt; LastReferencedDate dt; EmailBouncedReason s255; EmailBouncedDate dt; IndividualId ref(Individual)";

const OPPORTUNITY: &str = "AccountId ref(Account); RecordTypeId ref(RecordType); IsPrivate bool; Name s120 name !; \
    Description ta32000; StageName pk255 !; Amount cur18.2; Probability pct3.0; ExpectedRevenue cur18.2 calc; \
    TotalOpportunityQuantity dbl18.2; CloseDate date !; Type pk255; NextStep s255; LeadSource pk255; IsClosed bool; \
    IsWon bool; ForecastCategory pk40 !; ForecastCategoryName pk255; CampaignId ref(Campaign); \
    HasOpportunityLineItem bool; Pricebook2Id ref(Pricebook2); OwnerId ref(User) !; LastActivityDate date; \
    LastViewedDate dt; LastReferencedDate dt; LastStageChangeDate dt; FiscalQuarter int8; FiscalYear int8; Fiscal s6; \
    ContactId ref(Contact); PushCount int8; HasOpenActivity bool; HasOverdueTask bool; \
    LastAmountChangedHistoryId ref(OpportunityHistory); LastCloseDateChangedHistoryId ref(OpportunityHistory); \
    SyncedQuoteId ref(Quote); Account_Rating__c s255 parent(AccountId,Account,Rating)";

const OPPORTUNITY_CONTACT_ROLE: &str =
    "OpportunityId ref(Opportunity) !; ContactId ref(Contact) !; Role pk40; IsPrimary bool";

const OPPORTUNITY_LINE_ITEM: &str = "OpportunityId ref(Opportunity) !; SortOrder int9; PricebookEntryId ref(PricebookEntry); \
    Product2Id ref(Product2); ProductCode s255; Name s376 name; Quantity dbl18.2 !; TotalPrice cur18.2; UnitPrice cur18.2; \
    ListPrice cur18.2; Discount pct5.2; Subtotal cur18.2; ServiceDate date; Description s255; HasQuantitySchedule bool; \
    HasRevenueSchedule bool; HasSchedule bool; LastViewedDate dt; LastReferencedDate dt";

const OPPORTUNITY_HISTORY: &str = "OpportunityId ref(Opportunity) !; CreatedById ref(User) !; CreatedDate dt !; StageName pk255; \
    Amount cur18.2; ExpectedRevenue cur18.2; CloseDate date; Probability pct3.0; ForecastCategory pk40; PrevAmount cur18.2; \
    PrevCloseDate date; SystemModstamp dt !; IsDeleted bool !";

const OPPORTUNITY_FIELD_HISTORY: &str = "IsDeleted bool !; OpportunityId ref(Opportunity) !; CreatedById ref(User) !; \
    CreatedDate dt !; Field pk255 !; DataType pk40; OldValue any; NewValue any";

const TASK: &str = "WhoId ref(Contact,Lead); WhatId ref(Account,Opportunity,Campaign,Product2); WhoCount int9; WhatCount int9; \
    Subject cb255; ActivityDate date; Status pk255 !; Priority pk255 !; IsHighPriority bool; OwnerId ref(Group,User) !; \
    Description ta32000; Type pk255; AccountId ref(Account); IsClosed bool; IsArchived bool; CallDurationInSeconds int8; \
    CallType pk255; CallDisposition s255; CallObject s255; ReminderDateTime dt; IsReminderSet bool; \
    RecurrenceActivityId ref(Task); IsRecurrence bool; RecurrenceStartDateOnly date; RecurrenceEndDateOnly date; \
    RecurrenceTimeZoneSidKey pk40; RecurrenceType pk40; RecurrenceInterval int9; RecurrenceDayOfWeekMask int9; \
    RecurrenceDayOfMonth int9; RecurrenceInstance pk40; RecurrenceMonthOfYear pk40; RecurrenceRegeneratedType pk40; \
    TaskSubtype pk40; CompletedDateTime dt";

const EVENT: &str = "WhoId ref(Contact,Lead); WhatId ref(Account,Opportunity,Campaign,Product2); WhoCount int9; WhatCount int9; \
    Subject cb255; Location s255; IsAllDayEvent bool; ActivityDateTime dt; ActivityDate date; DurationInMinutes int8; \
    StartDateTime dt; EndDateTime dt; EndDate date; Description ta32000; AccountId ref(Account); OwnerId ref(User) !; \
    Type pk255; IsPrivate bool; ShowAs pk40; IsChild bool; IsGroupEvent bool; GroupEventType pk40; IsArchived bool; \
    RecurrenceActivityId ref(Event); IsRecurrence bool; RecurrenceStartDateTime dt; RecurrenceEndDateOnly date; \
    ReminderDateTime dt; IsReminderSet bool; EventSubtype pk40; IsRecurrence2Exclusion bool; Recurrence2PatternText ta512";

const USER: &str = "Username s80 ! uniq; LastName s80 ! in(Name); FirstName s40 in(Name); Name s121 name; CompanyName s80; \
    Division s80; Department s80; Title s80; address *; Email em128 !; Phone ph40; MobilePhone ph40; Alias s8 !; \
    CommunityNickname s40 !; IsActive bool; TimeZoneSidKey pk40 !; UserRoleId ref(UserRole); LocaleSidKey pk40 !; \
    LanguageLocaleKey pk40 !; EmailEncodingKey pk40 !; ProfileId ref(Profile) !; UserType pk40; EmployeeNumber s20; \
    ManagerId ref(User); LastLoginDate dt; FederationIdentifier s512; ContactId ref(Contact); AccountId ref(Account); \
    NumberOfFailedLogins int9; UserPreferencesActivityRemindersPopup bool; \
    UserPreferencesEventRemindersCheckboxDefault bool; UserPreferencesTaskRemindersCheckboxDefault bool; \
    UserPreferencesReminderSoundOff bool; UserPreferencesDisableAllFeedsEmail bool; \
    UserPreferencesDisableFollowersEmail bool; UserPreferencesDisableProfilePostEmail bool; \
    UserPreferencesDisableChangeCommentEmail bool; UserPreferencesDisableLaterCommentEmail bool; \
    UserPreferencesDisProfPostCommentEmail bool; UserPreferencesContentNoEmail bool; \
    UserPreferencesContentEmailAsAndWhen bool; UserPreferencesApexPagesDeveloperMode bool; \
    UserPreferencesReceiveNoNotificationsAsApprover bool; UserPreferencesReceiveNotificationsAsDelegatedApprover bool; \
    UserPreferencesHideCSNGetChatterMobileTask bool; UserPreferencesDisableMentionsPostEmail bool; \
    UserPreferencesDisMentionsCommentEmail bool; UserPreferencesHideCSNDesktopTask bool; \
    UserPreferencesHideChatterOnboardingSplash bool; UserPreferencesHideSecondChatterOnboardingSplash bool; \
    UserPreferencesDisCommentAfterLikeEmail bool; UserPreferencesDisableLikeEmail bool; \
    UserPreferencesSortFeedByComment bool; UserPreferencesDisableMessageEmail bool; \
    UserPreferencesDisableBookmarkEmail bool; UserPreferencesDisableSharePostEmail bool; \
    UserPreferencesEnableAutoSubForFeeds bool; UserPreferencesDisableFileShareNotificationsForApi bool; \
    UserPreferencesShowTitleToExternalUsers bool; UserPreferencesShowManagerToExternalUsers bool; \
    UserPreferencesShowEmailToExternalUsers bool; UserPreferencesShowWorkPhoneToExternalUsers bool; \
    UserPreferencesShowMobilePhoneToExternalUsers bool; UserPreferencesShowFaxToExternalUsers bool; \
    UserPreferencesShowStreetAddressToExternalUsers bool; UserPreferencesShowCityToExternalUsers bool; \
    UserPreferencesShowStateToExternalUsers bool; UserPreferencesShowPostalCodeToExternalUsers bool; \
    UserPreferencesShowCountryToExternalUsers bool; UserPreferencesShowProfilePicToGuestUsers bool; \
    UserPreferencesShowTitleToGuestUsers bool; UserPreferencesShowCityToGuestUsers bool; \
    UserPreferencesShowStateToGuestUsers bool; UserPreferencesShowPostalCodeToGuestUsers bool; \
    UserPreferencesShowCountryToGuestUsers bool; UserPreferencesShowForecastingChangeSignals bool; \
    UserPreferencesHideS1BrowserUI bool; UserPreferencesDisableEndorsementEmail bool; \
    UserPreferencesPathAssistantCollapsed bool; UserPreferencesCacheDiagnostics bool; \
    UserPreferencesShowEmailToGuestUsers bool; UserPreferencesShowManagerToGuestUsers bool; \
    UserPreferencesShowWorkPhoneToGuestUsers bool; UserPreferencesShowMobilePhoneToGuestUsers bool; \
    UserPreferencesShowFaxToGuestUsers bool; UserPreferencesShowStreetAddressToGuestUsers bool; \
    UserPreferencesLightningExperiencePreferred bool; UserPreferencesPreviewLightning bool; \
    UserPreferencesHideEndUserOnboardingAssistantModal bool; UserPreferencesHideLightningMigrationModal bool; \
    UserPreferencesHideSfxWelcomeMat bool; UserPreferencesHideBiggerPhotoCallout bool; \
    UserPreferencesGlobalNavBarWTShown bool; UserPreferencesGlobalNavGridMenuWTShown bool; \
    UserPreferencesCreateLEXAppsWTShown bool; UserPreferencesFavoritesWTShown bool; \
    UserPreferencesRecordHomeSectionCollapseWTShown bool; UserPreferencesRecordHomeReservedWTShown bool; \
    UserPreferencesFavoritesShowTopFavorites bool; UserPreferencesExcludeMailAppAttachments bool; \
    UserPreferencesSuppressTaskSFXReminders bool; UserPreferencesSuppressEventSFXReminders bool; \
    UserPreferencesPreviewCustomTheme bool";

const CAMPAIGN: &str = "Name s80 name !; ParentId ref(Campaign); Type pk255; Status pk255; StartDate date; EndDate date; \
    ExpectedRevenue cur18.0; BudgetedCost cur18.0; ActualCost cur18.0; ExpectedResponse pct10.2; NumberSent dbl18.0; \
    IsActive bool; Description ta32000; NumberOfLeads int8; NumberOfConvertedLeads int8; NumberOfContacts int8; \
    NumberOfResponses int8; NumberOfOpportunities int8; NumberOfWonOpportunities int8; AmountAllOpportunities cur18.0; \
    AmountWonOpportunities cur18.0; HierarchyNumberOfLeads int8 calc; OwnerId ref(User); LastActivityDate date; \
    LastViewedDate dt; LastReferencedDate dt; CampaignMemberRecordTypeId ref(RecordType)";

const CAMPAIGN_MEMBER: &str = "CampaignId ref(Campaign) !; LeadId ref(Lead); ContactId ref(Contact); Status pk40; \
    HasResponded bool; FirstRespondedDate date; Salutation s40; Name s255 name; FirstName s40; LastName s80; Title s128; \
    Street ta255; City s40; State s80; PostalCode s20; Country s80; Email em80; Phone ph40; Fax ph40; MobilePhone ph40; \
    Description ta32000; DoNotCall bool; HasOptedOutOfEmail bool; HasOptedOutOfFax bool; LeadSource pk255; \
    CompanyOrAccount s255; Type pk40; LeadOrContactId ref(Contact,Lead); LeadOrContactOwnerId ref(Group,User)";

const PRODUCT2: &str = "Name s255 name !; ProductCode s255; Description ta4000; IsActive bool; Family pk255; \
    ExternalDataSourceId ref(ExternalDataSource); ExternalId s255; DisplayUrl url1000; QuantityUnitOfMeasure pk255; \
    IsArchived bool; StockKeepingUnit s180; LastViewedDate dt; LastReferencedDate dt; \
    NumberOfQuantityInstallments int4; NumberOfRevenueInstallments int4";

const INVOICE: &str = "Name s80 name; CurrencyIsoCode pk3 !; Account__c ref(Account); Opportunity__c ref(Opportunity); \
    Amount__c cur18.2; Tax__c cur16.2; Rate__c dbl18.6; Discount__c pct5.2; Issued__c date; Paid_At__c dt; \
    Due_Time__c time; Status__c pk40; Notes__c html131072; Location__c location; \
    Location__Latitude__s dbl18.15 in(Location__c); Location__Longitude__s dbl18.15 in(Location__c); \
    Days_Open__c dbl18.0 age; Card__c enc16";

/// Stages of an opportunity in the order of a sale, with probability and forecast category.
pub(crate) const STAGES: [(&str, i64, &str, &str); 10] = [
    ("Prospecting", 10, "Pipeline", "Pipeline"),
    ("Qualification", 10, "Pipeline", "Pipeline"),
    ("Needs Analysis", 20, "Pipeline", "Pipeline"),
    ("Value Proposition", 50, "Pipeline", "Pipeline"),
    ("Id. Decision Makers", 60, "Pipeline", "Pipeline"),
    ("Perception Analysis", 70, "BestCase", "Best Case"),
    ("Proposal/Price Quote", 75, "BestCase", "Best Case"),
    ("Negotiation/Review", 90, "Forecast", "Commit"),
    ("Closed Won", 100, "Closed", "Closed"),
    ("Closed Lost", 0, "Omitted", "Omitted"),
];

/// Values of a picklist.
pub(crate) fn picklist(object: &str, field: &str) -> &'static [&'static str] {
    match (object, field) {
        ("Lead", "Status") => &[
            "Open - Not Contacted",
            "Working - Contacted",
            "Closed - Converted",
            "Closed - Not Converted",
        ],
        ("Task", "Status") => &[
            "Not Started",
            "In Progress",
            "Completed",
            "Waiting on someone else",
            "Deferred",
        ],
        ("Campaign", "Status") => &["Planned", "In Progress", "Completed", "Aborted"],
        ("CampaignMember", "Status") => &["Sent", "Responded"],
        ("CampaignMember", "Type") => &["Lead", "Contact"],
        ("Account", "Type") => &[
            "Prospect",
            "Customer - Direct",
            "Customer - Channel",
            "Channel Partner / Reseller",
            "Other",
        ],
        ("Opportunity", "Type") => &[
            "New Business",
            "Renewal",
            "Add-On Business",
            "Existing Customer - Upgrade",
        ],
        ("Campaign", "Type") => &[
            "Conference",
            "Webinar",
            "Trade Show",
            "Email",
            "Partners",
            "Other",
        ],
        ("Task" | "Event", "Type") => &["Call", "Email", "Meeting", "Other"],
        ("OpportunityFieldHistory", "Field") => {
            &["created", "StageName", "Amount", "CloseDate", "Owner"]
        }
        ("OpportunityFieldHistory", "DataType") => &["Text", "Currency", "DateOnly", "EntityId"],
        (_, "StageName") => &[
            "Prospecting",
            "Qualification",
            "Needs Analysis",
            "Value Proposition",
            "Id. Decision Makers",
            "Perception Analysis",
            "Proposal/Price Quote",
            "Negotiation/Review",
            "Closed Won",
            "Closed Lost",
        ],
        (_, "ForecastCategory") => &["Omitted", "Pipeline", "BestCase", "Forecast", "Closed"],
        (_, "ForecastCategoryName") => &["Omitted", "Pipeline", "Best Case", "Commit", "Closed"],
        (_, "Industry") => &[
            "Agriculture",
            "Banking",
            "Biotechnology",
            "Chemicals",
            "Communications",
            "Construction",
            "Consulting",
            "Education",
            "Electronics",
            "Energy",
            "Finance",
            "Government",
            "Healthcare",
            "Insurance",
            "Manufacturing",
            "Media",
            "Retail",
            "Technology",
            "Transportation",
            "Utilities",
        ],
        (_, "Rating") => &["Hot", "Warm", "Cold"],
        (_, "Ownership") => &["Public", "Private", "Subsidiary", "Other"],
        (_, "LeadSource" | "AccountSource") => &[
            "Web",
            "Phone Inquiry",
            "Partner Referral",
            "Purchased List",
            "Trial",
            "Other",
        ],
        (_, "Salutation") => &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx."],
        (_, "CleanStatus") => &[
            "Matched",
            "Different",
            "Acknowledged",
            "NotFound",
            "Inactive",
            "Pending",
        ],
        (_, "Priority") => &["High", "Normal", "Low"],
        (_, "Role") => &[
            "Business User",
            "Decision Maker",
            "Economic Buyer",
            "Executive Sponsor",
            "Influencer",
            "Technical Buyer",
            "Other",
        ],
        (_, "Subject") => &[
            "Call",
            "Email",
            "Send Letter",
            "Send Quote",
            "Meeting",
            "Other",
        ],
        (_, "ShowAs") => &["Busy", "OutOfOffice", "Free"],
        (_, "CallType") => &["Internal", "Inbound", "Outbound"],
        (_, "TaskSubtype") => &["Task", "Email", "Call", "ListEmail"],
        (_, "EventSubtype") => &["Event"],
        (_, "GroupEventType") => &["0", "1", "2", "3"],
        (_, "RecurrenceType") => &[
            "RecursDaily",
            "RecursEveryWeekday",
            "RecursMonthly",
            "RecursWeekly",
            "RecursYearly",
        ],
        (_, "RecurrenceInstance") => &["First", "Second", "Third", "Fourth", "Last"],
        (_, "RecurrenceMonthOfYear") => &["January", "April", "July", "October"],
        (_, "RecurrenceRegeneratedType") => &["None", "RecurrenceRegenerateAfterDueDate"],
        (_, "RecurrenceTimeZoneSidKey" | "TimeZoneSidKey") => &[
            "Europe/Berlin",
            "America/Los_Angeles",
            "America/New_York",
            "Asia/Tokyo",
            "GMT",
        ],
        (_, "LocaleSidKey") => &["en_US", "de_DE", "fr_FR", "ja_JP"],
        (_, "LanguageLocaleKey") => &["en_US", "de", "fr", "ja"],
        (_, "EmailEncodingKey") => &["UTF-8", "ISO-8859-1"],
        (_, "UserType") => &["Standard"],
        (_, "Family") => &["Hardware", "Licences", "Services", "Training"],
        (_, "QuantityUnitOfMeasure") => &["Each", "Hour", "User"],
        (_, "SobjectType") => &["Opportunity", "Account"],
        (_, "CurrencyIsoCode") => &["EUR", "USD", "GBP", "JPY", "KWD"],
        (_, "Status__c") => &["Draft", "Sent", "Paid", "Void"],
        (_, "Regions__c") => &["EMEA", "AMER", "APAC", "LATAM"],
        _ if field.ends_with("GeocodeAccuracy") => &["Address", "Street", "Zip", "City", "State"],
        _ => &["One", "Two", "Three"],
    }
}
