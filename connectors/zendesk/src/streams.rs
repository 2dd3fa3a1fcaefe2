//! The table of streams: where each comes from, how it is paged, what its columns are.
//!
//! Paths, keys and columns are those of zendesk.md, sections 6 and 7. A key that is not listed here lands in
//! `_extra`; so does a value that does not fit its column.

use crate::client::Bucket;
use crate::columns::Deleted;
use crate::limits;

/// One stream.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) columns: &'static str,
    pub(crate) key: &'static [&'static str],
    /// Column that tells which of two versions of a row is newer.
    pub(crate) newer_by: Option<&'static str>,
    pub(crate) deleted: Deleted,
    /// What an account may lack.
    pub(crate) product: Product,
    pub(crate) note: Option<&'static str>,
}

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the opaque cursor of an export.
    Cursor(Export),
    /// The metric sets that come with the tickets.
    Metrics,
    /// The identities that come with the users.
    Identities,
    /// By the start time of an export.
    Time {
        path: &'static str,
        list: &'static str,
        bucket: Bucket,
        /// Column that the export goes by.
        at: &'static str,
    },
    /// Comments, from events or from tickets.
    Comments,
    /// A list below each ticket that changed.
    PerTicket {
        below: &'static str,
        list: &'static str,
    },
    /// A list that takes a start, and perhaps an end.
    Since {
        path: &'static str,
        list: &'static str,
        range: Range,
        rows: u32,
        /// Column that the range goes by.
        at: &'static str,
    },
    /// A list that is read whole each time.
    List(List),
    /// The definitions of all custom fields with their options.
    Dictionary,
    /// The records of all custom objects.
    CustomRecords,
    /// A list below each row of another list: `{parents.path}/{id}/{below}`.
    PerParent {
        parents: List,
        below: &'static str,
        list: &'static str,
        /// Column that says whose row it is.
        column: &'static str,
    },
}

/// An export by cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Export {
    Tickets,
    Users,
}

/// A list that is read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) path: &'static str,
    pub(crate) key: &'static str,
    pub(crate) paging: Paging,
    pub(crate) bucket: Bucket,
}

/// How a list is paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    /// `page[size]` and `page[after]`.
    Cursor,
    /// `per_page` and `page`.
    Offset,
    /// All in one answer.
    One,
    /// One object, not a list.
    Object,
}

/// How a range of time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// `start_time`, and rows come in the order of time.
    Ordered(&'static str),
    /// A parameter with epoch seconds; rows in any order.
    Start(&'static str),
    /// A parameter with an instant; rows in any order.
    StartText(&'static str),
    /// `start_time` and `end_time`.
    Both,
    /// `filter[created_at][]` twice.
    Filter,
}

/// What an account may lack, and how to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// Every account has it.
    Support,
    /// Some plans lack it; asking for it tells.
    Plan,
    SideConversations,
    Talk,
    HelpCenter,
    Community,
    CustomObjects,
}

impl Spec {
    /// The column of instants or epoch seconds that the stream goes by.
    pub(crate) fn stamp(&self) -> Option<&'static str> {
        match self.way {
            Way::Time { at, .. } | Way::Since { at, .. } => Some(at),
            _ => self.newer_by,
        }
    }

    /// The exports whose pages the stream shares with others, by the names of their lists.
    pub(crate) fn follows(&self) -> Vec<&'static str> {
        match self.way {
            Way::Cursor(export) => vec![export.list()],
            Way::Metrics | Way::PerTicket { .. } => vec![Export::Tickets.list()],
            Way::Identities => vec![Export::Users.list()],
            Way::Comments => vec![Export::Tickets.list(), "ticket_events"],
            Way::Time { list, .. } => vec![list],
            _ => Vec::new(),
        }
    }
}

/// A stream of this name.
pub(crate) fn find(name: &str) -> Option<&'static Spec> {
    STREAMS.iter().find(|spec| spec.name == name)
}

const fn list(path: &'static str, key: &'static str, paging: Paging) -> Way {
    Way::List(List {
        path,
        key,
        paging,
        bucket: Bucket::Plan,
    })
}

