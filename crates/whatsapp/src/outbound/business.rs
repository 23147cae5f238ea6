//! Products, and the press of a button.

use domain::{
    content::{Button, ButtonForm, ProductCard},
    port::EngineError,
};
use whatsapp_rust::{
    buffa::MessageField,
    waproto::whatsapp::{
        self as wa,
        __buffa::oneof::message::buttons_response_message::Response,
        message::{buttons_response_message::Type, product_message::ProductSnapshot},
    },
};

use super::media;

pub(super) fn product(
    card: ProductCard,
    context: Option<wa::ContextInfo>,
) -> Result<wa::Message, EngineError> {
    let ProductCard { product, owner, body, picture } = card;
    let picture = match picture {
        Some(picture) => media::message(*picture, None)?.image_message,
        None => MessageField::default(),
    };
    let shown = ProductSnapshot {
        product_image_count: Some(u32::from(picture.is_set())),
        product_image: picture,
        product_id: Some(product.id),
        title: Some(product.name),
        description: product.description,
        currency_code: product.currency,
        price_amount1000: product.price_thousandths,
        retailer_id: product.retailer_id,
        url: product.url,
        ..Default::default()
    };
    let message = wa::message::ProductMessage {
        product: MessageField::some(shown),
        business_owner_jid: owner.map(|owner| owner.to_jid()),
        body,
        context_info: context.map(MessageField::some).unwrap_or_default(),
        ..Default::default()
    };
    Ok(wa::Message { product_message: MessageField::some(message), ..Default::default() })
}

pub(super) fn button_reply(
    button: Button,
    form: ButtonForm,
    context: Option<wa::ContextInfo>,
) -> wa::Message {
    let context_info = context.map(MessageField::some).unwrap_or_default();
    let mut message = wa::Message::default();
    match form {
        ButtonForm::Plain => {
            let reply = wa::message::ButtonsResponseMessage {
                selected_button_id: Some(button.id),
                r#type: Some(Type::DISPLAY_TEXT),
                response: Some(Response::SelectedDisplayText(button.text)),
                context_info,
            };
            message.buttons_response_message = MessageField::some(reply);
        }
        ButtonForm::Template => {
            let reply = wa::message::TemplateButtonReplyMessage {
                selected_id: Some(button.id),
                selected_display_text: Some(button.text),
                context_info,
                ..Default::default()
            };
            message.template_button_reply_message = MessageField::some(reply);
        }
    }
    message
}
