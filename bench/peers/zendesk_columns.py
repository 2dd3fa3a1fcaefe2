"""The columns of a ticket, as overlock has them: whole numbers, Booleans, instants, text, and nested values as JSON."""

INTEGERS = (
    "id generated_timestamp custom_status_id requester_id submitter_id assignee_id organization_id group_id"
    " forum_topic_id problem_id ticket_form_id brand_id"
).split()
BOOLEANS = "has_incidents is_public allow_channelback allow_attachments from_messaging_channel".split()
INSTANTS = "created_at updated_at due_at".split()
NESTED = (
    "via collaborator_ids follower_ids email_cc_ids tags custom_fields satisfaction_rating sharing_agreement_ids"
    " followup_ids"
).split()
TEXTS = "url external_id encoded_id type subject raw_subject description priority status recipient support_type".split()

# DuckDB's names of their types.
TYPES = (
    {name: "BIGINT" for name in INTEGERS}
    | {name: "BOOLEAN" for name in BOOLEANS}
    | {name: "TIMESTAMP" for name in INSTANTS}
    | {name: "JSON" for name in NESTED}
    | {name: "VARCHAR" for name in TEXTS}
)