const fn help(path: &'static str, key: &'static str) -> Way {
    Way::List(List {
        path,
        key,
        paging: Paging::Cursor,
        bucket: Bucket::HelpCenter,
    })
}

const fn per_article(below: &'static str, list: &'static str) -> Way {
    Way::PerParent {
        parents: List {
            path: "help_center/articles",
            key: "articles",
            paging: Paging::Cursor,
            bucket: Bucket::HelpCenter,
        },
        below,
        list,
        column: "article_id",
    }
}

const BASE: Spec = Spec {
    name: "",
    way: Way::Metrics,
    columns: "",
    key: &["id"],
    newer_by: None,
    deleted: Deleted::Absent,
    product: Product::Support,
    note: None,
};

const FIELDS: &str = "id:i url:s type:s key:s title:s raw_title:s title_in_portal:s raw_title_in_portal:s description:s raw_description:s position:i active:b required:b required_in_portal:b visible_in_portal:b editable_in_portal:b agent_can_edit:b agent_description:s raw_agent_description:s collapsed_for_agents:b regexp_for_validation:s removable:b system:b tag:s custom_field_options:j system_field_options:j custom_statuses:j sub_type_id:i relationship_target_type:s relationship_filter:j created_at:t updated_at:t";

const RULES: &str = "id:i url:s title:s raw_title:s active:b default:b position:i description:s category_id:s conditions:j actions:j restriction:j permissions:j execution:j created_at:t updated_at:t";

const CALLS: &str = "id:i call_id:i created_at:t updated_at:t agent_id:i call_charge:s consultation_time:i completion_status:s customer_id:i customer_requested_voicemail:b direction:s duration:i exceeded_queue_wait_time:b hold_time:i minutes_billed:i outside_business_hours:b phone_number:s phone_number_id:i ticket_id:i time_to_answer:i voicemail:b wait_time:i wrap_up_time:i ivr_time_spent:i ivr_hops:i ivr_destination_group_name:s talk_time:i ivr_routed_to:s callback:b callback_source:s default_group:b ivr_action:s overflowed:b overflowed_to:s recording_control_interactions:i recording_time:i not_recording_time:i call_recording_consent:s call_recording_consent_action:s call_recording_consent_keypress:s call_group_id:i call_channel:s quality_issues:j line:s line_id:i line_type:s recording_url:s";

