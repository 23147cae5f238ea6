//! The protocol's word for what has no words here.

use whatsapp_rust::{
    buffa::MessageField,
    waproto::{codec, whatsapp as wa},
};

/// The protocol's word for the content, or `None` when there is nothing but keys and context.
pub(super) fn of(message: &wa::Message) -> Option<&'static str> {
    macro_rules! first_set {
        ($($field:ident),* $(,)?) => {
            $(if is_set(&message.$field) { return Some(stringify!($field)); })*
        };
    }
    first_set!(
        image_message,
        video_message,
        ptv_message,
        audio_message,
        document_message,
        sticker_message,
        lottie_sticker_message,
        location_message,
        live_location_message,
        contact_message,
        contacts_array_message,
        reaction_message,
        enc_reaction_message,
        poll_creation_message,
        poll_creation_message_v2,
        poll_creation_message_v3,
        poll_creation_message_v4,
        poll_creation_message_v5,
        poll_creation_message_v6,
        poll_update_message,
        event_message,
        group_invite_message,
        product_message,
        order_message,
        list_message,
        list_response_message,
        buttons_message,
        buttons_response_message,
        template_message,
        template_button_reply_message,
        interactive_message,
        interactive_response_message,
        highly_structured_message,
        call,
        call_log_messsage,
        album_message,
        sticker_pack_message,
        pin_in_chat_message,
        keep_in_chat_message,
        comment_message,
        enc_comment_message,
        secret_encrypted_message,
        request_phone_number_message,
        send_payment_message,
        request_payment_message,
        payment_invite_message,
        placeholder_message,
    );
    has_more(message).then_some("message")
}

fn is_set<T: Default>(field: &MessageField<T>) -> bool {
    field.is_set()
}

/// Whether anything is left once keys and context are taken away: a kind this list does not know.
fn has_more(message: &wa::Message) -> bool {
    let mut rest = message.clone();
    rest.sender_key_distribution_message = MessageField::default();
    rest.fast_ratchet_key_sender_key_distribution_message = MessageField::default();
    rest.message_context_info = MessageField::default();
    rest.sticker_sync_rmr_message = MessageField::default();
    // Not by comparison: a field that is set but empty equals one that is not set.
    codec::message_encoded_len(&rest) > 0
}
