//! Talk, the help center, the community and custom objects.

use overlock_sandbox::company::Dice;
use serde_json::json;

use crate::emulator::record::{Body, Key, NIL, Sec, body, iso};
use crate::emulator::thread::ACCOUNT;
use crate::emulator::world::World;

use super::tickets::sentences;
use super::words;

/// A record of this file's streams.
pub(super) fn blank(world: &mut World, stream: &str, id: i64, now: Sec) -> Option<(Key, Body)> {
    let mut dice = Dice::numbered(world.options.seed, stream, id.unsigned_abs());
    let author = world.story.requester(dice.next());
    let agent = world.story.agent(dice.next());
    let of = |path: &str| format!("{ACCOUNT}/api/v2/{path}/{id}.json");
    let body = match stream {
        "talk_phone_numbers" => body! {
            id: id, url: of("channels/voice/phone_numbers"), number: "+15550100100",
            display_number: "+1 (555) 010-0100", nickname: "Support line", name: "Support line",
            country_code: "US", toll_free: false, external: false, voice_enabled: true, sms_enabled: false,
            recorded: true, transcription: true, capabilities: json!({"sms": false, "mms": false, "voice": true}),
            default_group_id: world.story.group(1), schedule_id: NIL, priority: 0, categorised_greetings: json!({}),
            created_at: iso(now),
        },
        "calls" => {
            let duration = dice.between(3, 1_900);
            let mut call = body! {
                id: id, created_at: iso(now), updated_at: iso(now), agent_id: agent, call_charge: "0.003",
                consultation_time: 0, completion_status: "completed", customer_id: author,
                customer_requested_voicemail: false, direction: "inbound", duration: duration,
                exceeded_queue_wait_time: false, hold_time: 0, minutes_billed: duration / 60 + 1,
                outside_business_hours: false, phone_number_id: 4, phone_number: "+15550100100",
                ticket_id: world.story.ticket(dice.next()), time_to_answer: dice.between(1, 90), voicemail: false,
                wait_time: dice.between(1, 90), wrap_up_time: 7, ivr_time_spent: NIL, ivr_hops: NIL,
                ivr_destination_group_name: NIL, talk_time: duration, overflowed: false, overflowed_to: NIL,
                recording_control_interactions: 0, recording_time: 0, not_recording_time: 0, call_recording_consent: "always",
                quality_issues: json!(["none"]), line: "Support line", line_id: 4, line_type: "phone",
                default_group: true, ivr_action: NIL, ivr_routed_to: NIL, callback: false, callback_source: NIL,
            };
            call.set(
                "recording_url",
                format!("{ACCOUNT}/api/v2/channels/voice/calls/CA{id}/twilio/recording"),
            );
            call
        }
        "call_legs" => body! {
            id: id, created_at: iso(now), updated_at: iso(now), agent_id: agent, available_via: "browser",
            call_charge: "0.001", call_id: 0, completion_status: "completed", duration: dice.between(1, 900),
            hold_time: 0, minutes_billed: 1, quality_issues: json!(["none"]), talk_time: dice.between(1, 900),
            transferred_from: NIL, transferred_to: NIL, type: "agent", user_id: agent, wrap_up_time: 7,
            consultation_from: NIL, consultation_to: NIL, consultation_time: 0, conference_from: NIL,
            conference_to: NIL, conference_time: 0,
        },
        "categories" => body! {
            id: id, url: of("help_center/en-us/categories"), html_url: format!("{ACCOUNT}/hc/en-us/categories/{id}"),
            position: 0, created_at: iso(now), updated_at: iso(now), name: "General", description: "",
            locale: "en-us", source_locale: "en-us", outdated: false,
        },
        "sections" => body! {
            id: id, url: of("help_center/en-us/sections"), html_url: format!("{ACCOUNT}/hc/en-us/sections/{id}"),
            category_id: world.story.category, position: 0, sorting: "manual", created_at: iso(now),
            updated_at: iso(now), name: "FAQ", description: "", locale: "en-us", source_locale: "en-us",
            outdated: false, parent_section_id: NIL, theme_template: "section_page",
        },
        "articles" => {
            let title = dice.word(words::SUBJECTS);
            body! {
                id: id, url: of("help_center/en-us/articles"), html_url: format!("{ACCOUNT}/hc/en-us/articles/{id}"),
                author_id: agent, comments_disabled: false, draft: false, promoted: false, position: 0,
                vote_sum: 1, vote_count: 1, section_id: world.story.section, created_at: iso(now),
                updated_at: iso(now), name: title, title: title, source_locale: "en-us", locale: "en-us",
                outdated: false, outdated_locales: json!([]), edited_at: iso(now), user_segment_id: NIL,
                permission_group_id: 56, content_tag_ids: json!([]), label_names: json!(["faq"]),
                body: format!("<h2>{title}</h2>\r\n<p>{}</p>", sentences(&mut dice, 3)), user_segment_ids: json!([]),
            }
        }
        "article_comments" => body! {
            id: id, url: of("help_center/articles/0/comments"), body: format!("<p>{}</p>", sentences(&mut dice, 2)),
            author_id: author, source_id: 0, source_type: "Article", html_url: NIL, locale: "en-us",
            created_at: iso(now), updated_at: iso(now), vote_sum: 0, vote_count: 0, non_author_editor_id: NIL,
            non_author_updated_at: NIL,
        },
        "article_votes" => body! {
            id: id, url: of("help_center/votes"), user_id: author, value: if id % 2 == 0 { 1 } else { -1 },
            item_id: 0, item_type: "Article", created_at: iso(now), updated_at: iso(now),
        },
        "article_attachments" => body! {
            id: id, url: of("help_center/articles/attachments"), article_id: 0, display_file_name: "diagram.png",
            file_name: "diagram.png", locale: NIL,
            content_url: format!("{ACCOUNT}/hc/article_attachments/{id}/diagram.png"), relative_path: "/hc/x",
            content_type: "image/png", size: 1_580, inline: true, guide_media_id: "01AAA", created_at: iso(now),
            updated_at: iso(now),
        },
        "topics" => body! {
            id: id, url: of("community/topics"), html_url: format!("{ACCOUNT}/hc/en-us/community/topics/{id}"),
            name: "General discussion", description: "", position: 0, follower_count: 2, manageable_by: "managers",
            user_segment_id: NIL, created_at: iso(now), updated_at: iso(now),
        },
        "posts" => body! {
            id: id, url: of("community/posts"), html_url: format!("{ACCOUNT}/hc/en-us/community/posts/{id}"),
            title: dice.word(words::SUBJECTS), details: format!("<p>{}</p>", sentences(&mut dice, 2)),
            author_id: author, vote_sum: 0, vote_count: 0, comment_count: 0, follower_count: 1,
            topic_id: world.story.topic, closed: false, pinned: false, featured: false, status: "none",
            content_tag_ids: json!([]), created_at: iso(now), updated_at: iso(now), non_author_editor_id: NIL,
            non_author_updated_at: NIL,
        },
        "post_comments" => body! {
            id: id, url: of("community/posts/0/comments"), body: format!("<p>{}</p>", sentences(&mut dice, 2)),
            author_id: author, post_id: 0, official: false, vote_sum: 0, vote_count: 0, html_url: NIL,
            created_at: iso(now), updated_at: iso(now), non_author_editor_id: NIL, non_author_updated_at: NIL,
        },
        "custom_objects" => {
            let key = format!("object_{id}");
            let body = body! {
                key: key, url: format!("{ACCOUNT}/api/v2/custom_objects/{key}.json"), title: "Asset",
                raw_title: "Asset", title_pluralized: "Assets", raw_title_pluralized: "Assets", description: "",
                raw_description: "", created_by_user_id: agent.to_string(), updated_by_user_id: agent.to_string(),
                created_at: iso(now), updated_at: iso(now),
            };
            return Some((Key::from(key.as_str()), body));
        }
        "custom_object_records" => {
            // Sorts by time, as ULIDs do.
            let key = format!("01J{now:010}{:013}", id % 10_000_000_000_000);
            let body = body! {
                id: key, url: format!("{ACCOUNT}/api/v2/custom_objects/asset/records/{key}.json"),
                custom_object_key: "asset", name: format!("Asset {}", dice.between(1, 999)),
                custom_object_fields: json!({"serial": format!("SN-{}", dice.between(1, 9_999)), "price": 12.5, "owner": null}),
                external_id: NIL, photo: NIL, created_by_user_id: agent.to_string(), updated_by_user_id: agent.to_string(),
                created_at: iso(now), updated_at: iso(now),
            };
            return Some((Key::from(key.as_str()), body));
        }
        _ => return None,
    };
    Some((Key::from(id), body))
}