/// Every stream, by name.
pub(crate) const STREAMS: &[Spec] = &[
    Spec {
        name: "account_settings",
        way: list("account/settings", "settings", Paging::Object),
        columns: "id:s branding:j apps:j tickets:j agents:j chat:j voice:j twitter:j google_apps:j active_features:j api:j ticket_form:j brands:j user:j lotus:j gooddata_advanced_analytics:j statistics:j billing:j onboarding:j cross_sell:j cdn:j metrics:j localization:j limits:j rule:j groups:j security:j knowledge:j routing:j screencast:j ticket_sharing_partners:j",
        deleted: Deleted::Never,
        ..BASE
    },
    Spec {
        name: "article_attachments",
        way: per_article("attachments", "article_attachments"),
        columns: "id:i url:s article_id:i guide_media_id:s file_name:s content_type:s content_url:s relative_path:s display_file_name:s size:i inline:b locale:s created_at:t updated_at:t",
        product: Product::HelpCenter,
        ..BASE
    },
    Spec {
        name: "article_comments",
        way: per_article("comments", "comments"),
        columns: "id:i url:s html_url:s body:s author_id:i source_id:i source_type:s locale:s vote_sum:i vote_count:i non_author_editor_id:i non_author_updated_at:t created_at:t updated_at:t article_id:i",
        product: Product::HelpCenter,
        ..BASE
    },
    Spec {
        name: "article_votes",
        way: per_article("votes", "votes"),
        columns: "id:i url:s user_id:i value:i item_id:i item_type:s created_at:t updated_at:t article_id:i",
        product: Product::HelpCenter,
        ..BASE
    },
    Spec {
        name: "articles",
        way: Way::Time {
            path: "help_center/incremental/articles",
            list: "articles",
            bucket: Bucket::HelpCenter,
            at: "updated_at",
        },
        columns: "id:i url:s html_url:s title:s name:s body:s author_id:i section_id:i locale:s source_locale:s draft:b promoted:b outdated:b outdated_locales:j position:i vote_sum:i vote_count:i comments_disabled:b label_names:j content_tag_ids:j user_segment_id:i user_segment_ids:j permission_group_id:i edited_at:t created_at:t updated_at:t",
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        product: Product::HelpCenter,
        note: Some(
            "an article that is archived or deleted just stops to appear in the export: its last version stays",
        ),
        ..BASE
    },
    Spec {
        name: "audit_logs",
        way: Way::Since {
            path: "audit_logs",
            list: "audit_logs",
            range: Range::Filter,
            rows: limits::LIST_ROWS,
            at: "created_at",
        },
        columns: "id:i url:s action:s action_label:s actor_id:i actor_name:s source_id:i source_type:s source_label:s change_description:s ip_address:s created_at:t",
        deleted: Deleted::Never,
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "automations",
        way: list("automations", "automations", Paging::Cursor),
        columns: RULES,
        ..BASE
    },
    Spec {
        name: "brands",
        way: list("brands", "brands", Paging::Cursor),
        columns: "id:i url:s name:s brand_url:s subdomain:s host_mapping:s has_help_center:b help_center_state:s active:b default:b is_deleted:b logo:j ticket_form_ids:j signature_template:s created_at:t updated_at:t",
        deleted: Deleted::Flag("is_deleted"),
        ..BASE
    },
    Spec {
        name: "call_legs",
        way: Way::Time {
            path: "channels/voice/stats/incremental/legs",
            list: "legs",
            bucket: Bucket::Exports,
            at: "updated_at",
        },
        columns: "id:i call_id:i created_at:t updated_at:t type:s agent_id:i user_id:i duration:i hold_time:i wrap_up_time:i available_via:s forwarded_to:s transferred_from:i transferred_to:i consultation_time:i consultation_from:i consultation_to:i conference_time:i conference_from:i conference_to:i call_charge:s minutes_billed:i completion_status:s talk_time:i quality_issues:j",
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        product: Product::Talk,
        ..BASE
    },
    Spec {
        name: "calls",
        way: Way::Time {
            path: "channels/voice/stats/incremental/calls",
            list: "calls",
            bucket: Bucket::Exports,
            at: "updated_at",
        },
        columns: CALLS,
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        product: Product::Talk,
        ..BASE
    },
    Spec {
        name: "categories",
        way: help("help_center/categories", "categories"),
        columns: "id:i url:s html_url:s name:s description:s locale:s source_locale:s position:i outdated:b created_at:t updated_at:t",
        product: Product::HelpCenter,
        ..BASE
    },
    Spec {
        name: "custom_field_dictionary",
        way: Way::Dictionary,
        columns: "id:s object:s field_id:i field_key:s field_type:s title:s column_name:s active:b option_id:i option_name:s option_value:s option_default:b",
        deleted: Deleted::Never,
        note: Some(
            "one row per custom field and one per option of it; what is retired or removed later stays as it was, with its name",
        ),
        ..BASE
    },
    Spec {
        name: "custom_object_records",
        way: Way::CustomRecords,
        columns: "id:s url:s name:s external_id:s custom_object_key:s custom_object_fields:j photo:j created_by_user_id:s updated_by_user_id:s created_at:t updated_at:t",
        product: Product::CustomObjects,
        ..BASE
    },
    Spec {
        name: "custom_objects",
        way: list("custom_objects", "custom_objects", Paging::One),
        columns: "key:s url:s title:s title_pluralized:s raw_title:s raw_title_pluralized:s description:s raw_description:s include_in_list_view:b created_by_user_id:s updated_by_user_id:s created_at:t updated_at:t",
        key: &["key"],
        product: Product::CustomObjects,
        ..BASE
    },
    Spec {
        name: "custom_roles",
        way: list("custom_roles", "custom_roles", Paging::One),
        columns: "id:i name:s description:s role_type:i team_member_count:i configuration:j created_at:t updated_at:t",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "custom_ticket_statuses",
        way: list("custom_statuses", "custom_statuses", Paging::One),
        columns: "id:i url:s status_category:s agent_label:s raw_agent_label:s end_user_label:s raw_end_user_label:s description:s raw_description:s end_user_description:s raw_end_user_description:s active:b default:b created_at:t updated_at:t",
        ..BASE
    },
    Spec {
        name: "deleted_tickets",
        way: list("deleted_tickets", "deleted_tickets", Paging::Cursor),
        columns: "id:i subject:s description:s actor:j deleted_at:t previous_state:s",
        deleted: Deleted::Never,
        note: Some("Zendesk lists a deleted ticket for 30 days; rows stay here"),
        ..BASE
    },
    Spec {
        name: "deleted_users",
        way: list("deleted_users", "deleted_users", Paging::Cursor),
        columns: "id:i url:s name:s email:s created_at:t updated_at:t time_zone:s phone:s shared_phone_number:b photo:j locale_id:i locale:s organization_id:i role:s active:b",
        deleted: Deleted::Never,
        ..BASE
    },
    Spec {
        name: "group_memberships",
        way: list("group_memberships", "group_memberships", Paging::Cursor),
        columns: "id:i url:s user_id:i group_id:i default:b created_at:t updated_at:t",
        ..BASE
    },
    Spec {
        name: "groups",
        way: list("groups?exclude_deleted=false", "groups", Paging::Cursor),
        columns: "id:i url:s name:s description:s default:b deleted:b is_public:b created_at:t updated_at:t",
        deleted: Deleted::Flag("deleted"),
        ..BASE
    },
    Spec {
        name: "job_statuses",
        way: list("job_statuses", "job_statuses", Paging::Cursor),
        columns: "id:s url:s job_type:s total:i progress:i status:s message:s results:j",
        deleted: Deleted::Never,
        ..BASE
    },
    Spec {
        name: "locales",
        way: list("locales", "locales", Paging::One),
        columns: "id:i url:s locale:s name:s native_name:s presentation_name:s rtl:b default:b created_at:t updated_at:t",
        ..BASE
    },
    Spec {
        name: "macros",
        way: list("macros?include=permissions", "macros", Paging::Cursor),
        columns: RULES,
        ..BASE
    },
    Spec {
        name: "organization_fields",
        way: list("organization_fields", "organization_fields", Paging::Cursor),
        columns: FIELDS,
        ..BASE
    },
    Spec {
        name: "organization_memberships",
        way: list(
            "organization_memberships",
            "organization_memberships",
            Paging::Cursor,
        ),
        columns: "id:i url:s user_id:i organization_id:i default:b organization_name:s view_tickets:b created_at:t updated_at:t",
        ..BASE
    },
    Spec {
        name: "organizations",
        way: Way::Time {
            path: "incremental/organizations",
            list: "organizations",
            bucket: Bucket::Exports,
            at: "updated_at",
        },
        columns: "id:i url:s name:s shared_tickets:b shared_comments:b external_id:s created_at:t updated_at:t deleted_at:t domain_names:j details:s notes:s group_id:i tags:j organization_fields:j",
        newer_by: Some("updated_at"),
        deleted: Deleted::Set("deleted_at"),
        ..BASE
    },
    Spec {
        name: "post_comments",
        way: Way::PerParent {
            parents: List {
                path: "community/posts",
                key: "posts",
                paging: Paging::Cursor,
                bucket: Bucket::HelpCenter,
            },
            below: "comments",
            list: "comments",
            column: "post_id",
        },
        columns: "id:i url:s html_url:s body:s author_id:i official:b vote_sum:i vote_count:i non_author_editor_id:i non_author_updated_at:t created_at:t updated_at:t post_id:i",
        product: Product::Community,
        ..BASE
    },
    Spec {
        name: "posts",
        way: help("community/posts", "posts"),
        columns: "id:i url:s html_url:s title:s details:s author_id:i topic_id:i featured:b pinned:b closed:b status:s frozen:b vote_sum:i vote_count:i comment_count:i follower_count:i content_tag_ids:j non_author_editor_id:i non_author_updated_at:t created_at:t updated_at:t",
        product: Product::Community,
        ..BASE
    },
    Spec {
        name: "satisfaction_ratings",
        way: Way::Since {
            path: "satisfaction_ratings",
            list: "satisfaction_ratings",
            range: Range::Both,
            rows: limits::LIST_ROWS,
            at: "updated_at",
        },
        columns: "id:i url:s assignee_id:i group_id:i requester_id:i ticket_id:i score:s comment:s reason:s reason_id:i reason_code:i created_at:t updated_at:t",
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "schedule_holidays",
        way: Way::PerParent {
            parents: List {
                path: "business_hours/schedules",
                key: "schedules",
                paging: Paging::One,
                bucket: Bucket::Plan,
            },
            below: "holidays",
            list: "holidays",
            column: "schedule_id",
        },
        columns: "id:i name:s start_date:d end_date:d schedule_id:i",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "schedules",
        way: list("business_hours/schedules", "schedules", Paging::One),
        columns: "id:i name:s time_zone:s intervals:j holidays:j created_at:t updated_at:t",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "sections",
        way: help("help_center/sections", "sections"),
        columns: "id:i url:s html_url:s name:s description:s category_id:i parent_section_id:i locale:s source_locale:s position:i sorting:s outdated:b theme_template:s created_at:t updated_at:t",
        product: Product::HelpCenter,
        ..BASE
    },
    Spec {
        name: "side_conversations",
        way: Way::PerTicket {
            below: "side_conversations",
            list: "side_conversations",
        },
        columns: "id:s url:s ticket_id:i subject:s preview_text:s state:s participants:j created_at:t updated_at:t message_added_at:t state_updated_at:t external_ids:j",
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        product: Product::SideConversations,
        ..BASE
    },
    Spec {
        name: "sla_policies",
        way: list("slas/policies", "sla_policies", Paging::Offset),
        columns: "id:i url:s title:s description:s position:i filter:j policy_metrics:j metric_settings:j created_at:t updated_at:t",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "suspended_tickets",
        way: list("suspended_tickets", "suspended_tickets", Paging::Cursor),
        columns: "id:i url:s author:j subject:s content:s cause:s cause_id:i message_id:s ticket_id:i created_at:t updated_at:t recipient:s attachments:j via:j brand_id:i error_messages:j",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "tags",
        way: list("tags", "tags", Paging::Cursor),
        columns: "name:s count:i",
        key: &["name"],
        deleted: Deleted::Never,
        note: Some(
            "Zendesk lists only the 20,000 tags most used in the last 60 days; a tag that is listed no more stays",
        ),
        ..BASE
    },
    Spec {
        name: "talk_phone_numbers",
        way: list(
            "channels/voice/phone_numbers",
            "phone_numbers",
            Paging::Offset,
        ),
        columns: "id:i number:s display_number:s nickname:s location:s country_code:s line_type:s toll_free:b external:b transcription:b recorded:b call_recording_consent:s capabilities:j categorised_greetings:j categorised_greetings_with_sub_settings:j default_greeting_ids:j default_group_id:i greeting_ids:j group_ids:j ivr_id:i outbound_enabled:b failover_number:s brand_id:i priority:i sms_enabled:b sms_group_id:i schedule_id:i token:s name:s voice_enabled:b outbound_number:s created_at:t",
        product: Product::Talk,
        ..BASE
    },
    Spec {
        name: "ticket_activities",
        way: Way::Since {
            path: "activities",
            list: "activities",
            range: Range::StartText("since"),
            rows: limits::LIST_ROWS,
            at: "updated_at",
        },
        columns: "id:i url:s title:s verb:s user_id:i actor_id:i created_at:t updated_at:t object:j target:j user:j actor:j",
        deleted: Deleted::Never,
        note: Some("Zendesk lists the activities of the last 30 days; rows stay here"),
        ..BASE
    },
    Spec {
        name: "ticket_audits",
        way: Way::PerTicket {
            below: "audits",
            list: "audits",
        },
        columns: "id:i ticket_id:i created_at:t author_id:i via:j metadata:j events:j",
        deleted: Deleted::Never,
        note: Some("one call per changed ticket"),
        ..BASE
    },
    Spec {
        name: "ticket_comments",
        way: Way::Comments,
        columns: "id:i ticket_id:i type:s author_id:i body:s html_body:s plain_body:s public:b attachments:j audit_id:i via:j via_reference_id:i created_at:t metadata:j data:j formatted_from:s formatted_to:s transcription_visible:b event_id:i",
        deleted: Deleted::Never,
        note: Some(
            "read from events, a comment that is redacted later keeps its text here; comments_mode = \"per_ticket\" reads it again with its ticket",
        ),
        ..BASE
    },
    Spec {
        name: "ticket_events",
        way: Way::Time {
            path: "incremental/ticket_events?include=comment_events",
            list: "ticket_events",
            bucket: Bucket::Exports,
            at: "timestamp",
        },
        columns: "id:i instance_id:i ticket_id:i timestamp:i created_at:t updater_id:i via:j via_reference_id:i system:j metadata:j event_type:s merged_ticket_ids:j child_events:j",
        deleted: Deleted::Never,
        ..BASE
    },
    Spec {
        name: "ticket_fields",
        way: list("ticket_fields", "ticket_fields", Paging::Cursor),
        columns: FIELDS,
        ..BASE
    },
    Spec {
        name: "ticket_forms",
        way: list("ticket_forms", "ticket_forms", Paging::Offset),
        columns: "id:i url:s name:s raw_name:s display_name:s raw_display_name:s position:i active:b default:b end_user_visible:b in_all_brands:b restricted_brand_ids:j ticket_field_ids:j agent_conditions:j end_user_conditions:j form_type:s deleted_at:t created_at:t updated_at:t",
        product: Product::Plan,
        ..BASE
    },
    Spec {
        name: "ticket_metric_events",
        way: Way::Since {
            path: "incremental/ticket_metric_events",
            list: "ticket_metric_events",
            range: Range::Ordered("start_time"),
            rows: limits::METRIC_EVENT_ROWS,
            at: "time",
        },
        columns: "id:i ticket_id:i metric:s instance_id:i type:s time:t deleted:b sla:j group_sla:j status:j",
        deleted: Deleted::Flag("deleted"),
        note: Some(
            "events of a ticket that is deleted later keep deleted = false: Zendesk does not date that change",
        ),
        ..BASE
    },
    Spec {
        name: "ticket_metrics",
        way: Way::Metrics,
        columns: "id:i url:s ticket_id:i created_at:t updated_at:t group_stations:i assignee_stations:i reopens:i replies:i assignee_updated_at:t requester_updated_at:t status_updated_at:t initially_assigned_at:t assigned_at:t solved_at:t latest_comment_added_at:t custom_status_updated_at:t reply_time_in_minutes:j first_resolution_time_in_minutes:j full_resolution_time_in_minutes:j agent_wait_time_in_minutes:j requester_wait_time_in_minutes:j on_hold_time_in_minutes:j reply_time_in_seconds:j",
        deleted: Deleted::Never,
        note: Some(
            "comes with the tickets and costs no call; of a deleted ticket the last metrics stay",
        ),
        ..BASE
    },
    Spec {
        name: "ticket_skips",
        way: Way::Since {
            path: "skips",
            list: "skips",
            range: Range::Start("start_time"),
            rows: limits::LIST_ROWS,
            at: "updated_at",
        },
        columns: "id:i ticket_id:i user_id:i reason:s ticket:j created_at:t updated_at:t",
        deleted: Deleted::Never,
        ..BASE
    },
    Spec {
        name: "tickets",
        way: Way::Cursor(Export::Tickets),
        columns: "id:i url:s external_id:s encoded_id:s via:j created_at:t updated_at:t generated_timestamp:i type:s subject:s raw_subject:s description:s priority:s status:s custom_status_id:i recipient:s requester_id:i submitter_id:i assignee_id:i organization_id:i group_id:i collaborator_ids:j follower_ids:j email_cc_ids:j forum_topic_id:i problem_id:i has_incidents:b is_public:b due_at:t tags:j custom_fields:j satisfaction_rating:j sharing_agreement_ids:j followup_ids:j ticket_form_id:i brand_id:i allow_channelback:b allow_attachments:b from_messaging_channel:b support_type:s attribute_value_ids:j",
        newer_by: Some("generated_timestamp"),
        deleted: Deleted::Word("status", "deleted"),
        note: Some(
            "a change by the system moves generated_timestamp and not updated_at; such tickets come, too, also from before start_date",
        ),
        ..BASE
    },
    Spec {
        name: "topics",
        way: help("community/topics", "topics"),
        columns: "id:i url:s html_url:s name:s description:s position:i follower_count:i manageable_by:s user_segment_id:i created_at:t updated_at:t",
        product: Product::Community,
        ..BASE
    },
    Spec {
        name: "trigger_categories",
        way: list("trigger_categories", "trigger_categories", Paging::Cursor),
        columns: "id:s name:s position:i created_at:t updated_at:t",
        ..BASE
    },
    Spec {
        name: "triggers",
        way: list("triggers", "triggers", Paging::Cursor),
        columns: RULES,
        ..BASE
    },
    Spec {
        name: "user_fields",
        way: list("user_fields", "user_fields", Paging::Cursor),
        columns: FIELDS,
        ..BASE
    },
    Spec {
        name: "user_identities",
        way: Way::Identities,
        columns: "id:i url:s user_id:i type:s value:s primary:b verified:b undeliverable_count:i deliverable_state:s created_at:t updated_at:t",
        newer_by: Some("updated_at"),
        deleted: Deleted::Never,
        note: Some("comes with the users and costs no call; an identity that is removed stays"),
        ..BASE
    },
    Spec {
        name: "users",
        way: Way::Cursor(Export::Users),
        columns: "id:i url:s name:s email:s created_at:t updated_at:t time_zone:s iana_time_zone:s phone:s shared_phone_number:b photo:j locale_id:i locale:s organization_id:i role:s verified:b external_id:s tags:j alias:s active:b shared:b shared_agent:b last_login_at:t two_factor_auth_enabled:b signature:s details:s notes:s role_type:i custom_role_id:i is_billing_admin:b moderator:b ticket_restriction:s only_private_comments:b restricted_agent:b suspended:b suspension_details:j default_group_id:i report_csv:b chat_only:b permanently_deleted:b user_fields:j",
        newer_by: Some("updated_at"),
        deleted: Deleted::NotFlag("active"),
        note: Some(
            "some changes, such as two_factor_auth_enabled, do not move updated_at and are seen only with the next change or --full-refresh",
        ),
        ..BASE
    },
    Spec {
        name: "views",
        way: list("views", "views", Paging::Cursor),
        columns: RULES,
        ..BASE
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::schema;

    #[test]
    fn every_stream_has_a_schema_with_its_keys() {
        for spec in STREAMS {
            let schema = schema(spec.columns, spec.deleted, &[]).unwrap();
            for key in spec.key.iter().copied().chain(spec.newer_by) {
                assert!(schema.index_of(key).is_ok(), "{} {key}", spec.name);
            }
            if let Way::Time { at, .. } | Way::Since { at, .. } = spec.way {
                assert!(schema.index_of(at).is_ok(), "{} {at}", spec.name);
            }
            let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{}: a column twice", spec.name);
        }
        let names: Vec<_> = STREAMS.iter().map(|spec| spec.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(names.len() >= 45, "{}", names.len());
    }
}
