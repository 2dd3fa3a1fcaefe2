//! Which paths are lists, how they are paged, and what hangs on their records.

/// How a list can be paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// By cursor, and by offset.
    Cursor,
    /// By offset only.
    Offset,
    /// Not at all.
    One,
}

/// A list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub(super) stream: &'static str,
    pub(super) key: &'static str,
    pub(super) paging: Paging,
}

/// Path, stream, key in the body, paging.
// One line each, to be read as a table.
#[rustfmt::skip]
const LISTS: &[(&str, &str, &str, Paging)] = &[
    ("activities", "ticket_activities", "activities", Paging::Cursor),
    ("audit_logs", "audit_logs", "audit_logs", Paging::Cursor),
    ("automations", "automations", "automations", Paging::Cursor),
    ("brands", "brands", "brands", Paging::Cursor),
    ("business_hours/schedules", "schedules", "schedules", Paging::One),
    ("channels/voice/phone_numbers", "talk_phone_numbers", "phone_numbers", Paging::Offset),
    ("community/posts", "posts", "posts", Paging::Cursor),
    ("community/topics", "topics", "topics", Paging::Cursor),
    ("custom_objects", "custom_objects", "custom_objects", Paging::One),
    ("custom_roles", "custom_roles", "custom_roles", Paging::One),
    ("custom_statuses", "custom_ticket_statuses", "custom_statuses", Paging::One),
    ("deleted_tickets", "deleted_tickets", "deleted_tickets", Paging::Cursor),
    ("deleted_users", "deleted_users", "deleted_users", Paging::Cursor),
    ("group_memberships", "group_memberships", "group_memberships", Paging::Cursor),
    ("groups", "groups", "groups", Paging::Cursor),
    ("help_center/articles", "articles", "articles", Paging::Cursor),
    ("help_center/categories", "categories", "categories", Paging::Cursor),
    ("help_center/sections", "sections", "sections", Paging::Cursor),
    ("incremental/ticket_metric_events", "ticket_metric_events", "ticket_metric_events", Paging::Cursor),
    ("job_statuses", "job_statuses", "job_statuses", Paging::Cursor),
    ("locales", "locales", "locales", Paging::One),
    ("macros", "macros", "macros", Paging::Cursor),
    ("organization_fields", "organization_fields", "organization_fields", Paging::Cursor),
    ("organization_memberships", "organization_memberships", "organization_memberships", Paging::Cursor),
    ("organizations", "organizations", "organizations", Paging::Cursor),
    ("satisfaction_ratings", "satisfaction_ratings", "satisfaction_ratings", Paging::Cursor),
    ("skips", "ticket_skips", "skips", Paging::Cursor),
    ("slas/policies", "sla_policies", "sla_policies", Paging::Offset),
    ("suspended_tickets", "suspended_tickets", "suspended_tickets", Paging::Cursor),
    ("tags", "tags", "tags", Paging::Cursor),
    ("ticket_fields", "ticket_fields", "ticket_fields", Paging::Cursor),
    ("ticket_forms", "ticket_forms", "ticket_forms", Paging::Offset),
    ("ticket_metrics", "ticket_metrics", "ticket_metrics", Paging::Cursor),
    ("tickets", "tickets", "tickets", Paging::Cursor),
    ("trigger_categories", "trigger_categories", "trigger_categories", Paging::Cursor),
    ("triggers", "triggers", "triggers", Paging::Cursor),
    ("user_fields", "user_fields", "user_fields", Paging::Cursor),
    ("users", "users", "users", Paging::Cursor),
    ("views", "views", "views", Paging::Cursor),
];

/// The parent's stream, the child's name in the path, stream, key, paging.
// One line each, to be read as a table.
#[rustfmt::skip]
const CHILDREN: &[(&str, &str, &str, &str, Paging)] = &[
    ("tickets", "audits", "ticket_audits", "audits", Paging::Cursor),
    ("tickets", "comments", "ticket_comments", "comments", Paging::Cursor),
    ("tickets", "side_conversations", "side_conversations", "side_conversations", Paging::Offset),
    ("users", "identities", "user_identities", "identities", Paging::Cursor),
    ("articles", "comments", "article_comments", "comments", Paging::Cursor),
    ("articles", "votes", "article_votes", "votes", Paging::Cursor),
    ("articles", "attachments", "article_attachments", "article_attachments", Paging::Offset),
    ("posts", "comments", "post_comments", "comments", Paging::Cursor),
    ("schedules", "holidays", "schedule_holidays", "holidays", Paging::One),
    ("custom_objects", "records", "custom_object_records", "custom_object_records", Paging::Cursor),
];

fn list_of(path: &str) -> Option<List> {
    let (_, stream, key, paging) = LISTS.iter().find(|list| list.0 == path)?;
    Some(List {
        stream,
        key,
        paging: *paging,
    })
}

/// A path without its locale: `help_center/en-us/articles` is `help_center/articles`.
pub(super) fn without_locale(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    let is_locale = |part: &&str| part.len() == 5 && part.as_bytes().get(2) == Some(&b'-');
    if parts.first() == Some(&"help_center") && parts.get(1).is_some_and(is_locale) {
        parts.remove(1);
    }
    parts.join("/")
}

/// What a path is about.
pub(super) enum Target<'a> {
    List(List),
    Count(List),
    Child(&'static str, &'a str, List),
    Record(List, &'a str),
}

pub(super) fn target(path: &str) -> Option<Target<'_>> {
    if let Some(list) = list_of(path) {
        return Some(Target::List(list));
    }
    let (front, tail) = path.rsplit_once('/')?;
    if tail == "count" {
        return list_of(front).map(Target::Count);
    }
    if let Some(list) = list_of(front) {
        return Some(Target::Record(list, tail));
    }
    let (front, id) = front.rsplit_once('/')?;
    let parent = list_of(front)?;
    let found = CHILDREN
        .iter()
        .find(|child| child.0 == parent.stream && child.1 == tail)?;
    let children = List {
        stream: found.2,
        key: found.3,
        paging: found.4,
    };
    Some(Target::Child(parent.stream, id, children))
}

/// The stream behind a path, for plans.
pub(super) fn stream_of(path: &str) -> Option<&'static str> {
    Some(match target(path)? {
        Target::List(list)
        | Target::Count(list)
        | Target::Child(_, _, list)
        | Target::Record(list, _) => list.stream,
    })
}
