//! What others have learnt about single objects: first guesses, never the last word. An error of the
//! server overrules them, and its verdict is remembered.
//!
//! Source: the union of what public extractors carry (API contract, section 11).

use crate::api;

/// What is known about an object before the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Nothing special.
    None,
    /// Bulk refuses it: read it by REST.
    RestOnly,
    /// It wants a filter that a full read does not have.
    NeedsFilter,
    /// It cannot be queried.
    NotQueryable,
}

/// The hint for an object.
pub fn for_object(name: &str) -> Hint {
    if !api::is_identifier(name)
        || name.ends_with("ChangeEvent")
        || name.ends_with("EventStream")
        || name.ends_with("__e")
        || name.ends_with("__dlm")
        || NOT_QUERYABLE.contains(&name)
    {
        return Hint::NotQueryable;
    }
    if NEEDS_FILTER.contains(&name) {
        return Hint::NeedsFilter;
    }
    if NOT_BY_BULK.contains(&name) || name.ends_with("__x") {
        return Hint::RestOnly;
    }
    Hint::None
}

/// Whether dates of the object can be filtered on.
pub fn has_date_filter(name: &str) -> bool {
    !NO_DATE_FILTER.contains(&name) && !name.starts_with("FormulaFunction")
}

const NOT_BY_BULK: &[&str] = &[
    "AcceptedEventRelation",
    "AccountBrandShare",
    "AccountFeed",
    "AssetFeed",
    "AssetTokenEvent",
    "CaseStatus",
    "CaseTeamMember",
    "CaseTeamRole",
    "CaseTeamTemplate",
    "CaseTeamTemplateMember",
    "CaseTeamTemplateRecord",
    "ChannelProgramLevelShare",
    "ContractStatus",
    "DeclinedEventRelation",
    "EventWhoRelation",
    "FieldSecurityClassification",
    "KnowledgeArticle",
    "KnowledgeArticleVersion",
    "KnowledgeArticleVersionHistory",
    "KnowledgeArticleViewStat",
    "KnowledgeArticleVoteStat",
    "OrderStatus",
    "PartnerRole",
    "RecentlyViewed",
    "ServiceAppointmentStatus",
    "ShiftStatus",
    "SolutionStatus",
    "TaskPriority",
    "TaskStatus",
    "TaskWhoRelation",
    "UndecidedEventRelation",
    "WorkOrderLineItemStatus",
    "WorkOrderStatus",
    "WorkStepStatus",
];

const NEEDS_FILTER: &[&str] = &[
    "Announcement",
    "ApexTypeImplementor",
    "AppTabMember",
    "CollaborationGroupRecord",
    "ColorDefinition",
    "ContentDocumentLink",
    "ContentFolderItem",
    "ContentFolderMember",
    "DataStatistics",
    "DatacloudDandBCompany",
    "EntityParticle",
    "FieldDefinition",
    "FieldHistoryArchive",
    "FlexQueueItem",
    "FlowTestView",
    "FlowVariableView",
    "FlowVersionView",
    "IconDefinition",
    "IdeaComment",
    "NetworkUserHistoryRecent",
    "OwnerChangeOptionInfo",
    "PicklistValueInfo",
    "PlatformAction",
    "RecordActionHistory",
    "RelatedListColumnDefinition",
    "RelatedListDefinition",
    "RelationshipDomain",
    "RelationshipInfo",
    "SearchLayout",
    "SiteDetail",
    "UserEntityAccess",
    "UserFieldAccess",
    "Vote",
];

const NOT_QUERYABLE: &[&str] = &[
    "ActivityHistory",
    "ActivityMetric",
    "ActivityMetricRollup",
    "AggregateResult",
    "AttachedContentDocument",
    "AttachedContentNote",
    "CombinedAttachment",
    "ContentBody",
    "DataType",
    "DatacloudAddress",
    "EmailStatus",
    "FeedLike",
    "FeedSignal",
    "FeedTrackedChange",
    "FolderedContentDocument",
    "ListViewChartInstance",
    "LookedUpFromActivity",
    "Name",
    "NoteAndAttachment",
    "OpenActivity",
    "OutgoingEmail",
    "OutgoingEmailRelation",
    "OwnedContentDocument",
    "ProcessInstanceHistory",
    "QuoteTemplateRichTextData",
    "UserRecordAccess",
];

const NO_DATE_FILTER: &[&str] = &[
    "ActivityFieldHistory",
    "ApiEvent",
    "BackgroundOperationResult",
    "BulkApiResultEventStore",
    "EmbeddedServiceDetail",
    "EmbeddedServiceLabel",
    "EntityDefinition",
    "ExternalEncryptionRootKey",
    "FileEventStore",
    "IdentityProviderEventStore",
    "IdentityVerificationEvent",
    "LightningUriEvent",
    "ListViewEvent",
    "LoginAsEvent",
    "LoginEvent",
    "LogoutEvent",
    "PendingOrderSummary",
    "PermissionSetEventStore",
    "Publisher",
    "ReportEvent",
    "TabDefinition",
    "UriEvent",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_name_and_family() {
        for (name, expected) in [
            ("Account", Hint::None),
            ("TaskStatus", Hint::RestOnly),
            ("Thing__x", Hint::RestOnly),
            ("ContentDocumentLink", Hint::NeedsFilter),
            ("AccountChangeEvent", Hint::NotQueryable),
            ("Order__e", Hint::NotQueryable),
            ("LoginEventStream", Hint::NotQueryable),
            ("../x", Hint::NotQueryable),
        ] {
            assert_eq!(for_object(name), expected, "{name}");
        }
        assert!(!has_date_filter("UriEvent"));
        assert!(has_date_filter("Account"));
    }
}
